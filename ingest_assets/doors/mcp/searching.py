"""`search`."""

from __future__ import annotations

from ingest_assets.doors.mcp.answers import SearchAnswer, SearchHit
from ingest_assets.doors.mcp.arguments import Search
from ingest_assets.doors.mcp.calls import Call
from ingest_assets.doors.mcp.paging import BUDGET, after, clip, cut, fitting, number_in
from ingest_assets.model import ConfigurationError, NotPublishedError
from ingest_assets.search import Searcher
from ingest_assets.search.fusion import LEG_LIMIT
from ingest_assets.search.query import Hit

# Pages go no deeper than what fusion ranks: beyond it the order of hits would depend on the page.
DEPTH = LEG_LIMIT


def search(call: Call, asked: Search) -> SearchAnswer:
    """A page of the best hits."""
    start = number_in("search", asked, asked.cursor)
    if start >= DEPTH:
        raise ConfigurationError(f"A search gives the best {DEPTH} hits: narrow it by filters instead.")
    where = {
        name: [value] if isinstance(value, str) else value
        for name, value in asked.filters.model_dump(exclude_none=True).items()
    }
    try:
        # One more than is shown tells whether there is a next page.
        found = Searcher(call.bench, asked.source).search(
            asked.query, mode=asked.mode, limit=min(start + asked.limit + 1, DEPTH), where=where
        )
    except NotPublishedError:
        raise NotPublishedError(
            f"Nothing of {asked.source} is indexed yet: index_status says what is, and an operator "
            "builds the index with `ingest build`."
        ) from None
    rest = [_hit(hit) for hit in found.hits[start:]]
    shown = fitting(rest[: asked.limit], BUDGET - 1_000)
    end = start + len(shown)
    return SearchAnswer(
        hits=shown,
        mode=found.mode,
        collection=found.collection,
        generation=found.generation,
        took_ms=found.took_ms,
        next_cursor=after("search", asked, end) if len(rest) > len(shown) else None,
    )


def _hit(hit: Hit) -> SearchHit:
    text = cut(hit.text, BUDGET // 4)
    return SearchHit(
        score=hit.score,
        document_id=hit.document_id,
        title=clip(hit.title, 300),
        kind=hit.kind,
        time=hit.time,
        uri=clip(hit.uri, 1_000),
        entity_ids=hit.entity_ids[:50],
        text=text,
        text_is_cut=len(text) < len(hit.text),
        chunk_id=hit.chunk_id,
        attributes=hit.attributes,
    )
