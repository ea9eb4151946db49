"""What points can be filtered by: typed fields, and the conditions of a filter.

What belongs here: the types, how people write a value and how a payload holds it, and the conditions that
both engines translate. What does not: which fields a source has (its definition), and the engines.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, tzinfo
from functools import lru_cache
from typing import Any, Literal, get_args

from ingest_assets.model import Common, ConfigurationError, RequestError, Scalar

FieldType = Literal["keyword", "number", "time", "flag"]
FIELD_TYPES: tuple[FieldType, ...] = get_args(FieldType)
NAME = re.compile(r"^[a-z][a-z0-9_]{0,62}$")
# Bounds of the common field `time`, as filters name them: not before, not after.
SINCE, UNTIL, TIME = "since", "until", "time"
RANGE = ".."  # between the ends of a range, either of which may be left out
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class FilterError(RequestError, ConfigurationError):
    """A filter names an unknown field or an impossible value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterField:
    """A field of a source's points that can be filtered by."""

    name: str  # of the attribute that its chunks carry
    description: str  # one sentence for people and agents
    type: FieldType = "keyword"
    label: str = ""  # on the search page; made from the name if empty
    # Turns what a person writes into what points hold: "python" into "Python". For keywords only.
    normalise: Callable[[str], str] = str.strip
    on_hits: bool = False  # the page shows a hit's value, as a button that narrows the search to it

    @property
    def shown(self) -> str:
        """Its label."""
        return self.label or self.name.replace("_", " ").capitalize()

    def holds(self, value: object) -> bool:
        """Whether an attribute may have this value, so that it can be found by the field."""
        match self.type:
            case "keyword":
                values = value if isinstance(value, list | tuple) else (value,)
                return all(isinstance(each, str) for each in values)
            case "number":
                return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            case "time":
                return isinstance(value, str) and utc_of(value) is not None
            case "flag":
                return isinstance(value, bool)

    @property
    def form(self) -> str:
        """How its values are written, for help texts."""
        if self.name in {SINCE, UNTIL}:
            return "a date or time"
        return {
            "keyword": "text",
            "number": "a number, or a range such as 2015..2020, 2015.. or ..2020",
            "time": "a date or time, or a range such as 2026-01-01..2026-01-31",
            "flag": "true or false",
        }[self.type]


# What every source's points can be filtered by, besides `since` and `until`.
COMMON_FIELDS: tuple[FilterField, ...] = (
    FilterField(name="document_id", description="Only chunks of these documents.", label="Document"),
    *(
        FilterField(name=each.name, description=each.metadata["about"], on_hits=True)
        for each in fields(Common)
        if each.metadata.get("filter") == "keyword"
    ),
    FilterField(
        name="entity_ids",
        description="Only what is about these people, organisations, or entities of a graph; the id of a "
        "merged entity leads to its successor.",
        label="Entity",
    ),
    FilterField(name="source", description="The name of the source."),
)
BOUNDS: tuple[FilterField, ...] = (
    FilterField(name=SINCE, type="time", description="Not before this date or time."),
    FilterField(name=UNTIL, type="time", description="Not after this date or time."),
)
# Of sources whose parts belong to projects. No point carries it: a search looks for the projects' parts.
PROJECT = FilterField(
    name="project_id", description="Only what belongs to one of these projects.", label="Project"
)
# Fields of the payload that hold times.
TIME_FIELDS = tuple(each.name for each in fields(Common) if each.metadata.get("filter") == "time")


@dataclass(frozen=True, slots=True)
class Range:
    """An inclusive range; None at an open end."""

    low: str | float | None
    high: str | float | None


@dataclass(frozen=True, slots=True)
class Condition:
    """A point meets it when its field has one of the values, or lies within one of the ranges.

    If it is `negated`, when its field does neither.
    """

    field: str
    type: FieldType = "keyword"
    values: tuple[str | bool, ...] = ()
    ranges: tuple[Range, ...] = ()
    negated: bool = False


# A point must meet all of them.
Conditions = Sequence[Condition]


def conditions_of(where: Mapping[str, Sequence[str]], known: Iterable[FilterField]) -> list[Condition]:
    """The conditions that a filter asks for: each field must have one of its values.

    Raises FilterError for an unknown field, and for a value that a field cannot have.
    """
    by_name = {each.name: each for each in known}
    if unknown := sorted(where.keys() - by_name.keys()):
        raise FilterError(f"Cannot filter by {', '.join(unknown)}. Fields: {', '.join(by_name)}.")
    conditions: list[Condition] = []
    for name, values in where.items():
        for value in values:
            if not value.isprintable():
                raise FilterError(f"The value of the filter {name} is not text: {value!r}.")
        conditions += _conditions(by_name[name], values)
    _require_order(where, conditions)
    return conditions


