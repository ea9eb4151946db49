"""What the process that reads a source sends: batches of items, and documents. Written there, checked here.

A batch is facts and a head in JSON, the digests of its items, and their ids, with a NUL between them: no id
contains one, and a list of a thousand pairs in JSON would take ten times as long.

What belongs here: the form of the answers. What does not: who asks for what (`reading`, `reader`).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, NamedTuple

from ingest_assets.model import Document, Identity, ItemError, SkippedItem, SourceItem, SourceUnavailableError

RENDERED, REPAIRED, REFUSED = b"d", b"r", b"x"
PART = struct.Struct("!cI")  # what became of an item, and how many bytes follow
MAX_FACTS = 1 << 20  # bytes of JSON: what small values become takes a hundred times as much
PAIR = 2  # a label and a value
MAX_REASON = 2_000  # bytes of the sentence for an item that is refused
OTHER_FORM = b"The process that renders gave an answer of another form."
OTHER_FORM_READ = "The process that reads gave an answer of another form."
_DIGEST = 32


def batch_of(
    items: Sequence[SourceItem],
    size: int,
    skipped: Sequence[SkippedItem],
    skipped_before: Sequence[int],
    facts: Mapping[str, Any],
    *,
    done: bool,
) -> bytes:
    """A batch. `skipped_before` says, for each item, how many of `skipped` come before it."""
    head = {
        "items": len(items),
        "size": size,
        "skipped": [tuple(each) for each in skipped],
        "skipped_before": list(skipped_before) if skipped else [],
        "done": done,
    }
    digests, ids = "".join([item.digest for item in items]), "\0".join([item.id for item in items])
    parts = [json.dumps(facts), json.dumps(head), digests, ids]
    return "\0".join(parts).encode("utf-8", "surrogatepass")


class Found(NamedTuple):
    """A batch, as it came and was checked."""

    ids: list[str]
    digests: list[str]
    size: int  # of each item, on average
    skipped: list[SkippedItem]
    skipped_before: list[int]
    facts: Mapping[str, Any]
    done: bool


def checked_batch(answer: bytes) -> Found:
    """A batch whose parts have the types that they must have. Raises SourceUnavailableError."""
    from pydantic import ValidationError

    try:
        facts, text, digests, ids = answer.decode("utf-8", "surrogatepass").split("\0", 3)
        if len(facts) > MAX_FACTS:
            raise _malformed()
        head = _heads().validate_json(text)
        count = head["items"]
        skipped = [SkippedItem(*each) for each in head["skipped"]]
        found = Found(
            ids.split("\0") if count else [],
            [digests[i : i + _DIGEST] for i in range(0, len(digests), _DIGEST)],
            head["size"],
            skipped,
            head["skipped_before"],
            _facts().validate_json(facts),
            head["done"],
        )
    except (ValueError, ValidationError) as error:
        raise _malformed() from error
    before = len(found.skipped_before) if skipped else count
    complete = len(digests) == _DIGEST * count
    steps = [0, *found.skipped_before, len(found.skipped)]
    if (
        not complete
        or steps != sorted(steps)
        or not len(found.ids) == before == count
        or not (count or found.done)
    ):
        raise _malformed()
    return found


def _malformed() -> SourceUnavailableError:
    return SourceUnavailableError(OTHER_FORM_READ)


def split(answer: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + PART.size <= len(answer):
        kind, length = PART.unpack_from(answer, at)
        at += PART.size
        yield kind, answer[at : at + length]
        at += length


def checked_document(kind: bytes, text: bytes) -> tuple[Document, bool]:
    """The document, and whether its text was repaired. Raises ItemError."""
    from pydantic_core import from_json

    if kind == REFUSED:
        raise ItemError(text[:MAX_REASON].decode("utf-8", "replace"))
    try:
        return _document_of(from_json(text, allow_inf_nan=False)), kind == REPAIRED
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ItemError(OTHER_FORM.decode()) from error


def _document_of(found: Any) -> Document:
    """Checked by hand, up to the first fault: a validator's errors take far more memory than what is wrong.

    Raises TypeError, ValueError, KeyError or AttributeError.
    """
    identity = found.pop("identity")
    if identity is not None:
        identity = Identity(**{name: _text_or_texts(value) for name, value in identity.items()})
    context = tuple(_texts(pair) for pair in _list(found.pop("context")))
    attributes = found.pop("attributes")
    if not all(len(pair) == PAIR for pair in context) or not isinstance(attributes, dict):
        raise TypeError
    for value in attributes.values():
        if not isinstance(value, str | int | float):
            _texts(value)
    refs, time = _texts(found.pop("refs")), found.pop("time")
    texts = {name: _text(value) for name, value in found.items()}
    return Document(
        **texts,
        time=None if time is None else _text(time),
        context=context,  # type: ignore[arg-type]  # of pairs
        refs=refs,
        identity=identity,
        attributes=attributes,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(_text, _list(value)))


def _text_or_texts(value: Any) -> Any:
    return value if isinstance(value, str) else _texts(value)


@cache
def documents() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Document)


@cache
def _heads() -> Any:
    from pydantic import FailFast, TypeAdapter
    from typing_extensions import TypedDict

    # Failing fast: each error takes hundreds of bytes, and a wrong list may have an error every two bytes.
    class Head(TypedDict):
        items: int
        size: int
        skipped: Annotated[list[tuple[str, str, int | None, str]], FailFast()]
        skipped_before: Annotated[list[int], FailFast()]
        done: bool

    return TypeAdapter(Head)


@cache
def _facts() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(dict[str, Any])
