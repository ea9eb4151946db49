"""Documents as rows of the ledger, and back.

What belongs here: the form of a row, and what keeps a document from becoming one. What does not: which rows
there should be (`records`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ingest_assets.fields import FilterField, utc_of
from ingest_assets.model import Document, Identity, ItemError, common_of
from ingest_assets.quoting import quoted

# Made once: `json.dumps` makes another encoder for each call that is not by its defaults.
_json = json.JSONEncoder(ensure_ascii=False).encode
sorted_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
_PLAIN = frozenset((type(None), str, int, bool))


def checked_document(document: Document, fields: Sequence[FilterField]) -> Document:
    """The document. Raises ItemError if something in it could be stored, but not be found by."""
    for name, value in document.attributes.items():
        if type(value) in _PLAIN:
            continue
        values = value if isinstance(value, list | tuple) else (value,)
        if not all(map(_storable, values)):
            raise ItemError(
                f"The attribute {name} of {document.id} is {quoted(value)}, "
                "and must be text, a number or a flag."
            )
    for each in fields:
        own = document.attributes.get(each.name)
        if own is not None and not each.holds(own):
            raise ItemError(
                f"The attribute {each.name} of {document.id} is {quoted(own)}, which is not a {each.type}."
            )
    if document.time is not None and utc_of(document.time) is None:
        raise ItemError(f"The time of {document.id} is {quoted(document.time)}, which is not a date or time.")
    return document


def _storable(value: object) -> bool:
    """Whether JSON can hold an attribute's value: it has neither NaN nor infinity."""
    return (
        value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    )


def document_row(source: str, part: str, digest: str, document: Document) -> dict[str, Any]:
    """A document as a row of the ledger."""
    return {
        "source": source,
        "document_id": document.id,
        "part": part,
        "digest": digest,
        **common_of(document),
        "context": _json(document.context) if document.context else "[]",
        "body": document.body,
        # No id contains a NUL, and Postgres reads no JSON with one.
        "refs": _json([ref.replace("\0", "") for ref in document.refs]) if document.refs else "[]",
        "identity": _json(asdict(document.identity)) if document.identity else None,
        "attributes": sorted_json(document.attributes),
    }


def _list_of(text: str) -> list[Any]:
    return json.loads(text) if text != "[]" else []  # most are empty


def document_of(row: Any) -> Document:
    """The document that `document_row` made a row from."""
    identity = json.loads(row.identity) if row.identity else None
    return Document(
        id=row.document_id,
        **common_of(row),
        context=tuple((label, value) for label, value in _list_of(row.context)),
        body=row.body,
        refs=tuple(_list_of(row.refs)),
        identity=identity_of(identity) if identity else None,
        attributes=json.loads(row.attributes),
    )


def identity_of(fields: Mapping[str, Any]) -> Identity:
    """An identity from its JSON form."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    return Identity(**values)
