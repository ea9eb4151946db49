"""The operations that sources declare, as every interface runs them.

What belongs here: what routes and tools have in common. What does not: how a request becomes arguments, and
how an answer is written.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel

from ingest_assets.model import RequestError
from ingest_assets.sources.operations import Asking, SourceOperation

# Control characters, except tabs and line breaks, and lone surrogates, which UTF-8 cannot encode.
_INVALID = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def answer_of(operation: SourceOperation, asking: Asking, given: BaseModel) -> BaseModel:
    """The operation's answer. Raises RequestError about the request, and whatever else the source raises."""
    _require_text(given.model_dump(mode="python"))
    answered = operation.run(asking, given)
    if not isinstance(answered, operation.answers):
        raise TypeError(f"{operation.name} returned a {type(answered).__name__}.")
    return answered


def _require_text(given: Any, name: str = "") -> None:
    """Raises RequestError for a text, somewhere in the arguments, that is none."""
    if isinstance(given, str) and _INVALID.search(given):
        raise RequestError(f"{name}: It contains characters that are not valid text, such as NUL.")
    if isinstance(given, dict):
        for key, value in given.items():
            _require_text(key, name or str(key)[:100])
            _require_text(value, name or str(key)[:100])
    elif isinstance(given, list | tuple | set | frozenset):
        for value in given:
            _require_text(value, name)
