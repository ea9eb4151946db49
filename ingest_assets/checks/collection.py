"""What is checked of every source's collection."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg

from ingest_assets.model import NotPublishedError
from ingest_assets.resources import Ingest
from ingest_assets.stages.audit import audit, recorded_points
from ingest_assets.stages.collection import finds, some_point
from ingest_assets.status import parked_items, source_status
from ingest_assets.workbench import Workbench, collection_name

AGREES, COMPLETE, PARKED, ANSWERS = "agrees_with_ledger", "complete", "nothing_parked", "search_answers"
DESCRIPTIONS = {
    COMPLETE: "There is a published point for every chunk whose text is not parked, and no other.",
    ANSWERS: "A search by the vectors of some recorded chunk finds it by meaning, and something by words.",
    PARKED: "No document or text was refused and waits for its content, or the pipeline, to change.",
    AGREES: "Every chunk of the ledger has one point, with its present content and both vectors, and there "
    "is no other point. Reads every point: part of a build and of the daily audit, not of a refresh.",
}
# What every run can afford: it costs the same however large the collection is.
QUICK = (COMPLETE, ANSWERS, PARKED)
LISTED = 20


def check_keys(source: str, *names: str) -> list[dg.AssetCheckKey]:
    """The keys of some of a collection's checks; of all by default."""
    asset = dg.AssetKey([source, "collection"])
    return [dg.AssetCheckKey(asset, name) for name in names or DESCRIPTIONS]


def collection_checks(source: str) -> list[dg.AssetChecksDefinition]:
    """The checks of one source's collection."""
    specs = [
        dg.AssetCheckSpec(key.name, asset=key.asset_key, description=DESCRIPTIONS[key.name])
        for key in check_keys(source)
    ]

    @dg.multi_asset_check(name=f"{source}__collection_checks", specs=specs, can_subset=True)
    def checked(context: dg.AssetCheckExecutionContext, ingest: Ingest) -> Iterator[dg.AssetCheckResult]:
        selected = {key.name for key in context.selected_asset_check_keys}
        with ingest.open(source) as bench:
            for key in check_keys(source):
                if key.name in selected:
                    yield _checked(key, _CHECKS[key.name], bench, source)

    return [checked]


_Result = tuple[bool, str, Mapping[str, Any]]  # passed, one sentence, metadata
_Check = Callable[[Workbench, str], _Result]


def _checked(key: dg.AssetCheckKey, check: _Check, bench: Workbench, source: str) -> dg.AssetCheckResult:
    try:
        passed, description, metadata = check(bench, source)
    except NotPublishedError as error:
        passed, description, metadata = False, str(error), {}
    return dg.AssetCheckResult(
        check_name=key.name,
        asset_key=key.asset_key,
        passed=passed,
        description=description,
        metadata=metadata,
    )


def _complete(bench: Workbench, source: str) -> _Result:
    with bench.store.reader(collection_name(source)) as reader:
        points = reader.count()
        with bench.ledger.reading() as connection:
            recorded, lacking = recorded_points(connection, bench.published(source), reader.generation)
    metadata = {"points": points, "recorded": recorded, "chunks_without_point": lacking}
    sentence = f"{points:,} points of {recorded:,}; {lacking:,} chunks have none and are not parked."
    return points == recorded and lacking == 0, sentence, metadata


def _search_answers(bench: Workbench, source: str) -> _Result:
    with bench.store.reader(collection_name(source)) as reader:
        with bench.ledger.reading() as connection:
            sample = some_point(connection, bench.collection(source), reader.generation)
        if sample is None:
            chunks = source_status(bench.ledger, source).chunks
            return chunks == 0, f"The index is empty, and there are {chunks:,} chunks.", {}
        passed = finds(reader, sample)
    title, document = sample.payloads[0]["title"], sample.payloads[0]["document_id"]
    return passed, f"Searched for {title!r}.", {"document": document}


def _nothing_parked(bench: Workbench, source: str) -> _Result:
    items = parked_items(bench.ledger, source, limit=LISTED)
    count = source_status(bench.ledger, source).parked
    lines = [f"- {item.stage} `{item.item_id}` ({item.attempts} attempts): {item.error}" for item in items]
    metadata: dict[str, Any] = {"parked": count}
    if lines:
        metadata["items"] = dg.MetadataValue.md("\n".join(lines))
    return count == 0, f"{count} items are parked.", metadata


def _agrees(bench: Workbench, source: str) -> _Result:
    result = audit(bench.published(source), bench.ledger)
    sentence = "All points agree." if result.agrees else "Mend it with `ingest audit --repair`."
    return result.agrees, sentence, result.to_dict()


_CHECKS: dict[str, _Check] = {
    COMPLETE: _complete,
    ANSWERS: _search_answers,
    PARKED: _nothing_parked,
    AGREES: _agrees,
}
