"""The repositories that are kept in step: the list of them, and each one as a source.

What belongs here: the ledger's list of them, and a source made of each. What does not: git (mirror, fetch).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import upsert
from ingest_assets.model import ConfigurationError
from ingest_assets.settings import Settings, listed
from ingest_assets.sources.repositories.settings import NAME, RepositorySettings

if TYPE_CHECKING:
    from ingest_assets.sandbox import Sandbox
    from ingest_assets.sources.repositories.fetch import FetchLimits
    from ingest_assets.sources.repositories.mirror import Mirror
    from ingest_assets.sources.repositories.policy import Policy
    from ingest_assets.sources.repositories.refs import Refs
    from ingest_assets.sources.repositories.source import ConfinedRepository
    from ingest_assets.sources.repositories.tree import TreeLimits
    from ingest_assets.workbench import Workbench

_repository = tables.repository


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository that is kept in step, or is being removed."""

    id: str  # Origin.id; its documents are of this part, and their ids begin with it
    location: str
    ref: str | None
    removed: bool
    added_at: float  # seconds since 1970


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be fetched and read, and where it is kept."""

    workspace: Path
    policy: Policy
    fetch: FetchLimits
    tree: TreeLimits
    shallow: bool
    patterns: Sequence[str]


class Repositories:
    """The list in the ledger, within the bounds of the settings."""

    def __init__(self, ledger: Ledger, bounds: Bounds, sandbox: Sandbox) -> None:
        self._ledger, self._bounds, self._sandbox = ledger, bounds, sandbox

    def add(self, location: str, ref: str | None = None) -> Repository:
        """Keep a repository in step from now on; an existing one may get another ref.

        Raises ConfigurationError when it may not be read, or the ref is not valid.
        """
        added = self.checked(location, ref)
        self.keep(added)
        return added

    def checked(self, location: str, ref: str | None = None) -> Repository:
        """A repository that may be read, not yet kept. Raises ConfigurationError as `add` does."""
        from ingest_assets.sources.repositories.origin import checked_ref, parse_origin

        origin = parse_origin(location, self._bounds.policy)
        location = origin.url or str(origin.path)
        return Repository(origin.id, location, checked_ref(ref), removed=False, added_at=time.time())

    def name_of(self, location: str) -> str:
        """What people call it: "owner/name"."""
        from ingest_assets.sources.repositories.origin import parse_origin

        return parse_origin(location, self._bounds.policy).name

    def keep(self, repository: Repository) -> None:
        """Put it in the list, as it is."""
        with self._ledger.transaction() as connection:
            upsert(connection, _repository, [asdict(repository)])

    def remove(self, repository_id: str) -> Repository:
        """Have the next run remove its documents. Raises ConfigurationError when there is none."""
        found = self.get(repository_id)
        with self._ledger.transaction() as connection:
            here = _repository.c.id == found.id
            connection.execute(_repository.update().where(here).values(removed=True))
        return replace(found, removed=True)

    def forget(self, repository_id: str) -> None:
        """Drop one from the list, with its mirror, once its documents are gone; nothing if not listed."""
        from ingest_assets.sources.repositories.mirror import Mirror
        from ingest_assets.sources.repositories.origin import Origin

        if not (found := [each for each in self.all() if each.id == repository_id]):
            return
        # Not checked again: one that is gone, or may no longer be read, must be removed all the same.
        origin = Origin(repository_id, repository_id, found[0].location, None, None)
        Mirror(origin, self._bounds.workspace, self._bounds.policy, self._bounds.fetch).remove()
        with self._ledger.transaction() as connection:
            connection.execute(_repository.delete().where(_repository.c.id == repository_id))

    def files(self, repository_id: str) -> int:
        """How many of its files are documents."""
        document = tables.document
        query = sa.select(sa.func.count()).select_from(document).filter_by(source=NAME, part=repository_id)
        with self._ledger.reading() as connection:
            return connection.scalar(query) or 0

    def chunks(self, repository_id: str) -> int:
        """How many chunks its files have."""
        document, chunk = tables.document, tables.chunk
        here = sa.and_(chunk.c.source == document.c.source, chunk.c.document_id == document.c.document_id)
        query = sa.select(sa.func.count()).select_from(document.join(chunk, here))
        with self._ledger.reading() as connection:
            mine = (document.c.source == NAME, document.c.part == repository_id)
            return connection.scalar(query.where(*mine)) or 0

    def all(self) -> list[Repository]:
        """By id, including those that are being removed."""
        query = sa.select(_repository).order_by(_repository.c.id)
        with self._ledger.reading() as connection:
            return [_row(row) for row in connection.execute(query)]

    def get(self, repository_id: str) -> Repository:
        """Raises ConfigurationError when there is none."""
        query = sa.select(_repository).filter_by(id=repository_id)
        with self._ledger.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise ConfigurationError(
                f"There is no repository {repository_id!r}. `ingest repository list` shows those there are, "
                "`ingest repository add` adds one."
            )
        return _row(row)

    def fetch(self, repository: Repository, interrupt: Callable[[], None] | None = None) -> None:
        """Bring its mirror up to date, unless it is being removed. As `Mirror.fetch`."""
        if not repository.removed:
            self._mirror(repository).fetch(repository.ref, interrupt)

    def remote(self, repository: Repository, timeout_s: float) -> Refs:
        """What the remote has now, within a time budget."""
        from ingest_assets.sources.repositories.mirror import remote_heads

        return remote_heads(self._mirror(repository).origin, self._bounds.policy, timeout_s)

    def head(self, repository: Repository) -> str | None:
        """The commit fetched last."""
        return self._mirror(repository).head(repository.ref).commit

    def source(self, repository: Repository) -> ConfinedRepository:
        """Its files as fetched last."""
        from ingest_assets.sources.repositories.source import ConfinedRepository, RepositorySource

        source = RepositorySource(
            NAME,
            self._mirror(repository),
            prefix=f"{repository.id}/",
            ref=repository.ref,
            patterns=self._bounds.patterns,
            limits=self._bounds.tree,
        )
        return ConfinedRepository(source, self._sandbox)

    def _mirror(self, repository: Repository) -> Mirror:
        from ingest_assets.sources.repositories.mirror import Mirror
        from ingest_assets.sources.repositories.origin import parse_origin

        bounds = self._bounds
        origin = parse_origin(repository.location, bounds.policy)
        return Mirror(
            origin,
            bounds.workspace,
            bounds.policy,
            bounds.fetch,
            shallow=bounds.shallow,
            sandbox=self._sandbox,
        )


def repositories_of(bench: Workbench) -> Repositories:
    """Those on the list of a workbench's ledger."""
    return Repositories(bench.ledger, bounds_of(bench.settings), bench.sandbox)


