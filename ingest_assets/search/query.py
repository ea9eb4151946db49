"""Search in the three modes, over the published generation of a source's collection."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from ingest_assets.catalog import CATALOG
from ingest_assets.collection.base import COMMON_FIELDS, FILTERABLE, SINCE, UNTIL, Leg, Reader
from ingest_assets.model import ConfigurationError
from ingest_assets.search.fusion import LEG_LIMIT, min_max
from ingest_assets.workbench import Workbench, collection_name

Mode = Literal["dense", "sparse", "hybrid"]
MODES: tuple[Mode, ...] = get_args(Mode)
MAX_LIMIT = 1_000


class QueryError(ConfigurationError):
    """What was asked is wrong, whatever the settings are. Its message names nothing of this machine."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One chunk that was found. `scores` are the legs' own, of those that found it."""

    score: float
    chunk_id: str
    document_id: str
    title: str
    uri: str
    kind: str
    time: str | None
    entity_ids: list[str]
    text: str
    attributes: dict[str, Any]  # what its source adds: of code, its language, symbol and lines
    scores: dict[str, float] = field(default_factory=dict)


_NAMES = tuple(each.name for each in fields(Hit))


@dataclass(frozen=True, slots=True)
class Hits:
    """The answer to one query, best first."""

    query: str
    mode: Mode
    collection: str
    generation: int
    took_ms: float
    hits: list[Hit]

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """As JSON has it; with the legs' scores where they are asked for."""
        # Not `asdict`, which copies every value, and takes longer than all else that is done here.
        shown = _NAMES if scores else [name for name in _NAMES if name != "scores"]
        answer = {each.name: getattr(self, each.name) for each in fields(self)}
        return answer | {"hits": [{name: getattr(hit, name) for name in shown} for hit in self.hits]}


class Searcher:
    """Searches one source's collection. Keeps models loaded between queries."""

    def __init__(self, bench: Workbench, source: str) -> None:
        self._bench, self._source = bench, source
        self._collection = collection_name(source)
        self._fits: int | None = None  # the generation that was last seen to be of our dense model

    def search(
        self,
        query: str,
        *,
        mode: Mode = "hybrid",
        limit: int = 10,
        where: Mapping[str, Sequence[str]] | None = None,
    ) -> Hits:
        """The best `limit` chunks (1 to 1,000) for a query.

        `where` names payload fields and the values of which one must match. Raises QueryError for
        an empty query, an unknown mode, field or limit; ConfigurationError when the collection was built by
        another model than the settings name; NotPublishedError when there is nothing to search yet.
        """
        started = time.perf_counter()
        _check(query, mode, limit, where, (*FILTERABLE, *CATALOG[self._source].fields))
        where = {
            name: [_in_utc(name, value) for value in values] if name in (SINCE, UNTIL) else values
            for name, values in (where or {}).items()
        }
        if "entity_ids" in where:
            where = {**where, "entity_ids": self._living(where["entity_ids"])}
        with self._bench.store.reader(self._collection) as reader:
            legs = self._legs(query, mode, reader.generation)
            hits = self._hits(reader, legs, limit, where) if legs else []
        took_ms = round((time.perf_counter() - started) * 1000, 2)
        return Hits(query, mode, self._collection, reader.generation, took_ms, hits)

    def _living(self, entity_ids: Sequence[str]) -> list[str]:
        """What ids stand for now: somebody may have noted one down that was merged since."""
        from ingest_assets.directory import living_id

        with self._bench.ledger.reading() as connection:
            return [living_id(connection, self._source, one) or one for one in entity_ids]

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
        if generation == self._fits:  # a generation's number is never given to another
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
                f"{self._collection} was built by the dense model {built_by}, the settings name {ours}. "
                "Their vectors cannot be compared: run `ingest refresh` to build with the new one, or set "
                "INGEST_DENSE_MODEL back. (--mode sparse works meanwhile.)"
            )
        if built_by is not None:
            self._fits = generation

    def _hits(
        self, reader: Reader, legs: Sequence[Leg], limit: int, where: Mapping[str, Sequence[str]]
    ) -> list[Hit]:
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
                title=payload["title"],
                uri=payload["uri"],
                kind=payload["kind"],
                time=payload["time"],
                entity_ids=payload["entity_ids"],
                text=payload["text"],
                attributes={key: value for key, value in payload.items() if key not in COMMON_FIELDS},
                scores=scores[point.id],
            )
            # A point may go between the two requests to a server; then it is no hit any more.
            for point in ranked
            if (payload := payloads.get(point.id)) is not None
        ]


def _check(
    query: str, mode: str, limit: int, where: Mapping[str, Sequence[str]] | None, known: Sequence[str]
) -> None:
    if not query.strip():
        raise QueryError("The query is empty: say what to look for.")
    if mode not in MODES:
        raise QueryError(f"There is no mode {mode!r}. Modes: {', '.join(MODES)}.")
    if not 1 <= limit <= MAX_LIMIT:
        raise QueryError(f"The limit must be 1 to {MAX_LIMIT}, not {limit}.")
    unknown = sorted(set(where or ()) - set(known))
    if unknown:
        raise QueryError(f"Cannot filter by {', '.join(unknown)}. Fields: {', '.join(known)}.")
    for name, values in (where or {}).items():
        for value in values:
            if not value.isprintable():
                raise QueryError(f"The value of the filter {name} is no text: {value!r}.")


def _in_utc(bound: str, value: str) -> str:
    """A time as the engines read it; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        raise QueryError(
            f"{bound}={value} is no date or time. Write it as 2026-01-31 or 2026-01-31T09:30:00Z."
        ) from None
