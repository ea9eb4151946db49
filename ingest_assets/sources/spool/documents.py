"""A record of a batch as a document.

A document has no header lines: what is embedded is the record's text alone, as its producer embeds it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ingest_assets.fields import FieldType, FilterField, typed, utc_of
from ingest_assets.model import Document, Scalar, digest_of, when
from ingest_assets.sources.spool.settings import BATCH_TAG, NUMBER, PII, RECORD_SOURCE, SpoolSettings

# Bump when the same record gives another document.
VERSION = "1"
KIND = "record"
TITLE_CHARS = 120
_TITLE_WORDS = TITLE_CHARS // 2 + 1  # so many, and the spaces between them, are no title any more
# Where producers put what a document has, in the order in which it is looked for.
_TITLES, _URIS, _KINDS = ("title", "subject", "name"), ("uri", "url", "link"), ("kind", "type")
_TIMES = ("time", "timestamp", "created_at", "date")


def document_id(batch_tag: str, number: int) -> str:
    """The id of a record's document."""
    return f"{batch_tag}/{number}"


def metadata_fields(settings: SpoolSettings) -> tuple[FilterField, ...]:
    """The metadata that records can be filtered by."""
    return tuple(
        FilterField(name=name, type=kind, description=f"The records' {name}, as their producer wrote it.")
        for name, kind in settings.metadata_fields.items()
    )


def document_of_record(record: Any, *, pii: bool, fields: Mapping[str, FieldType]) -> Document:
    """The document that a row of `spool_record` is shown and found as."""
    metadata: dict[str, Any] = json.loads(record.metadata)
    stated = {name: _value(metadata.get(name), kind) for name, kind in fields.items()}
    return Document(
        id=document_id(record.batch_tag, record.number),
        title=_first(metadata, _TITLES) or _shortened(record.text),
        uri=_first(metadata, _URIS) or f"spool://{record.batch_tag}/{record.number}",
        kind=_first(metadata, _KINDS) or KIND,
        time=_time(metadata) or when(record.created_at),
        context=(),
        body=record.text,
        attributes={
            BATCH_TAG: record.batch_tag,
            RECORD_SOURCE: record.source,
            PII: pii,
            NUMBER: record.number,
            **{name: value for name, value in stated.items() if value is not None},
        },
    )


def digest_of_record(record: Any, made_with: str, *, pii: bool) -> str:
    """Of all that a record's document is made from."""
    parts = (record.source, record.text, record.metadata, str(record.created_at), str(pii))
    return digest_of(made_with, *parts)


def _value(value: object, kind: FieldType) -> Scalar | list[str] | None:
    """A value of metadata as points hold it; None if the field cannot have it."""
    field = FilterField(name="any", type=kind, description="")
    if kind == "keyword":
        values = value if isinstance(value, list) else [value]
        words = [_text(each) for each in values if _text(each)]
        return words or None
    if isinstance(value, str):
        value = typed(value, kind)
    return value if isinstance(value, str | int | float | bool) and field.holds(value) else None


def _first(metadata: Mapping[str, Any], names: tuple[str, ...]) -> str:
    for name in names:  # most records have none of them
        if name in metadata and (found := _shortened(_text(metadata[name]))):
            return found
    return ""


def _time(metadata: Mapping[str, Any]) -> str | None:
    for name in _TIMES:
        if name in metadata and (found := utc_of(_text(metadata[name]))):
            return found
    return None


def _text(value: object) -> str:
    if type(value) is str:
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _shortened(text: str) -> str:
    lines = (each.split(maxsplit=_TITLE_WORDS) for each in text[: 10 * TITLE_CHARS].splitlines())
    line = " ".join(next(filter(None, lines), ())).rstrip()
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1] + "…"
