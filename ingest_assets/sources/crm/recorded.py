"""What became of a CRM's values, counted in the ledger.

What belongs here: counting in SQL, at the cost of two passes over documents and references. What does not:
what is counted (`readings`), and what people are told of it (`checks`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter

from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.json_lists import strings_in
from ingest_assets.model import digest_of
from ingest_assets.notes import URI
from ingest_assets.private import make_private_file
from ingest_assets.quoting import quotes_allowed
from ingest_assets.reconcile import content_sum
from ingest_assets.sources.crm.readings import EXAMPLES, NOWHERE, UNREAD, Readings

# Bump when the same documents are counted differently.
VERSION = "3"
# What can fail to be read: see `render`.
READ_AS = ("time", "attributes", "emails", "phones", "birth_date")

_READINGS = TypeAdapter(dict[str, Readings])
_document, _parked = tables.document, tables.parked


def kept_readings(ledger: Ledger, kept: Path, source: str, kinds: Sequence[str]) -> dict[str, Readings]:
    """The counts, which are made once for each content of the ledger: of a million records, in 6 seconds.

    `kept` is the file that they are kept in. It may be deleted at any time.
    """
    parked = sa.select(sa.func.count()).select_from(_parked).where(_parked.c.source == source)
    with ledger.reading() as connection:
        contents = (content_sum(connection, source, "records"), str(connection.scalar(parked)))
    key = digest_of(VERSION, *contents, *kinds)
    with suppress(OSError, ValueError):
        of, _, text = kept.read_text("utf-8").partition("\n")
        if of == key:
            return _READINGS.validate_json(text)
    found = recorded_readings(ledger, source, kinds)
    with suppress(OSError):  # then they are counted again
        new = kept.with_suffix(f".{os.getpid()}")
        make_private_file(new)
        new.write_bytes(key.encode() + b"\n" + _READINGS.dump_json(found))
        new.replace(kept)
    return found


def recorded_readings(ledger: Ledger, source: str, kinds: Sequence[str]) -> dict[str, Readings]:
    """The counts of every kind, of all documents that are recorded now."""
    found = {kind: Readings(kind) for kind in kinds}
    for row in _counted(ledger, source):
        if (one := found.get(row.prefix)) is None:
            continue
        one.rows, one.empty_titles, one.empty_bodies = row.rows, row.empty_titles, row.empty_bodies
        one.times, one.emails, one.phones = row.times, row.emails, row.phones
        one.unread.update({what: count for what in READ_AS if (count := getattr(row, f"{UNREAD}{what}"))})
    _count_lost(ledger, source, found)
    if quotes_allowed():
        for one in found.values():
            _show_unread(ledger, source, one)
    return found


def _prefix(ledger: Ledger) -> sa.ColumnElement[str]:
    """The kind that a document's id begins with."""
    if ledger.is_sqlite:
        end = sa.func.instr(_document.c.document_id, "/")
        return sa.func.substr(_document.c.document_id, 1, end - 1)
    return sa.func.split_part(_document.c.document_id, "/", 1)


def _of(source: str) -> list[sa.ColumnElement[bool]]:
    """The CRM's own documents: not notes."""
    return [_document.c.source == source, ~_document.c.uri.startswith(URI, autoescape=True)]


def _is_unread(what: str) -> sa.ColumnElement[bool]:
    return _document.c.attributes.contains(f'"{UNREAD}{what}": ', autoescape=True)


def _counted(ledger: Ledger, source: str) -> Sequence[Any]:
    d = _document.c
    prefix = _prefix(ledger).label("prefix")

    def rows(condition: sa.ColumnElement[bool], name: str) -> sa.ColumnElement[int]:
        return sa.func.sum(sa.case((condition, 1), else_=0)).label(name)

    def has(what: str) -> sa.ColumnElement[bool]:
        listed = f'"{what}": ['
        return sa.and_(
            d.identity.is_not(None),
            d.identity.contains(listed, autoescape=True),
            ~d.identity.contains(f"{listed}]", autoescape=True),
        )

    query = sa.select(
        prefix,
        sa.func.count().label("rows"),
        rows(d.title == d.document_id, "empty_titles"),
        rows(d.body == "", "empty_bodies"),
        rows(d.time.is_not(None), "times"),
        rows(has("emails"), "emails"),
        rows(has("phones"), "phones"),
        *(rows(_is_unread(what), f"{UNREAD}{what}") for what in READ_AS),
    ).where(*_of(source))
    with ledger.reading() as connection:
        return connection.execute(query.group_by(prefix)).all()


def _count_lost(ledger: Ledger, source: str, found: Mapping[str, Readings]) -> None:
    """References, and those to documents that there are not. What is parked is there."""
    d, other, p = _document.c, _document.alias("other"), _parked.c
    ref = strings_in(ledger, d.refs).lateral("ref") if not ledger.is_sqlite else None
    each = sa.func.json_each(d.refs).table_valued("value") if ref is None else ref
    there = sa.exists().where(other.c.source == source, other.c.document_id == each.c.value)
    parked = sa.exists().where(p.source == source, p.item_id == each.c.value)
    lost = sa.and_(~there, ~parked)
    prefix = _prefix(ledger).label("prefix")
    joined = sa.join(_document, each, sa.true())
    counted = sa.select(
        prefix, sa.func.count().label("every"), sa.func.sum(sa.case((lost, 1), else_=0)).label("lost")
    )
    some = sa.select(d.document_id, each.c.value.label("ref")).where(*_of(source), lost).limit(EXAMPLES)
    with ledger.reading() as connection:
        query = counted.select_from(joined).where(*_of(source)).group_by(prefix)
        for row in connection.execute(query):
            if (one := found.get(row.prefix)) is not None:
                one.references, one.nowhere = row.every, row.lost
        for one in found.values():
            if one.nowhere and quotes_allowed():
                for row in connection.execute(some.select_from(joined).where(prefix == one.kind)):
                    one.note(NOWHERE, f"{row.document_id} -> {row.ref}")


def _show_unread(ledger: Ledger, source: str, one: Readings) -> None:
    d = _document.c
    with ledger.reading() as connection:
        for what in one.unread:
            some = sa.select(d.document_id, d.attributes)
            some = some.where(*_of(source), _prefix(ledger) == one.kind, _is_unread(what)).limit(EXAMPLES)
            for row in connection.execute(some):
                one.note(what, f"{row.document_id}: {json.loads(row.attributes)[f'{UNREAD}{what}']}")
