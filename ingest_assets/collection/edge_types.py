"""Our points, queries and filters as the embedded engine takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ingest_assets.collection.base import DENSE, SPARSE, Leg, Points
from ingest_assets.fields import Condition, Conditions, FieldType

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


def edge_filter(where: Conditions) -> qdrant_edge.Filter | None:
    """A filter that requires all of the conditions."""
    import qdrant_edge as edge

    if not where:
        return None
    return edge.Filter(
        must=[_edge_condition(each) for each in where if not each.negated],
        must_not=[_edge_condition(each) for each in where if each.negated],
    )


def _edge_condition(condition: Condition) -> Any:
    """A filter that requires any of the values or ranges of a condition."""
    import qdrant_edge as edge

    field, range_of = condition.field, edge.RangeDateTime if condition.type == "time" else edge.RangeFloat
    if condition.type == "keyword":
        return edge.FieldCondition(field, match=edge.MatchAny([str(value) for value in condition.values]))
    # The binding takes Python's True for the number 1, and numpy's for what it is.
    flags: Any = [np.bool_(value) for value in condition.values]
    choices: list[Any] = [edge.FieldCondition(field, match=edge.MatchValue(flag)) for flag in flags]
    choices += [
        edge.FieldCondition(field, range=range_of(gte=each.low, lte=each.high))  # type: ignore[arg-type]
        for each in condition.ranges
    ]
    return choices[0] if len(choices) == 1 else edge.Filter(should=choices)


def edge_index(kind: FieldType) -> Any:
    """How a payload field is indexed: on disk, so that memory does not grow with the collection."""
    import qdrant_edge as edge

    cold = edge.Memory.Cold
    return {
        "keyword": edge.KeywordIndexParams(memory=cold),
        "number": edge.FloatIndexParams(memory=cold),
        "time": edge.DatetimeIndexParams(memory=cold),
        "flag": edge.BoolIndexParams(memory=cold),
    }[kind]