def bounds_of(settings: Settings) -> Bounds:
    """Raises ConfigurationError when one of the settings for repositories is wrong."""
    from ingest_assets.sources.repositories.fetch import FetchLimits
    from ingest_assets.sources.repositories.policy import Policy
    from ingest_assets.sources.repositories.tree import TreeLimits

    s = settings.of(RepositorySettings)
    size = s.ingest_repository_max_mib << 20
    tokens = s.ingest_repository_tokens.get_secret_value() if s.ingest_repository_tokens else ""
    return Bounds(
        workspace=settings.ingest_home / "repositories",
        policy=Policy(
            protocols=frozenset(listed(s.ingest_repository_protocols)),
            hosts=frozenset(hosts) if (hosts := listed(s.ingest_repository_hosts)) else None,
            allow_private_addresses=s.ingest_repository_private_addresses,
            local_roots=tuple(map(Path, listed(s.ingest_repository_roots))),
            ca_file=s.ingest_repository_ca_file,
            tokens=_tokens(tokens),
            ssh_keys={
                host: Path(file)
                for host, _, file in (pair.partition("=") for pair in listed(s.ingest_repository_ssh_keys))
            },
            known_hosts=s.ingest_repository_known_hosts,
        ),
        fetch=FetchLimits(size, s.ingest_repository_timeout_s),
        tree=TreeLimits(file_bytes=s.ingest_repository_file_max_kib << 10, total_bytes=size),
        shallow=s.ingest_repository_shallow,
        patterns=listed(s.ingest_repository_ignore),
    )


def _tokens(value: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in listed(value)]
    if any(not (host and token) for host, _, token in pairs):
        raise ConfigurationError("INGEST_REPOSITORY_TOKENS must be HOST=TOKEN, separated by commas.")
    return {host: token for host, _, token in pairs}


def _row(row: Any) -> Repository:
    return Repository(row.id, row.location, row.ref, row.removed, row.added_at)
