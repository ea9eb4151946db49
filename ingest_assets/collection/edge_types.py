"""Our points, queries and filters as the embedded engine takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest_assets.collection.base import DENSE, SINCE, SPARSE, UNTIL, Filter, Leg, Points

if TYPE_CHECKING:
    import qdrant_edge


def edge_point(points: Points, i: int) -> qdrant_edge.Point:
    """One of a batch of points."""
    import qdrant_edge as edge

    indices, values = points.sparse.row(i)
    # Lists: the binding reads them twice as fast as arrays.
    sparse = edge.SparseVector(indices.tolist(), values.tolist())
    vectors: dict[str, Any] = {DENSE: points.dense[i].tolist(), SPARSE: sparse}
    return edge.Point(points.ids[i], vectors, points.payloads[i])


def edge_query(leg: Leg) -> Any:
    """The nearest neighbours that a leg asks for."""
    import qdrant_edge as edge

    if leg.dense is not None:
        return edge.Query.Nearest(leg.dense.tolist(), using=leg.using)
    assert leg.sparse is not None
    indices, values = leg.sparse.row(0)
    return edge.Query.Nearest(edge.SparseVector(indices.tolist(), values.tolist()), using=leg.using)


def edge_filter(where: Filter | None) -> qdrant_edge.Filter | None:
    """All of the fields, each with one of its values."""
    import qdrant_edge as edge

    if not where:
        return None
    conditions: list[Any] = [
        edge.FieldCondition(field, match=edge.MatchAny(list(where[field])))
        for field in where
        if field not in {SINCE, UNTIL}
    ]
    if SINCE in where or UNTIL in where:
        since, until = max(where.get(SINCE, ()), default=None), min(where.get(UNTIL, ()), default=None)
        conditions.append(edge.FieldCondition("time", range=edge.RangeDateTime(gte=since, lte=until)))
    return edge.Filter(must=conditions)
