"""Which files of the workspace's bundles are in use, and which are not.

What belongs here: comparing the folder with the ledger. What does not: reading bundles (`bundle_stage`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from ingest_assets.ledger.graph_tables import paper_bundle
from ingest_assets.ledger.tables import parked
from ingest_assets.model import digest_of
from ingest_assets.sources.papers.places import workspace_of
from ingest_assets.sources.papers.settings import BUNDLES, NAME

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench


class BundleStates(NamedTuple):
    """Bundles in use, those that the next refresh reads for the first time, and those it could not."""

    read: int
    waiting: int
    unreadable: tuple[tuple[str, str], ...]  # (paper id, what is wrong), by paper


def bundle_states(bench: Workbench) -> BundleStates:
    """By what a refresh recorded; no bundle is opened."""
    files = {each.paper_id: each.path for each in workspace_of(bench).bundle_files()}
    if not bench.has_ledger:
        return BundleStates(0, len(files), ())
    refused = sa.select(parked.c.item_id, parked.c.digest, parked.c.error)
    with bench.ledger.reading() as connection:
        read = set(connection.scalars(sa.select(paper_bundle.c.paper_id)))
        rows = connection.execute(refused.filter_by(source=NAME, stage=BUNDLES)).all()
    unreadable = {}
    for row in rows:  # papers that could not be extracted are parked too, without a file of this digest
        if row.item_id in files:
            found = files[row.item_id].lstat()
            if row.digest == digest_of(str(found.st_size), str(found.st_mtime_ns)):
                unreadable[row.item_id] = row.error
    waiting = files.keys() - read - unreadable.keys()
    return BundleStates(len(read), len(waiting), tuple(sorted(unreadable.items())))
