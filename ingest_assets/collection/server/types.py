"""Points, queries and conditions in the client's own types."""

from __future__ import annotations

from typing import Any

from ingest_assets.collection.base import DENSE, SPARSE, Leg, Points
from ingest_assets.fields import Condition, Conditions


def point_of(points: Points, i: int, models: Any) -> Any:
    """One of the points."""
    indices, values = points.sparse.row(i)
    sparse = models.SparseVector(indices=indices.tolist(), values=values.tolist())
    vector = {DENSE: points.dense[i].tolist(), SPARSE: sparse}
    return models.PointStruct(id=points.ids[i], vector=vector, payload=points.payloads[i])


def nearest(leg: Leg, models: Any) -> Any:
    """What a leg searches by."""
    if leg.dense is not None:
        return leg.dense.tolist()
    assert leg.sparse is not None
    indices, values = leg.sparse.row(0)
    return models.SparseVector(indices=indices.tolist(), values=values.tolist())


def filter_of(where: Conditions, models: Any) -> Any:
    """All of the conditions; None if there are none."""
    if not where:
        return None
    return models.Filter(
        must=[_condition(each, models) for each in where if not each.negated],
        must_not=[_condition(each, models) for each in where if each.negated],
    )


def _condition(condition: Condition, models: Any) -> Any:
    """Any of the values or ranges of a condition."""
    field, range_of = condition.field, models.DatetimeRange if condition.type == "time" else models.Range
    if condition.type == "keyword":
        return models.FieldCondition(key=field, match=models.MatchAny(any=list(condition.values)))
    choices = [
        models.FieldCondition(key=field, match=models.MatchValue(value=value)) for value in condition.values
    ]
    choices += [
        models.FieldCondition(key=field, range=range_of(gte=each.low, lte=each.high))
        for each in condition.ranges
    ]
    return choices[0] if len(choices) == 1 else models.Filter(should=choices)
