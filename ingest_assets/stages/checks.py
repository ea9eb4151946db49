"""The standing checks of every source's collection.

What belongs here: what is checked, and the sentence that says what was found. What does not: when checks run,
and what shows them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest_assets.model import Markdown, NotPublishedError
from ingest_assets.quoting import quoted
from ingest_assets.stages.audit import audit, recorded_points
from ingest_assets.stages.collection import finds, some_point
from ingest_assets.stages.parked import count_parked_items, parked_items
from ingest_assets.stages.removals import held
from ingest_assets.stages.shapes import COLLECTION, AssetCheck, CheckResult

if TYPE_CHECKING:
    from ingest_assets.sources.definition import SourceDefinition
    from ingest_assets.workbench import Workbench

AGREES, PARKED, HELD = "agrees_with_ledger", "nothing_parked", "no_removal_held"
SEARCHED = "search_answers"
LISTED = 20


def _complete(bench: Workbench, source: str) -> CheckResult:
    with bench.store.reader(bench.sources[source].collection) as reader:
        points = reader.count()
        with bench.ledger.reading() as connection:
            recorded, lacking = recorded_points(connection, bench.published(source), reader.generation)
    metadata = {"points": points, "recorded": recorded, "chunks_without_point": lacking}
    sentence = f"{points:,} of {recorded:,} points; {lacking:,} chunks have none and are not parked."
    return CheckResult(points == recorded and lacking == 0, sentence, metadata)


def _search_answers(bench: Workbench, source: str) -> CheckResult:
    with bench.store.reader(bench.sources[source].collection) as reader:
        with bench.ledger.reading() as connection:
            sample = some_point(connection, bench.collection(source), reader.generation)
        if sample is None:
            _, chunks = bench.recorded(source)
            return CheckResult(chunks == 0, f"The index is empty, and there are {chunks:,} chunks.")
        passed = finds(reader, sample)
    title, document = sample.payloads[0]["title"], sample.payloads[0]["document_id"]
    return CheckResult(passed, f"Searched for {quoted(title)}.", {"document": document})


def failed_searches(source: SourceDefinition, bench: Workbench) -> list[str]:
    """The name of the check that a search answers, if it fails: jobs do not wait for the checks."""
    try:
        passed = _search_answers(bench, source.name).passed
    except NotPublishedError:
        passed = False
    return [] if passed else [SEARCHED]


def _nothing_parked(bench: Workbench, source: str) -> CheckResult:
    items = parked_items(bench, source, limit=LISTED)
    count = count_parked_items(bench.ledger, source)
    lines = [f"- {item.stage} `{item.item_id}` ({item.attempts} attempts): {item.error}" for item in items]
    metadata: dict[str, Any] = {"parked": count}
    if lines:
        metadata["items"] = Markdown("\n".join(lines))
    return CheckResult(count == 0, f"{count} items are parked.", metadata)


def _nothing_held(bench: Workbench, source: str) -> CheckResult:
    with bench.ledger.reading() as connection:
        stopped = held(connection, source)
    if not stopped:
        return CheckResult(passed=True, sentence="No run was stopped because of what it would have removed.")
    parts = {each.part or each.stage: each.losses for each in stopped[:LISTED]}
    metadata = {"held": len(stopped), "would_be_removed": parts}
    return CheckResult(passed=False, sentence=stopped[0].message, metadata=metadata)


def _agrees(bench: Workbench, source: str) -> CheckResult:
    result = audit(bench.published(source), bench.ledger)
    sentence = "All points agree." if result.agrees else "Repair it with `ingest audit --repair`."
    return CheckResult(result.agrees, sentence, result.to_dict())


COLLECTION_CHECKS = (
    AssetCheck(
        name="complete",
        stage=COLLECTION,
        description="There is a published point for every chunk whose text is not parked, and no other.",
        run=_complete,
    ),
    AssetCheck(
        name=SEARCHED,
        stage=COLLECTION,
        description="A search with the vectors of a recorded chunk finds it by meaning, and something by "
        "words.",
        run=_search_answers,
    ),
    AssetCheck(
        name=PARKED,
        stage=COLLECTION,
        description="No document or text is parked until its content or the pipeline changes.",
        run=_nothing_parked,
    ),
    AssetCheck(
        name=HELD,
        stage=COLLECTION,
        description="No run was stopped because it would have removed more than may go unasked. It "
        "fails as soon as one is, and passes when a run completes.",
        run=_nothing_held,
    ),
    AssetCheck(
        name=AGREES,
        stage=COLLECTION,
        description="Every chunk of the ledger has one point, with its current content and both vectors, and "
        "there is no other point. Reads every point: part of a build and of the nightly audit, not of a "
        "refresh.",
        run=_agrees,
        quick=False,
    ),
)
