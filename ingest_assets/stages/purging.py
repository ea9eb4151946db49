"""Leaving nothing of what was deleted in the files of a collection.

An engine keeps deleted points in its files until it happens to rewrite them, and older generations hold what
was there before. So the collection is built again from the ledger, without embedding anything, and every
other generation of it is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest_assets.ledger import Ledger
from ingest_assets.reconcile import reconcile
from ingest_assets.stages.collection import Collection
from ingest_assets.stages.generations import Generations

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench


def purge(bench: Workbench, source: str) -> None:
    """Rewrite a source's collection. Raises what its last stage raises; then the next call begins again."""
    stage = bench.collection(source)
    # One that an earlier run began may hold what was deleted since.
    _drop_all_but_live(bench.ledger, stage)
    reconcile(stage, bench.ledger, bench.run(rebuild=True, allow_removals=True))
    _drop_all_but_live(bench.ledger, stage)


def _drop_all_but_live(ledger: Ledger, stage: Collection) -> None:
    generations = Generations(stage.collection, stage.store, stage.pipeline)
    live = stage.store.live(stage.collection)
    with ledger.transaction() as connection:
        for number in stage.store.own_generations(stage.collection):
            if number != live:
                generations.discard(connection, number)
