"""Reading one revision of a collection of the embedded engine.

What belongs here: searches, scans and counts of an open shard. What does not: which revision is live, and
writing (`embedded`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest_assets.collection.base import SPARSE, Leg, Payload, ScoredPoint
from ingest_assets.collection.edge_types import edge_filter, edge_query
from ingest_assets.collection.shards import dense_search
from ingest_assets.fields import Conditions

if TYPE_CHECKING:
    import qdrant_edge

SCAN_BATCH = 5_000


class EmbeddedReader:
    """An open revision."""

    def __init__(self, shard: qdrant_edge.EdgeShard, path: Path) -> None:
        self._shard, self.generation = shard, int(path.name.split("-")[0])
        self.identity = identity_of(path)
        self.users = 0

    def query(self, legs: Sequence[Leg], limit: int, where: Conditions = ()) -> list[list[ScoredPoint]]:
        import qdrant_edge as edge

        condition = edge_filter(where)
        requests = [
            edge.QueryRequest(
                limit=limit,
                query=edge_query(leg),
                filter=condition,
                with_payload=False,
                params=dense_search(limit) if leg.dense is not None else None,
            )
            for leg in legs
        ]
        answers = self._shard.query_batch(edge.QueryBatchRequest(requests))
        return [[ScoredPoint(str(point.id), point.score) for point in answer] for answer in answers]

    def payloads(self, ids: Sequence[str]) -> dict[str, Payload]:
        records = self._shard.retrieve(list(ids), with_payload=True, with_vector=False)
        return {str(record.id): record.payload or {} for record in records}

    def count(self) -> int:
        import qdrant_edge as edge

        return self._shard.count(edge.CountRequest(exact=True))

    def scan(self) -> Iterator[tuple[str, str]]:
        for record in self._scroll(with_payload=["digest"]):
            yield str(record.id), (record.payload or {}).get("digest", "")

    def without_sparse(self) -> list[str]:
        import qdrant_edge as edge

        missing = edge.Filter(must_not=[edge.HasVectorCondition(SPARSE)])
        return [str(record.id) for record in self._scroll(with_payload=False, filter=missing)]

    def _scroll(self, **request: Any) -> Iterator[qdrant_edge.Record]:
        import qdrant_edge as edge

        offset = None
        while True:
            page = edge.ScrollRequest(offset=offset, limit=SCAN_BATCH, with_vector=False, **request)
            records, offset = self._shard.scroll(page)
            yield from records
            if offset is None:
                return

    def close(self) -> None:
        self._shard.close()


def identity_of(path: Path) -> tuple[Path, int, int]:
    """Which directory this is: another one may have been created under the same name.

    It is identified by its segments folder: opening a revision rewrites its configuration, which changes the
    times of the revision's own folder, so each of two readers would see a new revision whenever the other
    opens it.
    """
    try:
        found = (path / "segments").stat()
    except FileNotFoundError:
        return path, 0, 0
    return path, found.st_ino, found.st_ctime_ns
