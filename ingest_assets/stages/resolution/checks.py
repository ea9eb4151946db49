"""The standing checks of entity resolution.

What belongs here: what is checked, and the sentence that says what was found. What does not: when checks run,
and what shows them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ingest_assets.entities import MatchModel
from ingest_assets.entities.decisions import load_labels, pair_counts
from ingest_assets.entities.training import MIN_RECORDS
from ingest_assets.model import Markdown
from ingest_assets.stages.ids_meant import documents_meant
from ingest_assets.stages.match_models import models_in_use
from ingest_assets.stages.origins import recorded_origin
from ingest_assets.stages.resolution import facts
from ingest_assets.stages.shapes import ENTITIES, AssetCheck, CheckResult

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

MAX_RECORDS = 50  # per entity: more than a CRM has duplicates of one person
WEAKEST = 5
GROWN = 5  # times as many records as the model was trained on: its prior is off by more than two bits
MIN_PRECISION, MIN_RECALL = 0.9, 0.7


def _complete(bench: Workbench, source: str) -> CheckResult:
    with bench.ledger.reading() as connection:
        lacking = facts.without_entity(connection, source)
        empty = facts.without_member(connection, source)
        ended = facts.of_ended_entity(connection, source)
    sentence = (
        f"{lacking:,} records have no entity, {ended:,} have one that ended; {empty:,} entities are empty."
    )
    metadata = {"records_without_entity": lacking, "records_of_ended_entity": ended, "empty_entities": empty}
    return CheckResult(not (lacking or empty or ended), sentence, metadata)


def _sizes(bench: Workbench, source: str) -> CheckResult:
    with bench.ledger.reading() as connection:
        large = facts.large_entities(connection, source, MAX_RECORDS, WEAKEST)
    lines = [
        f"- `{one.entity_id}`, {one.records} records; weakest links: "
        + ", ".join(f"`{left}` - `{right}` {weight:+.1f}" for left, right, weight in one.weakest)
        for one in large
    ]
    metadata = {"entities": Markdown("\n".join(lines))} if lines else {}
    return CheckResult(not large, f"{len(large)} entities have more than {MAX_RECORDS} records.", metadata)


def _decisions(bench: Workbench, source: str) -> CheckResult:
    decisions = bench.decisions()
    with bench.ledger.reading() as connection:
        wrong = facts.without_effect(connection, source, decisions)
    lines = [f"- `{one.left}`, `{one.right}`: {one.reason}" for one in wrong]
    metadata = {"without_effect": Markdown("\n".join(lines))} if lines else {}
    sentence = f"{len(decisions.made)} decisions, {len(wrong)} problems. One that cannot hold has no effect."
    return CheckResult(not wrong, sentence, metadata)


def _models(bench: Workbench, source: str) -> CheckResult:
    with bench.ledger.reading() as connection:
        models = models_in_use(connection, source)
        system = recorded_origin(connection, source) or ""
        records = facts.records_by_kind(connection, source)
    old = [
        f"the {kind} model was trained on {models[kind].trained_on:,} records, and there are {count:,}"
        for kind, count in records.items()
        if count >= MIN_RECORDS and count > GROWN * models[kind].trained_on
    ]
    old += _of_another_system(system, models.values())
    if old:
        return CheckResult(passed=False, sentence=f"Run `ingest entity train`: {'; '.join(old)}.")
    return CheckResult(passed=True, sentence="The models fit.")


def _of_another_system(system: str, models: Iterable[MatchModel]) -> list[str]:
    """Which models were trained on another system's records than those that they are used for."""
    return [
        f"the {model.kind} model was trained on {model.system or 'sample data'}, "
        f"and the records are from {system}"
        for model in models
        if system and model.origin == "trained" and model.system != system
    ]


def _labels(bench: Workbench, source: str) -> CheckResult:
    path = bench.settings.ingest_entity_labels
    if path is None:
        return CheckResult(
            passed=True, sentence="INGEST_ENTITY_LABELS is not set: there is nothing to compare with."
        )
    labels = load_labels(path)
    with bench.ledger.reading() as connection:
        meant = documents_meant(connection, source, labels)
        labels = {meant.get(typed, typed): label for typed, label in labels.items()}
        right, joined, wanted = pair_counts(labels, facts.entity_of(connection, source))
    precision, recall = right / joined if joined else 1.0, right / wanted if wanted else 1.0
    sentence = (
        f"Precision {precision:.3f} and recall {recall:.3f} of {wanted:,} labelled pairs "
        f"(at least {MIN_PRECISION} and {MIN_RECALL} are expected)."
    )
    metadata = {"precision": precision, "recall": recall, "pairs": wanted}
    return CheckResult(precision >= MIN_PRECISION and recall >= MIN_RECALL, sentence, metadata)


RESOLUTION_CHECKS = (
    AssetCheck(
        name="every_record_has_an_entity",
        stage=ENTITIES,
        # An error, not a warning as below: a record without an entity means that the index is wrong.
        description="Every record of a person or organisation belongs to one living entity, and no entity is "
        "empty.",
        run=_complete,
    ),
    AssetCheck(
        name="no_giant_entity",
        stage=ENTITIES,
        description="No entity has suspiciously many records. One that has is listed with its weakest links.",
        run=_sizes,
        warns=True,
    ),
    AssetCheck(
        name="decisions_agree",
        stage=ENTITIES,
        description="People's decisions are about existing records, and none contradicts another. Those that "
        "do are set aside.",
        run=_decisions,
        warns=True,
    ),
    AssetCheck(
        name="models_fit",
        stage=ENTITIES,
        description="The models that match records were trained on this system's records, and on about "
        "as many as there are now.",
        run=_models,
        warns=True,
    ),
    AssetCheck(
        name="labels_agree",
        stage=ENTITIES,
        description="Precision and recall of pairs, if INGEST_ENTITY_LABELS names a file of true entities.",
        run=_labels,
        warns=True,
    ),
)
