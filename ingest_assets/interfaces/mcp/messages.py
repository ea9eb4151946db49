"""Whether the body of a request is one JSON-RPC message, checked before the SDK reads it.

The SDK takes some of what is not JSON, such as NaN, the last of several equal names and ids of any
length, and describes what it refuses at length. Batches were part of an older protocol only, and are not
supported.

What belongs here: the form of a message. What does not: what it asks for (`calls`).
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

MAX_METHOD = 200  # characters; also of an id
MAX_ID = 1 << 63
MAX_DEPTH = 64
PARSE_ERROR, INVALID_REQUEST = -32_700, -32_600


class MessageError(Exception):
    """The body is not one JSON-RPC message. The text is for the caller."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code

    def response(self) -> bytes:
        """As JSON-RPC."""
        error = {"code": self.code, "message": str(self)}
        return json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()


def require_message(body: bytes) -> None:
    """Raises MessageError for a body that is not one request or notification."""
    try:
        message = json.loads(body, object_pairs_hook=_object, parse_constant=_no_constant)
    except RecursionError:
        raise MessageError(PARSE_ERROR, "The JSON is nested too deeply.") from None
    except ValueError:  # not JSON, not UTF-8, or a number with thousands of digits
        raise MessageError(
            PARSE_ERROR, "The body is not JSON, or an object in it has a name twice."
        ) from None
    if not isinstance(message, dict):
        raise MessageError(INVALID_REQUEST, "Send one JSON-RPC object; batches are not supported.")
    if message.get("jsonrpc") != "2.0":
        raise MessageError(INVALID_REQUEST, 'The message lacks "jsonrpc": "2.0".')
    method = message.get("method")
    if not isinstance(method, str) or not 0 < len(method) <= MAX_METHOD:
        raise MessageError(INVALID_REQUEST, f"The method must be text of up to {MAX_METHOD} characters.")
    if not isinstance(message.get("params", {}), dict):
        raise MessageError(INVALID_REQUEST, "The parameters must be an object.")
    if "id" in message and not _is_id(message["id"]):
        raise MessageError(
            INVALID_REQUEST,
            f"The id must be text of 1 to {MAX_METHOD} characters, or a whole number of 64 bits.",
        )
    if _depth(message) > MAX_DEPTH or not _is_text(message):  # writing JSON can exceed the stack, too
        raise MessageError(
            INVALID_REQUEST, "The message is nested too deeply, or holds text that is not valid."
        )


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= MAX_METHOD
    return isinstance(value, int) and not isinstance(value, bool) and -MAX_ID <= value < MAX_ID


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _is_text(message: dict[str, Any]) -> bool:
    """Whether all text is valid: JSON can spell lone surrogates, which no answer could repeat."""
    try:
        json.dumps(message, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _depth(value: Any) -> int:
    """How deeply arrays and objects are nested; looks no deeper than needed."""
    level, depth = [value], 0
    while level and depth <= MAX_DEPTH:
        inner = [list(each.values()) if isinstance(each, dict) else each for each in level]
        level = [item for items in inner if isinstance(items, list) for item in items]
        level = [item for item in level if isinstance(item, dict | list)]
        depth += 1
    return depth
