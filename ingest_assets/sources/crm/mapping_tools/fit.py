"""Whether a mapping fits a database: all that is wrong, where a refresh tells the first.

What belongs here: collecting. What does not: the checks themselves, which are a refresh's own (`extract`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

from ingest_assets.sources.crm.databases import Snapshot
from ingest_assets.sources.crm.extract import SEVERAL, Extract, null_in_key, several_rows
from ingest_assets.sources.crm.mapping import CrmMapping

_ROWS = 1_000  # of each kind, that are read to see whether columns have single values


class Misfit(NamedTuple):
    """One thing that is wrong: the number of the [[documents]] entry, the key in it, and a sentence."""

    number: int
    key: str
    message: str


def misfits(mapping: CrmMapping, snapshot: Snapshot) -> Iterator[Misfit]:
    """Every misfit of every entry."""
    for number, entry in enumerate(mapping.documents):
        found: list[tuple[str, str]] = []
        extract = Extract(entry, mapping, snapshot, lambda *one, kept=found: kept.append(one))
        if extract.fits:
            found += list(_in_rows(extract))
        yield from (Misfit(number, key, message) for key, message in dict.fromkeys(found))


def _in_rows(extract: Extract) -> Iterator[tuple[str, str]]:
    if column := extract.null_key():
        yield "key", null_in_key(column)
        return
    told: set[str] = set()
    names = extract.entry.used_columns()
    with closing(extract.rows(_ROWS)) as rows:  # what fails while they are read, the extract tells
        for row in rows:
            for cell, column in zip(row, extract.columns, strict=False):
                if cell == SEVERAL and column not in told:
                    told.add(column)
                    yield f"columns.{names[column][0]}", several_rows(names[column][0], extract.id_of(row))
