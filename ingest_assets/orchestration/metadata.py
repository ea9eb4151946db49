"""What an operator reads about a materialization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from ingest_assets.model import Markdown, Outcomes


def as_metadata(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as Dagster shows them; text to render is marked as Markdown."""
    return {
        name: dg.MetadataValue.md(value) if isinstance(value, Markdown) else value
        for name, value in values.items()
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
        metadata["sample"] = dg.MetadataValue.md("\n".join(f"- `{line}`" for line in outcomes.sample))
    return metadata
