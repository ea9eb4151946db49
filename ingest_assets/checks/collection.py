"""What is checked of every source's collection, in one step that opens the collection once."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

from ingest_assets.collection.base import Leg
from ingest_assets.model import NotPublishedError
from ingest_assets.resources import Ingest
from ingest_assets.stages.audit import audit
from ingest_assets.stages.collection import some_point
from ingest_assets.status import parked_items, source_status
from ingest_assets.workbench import Workbench

AGREES, PARKED, ANSWERS = "agrees_with_ledger", "nothing_parked", "search_answers"
DESCRIPTIONS = {
    AGREES: "Every chunk of the ledger has one point, with its present content and both vectors, and there "
    "is no other point.",
    PARKED: "No document or text was refused and waits for its content, or the pipeline, to change.",
    ANSWERS: "A search by the vectors of some recorded chunk finds it by meaning, and something by words.",
}
LISTED = 20
FOUND = 0.99  # cosine of a chunk with itself, or with another of the same text


def collection_checks(source: str) -> list[dg.AssetChecksDefinition]:
    """The checks of one source's collection."""
    key = dg.AssetKey([source, "collection"])
    specs = [
        dg.AssetCheckSpec(name, asset=key, description=description)
        for name, description in DESCRIPTIONS.items()
    ]
    checks: dict[str, Callable[[Workbench, str], dg.AssetCheckResult]] = {
        AGREES: _agrees,
        PARKED: _nothing_parked,
        ANSWERS: _search_answers,
    }

    @dg.multi_asset_check(name=f"{source}__collection_checks", specs=specs, can_subset=True)
    def checked(context: dg.AssetCheckExecutionContext, ingest: Ingest) -> Iterator[dg.AssetCheckResult]:
        with ingest.open() as bench:
            for selected in sorted(context.selected_asset_check_keys, key=lambda each: each.name):
                yield checks[selected.name](bench, source)

    return [checked]


def _agrees(bench: Workbench, source: str) -> dg.AssetCheckResult:
    result = audit(bench.collection(source), bench.ledger)
    sentence = "All points agree." if result.agrees else "Mend it with `ingest audit --repair`."
    return _result(AGREES, source, sentence, passed=result.agrees, metadata=result.to_dict())


def _nothing_parked(bench: Workbench, source: str) -> dg.AssetCheckResult:
    items = parked_items(bench.ledger, source, limit=LISTED)
    count = source_status(bench.ledger, source).parked
    lines = [f"- {item.stage} `{item.item_id}` ({item.attempts} attempts): {item.error}" for item in items]
    metadata: dict[str, Any] = {"parked": count}
    if lines:
        metadata["items"] = dg.MetadataValue.md("\n".join(lines))
    return _result(PARKED, source, f"{count} items are parked.", passed=count == 0, metadata=metadata)


def _search_answers(bench: Workbench, source: str) -> dg.AssetCheckResult:
    stage = bench.collection(source)
    with bench.ledger.reading() as connection:
        sample = some_point(connection, stage)
    try:
        with bench.store.reader(stage.collection) as reader:
            if sample is None:
                sentence = "The index is empty, as its source is."
                return _result(ANSWERS, source, sentence, passed=reader.count() == 0, metadata={})
            legs = [Leg("dense", dense=sample.dense[0]), Leg("bm25", sparse=sample.sparse)]
            dense, sparse = reader.query(legs, limit=3)
    except NotPublishedError as error:
        return _result(ANSWERS, source, str(error), passed=False, metadata={})
    by_words = bool(sparse) or sample.sparse.offsets[-1] == 0
    passed = bool(dense) and dense[0].score >= FOUND and by_words
    metadata = {
        "document": sample.payloads[0]["document_id"],
        "dense_score": round(dense[0].score, 4) if dense else 0.0,
        "sparse_hits": len(sparse),
    }
    title = sample.payloads[0]["title"]
    return _result(ANSWERS, source, f"Searched for {title!r}.", passed=passed, metadata=metadata)


def _result(
    name: str, source: str, description: str, *, passed: bool, metadata: dict[str, Any]
) -> dg.AssetCheckResult:
    key = dg.AssetKey([source, "collection"])
    return dg.AssetCheckResult(
        check_name=name, asset_key=key, passed=passed, description=description, metadata=metadata
    )
