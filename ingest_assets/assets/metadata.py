"""What an operator reads about a materialization."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from typing import Any

import dagster as dg

from ingest_assets.entities.pictures import histogram, weights_chart
from ingest_assets.model import Outcomes
from ingest_assets.reconcile import Stage
from ingest_assets.sources.repositories.source import RepositorySource
from ingest_assets.stages.entity_facts import entity_facts
from ingest_assets.stages.match_models import models_in_use
from ingest_assets.stages.records import Records
from ingest_assets.workbench import Workbench

LISTED = 20


def more_metadata(bench: Workbench, source: str, stage: Stage, outcomes: Outcomes) -> dict[str, Any]:
    """What a stage has to show besides counts; nothing when nothing moved, because pictures cost time."""
    if isinstance(stage, Records) and isinstance(stage.origin, RepositorySource):
        return _files(stage.origin)
    if not outcomes.moved or stage.name not in _MORE:
        return {}
    return _MORE[stage.name](bench, source)


def _files(source: RepositorySource) -> dict[str, Any]:
    """What was come upon; nothing when the commit was known, because then no file is looked at."""
    if source.commit is None:
        return {}
    metadata: dict[str, Any] = {
        "commit": source.commit,
        "files_detected": source.detected,
        "files_skipped": len(source.skipped),
    }
    reasons = Counter(skip.reason for skip in source.skipped)
    for title, counts in (("languages", source.languages), ("skipped", reasons)):
        rows = [f"| {name} | {count:,} |" for name, count in counts.most_common(LISTED)]
        if rows:
            metadata[title] = dg.MetadataValue.md("\n".join([f"| {title} | files |", "|---|---|", *rows]))
    return metadata


def picture(svg: str) -> dg.MetadataValue[Any]:
    """A picture that the UI shows in place."""
    encoded = b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(f"![picture](data:image/svg+xml;base64,{encoded})")


def _models(bench: Workbench, source: str) -> dict[str, Any]:
    with bench.ledger.reading() as connection:
        models = models_in_use(connection, source)
    metadata: dict[str, Any] = {}
    for kind, model in models.items():
        metadata[f"{kind}_version"] = model.version
        metadata[f"{kind}_trained_on"] = model.trained_on
        metadata[f"{kind}_weights"] = picture(weights_chart(model))
    return metadata


def _entities(bench: Workbench, source: str) -> dict[str, Any]:
    facts = entity_facts(bench.ledger, source)
    metadata: dict[str, Any] = {
        "entities": facts.entities,
        "candidate_pairs": sum(facts.candidates.values()),
        "cut_blocks": len(facts.cut),
        "cluster_sizes": picture(histogram([*facts.sizes.elements()], "Records an entity", unit="records")),
        "match_weights": picture(histogram(facts.weights, "Weights of compared pairs", unit="bits")),
    }
    rules = [f"| {rule} | {pairs:,} |" for rule, pairs in sorted(facts.candidates.items())]
    if rules:
        metadata["candidates_by_rule"] = dg.MetadataValue.md(
            "\n".join(["| blocking rule | pairs compared in the last run |", "|---|---|", *rules])
        )
    if facts.cut:
        lines = [
            f"- `{key}`: {size:,} records" for key, size in sorted(facts.cut.items(), key=lambda b: -b[1])
        ]
        metadata["cut"] = dg.MetadataValue.md("\n".join(lines[:LISTED]))
    return metadata


_MORE: dict[str, Callable[[Workbench, str], dict[str, Any]]] = {
    "match_models": _models,
    "entities": _entities,
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
