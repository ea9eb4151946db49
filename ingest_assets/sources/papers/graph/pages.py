"""Pages of answers about the graph: how large one is, and the cursor that leads to the next.

What belongs here: limits, budgets and cursors. What does not: what is on a page. A cursor is not signed: a
forged one gives access to nothing that the arguments do not.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from ingest_assets.model import RequestError

MAX_LIMIT = 100  # items of a page
_MAX_DIGITS = 9
_MOST = 1 << 31

Place = tuple[float, int, str, str]  # of a relationship in a list
T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class PageOf:
    """Which page of a list is wanted. Raises RequestError for a limit that is out of bounds."""

    limit: int = 10
    cursor: str | None = None  # of the page before
    budget: int | None = None  # characters of JSON that the answer may have

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_LIMIT:
            raise RequestError(f"A page has 1 to {MAX_LIMIT} items, not {self.limit}.")

    def left_by(self, answer: BaseModel) -> int | None:
        """What of the budget is left beside an answer without its list."""
        return None if self.budget is None else self.budget - _size(answer)


def fitting(items: Sequence[T], budget: int | None) -> list[T]:
    """As many of the first items as fit into a budget of characters of JSON, but at least one."""
    taken: list[T] = []
    for item in items:
        if budget is not None:
            budget -= _size(item) + 2
            if taken and budget < 0:
                break
        taken.append(item)
    return taken


def clip(text: str, most: int) -> str:
    """The text, cut to this length; an ellipsis at the end shows that it was cut."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _size(answer: BaseModel) -> int:
    return len(answer.model_dump_json())


def cursor_at(place: Place) -> str:
    """A cursor to what follows a place."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def place_in(cursor: str | None) -> Place | None:
    """The place that a cursor holds. Raises RequestError for what is not a cursor."""
    if cursor is None:
        return None
    try:
        found = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
        confidence, count, predicate, key = found
    except (ValueError, TypeError, RecursionError):
        raise _not_a_cursor() from None
    if isinstance(confidence, bool) or not isinstance(confidence, (int, float)) or not 0 <= confidence <= 1:
        raise _not_a_cursor()
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < _MOST:
        raise _not_a_cursor()
    if not isinstance(predicate, str) or not isinstance(key, str) or not storable(predicate + key):
        raise _not_a_cursor()
    return float(confidence), count, predicate, key


def offset_cursor(offset: int) -> str:
    """A cursor into a list that is made again for each page."""
    return f"at-{offset}"


def offset_in(cursor: str | None) -> int:
    """The offset that a cursor holds; 0 without one."""
    if cursor is None:
        return 0
    digits = cursor.removeprefix("at-")
    if digits == cursor or not digits.isascii() or not digits.isdigit() or len(digits) > _MAX_DIGITS:
        raise _not_a_cursor()
    return int(digits)


def storable(text: str) -> bool:
    """Whether a database takes it: it has no NUL and no lone surrogate."""
    return "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)


def _not_a_cursor() -> RequestError:
    return RequestError("This is not a cursor of an earlier answer. Leave it out to start again.")
