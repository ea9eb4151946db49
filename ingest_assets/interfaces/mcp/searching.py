"""`search`: a page of hits within the size budget."""

from __future__ import annotations

from ingest_assets.interfaces.mcp.answers import SearchAnswer, SearchHit
from ingest_assets.interfaces.mcp.arguments import Search
from ingest_assets.interfaces.mcp.calls import Call
from ingest_assets.model import NotPublishedError, RequestError, common_of
from ingest_assets.paging import BUDGET, clip, cursor_at, cut, fitting, offset_in
from ingest_assets.queries.asked import where_meant, zone_of
from ingest_assets.queries.fusion import LEG_LIMIT
from ingest_assets.queries.search import Hit, open_search
from ingest_assets.queries.status import source_meant

# Pages go no further than the hits that fusion ranks. Beyond those, the order would depend on the page.
DEPTH = LEG_LIMIT


def search(call: Call, asked: Search) -> SearchAnswer:
    """A page of the best hits."""
    start = offset_in("search", asked, asked.cursor)
    if start >= DEPTH:
        raise RequestError(f"A search returns the best {DEPTH} hits. Narrow it with filters instead.")
    source = source_meant(call.bench, asked.source, call.reach)
    where = {
        name: [value] if isinstance(value, str) else value
        for name, value in asked.filters.model_dump(exclude_none=True).items()
    }
    where = where_meant(call.bench, source, where, zone_of(call.bench, asked.time_zone))
    try:
        # One hit more than is shown tells whether there is a next page.
        found = open_search(call.bench, source).search(
            asked.query,
            mode=asked.mode,
            limit=min(start + asked.limit + 1, DEPTH),
            where=where,
            reach=call.reach,
        )
    except NotPublishedError:
        raise NotPublishedError(
            f"Nothing of {source} is indexed yet. Use index_status to see what is; an operator builds the "
            "index with `ingest build`."
        ) from None
    rest = [_hit(hit) for hit in found.hits[start:]]
    shown = fitting(rest[: asked.limit], BUDGET - 1_000)
    end = start + len(shown)
    return SearchAnswer(
        hits=shown,
        mode=found.mode,
        source=found.source,
        collection=found.collection,
        generation=found.generation,
        took_ms=found.took_ms,
        next_cursor=cursor_at("search", asked, end) if len(rest) > len(shown) else None,
    )


def _hit(hit: Hit) -> SearchHit:
    text = cut(hit.text, BUDGET // 4)
    shown = common_of(hit) | {"title": clip(hit.title, 300), "uri": clip(hit.uri, 1_000)}
    return SearchHit(
        **shown,
        score=hit.score,
        document_id=hit.document_id,
        entity_ids=hit.entity_ids[:50],
        text=text,
        text_is_cut=len(text) < len(hit.text),
        chunk_id=hit.chunk_id,
        attributes=hit.attributes,
        stale=hit.stale,
    )
