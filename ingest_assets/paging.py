"""The size limit of an agent's answer, and the cursor that leads to the rest of it.

A cursor is opaque to clients. It holds the tool, a digest of the other arguments and where the next page
begins. It is not signed, because a forged one gives access to nothing that the arguments do not.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from ingest_assets.model import RequestError, digest_of

BUDGET = 20_000  # maximum size of an answer, in characters of JSON
MAX_CURSOR = 2_000

T = TypeVar("T", bound=BaseModel)


def cursor_at(tool: str, asked: BaseModel, place: int | str) -> str:
    """A cursor to the page that begins at `place`."""
    text = json.dumps([tool, _arguments(asked), place], ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode()


def offset_in(tool: str, asked: BaseModel, cursor: str | None) -> int:
    """The number that a cursor holds; 0 without a cursor. Raises RequestError for a wrong one."""
    place = _place(tool, asked, cursor)
    if place is None:
        return 0
    if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < 1 << 53:
        raise _refusal(tool)
    return place


def key_in(tool: str, asked: BaseModel, cursor: str | None) -> str:
    """The key that a cursor holds; "" without a cursor. Raises RequestError for a wrong one."""
    place = _place(tool, asked, cursor)
    if place is None:
        return ""
    if not isinstance(place, str) or "\0" in place:
        raise _refusal(tool)
    return place


def fitting(items: Sequence[T], budget: int = BUDGET) -> list[T]:
    """As many of the first items as fit into the budget, but at least one."""
    taken: list[T] = []
    for item in items:
        budget -= size(item) + 2
        if taken and budget < 0:
            break
        taken.append(item)
    return taken


def size(item: BaseModel) -> int:
    """The size of a model in characters of JSON."""
    return len(item.model_dump_json())


def clip(text: str, limit: int) -> str:
    """The text, cut to this length; an ellipsis at the end shows that it was cut."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def cut(text: str, budget: int) -> str:
    """The beginning of a text, of at most this size in JSON, but at least one character."""
    piece = text[: max(1, budget)]
    while len(piece) > 1 and (taken := len(json.dumps(piece, ensure_ascii=False))) > budget + 2:
        piece = piece[: max(1, min(len(piece) - 1, len(piece) * budget // taken))]
    return piece


def _place(tool: str, asked: BaseModel, cursor: str | None) -> Any:
    if cursor is None:
        return None
    try:
        name, arguments, place = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (ValueError, TypeError, RecursionError):  # not base64, not UTF-8, not JSON, or another shape
        raise _refusal(tool) from None
    if (name, arguments) != (tool, _arguments(asked)):
        raise _refusal(tool)
    return place


def _arguments(asked: BaseModel) -> str:
    """A digest of the arguments, except for those that only concern paging."""
    return digest_of(asked.model_dump_json(exclude={"cursor", "limit"}))


def _refusal(tool: str) -> RequestError:
    return RequestError(
        f"This cursor does not belong to {tool} with these arguments. Repeat the arguments of the call that "
        "returned it, or leave it out to start again."
    )
