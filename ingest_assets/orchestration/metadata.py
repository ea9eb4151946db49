"""What an operator reads about a materialization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from ingest_assets.model import Markdown, Outcomes
from ingest_assets.redaction import redact_data
from ingest_assets.sources.definition import SourceDefinition
from ingest_assets.workbench import Workbench


def as_metadata(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as Dagster shows them, without secrets; text to render is marked as Markdown."""
    return {name: _shown(value) for name, value in values.items()}


def _shown(value: Any) -> Any:
    if isinstance(value, Markdown):
        return dg.MetadataValue.md(redact_data(value))
    if isinstance(value, str):
        return redact_data(value)
    if isinstance(value, Mapping):
        return {name: _shown(each) for name, each in value.items()}
    return [_shown(each) for each in value] if isinstance(value, list | tuple) else value


def store_metadata(bench: Workbench, source: SourceDefinition) -> dict[str, Any]:
    """How far a server has come with the collection; nothing with the engine in this process."""
    live = bench.store.live(source.collection)
    health = None if live is None else bench.store.health(source.collection, live)
    if health is None:
        return {}
    return {
        "store": redact_data(str(health)),
        "store_status": health.status,
        "indexed_vectors": health.indexed,
        "segments": health.segments,
    }


def outcome_metadata(outcomes: Outcomes, seconds: float) -> dict[str, Any]:
    """Counts by outcome, rate and a sample of what moved."""
    metadata: dict[str, Any] = {
        "added": outcomes.added,
        "changed": outcomes.changed,
        "unchanged": outcomes.unchanged,
        "removed": outcomes.removed,
        "parked": outcomes.parked,
        "seconds": round(seconds, 3),
        "dagster/row_count": outcomes.added + outcomes.changed + outcomes.unchanged,
    }
    if outcomes.moved:
        metadata["items_per_second"] = round(outcomes.moved / max(seconds, 1e-6))
    if outcomes.repaired:
        metadata["repaired"] = outcomes.repaired
    if outcomes.sample:
        sample = "\n".join(f"- `{line}`" for line in outcomes.sample)
        metadata["sample"] = dg.MetadataValue.md(redact_data(sample))
    return metadata
