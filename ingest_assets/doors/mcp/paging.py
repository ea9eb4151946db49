"""The size budget of an answer, and the cursor that leads to the rest of it.

A cursor is opaque to clients: it names the tool, a digest of the other arguments and where to go on. It
needs no signature, because it says nothing that the arguments could not ask for.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from ingest_assets.model import ConfigurationError, digest_of

BUDGET = 20_000  # characters of an answer as JSON
MAX_CURSOR = 2_000

T = TypeVar("T", bound=BaseModel)


def after(tool: str, asked: BaseModel, place: int | str) -> str:
    """A cursor that goes on at `place`."""
    text = json.dumps([tool, _arguments(asked), place], ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode()


def number_in(tool: str, asked: BaseModel, cursor: str | None) -> int:
    """Where a cursor that counts goes on; 0 without one. Raises ConfigurationError."""
    place = _place(tool, asked, cursor)
    if place is None:
        return 0
    if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < 1 << 53:
        raise _refusal(tool)
    return place


def key_in(tool: str, asked: BaseModel, cursor: str | None) -> str:
    """The key that a cursor goes on after; "" without one. Raises ConfigurationError."""
    place = _place(tool, asked, cursor)
    if place is None:
        return ""
    if not isinstance(place, str) or "\0" in place:
        raise _refusal(tool)
    return place


def fitting(items: Sequence[T], budget: int = BUDGET) -> list[T]:
    """The first items that fit into the budget together, and always one."""
    taken: list[T] = []
    for item in items:
        budget -= size(item) + 2
        if taken and budget < 0:
            break
        taken.append(item)
    return taken


def size(item: BaseModel) -> int:
    """Characters as JSON."""
    return len(item.model_dump_json())


def clip(text: str, limit: int) -> str:
    """A text of at most so many characters, that says when there was more."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def cut(text: str, budget: int) -> str:
    """The beginning of a text that takes at most so many characters as JSON, and at least one."""
    piece = text[: max(1, budget)]
    while len(piece) > 1 and (taken := len(json.dumps(piece, ensure_ascii=False))) > budget + 2:
        piece = piece[: max(1, min(len(piece) - 1, len(piece) * budget // taken))]
    return piece


def _place(tool: str, asked: BaseModel, cursor: str | None) -> Any:
    if cursor is None:
        return None
    try:
        name, arguments, place = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (
        ValueError,
        TypeError,
        RecursionError,
    ):  # not base64, not UTF-8, no JSON, or JSON of another shape
        raise _refusal(tool) from None
    if (name, arguments) != (tool, _arguments(asked)):
        raise _refusal(tool)
    return place


def _arguments(asked: BaseModel) -> str:
    """A digest of what is asked for, whatever the size of the pages."""
    return digest_of(asked.model_dump_json(exclude={"cursor", "limit"}))


def _refusal(tool: str) -> ConfigurationError:
    return ConfigurationError(
        f"This cursor was not given by {tool} for these arguments: repeat them with the cursor as it was "
        "given, or leave it out to begin anew."
    )
