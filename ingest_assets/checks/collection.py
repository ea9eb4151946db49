"""What is checked of every source's collection."""

from typing import Any

import dagster as dg

from ingest_assets.model import NotPublishedError
from ingest_assets.resources import Ingest
from ingest_assets.search import Searcher
from ingest_assets.stages.audit import audit
from ingest_assets.status import parked_items, source_status


def collection_checks(source: str) -> list[dg.AssetChecksDefinition]:
    """The checks of one source's collection."""
    key = dg.AssetKey([source, "collection"])

    @dg.asset_check(
        asset=key,
        name="agrees_with_ledger",
        description="Every chunk of the ledger has one point, with its present content and both vectors, "
        "and there is no other point.",
    )
    def agrees_with_ledger(ingest: Ingest) -> dg.AssetCheckResult:
        with ingest.open() as bench:
            result = audit(bench.collection(source), bench.ledger)
            sentence = "All points agree." if result.agrees else "Mend it with `ingest audit --repair`."
            return _result(passed=result.agrees, description=sentence, metadata=result.to_dict())

    @dg.asset_check(
        asset=key,
        name="nothing_parked",
        description="No document or text was refused and waits for its content, or the pipeline, to change.",
    )
    def nothing_parked(ingest: Ingest) -> dg.AssetCheckResult:
        with ingest.open() as bench:
            items = parked_items(bench.ledger, source, limit=20)
            count = source_status(bench.ledger, source).parked
        lines = [
            f"- {item.stage} `{item.item_id}` ({item.attempts} attempts): {item.error}" for item in items
        ]
        metadata: dict[str, Any] = {"parked": count}
        if lines:
            metadata["items"] = dg.MetadataValue.md("\n".join(lines))
        return _result(passed=count == 0, description=f"{count} items are parked.", metadata=metadata)

    @dg.asset_check(
        asset=key,
        name="search_answers",
        description="A hybrid search for the title of some document finds something, in an index that is "
        "not empty.",
    )
    def search_answers(ingest: Ingest) -> dg.AssetCheckResult:
        with ingest.open() as bench:
            if source_status(bench.ledger, source).points == 0:
                return _result(passed=True, description="The index is empty, as its source is.", metadata={})
            try:
                with bench.store.reader(bench.collection(source).collection) as reader:
                    some_id, _ = next(reader.scan())
                    title = reader.payloads([some_id])[some_id]["title"]
            except (NotPublishedError, StopIteration):
                return _result(passed=False, description="Nothing is published.", metadata={})
            hits = Searcher(bench, source).search(title, limit=3)
            metadata = {"query": title, "hits": len(hits.hits), "took_ms": hits.took_ms}
            return _result(passed=bool(hits.hits), description=f"Searched for {title!r}.", metadata=metadata)

    return [agrees_with_ledger, nothing_parked, search_answers]


def _result(*, passed: bool, description: str, metadata: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=passed, description=description, metadata=metadata)
