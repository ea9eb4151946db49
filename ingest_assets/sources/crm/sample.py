"""A sample CRM in the default schema, for trying things out, for tests and for measurements.

What belongs here: writing the file and its ground truth, and edits to it. The same arguments give the same
rows on every machine and release of Python; nothing comes from the clock.
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.crm.sample_records import Registry
from ingest_assets.sources.crm.sample_rows import (
    Correspondence,
    Row,
    moment,
    organisation_rows,
    person_rows,
)
from ingest_assets.sources.crm.sample_text import TextWriter
from ingest_assets.sources.crm.signature import beside

SCHEMA = Path(__file__).with_name("schema.sql")

_PEOPLE, _ORGANISATIONS, _OPPORTUNITIES = 0.15, 0.06, 0.07  # shares of documents; the rest are interactions
_EDITED_PEOPLE = 0.25  # share of the edits
_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class SampleTruth:
    """What was written. `clusters`: document id of each person and organisation -> that of its original."""

    path: Path
    truth_path: Path  # the clusters as CSV: id, cluster
    people: int
    organisations: int
    interactions: int
    opportunities: int
    clusters: dict[str, str]

    @property
    def documents(self) -> int:
        return self.people + self.organisations + self.interactions + self.opportunities


def write_sample(
    path: Path, documents: int, seed: int, duplicates: float = 0.08, *, overwrite: bool = False
) -> SampleTruth:
    """Write a CRM with `documents` documents (at least 2), in WAL mode, and `<path>.truth.csv`.

    `duplicates` is the share of people and organisations that duplicate another record. A file that is
    overwritten must not be open anywhere. Raises ConfigurationError when there is a file already.
    """
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder. Name the file to write.")
    if path.exists() and not overwrite:
        raise ConfigurationError(f"{path} exists. Choose another path, or ask for it to be overwritten.")
    organisations = max(1, round(documents * _ORGANISATIONS))
    people = max(1, round(documents * _PEOPLE))
    opportunities = round(documents * _OPPORTUNITIES)
    interactions = max(0, documents - organisations - people - opportunities)
    rng = Random(seed)  # noqa: S311 - for words, not for secrets
    registry = Registry(rng, duplicates)
    partial = path.with_name(f"{path.name}.partial")  # so that `path` is never half-written
    partial.unlink(missing_ok=True)
    with closing(sqlite3.connect(partial, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        tables, create_index, indexes = SCHEMA.read_text("utf-8").partition("CREATE INDEX")
        connection.executescript(tables)
        connection.execute("BEGIN")
        _insert(connection, "organisations", organisation_rows(registry, rng, organisations))
        _insert(connection, "people", person_rows(registry, rng, people))
        correspondence = Correspondence(registry, rng)
        numbers = iter(range(1, interactions + 1))
        while batch := list(islice(numbers, _BATCH)):
            rows = [correspondence.interaction(number) for number in batch]
            _insert(connection, "interactions", (row for row, _ in rows))
            _insert(connection, "interaction_participants", (pair for _, pairs in rows for pair in pairs))
        _insert(connection, "opportunities", map(correspondence.opportunity, range(1, opportunities + 1)))
        connection.execute("COMMIT")
        connection.executescript(create_index + indexes)
        connection.execute("PRAGMA journal_mode=WAL")
    for suffix in ("-wal", "-shm"):
        beside(path, suffix).unlink(missing_ok=True)
    partial.replace(path)
    clusters = {f"people/{i}": f"people/{p.original}" for i, p in enumerate(registry.people, 1)}
    for i, organisation in enumerate(registry.organisations, 1):
        clusters[f"organisations/{i}"] = f"organisations/{organisation.original}"
    truth_path = path.with_name(f"{path.name}.truth.csv")
    with truth_path.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("id", "cluster"), *clusters.items()])
    return SampleTruth(path, truth_path, people, organisations, interactions, opportunities, clusters)


def edit_sample(path: Path, seed: int, changes: int, deletes: int, inserts: int) -> list[str]:
    """Change, delete and insert rows, a quarter of them people, the rest interactions, in one transaction.

    Returns the sorted ids of all documents that were changed, deleted or added, including those that named a
    deleted person.
    """
    rng = Random(seed)  # noqa: S311 - for choices, not for secrets
    writer = TextWriter(rng)
    touched: set[str] = set()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("BEGIN IMMEDIATE")
        of_people = [round(count * _EDITED_PEOPLE) for count in (changes, deletes, inserts)]
        rest = [count - own for count, own in zip((changes, deletes, inserts), of_people, strict=True)]
        for table, (change, delete, insert) in (("people", of_people), ("interactions", rest)):
            numbers = [number for (number,) in connection.execute(f"SELECT id FROM {table} ORDER BY id")]
            chosen = rng.sample(numbers, min(len(numbers), change + delete))
            for number in chosen[:delete]:
                touched |= _naming(connection, number) if table == "people" else set()
                connection.execute(f"DELETE FROM {table} WHERE id = ?", (number,))
            for number in chosen[delete:]:
                _change(connection, writer, table, number)
            added = [_add(connection, writer, table) for _ in range(insert)]
            touched |= {f"{table}/{number}" for number in (*chosen, *added)}
        connection.execute("COMMIT")
    return sorted(touched)


def _insert(connection: sqlite3.Connection, table: str, rows: Iterable[Row]) -> None:
    rows = iter(rows)
    first = next(rows, None)
    if first is not None:
        sql = f"INSERT INTO {table} VALUES ({', '.join('?' * len(first))})"
        connection.execute(sql, first)
        connection.executemany(sql, rows)


def _change(connection: sqlite3.Connection, writer: TextWriter, table: str, number: int) -> None:
    note = f"\n\nAdded later: reference {writer.number(100_000, 999_999)}."
    column = "notes" if table == "people" else "body"
    sql = f"UPDATE {table} SET {column} = coalesce({column}, '') || ? WHERE id = ?"
    connection.execute(sql, (note, number))


def _naming(connection: sqlite3.Connection, person: int) -> set[str]:
    """Ids of the documents that name a person and refer to them."""
    sql = (
        "SELECT 'interactions/' || interaction_id FROM interaction_participants WHERE person_id = ?1 "
        "UNION SELECT 'opportunities/' || id FROM opportunities WHERE contact_id = ?1"
    )
    return {document_id for (document_id,) in connection.execute(sql, (person,))}


def _add(connection: sqlite3.Connection, writer: TextWriter, table: str) -> int:
    row: Row
    if table == "people":
        columns = "name, title, created_at"
        row = (f"Robin Newcomer {writer.number(1, 99_999)}", "Trainee", moment(writer))
    else:
        columns = "kind, subject, body, occurred_at"
        text = writer.interaction("note", "a new prospect", ["Robin", "Alexis"], "Greta Lindholm")
        row = ("note", *text, moment(writer))
    sql = f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(row))})"
    return int(connection.execute(sql, row).lastrowid or 0)