def _require_order(where: Mapping[str, Sequence[str]], conditions: Conditions) -> None:
    """Raises FilterError if nothing can be found, because `until` is before `since`."""
    if not (where.get(SINCE) and where.get(UNTIL)):
        return
    bounds = [each for one in conditions if one.field == TIME for each in one.ranges]
    first = max(str(each.low) for each in bounds if each.low is not None)
    last = min(str(each.high) for each in bounds if each.high is not None)
    if first > last:
        since, until = where[SINCE][-1], where[UNTIL][-1]
        raise FilterError(f"{SINCE}={since} and {UNTIL}={until} are a range that ends before it begins.")


def typed(text: str, kind: FieldType) -> Scalar | None:
    """A text as a payload value of a type; None if it is not of that type."""
    if kind == "flag":
        return _FLAGS.get(text.strip().lower())
    if kind == "number":
        return _finite(text)
    return utc_of(text) if kind == "time" else text


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _conditions(field: FilterField, values: Sequence[str]) -> list[Condition]:
    if field.name == SINCE:
        return [Condition(TIME, "time", ranges=(Range(_time(field, v), None),)) for v in values]
    if field.name == UNTIL:
        return [Condition(TIME, "time", ranges=(Range(None, _time(field, v, last=True)),)) for v in values]
    if field.type == "keyword":
        return [Condition(field.name, "keyword", tuple(field.normalise(value) for value in values))]
    if field.type == "flag":
        return [Condition(field.name, "flag", tuple(_flag(field, value) for value in values))]
    return [Condition(field.name, field.type, ranges=tuple(_range(field, value) for value in values))]


def in_zone(
    where: Mapping[str, Sequence[str]], known: Iterable[FilterField], zone: tzinfo | None
) -> dict[str, list[str]]:
    """The same filter with times in UTC: days, and times without a zone, are those of the asker's zone.

    A day is the whole day there, from its first moment to its last. None is the zone of this machine. What is
    no time stays as it is, for `conditions_of` to refuse.
    """
    times = {field.name for field in known if field.type == "time"}
    return {
        name: [_absolute(name, value, zone) for value in values] if name in times else list(values)
        for name, values in where.items()
    }


def _absolute(name: str, value: str, zone: tzinfo | None) -> str:
    if name in {SINCE, UNTIL}:
        return _edge(value, zone, last=name == UNTIL) or value
    low, dots, high = (part.strip() for part in value.partition(RANGE))
    first = _edge(low, zone) if low else ""
    last = _edge(high if dots else low, zone, last=True) if high or not dots else ""
    return value if first is None or last is None else f"{first}{RANGE}{last}"


def _range(field: FilterField, value: str) -> Range:
    low, dots, high = (part.strip() for part in value.partition(RANGE))
    if not dots:
        high = low
    first = _end(field, low) if low or not dots else None
    last = _end(field, high, last=True) if high else None
    if first is not None and last is not None and first > last:
        raise FilterError(f"{field.name}={value} is a range that ends before it begins.")
    return Range(first, last)


def _end(field: FilterField, value: str, *, last: bool = False) -> Any:
    return _time(field, value, last=last) if field.type == "time" else _number(field, value)


def _number(field: FilterField, value: str) -> float:
    if (number := _finite(value)) is None:
        raise FilterError(f"{field.name}={value} is not {field.form}.")
    return number


def _flag(field: FilterField, value: str) -> bool:
    if (flag := _FLAGS.get(value.strip().lower())) is None:
        raise FilterError(f"{field.name}={value} is neither true nor false.")
    return flag


def _time(field: FilterField, value: str, *, last: bool = False) -> str:
    """A time as the engines read it, in UTC if no zone is given. A date is its first moment, or its last."""
    moment = _edge(value, UTC, last=last)
    if moment is None:
        raise FilterError(
            f"{field.name}={value} is not a date or time. Write it as 2026-01-31 or 2026-01-31T09:30:00Z."
        )
    return moment


def _edge(value: str, zone: tzinfo | None, *, last: bool = False) -> str | None:
    """The moment in UTC; of a date the first or the last one. None if it is no time."""
    value = value.strip()
    try:
        moment = datetime.fromisoformat(value)
        if _is_date(value) and last:
            moment = datetime.combine(moment, time.max).replace(
                fold=1
            )  # the later one of an hour that comes twice
        if moment.tzinfo is None and zone is not None:
            moment = moment.replace(tzinfo=zone)
        return moment.astimezone(UTC).isoformat()  # without a zone, that of this machine
    except OverflowError:  # at the ends of the calendar
        return utc_of(moment.replace(tzinfo=None).isoformat())
    except ValueError:
        return None


def _is_date(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def utc_of(value: str) -> str | None:
    """An ISO 8601 date or time in UTC, which is assumed if no zone is given; None for anything else."""
    # Many records have one time, and each is looked at several times. Long texts are not worth keeping.
    return _known_utc_of(value) if len(value) < _KEPT_CHARS else _utc_of(value)


def _utc_of(value: str) -> str | None:
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return None


_KEPT_CHARS = 64
_known_utc_of = lru_cache(maxsize=1_024)(_utc_of)
