"""The repositories that are kept in step: the list of them, and each one as a source.

What belongs here: the ledger's list of them, and a source made of each. What does not: git (mirror, fetch).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.jobs.queue import STREAMED
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import upsert
from ingest_assets.model import ConfigurationError
from ingest_assets.sandbox.limits import MIB
from ingest_assets.settings import Settings, listed
from ingest_assets.sources.repositories import projects
from ingest_assets.sources.repositories.settings import NAME, RepositorySettings

if TYPE_CHECKING:
    from ingest_assets.sandbox import Sandbox
    from ingest_assets.sources.repositories.fetch import FetchLimits
    from ingest_assets.sources.repositories.language_table import LanguageTable
    from ingest_assets.sources.repositories.mirror import Mirror
    from ingest_assets.sources.repositories.policy import Policy
    from ingest_assets.sources.repositories.refs import Refs
    from ingest_assets.sources.repositories.source import ConfinedRepository
    from ingest_assets.sources.repositories.tree import TreeLimits
    from ingest_assets.sources.repositories.watching import Watched
    from ingest_assets.sources.repositories.working_tree import Folder
    from ingest_assets.workbench import Workbench

_repository = tables.repository
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository that is kept in step, or is being removed."""

    id: str  # Origin.id; its documents are of this part, and their ids begin with it
    location: str
    ref: str | None
    removed: bool
    added_at: float  # seconds since 1970
    committed: bool = True  # what is committed is read; otherwise a folder as it stands on disk
    own_folder: bool = False  # somebody at this machine named the folder: it may be anywhere


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be fetched and read, and where it is kept."""

    workspace: Path
    policy: Policy
    fetch: FetchLimits
    tree: TreeLimits
    shallow: bool
    patterns: Sequence[str]
    languages: LanguageTable
    committed: bool  # of local repositories, what is committed is read alone
    own: tuple[Path, ...]  # folders of what this program keeps, which are never read


class Repositories:
    """The list in the ledger, within the bounds of the settings."""

    def __init__(self, ledger: Ledger, bounds: Bounds, sandbox: Sandbox) -> None:
        self._ledger, self._bounds, self._sandbox = ledger, bounds, sandbox

    def add(
        self,
        location: str,
        ref: str | None = None,
        project: str | None = None,
        *,
        committed: bool | None = None,
        own_folder: bool = False,
    ) -> Repository:
        """Keep a repository in step for a project from now on; an existing one may get another ref, for all.

        The project is by default one of the repository's own id. See `checked`, which raises for what may not
        be read.
        """
        added = self.checked(location, ref, committed=committed, own_folder=own_folder)
        with self._ledger.transaction() as connection:
            self._keep(connection, added, project or added.id)
        return added

    def checked(
        self,
        location: str,
        ref: str | None = None,
        *,
        committed: bool | None = None,
        own_folder: bool = False,
    ) -> Repository:
        """A repository that may be read, not yet kept.

        A local one is read as it stands on disk, unless a ref is given, it has no files of its own, or what
        is `committed` is asked for; None stands for what the repository is kept with, and else for the
        setting. `own_folder`: somebody at this machine asks, who may name any folder.

        Raises ConfigurationError when it may not be read, or the ref is not valid.
        """
        from ingest_assets.sources.repositories.local import git_folder, is_bare
        from ingest_assets.sources.repositories.origin import checked_ref, parse_origin

        policy = self._policy(own_folder=own_folder)
        origin, ref = parse_origin(location, policy), checked_ref(ref)
        if origin.path is not None:
            roots = policy.roots_for(origin.path)
            if committed is None:
                before = next(
                    (each for each in self.all() if each.id == origin.id and not each.removed), None
                )
                committed = before.committed if before else self._bounds.committed
            committed = ref is not None or is_bare(origin.path, roots) or committed
            if committed:
                git_folder(origin.path, roots)  # raises, and says why, if it is not a repository
        return Repository(
            origin.id,
            origin.url or str(origin.path),
            ref,
            removed=False,
            added_at=time.time(),
            committed=origin.path is None or bool(committed),
            own_folder=origin.path is not None and own_folder,
        )

    def name_of(self, location: str, *, own_folder: bool = False) -> str:
        """What people call it: "owner/name"."""
        from ingest_assets.sources.repositories.origin import parse_origin

        return parse_origin(location, self._policy(own_folder=own_folder)).name

    def _policy(self, *, own_folder: bool) -> Policy:
        return replace(self._bounds.policy, own_folders=own_folder)

    def keep(self, repository: Repository, project: str) -> None:
        """Put it in the list, as it is, for a project.

        Raises JobTargetError if other projects have it at another ref.
        """
        with self._ledger.transaction() as connection:
            projects.require_ref(connection, repository.id, repository.ref, project)
            self._keep(connection, repository, project)

    def require_ref(self, repository_id: str, ref: str | None, project: str) -> None:
        """Raises JobTargetError if other projects have the repository at another ref."""
        with self._ledger.reading() as connection:
            projects.require_ref(connection, repository_id, ref, project)

    def _keep(self, connection: sa.Connection, repository: Repository, project: str) -> None:
        upsert(connection, _repository, [asdict(repository)])
        projects.take(connection, repository.id, project)

    def remove(self, repository_id: str, project: str | None = None) -> Repository:
        """Take it from a project, or from all. When none has it, the next run removes its documents.

        Raises ConfigurationError when there is no such repository, or the project does not have it.
        """
        found = self.get(repository_id)
        with self._ledger.transaction() as connection:
            if projects.leave(connection, found.id, project):
                return found
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
            projects.leave(connection, repository_id, None)

    def files(self, repository_id: str) -> int:
        """How many of its files are documents."""
        document = tables.document
        query = sa.select(sa.func.count()).select_from(document).filter_by(source=NAME, part=repository_id)
        with self._ledger.reading() as connection:
            return connection.scalar(query) or 0

    def cut(self, repository_id: str) -> int:
        """How many of its files have the chunks of their current version."""
        return self._joined(
            repository_id, tables.chunked, tables.chunked.c.digest == tables.document.c.digest
        )

    def chunks(self, repository_id: str) -> int:
        """How many chunks its files have."""
        return self._joined(repository_id, tables.chunk)

    def _joined(self, repository_id: str, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
        """How many rows of a table its documents have."""
        document = tables.document
        here = sa.and_(table.c.source == document.c.source, table.c.document_id == document.c.document_id)
        query = sa.select(sa.func.count()).select_from(document.join(table, here))
        with self._ledger.reading() as connection:
            mine = (document.c.source == NAME, document.c.part == repository_id)
            return connection.scalar(query.where(*mine, *where)) or 0

    def all(self) -> list[Repository]:
        """By id, including those that are being removed."""
        query = sa.select(_repository).order_by(_repository.c.id)
        with self._ledger.reading() as connection:
            return [_row(row) for row in connection.execute(query)]

    def get(self, repository_id: str) -> Repository:
        """Raises ConfigurationError when there is none."""
        from ingest_assets.sources.repositories.origin import spoken_id

        ids = (repository_id, spoken_id(repository_id))  # people paste URLs
        query = sa.select(_repository).where(_repository.c.id.in_(ids))
        with self._ledger.reading() as connection:
            rows = {row.id: row for row in connection.execute(query)}
        row = rows.get(ids[0]) or rows.get(ids[1])
        if row is None:
            raise ConfigurationError(
                f"There is no repository {repository_id!r}. `ingest repository list` shows those there are, "
                "`ingest repository add` adds one."
            )
        return _row(row)

    def fetch(self, repository: Repository, interrupt: Callable[[], None] | None = None) -> None:
        """Bring its mirror up to date, unless it is being removed. As `Mirror.fetch`.

        A folder that is read as it stands needs nothing.
        """
        if repository.committed and not repository.removed:
            self._mirror(repository).fetch(repository.ref, interrupt)

    def remote(self, repository: Repository, timeout_s: float) -> Refs:
        """What the remote has now, within a time budget."""
        from ingest_assets.sources.repositories.mirror import remote_heads

        policy = self._policy(own_folder=repository.own_folder)
        return remote_heads(self._mirror(repository).origin, policy, timeout_s)

    def head(self, repository: Repository) -> str | None:
        """The commit fetched last; of a folder, the one that is checked out."""
        if not repository.committed:
            return self._folder(repository).commit()
        return self._mirror(repository).head(repository.ref).commit

    def source(self, repository: Repository) -> ConfinedRepository:
        """Its files as fetched last, or as they are on disk."""
        from ingest_assets.sources.repositories.source import ConfinedRepository, RepositorySource
        from ingest_assets.sources.repositories.working_tree import WorkingTree

        if not repository.committed:
            tree = WorkingTree(
                NAME,
                self._folder(repository),
                prefix=f"{repository.id}/",
                patterns=self._bounds.patterns,
                limits=self._bounds.tree,
                table=self._bounds.languages,
            )
            return ConfinedRepository(tree, self._sandbox)
        source = RepositorySource(
            NAME,
            self._mirror(repository),
            prefix=f"{repository.id}/",
            ref=repository.ref,
            patterns=self._bounds.patterns,
            limits=self._bounds.tree,
            table=self._bounds.languages,
        )
        return ConfinedRepository(source, self._sandbox)

    def watched(self, path: Path) -> Watched:
        """Keep a folder in step as it stands on disk, and watch it.

        Raises ConfigurationError when it may not be read, or has no files of its own.
        """
        from ingest_assets.sources.repositories.watching import Watched

        repository = self.checked(str(path), committed=False, own_folder=True)
        if repository.committed:
            raise ConfigurationError("It is a bare repository: there are no files in it to be watched.")
        self.keep(repository, repository.id)
        return Watched(
            repository.id,
            self._folder(repository),
            self._bounds.patterns,
            partial(self.source, repository),
            self._bounds.tree.file_bytes,
        )

    def _folder(self, repository: Repository) -> Folder:
        from ingest_assets.sources.repositories.mirror import folder_name
        from ingest_assets.sources.repositories.origin import parse_origin
        from ingest_assets.sources.repositories.working_tree import Folder

        policy = self._policy(own_folder=repository.own_folder)
        origin = parse_origin(repository.location, policy)
        assert origin.path is not None
        kept_in = self._bounds.workspace / folder_name(origin.id)
        return Folder(origin, policy.roots_for(origin.path), kept_in, self._bounds.own)

    def _mirror(self, repository: Repository) -> Mirror:
        from ingest_assets.sources.repositories.mirror import Mirror
        from ingest_assets.sources.repositories.origin import parse_origin

        bounds = self._bounds
        policy = self._policy(own_folder=repository.own_folder)
        origin = parse_origin(repository.location, policy)
        return Mirror(
            origin,
            bounds.workspace,
            policy,
            bounds.fetch,
            shallow=bounds.shallow,
            sandbox=self._sandbox,
        )


def repositories_of(bench: Workbench) -> Repositories:
    """Those on the list of a workbench's ledger, within the limits of the job that it works for, if any."""
    streamed = bench.job is not None and bench.job.metadata.get(STREAMED) is True
    return Repositories(bench.ledger, bounds_of(bench.settings, streamed=streamed), bench.sandbox)


