"""What an operator sees of a run of entity resolution besides counts: models, sizes and weights.

What belongs here: facts as words and pictures. What does not: the facts themselves (`facts`), and Dagster.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

from ingest_assets.entities.pictures import histogram, weights_chart
from ingest_assets.model import Markdown
from ingest_assets.stages.match_models import models_in_use
from ingest_assets.stages.resolution.facts import entity_facts

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

LISTED = 20


def picture(svg: str) -> Markdown:
    """A picture that the UI shows inline."""
    encoded = b64encode(svg.encode()).decode()
    return Markdown(f"![picture](data:image/svg+xml;base64,{encoded})")


def match_models_metadata(bench: Workbench, source: str) -> dict[str, Any]:
    """The models in use, and how much each comparison counts in them."""
    with bench.ledger.reading() as connection:
        models = models_in_use(connection, source)
    metadata: dict[str, Any] = {}
    for kind, model in models.items():
        metadata[f"{kind}_version"] = model.version
        metadata[f"{kind}_trained_on"] = model.trained_on
        metadata[f"{kind}_system"] = model.system
        metadata[f"{kind}_weights"] = picture(weights_chart(model))
    return metadata


def entities_metadata(bench: Workbench, source: str) -> dict[str, Any]:
    """Entities as a whole: sizes, weights, and what was compared."""
    facts = entity_facts(bench.ledger, source)
    metadata: dict[str, Any] = {
        "entities": facts.entities,
        "candidate_pairs": sum(facts.candidates.values()),
        "cut_blocks": len(facts.cut),
        "cluster_sizes": picture(histogram([*facts.sizes.elements()], "Records per entity", unit="records")),
        "match_weights": picture(histogram(facts.weights, "Weights of compared pairs", unit="bits")),
    }
    rules = [f"| {rule} | {pairs:,} |" for rule, pairs in sorted(facts.candidates.items())]
    if rules:
        metadata["candidates_by_rule"] = Markdown(
            "\n".join(["| blocking rule | pairs compared in the last run |", "|---|---|", *rules])
        )
    if facts.cut:
        lines = [
            f"- `{key}`: {size:,} records" for key, size in sorted(facts.cut.items(), key=lambda b: -b[1])
        ]
        metadata["cut"] = Markdown("\n".join(lines[:LISTED]))
    return metadata
