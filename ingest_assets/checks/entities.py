"""What is checked of who is who."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg

from ingest_assets.entities.decisions import load_labels, pair_counts
from ingest_assets.entities.training import MIN_RECORDS
from ingest_assets.resources import Ingest
from ingest_assets.stages import entity_facts as facts
from ingest_assets.stages.match_models import models_in_use
from ingest_assets.workbench import Workbench

COMPLETE, SIZES, DECISIONS, MODELS, LABELS = (
    "every_record_has_an_entity",
    "no_giant_entity",
    "decisions_agree",
    "models_fit",
    "labels_agree",
)
DESCRIPTIONS = {
    COMPLETE: "Every record of a person or organisation belongs to one living entity, and none is empty.",
    SIZES: "No entity has suspiciously many records; one that has is listed with its weakest links.",
    DECISIONS: "People's decisions are about records that are there, and none contradicts another. Those "
    "that do are set aside.",
    MODELS: "The models by which records are matched were trained on about as many records as there are.",
    LABELS: "Precision and recall of pairs, where INGEST_ENTITY_LABELS says who is truly who.",
}
MAX_RECORDS = 50  # of an entity: more than a CRM has doubles of one person
WEAKEST = 5
GROWN = 5  # times as many records as the model was trained on: its prior is off by more than two bits
MIN_PRECISION, MIN_RECALL = 0.9, 0.7

_Result = tuple[bool, str, Mapping[str, Any]]  # passed, one sentence, metadata


def entity_check_keys(source: str, *names: str) -> list[dg.AssetCheckKey]:
    """The keys of some of the checks of a source's entities; of all by default."""
    asset = dg.AssetKey([source, "entities"])
    return [dg.AssetCheckKey(asset, name) for name in names or DESCRIPTIONS]


def entity_checks(source: str) -> list[dg.AssetChecksDefinition]:
    """The checks of one source's entities."""
    specs = [
        dg.AssetCheckSpec(key.name, asset=key.asset_key, description=DESCRIPTIONS[key.name])
        for key in entity_check_keys(source)
    ]

    @dg.multi_asset_check(name=f"{source}__entity_checks", specs=specs, can_subset=True)
    def checked(context: dg.AssetCheckExecutionContext, ingest: Ingest) -> Iterator[dg.AssetCheckResult]:
        selected = {key.name for key in context.selected_asset_check_keys}
        with ingest.open(source) as bench:
            for key in entity_check_keys(source):
                if key.name in selected:
                    passed, description, metadata = _CHECKS[key.name](bench, source)
                    yield dg.AssetCheckResult(
                        check_name=key.name,
                        asset_key=key.asset_key,
                        passed=passed,
                        # Only a record without an entity means that the index is not as it should be.
                        severity=dg.AssetCheckSeverity.ERROR if key.name == COMPLETE else WARN,
                        description=description,
                        metadata=metadata,
                    )

    return [checked]


WARN = dg.AssetCheckSeverity.WARN


def _complete(bench: Workbench, source: str) -> _Result:
    with bench.ledger.reading() as connection:
        lacking = facts.without_entity(connection, source)
        empty = facts.without_member(connection, source)
        ended = facts.of_ended_entity(connection, source)
    sentence = f"{lacking:,} records have no entity, {ended:,} one that ended; {empty:,} entities are empty."
    metadata = {"records_without_entity": lacking, "records_of_ended_entity": ended, "empty_entities": empty}
    return not (lacking or empty or ended), sentence, metadata


def _sizes(bench: Workbench, source: str) -> _Result:
    with bench.ledger.reading() as connection:
        large = facts.large_entities(connection, source, MAX_RECORDS, WEAKEST)
    lines = [
        f"- `{one.entity_id}`, {one.records} records; weakest links: "
        + ", ".join(f"`{left}` - `{right}` {weight:+.1f}" for left, right, weight in one.weakest)
        for one in large
    ]
    metadata = {"entities": dg.MetadataValue.md("\n".join(lines))} if lines else {}
    return not large, f"{len(large)} entities have more than {MAX_RECORDS} records.", metadata


def _decisions(bench: Workbench, source: str) -> _Result:
    decisions = bench.decisions()
    with bench.ledger.reading() as connection:
        wrong = facts.without_effect(connection, source, decisions)
    lines = [f"- `{one.left}`, `{one.right}`: {one.reason}" for one in wrong]
    metadata = {"without_effect": dg.MetadataValue.md("\n".join(lines))} if lines else {}
    sentence = f"{len(decisions.made)} decisions; {len(wrong)} times one cannot hold, and has no effect."
    return not wrong, sentence, metadata


def _models(bench: Workbench, source: str) -> _Result:
    with bench.ledger.reading() as connection:
        models = models_in_use(connection, source)
        records = facts.records_by_kind(connection, source)
    old = [
        f"the one of kind {kind} was trained on {models[kind].trained_on:,} records, there are {count:,}"
        for kind, count in records.items()
        if count >= MIN_RECORDS and count > GROWN * models[kind].trained_on
    ]
    if old:
        return False, f"Run the job train_match_models: {'; '.join(old)}.", {}
    return True, "The models fit.", {}


def _labels(bench: Workbench, source: str) -> _Result:
    path = bench.settings.ingest_entity_labels
    if path is None:
        return True, "INGEST_ENTITY_LABELS is not set: there is nothing to compare with.", {}
    with bench.ledger.reading() as connection:
        right, joined, wanted = pair_counts(load_labels(path), facts.entity_of(connection, source))
    precision, recall = right / joined if joined else 1.0, right / wanted if wanted else 1.0
    sentence = (
        f"Precision {precision:.3f} and recall {recall:.3f} of {wanted:,} pairs that are one "
        f"(at least {MIN_PRECISION} and {MIN_RECALL} are expected)."
    )
    metadata = {"precision": precision, "recall": recall, "pairs": wanted}
    return precision >= MIN_PRECISION and recall >= MIN_RECALL, sentence, metadata


_CHECKS: dict[str, Callable[[Workbench, str], _Result]] = {
    COMPLETE: _complete,
    SIZES: _sizes,
    DECISIONS: _decisions,
    MODELS: _models,
    LABELS: _labels,
}
