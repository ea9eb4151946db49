"""News of what runs changed, for those who listen on REDIS_BUILD_CHANNEL."""

from __future__ import annotations

from contextlib import suppress

from ingest_assets.model import IngestError, Outcomes
from ingest_assets.sources.definition import SourceDefinition
from ingest_assets.workbench import Workbench


def live_generation(bench: Workbench, source: SourceDefinition) -> int | None:
    """The published generation, for `announce`; None if there is none, or if nobody is told."""
    if bench.cache is not None:
        with suppress(IngestError):  # a store that does not answer is for the stage to report
            return bench.store.live(source.collection)
    return None


def announce(bench: Workbench, source: SourceDefinition, before: int | None, outcomes: Outcomes) -> None:
    """Tell that a run moved points, or published another generation than `before`. Raises nothing."""
    if bench.cache is None:
        return
    now = live_generation(bench, source)
    if outcomes.moved or now != before:
        counts = {name: getattr(outcomes, name) for name in ("added", "changed", "removed")}
        bench.cache.publish_build_update({"source": source.name, "generation": now, **counts})
