"""Reading one generation on a server, within the limits that the server sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ingest_assets.collection.base import SPARSE, Leg, Payload, ScoredPoint
from ingest_assets.collection.server.connection import Connection, Kind
from ingest_assets.collection.server.layout import CANDIDATES, OVERSAMPLING
from ingest_assets.collection.server.limits import Limits
from ingest_assets.collection.server.types import filter_of, nearest
from ingest_assets.fields import Conditions

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

R = TypeVar("R")
SCAN_BATCH = 1_000


class ServerReader:
    """A `Reader`. `consistency` says how many replicas a search asks; None: one."""

    def __init__(
        self, connection: Connection, name: str, generation: int, limits: Limits, consistency: Any = None
    ) -> None:
        self._connection, self._name, self.generation = connection, name, generation
        self._limits, self._consistency = limits, consistency

    def query(self, legs: Sequence[Leg], limit: int, where: Conditions = ()) -> list[list[ScoredPoint]]:
        from qdrant_client import models

        condition = filter_of(where, models)
        requests = [
            models.QueryRequest(
                query=nearest(leg, models),
                using=leg.using,
                # Fewer than were asked for, where the server gives no more.
                limit=self._limits.page(limit),
                filter=condition,
                params=self._params(limit, models) if leg.dense is not None else None,
                with_payload=False,
            )
            for leg in legs
        ]
        step = self._limits.queries_per_request or len(requests) or 1
        answers: list[Any] = []
        for start in range(0, len(requests), step):
            answers += self._answers(requests[start : start + step])
        return [[ScoredPoint(str(point.id), point.score) for point in answer.points] for answer in answers]

    def payloads(self, ids: Sequence[str]) -> dict[str, Payload]:
        found: dict[str, Payload] = {}
        for start in range(0, len(ids), size := self._limits.retrieval(SCAN_BATCH)):
            records = self._retrieve(list(ids[start : start + size]))
            found |= {str(record.id): record.payload or {} for record in records}
        return found

    def count(self) -> int:
        if not self._limits.exact:  # an estimate proves nothing
            return sum(1 for _ in self._scroll(with_payload=False))
        return self._ask("admin", lambda c: c.count(self._name, exact=True).count)

    def scan(self) -> Iterator[tuple[str, str]]:
        for record in self._scroll(with_payload=["digest"]):
            yield str(record.id), (record.payload or {}).get("digest", "")

    def without_sparse(self) -> list[str]:
        from qdrant_client import models

        missing = models.Filter(must_not=[models.HasVectorCondition(has_vector=SPARSE)])
        return [str(record.id) for record in self._scroll(with_payload=False, scroll_filter=missing)]

    def _scroll(self, **request: Any) -> Iterator[Any]:
        offset, size = None, self._limits.page(SCAN_BATCH)
        while True:
            records, offset = self._page(limit=size, offset=offset, **request)
            yield from records
            if offset is None:
                return

    def _page(self, **request: Any) -> tuple[list[Any], Any]:
        return self._ask("admin", lambda c: c.scroll(self._name, with_vectors=False, **request))

    def _answers(self, requests: list[Any]) -> list[Any]:
        return self._ask(
            "search",
            lambda c: c.query_batch_points(self._name, requests, consistency=self._consistency),
        )

    def _retrieve(self, ids: list[Any]) -> list[Any]:
        options = {"with_payload": True, "with_vectors": False, "consistency": self._consistency}
        return self._ask("search", lambda c: c.retrieve(self._name, ids, **options))

    def _params(self, limit: int, models: Any) -> Any:
        """Quantized vectors find candidates, full ones rank them."""
        ef, most = self._limits.hnsw_ef, self._limits.oversampling
        factor = max(CANDIDATES / limit, OVERSAMPLING)
        rescored = models.QuantizationSearchParams(
            rescore=True, oversampling=factor if most is None else min(factor, most)
        )
        return models.SearchParams(hnsw_ef=ef, quantization=rescored)

    def _ask(self, kind: Kind, what: Callable[[QdrantClient], R]) -> R:
        return self._connection.ask(kind, self._name, what)
