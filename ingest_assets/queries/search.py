"""Search in the three modes, over the published generation of a source's collection.

What belongs here: the search itself, and `open_search`, which is the one place where a search is put
together: a cache, a reranker or anything else between a question and its answer belongs there. What does not:
what an answer is (`answers`, whose names are offered here too).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from ingest_assets.collection.base import Leg, Reader
from ingest_assets.fields import Condition, FilterError, conditions_of
from ingest_assets.model import COMMON, COMMON_PAYLOAD, ConfigurationError
from ingest_assets.queries.answers import (
    MAX_LIMIT,
    MODES,
    Hit,
    Hits,
    Mode,
    QueryError,
    SourceSearch,
    check,
)
from ingest_assets.queries.fusion import LEG_LIMIT, min_max
from ingest_assets.queries.older_versions import with_marks
from ingest_assets.queries.reach import Reach, conditions_within
from ingest_assets.stages.hidden import hiding
from ingest_assets.stages.ids_meant import document_meant
from ingest_assets.timings import timed
from ingest_assets.tracing import span
from ingest_assets.workbench import Workbench

__all__ = [
    "MAX_LIMIT",
    "MODES",
    "Hit",
    "Hits",
    "Mode",
    "QueryError",
    "Searcher",
    "SourceSearch",
    "open_search",
]

ENTITY_IDS, DOCUMENT_ID = "entity_ids", "document_id"


def open_search(bench: Workbench, source: str, *, cached: bool = True) -> SourceSearch:
    """The search over a source: one for each workbench, which keeps it, and for one thread at a time.

    What wraps a `Searcher` here thus lives as long as the workbench. `cached` says whether an answer may come
    from a cache, if the settings name one.
    """
    name = source if cached and bench.cache is not None else f"{source} itself"
    if name not in bench.searches:
        bench.searches[name] = Searcher(bench, source)
        if name == source:
            from ingest_assets.queries.cached_search import CachedSearch

            assert bench.cache is not None
            bench.searches[name] = CachedSearch(bench.searches[name], bench, source, bench.cache)
    found: SourceSearch = bench.searches[name]
    return found


class Searcher:
    """The search itself: both legs in one request, fused."""

    def __init__(self, bench: Workbench, source: str) -> None:
        self._bench, self._source = bench, bench.sources[source]
        self._fields = self._source.filter_fields(bench.settings)
        self._collection = self._source.collection
        self._fits: int | None = None  # the generation last seen to be built by our dense model

    def search(
        self,
        query: str,
        *,
        mode: Mode = "hybrid",
        limit: int = 10,
        where: Mapping[str, Sequence[str]] | None = None,
        reach: Reach | None = None,
    ) -> Hits:
        """See `SourceSearch`."""
        with span("search", source=self._source.name, mode=mode, limit=limit):
            return self._searched(query, mode, limit, where, reach)

    def _searched(
        self,
        query: str,
        mode: Mode,
        limit: int,
        where: Mapping[str, Sequence[str]] | None,
        reach: Reach | None,
    ) -> Hits:
        started = time.perf_counter()
        check(query, mode, limit)
        conditions = self.conditions(where or {}, reach)
        with self._bench.store.reader(self._collection) as reader:
            legs = self._legs(query, mode, reader.generation)
            hits = self._hits(reader, legs, limit, conditions) if legs else []
        hits = with_marks(self._bench, self._source.name, hits)
        took_ms = round((time.perf_counter() - started) * 1000, 2)
        return Hits(query, self._source.name, mode, self._collection, reader.generation, took_ms, hits)

    def conditions(self, where: Mapping[str, Sequence[str]], reach: Reach | None = None) -> list[Condition]:
        """What is asked for and within reach, and what the source requires of every search or hides from all.

        As of now.
        """
        if ENTITY_IDS in where:
            where = {**where, ENTITY_IDS: self._living(where[ENTITY_IDS])}
        if DOCUMENT_ID in where:
            where = {**where, DOCUMENT_ID: self._meant(where[DOCUMENT_ID])}
        try:
            asked = conditions_of(where, self._fields)
        except FilterError as error:
            raise QueryError(str(error)) from None
        name = self._source.name
        within = conditions_within(self._bench, name, asked, reach)
        return [*within, *self._source.required(self._bench), *hiding(self._bench, name)]

    def _living(self, entity_ids: Sequence[str]) -> list[str]:
        """What ids stand for now: somebody may have noted an id whose entity was merged since."""
        from ingest_assets.stages.successors import living_id

        with self._bench.ledger.reading() as connection:
            return [living_id(connection, self._source.name, one) or one for one in entity_ids]

    def _meant(self, document_ids: Sequence[str]) -> list[str]:
        with self._bench.ledger.reading() as connection:
            return [document_meant(connection, self._source.name, one) for one in document_ids]

    def _legs(self, query: str, mode: Mode, generation: int) -> list[Leg]:
        legs = []
        if mode != "sparse":
            self._check_model(generation)
            legs.append(Leg("dense", dense=self._bench.dense_model.embed_query(query)))
        if mode != "dense":
            terms = self._bench.sparse_model.embed_query(query)
            # A query of stopwords alone has no terms, and so no sparse leg.
            if terms.offsets[-1]:
                legs.append(Leg("bm25", sparse=terms))
        return legs

    def _check_model(self, generation: int) -> None:
        if generation == self._fits:  # the number of a generation is never reused
            return
        import sqlalchemy as sa

        from ingest_assets.ledger import tables

        query = sa.select(tables.generation.c.dense_model).filter_by(
            collection=self._collection, number=generation
        )
        with self._bench.ledger.reading() as connection:
            built_by = connection.scalar(query)
        ours = self._bench.dense_model.identity
        if built_by is not None and built_by != ours:
            raise ConfigurationError(
                f"{self._collection} was built by the dense model {built_by}, but the settings name {ours}. "
                "Their vectors cannot be compared: run `ingest refresh` to build with the new one, or set "
                "INGEST_DENSE_MODEL back. (--mode sparse works meanwhile.)"
            )
        if built_by is not None:
            self._fits = generation

    def _hits(self, reader: Reader, legs: Sequence[Leg], limit: int, where: Sequence[Condition]) -> list[Hit]:
        with timed("engine search", legs=len(legs)):
            found = reader.query(legs, limit if len(legs) == 1 else max(limit, LEG_LIMIT), where)
        ranked = found[0][:limit] if len(legs) == 1 else min_max(found, limit)
        scores: dict[str, dict[str, float]] = {key: {} for key, _ in ranked}
        for leg, points in zip(legs, found, strict=True):
            for key, score in points:
                if key in scores:
                    scores[key][leg.using] = round(score, 6)
        payloads = reader.payloads([point.id for point in ranked]) if ranked else {}
        return [
            Hit(
                score=round(point.score, 6),
                chunk_id=point.id,
                document_id=payload["document_id"],
                **{name: payload[name] for name in COMMON},
                entity_ids=payload["entity_ids"],
                text=payload["text"],
                attributes={key: value for key, value in payload.items() if key not in COMMON_PAYLOAD},
                scores=scores[point.id],
            )
            # A point may vanish between the two requests to a server; then it is no longer a hit.
            for point in ranked
            if (payload := payloads.get(point.id)) is not None
        ]
