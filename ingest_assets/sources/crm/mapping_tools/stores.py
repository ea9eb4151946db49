"""E-mail addresses that are kept in a table of their own, and linked to people by tables or types.

What belongs here: finding such tables, and the queries for an identity. What does not: addresses in columns
of the people themselves (`roles`).
"""

from __future__ import annotations

from collections.abc import Sequence

from ingest_assets.sources.crm.mapping_tools import words as w
from ingest_assets.sources.crm.mapping_tools.facts import Column, Table
from ingest_assets.sources.crm.mapping_tools.kind import Columns, Kind
from ingest_assets.sources.crm.mapping_tools.links import named_by, polymorphic
from ingest_assets.sources.crm.text import folded


def attach(kinds: Sequence[Kind]) -> dict[str, str]:
    """Have identities ask for their addresses; the tables that are no documents therefore, and why."""
    gone: dict[str, str] = {}
    people = [kind for kind in kinds if kind.identity and len(kind.table.key) == 1]
    for kind in kinds:
        address = _address(kind)
        if address is None:
            continue
        for other in kinds:
            for named in _linked(other.table, kind.table, people):
                person, sql = named
                if "emails" in person.identity:
                    continue
                column = f"other.{kind.table.quoted(address.name)}"
                person.identity["emails"] = {"query": sql.format(column=column)}
                person.notes.append(f"addresses are those of {kind.table.name}, through {other.table.name}")
                gone[kind.table.name] = f"addresses, which are those of {person.name}"
                gone.setdefault(other.table.name, f"it links {person.name} with their addresses")
    return gone


def _address(kind: Kind) -> Column | None:
    """The column of addresses of a table that holds little else."""
    if kind.identity or len(kind.table.key) != 1:
        return None
    columns = Columns(kind.table)
    if columns.take(w.BODY) or columns.take(w.TITLE, own=True):
        return None
    found = [c for c in columns.having(w.EMAIL) if c.sample.mostly(c.sample.emails)]
    return found[0] if found else None


def _linked(link: Table, store: Table, people: Sequence[Kind]) -> list[tuple[Kind, str]]:
    """People whose addresses a table of links knows by a type and an id, with the query for them."""
    to_store = next((r for r in link.references if folded(r.table) == folded(store.name)), None)
    if to_store is None:
        return []
    found = []
    for type_, key in polymorphic(link):
        for value in type_.sample.values:
            table = named_by(value, [each.table for each in people])
            person = next((each for each in people if each.table is table), None)
            if person is not None:
                literal = "'" + value.replace("'", "''") + "'"
                where = (
                    f"other.{store.quoted(store.key[0])} = link.{link.quoted(to_store.columns[0])} "
                    f"WHERE link.{link.quoted(key.name)} = document.{link.quoted(person.table.key[0])} "
                    f"AND link.{link.quoted(type_.name)} = {literal}{_kept(link)}"
                )
                tables = f"{link.sql} AS link JOIN {store.sql} AS other ON {where}"
                found.append((person, "SELECT {column} FROM " + tables.replace("{", "{{").replace("}", "}}")))
    return found


def _kept(link: Table) -> str:
    deleted = [c for c in Columns(link).take(w.DELETED, own=True) if set(c.sample.values) <= {"0", "1"}]
    return f" AND {link.is_off('link.' + link.quoted(deleted[0].name))}" if deleted else ""
