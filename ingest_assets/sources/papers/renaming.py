"""Papers that turn out to have another id: which one is chosen, and where the bundle goes.

What belongs here: that. What does not: the papers' files (`papers`), and making bundles
(`bundle_stage`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.ledger.graph_tables import paper_bundle, paper_request
from ingest_assets.ledger.store import upsert
from ingest_assets.model import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from ingest_assets.ledger import Ledger
    from ingest_assets.sources.papers.article import Article
    from ingest_assets.sources.papers.workspace import Workspace

SUPERSEDED = "superseded-"  # before a bundle's name: it is kept, and not read
RULES = "rules:"  # how the identity of the rules begins: what they made, they make again at no cost


def may_be_same(facts: dict[str, Any], article: Article) -> bool:
    """Papers with two PMCIDs are two, even if they share a DOI, as versions and corrections do."""
    return not (facts.get("pmcid") and article.pmcid) or facts["pmcid"] == article.pmcid


def by_authority(paper_id: str) -> tuple[int, str]:
    """For sorting ids: those of PMC first, then DOIs, then PMIDs."""
    for rank, prefix in enumerate(("PMC", "doi-", "pmid-")):
        if paper_id.startswith(prefix):
            return rank, paper_id
    return len(("PMC", "doi-", "pmid-")), paper_id


def move_request(connection: sa.Connection, old: str, new: str) -> None:
    """What was asked for one id of a paper is asked for the other one."""
    t = paper_request
    if connection.execute(t.delete().where(t.c.paper_id == old)).rowcount:
        upsert(connection, t, [{"paper_id": new}])


def move_bundle(ledger: Ledger, workspace: Workspace, old: str, new: str) -> None:
    """Give a paper's bundle to the paper's other id, whoever made it, so that it does not become two papers.

    If there is a bundle of that id already, that one counts, and the old one is kept beside it as
    "superseded-paper_{old}.json", which is not read. Only what the rules made here is removed instead.

    Raises UnavailableError when the file cannot be moved.
    """
    source, target = workspace.bundle_path(old), workspace.bundle_path(new)
    if not _is_there(source):
        return
    if _is_there(target) and _is_by_rules(ledger, source, old):
        workspace.remove_bundle(old)
        return
    place = target if not _is_there(target) else next(_free_names(source))
    try:
        source.rename(place)
    except OSError as error:
        raise UnavailableError(
            f"{source} cannot be moved to {place.name}: {error.strerror}. Set the permissions, and try again."
        ) from error


def _free_names(path: Path) -> Iterator[Path]:
    """superseded-paper_X.json, superseded-2-paper_X.json, ...: those that there are not."""
    for number in count(1):
        found = path.with_name(f"{SUPERSEDED}{f'{number}-' if number > 1 else ''}{path.name}")
        if not _is_there(found):
            yield found


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _is_by_rules(ledger: Ledger, path: Path, paper_id: str) -> bool:
    """Whether the rules made the file as it is now: nobody has replaced it since it was recorded."""
    t = paper_bundle
    query = sa.select(t.c.size, t.c.mtime_ns).where(
        t.c.paper_id == paper_id, t.c.made_from != "", sa.func.substr(t.c.extractor, 1, len(RULES)) == RULES
    )
    with ledger.reading() as connection:
        row = connection.execute(query).one_or_none()
    stat = path.lstat()
    return row is not None and (row.size, row.mtime_ns) == (stat.st_size, stat.st_mtime_ns)