def bounds_of(settings: Settings, *, streamed: bool = False) -> Bounds:
    """What the settings say; `streamed`: for whoever waits for the result.

    Raises ConfigurationError when one of the settings for repositories is wrong.
    """
    from ingest_assets.sources.repositories.fetch import FetchLimits
    from ingest_assets.sources.repositories.language_table import language_table
    from ingest_assets.sources.repositories.policy import Policy
    from ingest_assets.sources.repositories.tree import TreeLimits

    s = settings.of(RepositorySettings)
    size = int(s.max_repo_size_gb * GIB)
    if streamed:
        size = min(size, s.ingest_repository_max_mib * MIB)
    # Reading takes up to twice what is held of memory, and as much again for everything else.
    held = settings.ingest_parser_memory_mib * MIB // 4
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
        fetch=FetchLimits(size, s.ingest_repository_timeout_s, held),
        tree=TreeLimits(s.ingest_repository_file_max_kib << 10, size, s.ingest_repository_max_files),
        shallow=s.ingest_repository_shallow,
        patterns=listed(s.ingest_repository_ignore),
        languages=language_table(listed(s.ingest_repository_languages)),
        committed=s.ingest_repository_committed_only,
        own=settings.own_folders,
    )


def _tokens(value: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in listed(value)]
    if any(not (host and token) for host, _, token in pairs):
        raise ConfigurationError("INGEST_REPOSITORY_TOKENS must be HOST=TOKEN, separated by commas.")
    return {host: token for host, _, token in pairs}


def _row(row: Any) -> Repository:
    return Repository(row.id, row.location, row.ref, row.removed, row.added_at, row.committed, row.own_folder)
