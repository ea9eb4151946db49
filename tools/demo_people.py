"""The people of the demo: a known duplicate, and a second card that cannot be resolved yet.

What belongs here: choosing them, and the edits in the sample CRM that tell the story of one entity.
"""

from __future__ import annotations

import csv
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Person:
    """One row of the sample's people."""

    number: int
    name: str

    @property
    def document_id(self) -> str:
        return f"people/{self.number}"


def duplicate(crm: Path) -> Person:
    """The first person who has a second record, by the sample's true entities."""
    records = defaultdict(list)
    for record, original in _truth(crm):
        records[original].append(record)
    first = next(r for r in records.values() if len(r) > 1 and r[0].startswith("people/"))[0]
    with _opened(crm) as connection:
        return _person(connection, int(first.partition("/")[2]))


def second_card(crm: Path) -> tuple[Person, Person]:
    """Enter somebody a second time, with nothing in common but the name: (the first card, the second)."""
    alone = [record for record, original in _truth(crm) if record == original]
    doubled = {original for record, original in _truth(crm) if record != original}
    with _opened(crm) as connection:
        first = next(
            _person(connection, int(record.partition("/")[2]))
            for record in alone
            if record.startswith("people/") and record not in doubled and _reachable(connection, record)
        )
        row = (first.name, "private@home.example.net", "Asked for the brochure at the trade fair.")
        added = connection.execute("INSERT INTO people (name, email, notes) VALUES (?, ?, ?)", row).lastrowid
        return first, Person(int(added or 0), first.name)


def fill_in(crm: Path, first: Person, second: Person) -> None:
    """The second card gets the first one's work address and telephone: now it can be resolved."""
    with _opened(crm) as connection:
        connection.execute(
            "UPDATE people SET second_email = email, (email, phone, organisation_id) = "
            "(SELECT email, phone, organisation_id FROM people WHERE id = ?) WHERE id = ?",
            (first.number, second.number),
        )


def promote(crm: Path, person: Person) -> None:
    """An edit that does not change who a record is about."""
    with _opened(crm) as connection:
        connection.execute("UPDATE people SET title = 'Managing Director' WHERE id = ?", (person.number,))


def _truth(crm: Path) -> list[tuple[str, str]]:
    with crm.with_name(f"{crm.name}.truth.csv").open(encoding="utf-8", newline="") as file:
        return [(row["id"], row["cluster"]) for row in csv.DictReader(file)]


@contextmanager
def _opened(crm: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(crm)) as connection, connection:
        yield connection


def _person(connection: sqlite3.Connection, number: int) -> Person:
    (name,) = connection.execute("SELECT name FROM people WHERE id = ?", (number,)).fetchone()
    return Person(number, name)


def _reachable(connection: sqlite3.Connection, record: str) -> bool:
    """Whether a record has an e-mail address, a telephone, and a name that nobody else has."""
    query = (
        "SELECT 1 FROM people AS p WHERE id = ? AND email IS NOT NULL AND phone IS NOT NULL "
        "AND (SELECT count(*) FROM people WHERE name = p.name) = 1"
    )
    return connection.execute(query, (int(record.partition("/")[2]),)).fetchone() is not None
