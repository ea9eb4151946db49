"""From the facts of a database to a first mapping: which tables are documents, and what refers to what.

What belongs here: decisions about tables, each with the reason that the file tells. What does not: columns
(`roles`), facts (`schema`), words (`words`), and TOML (`written`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ingest_assets.sources.crm.mapping_tools import roles, stores
from ingest_assets.sources.crm.mapping_tools import words as w
from ingest_assets.sources.crm.mapping_tools.facts import Column, Reference, Schema, Table
from ingest_assets.sources.crm.mapping_tools.kind import Columns, Kind, label_of, slot, unique
from ingest_assets.sources.crm.mapping_tools.links import named_by, polymorphic
from ingest_assets.sources.crm.text import folded

_SPACED = " || ' ' || "
_SHORT_LIST = 3  # columns of a list of names, at most
_LOOKUP_COLUMNS = 8  # of a table whose names are shown with what refers to it, at most
_ENDS = 2  # of a link


@dataclass(slots=True)
class LeftOut:
    """A table or view without documents of its own."""

    name: str
    why: str


@dataclass(slots=True)
class Draft:
    kinds: list[Kind]
    left_out: list[LeftOut]


def draft(schema: Schema) -> Draft:
    """Every table is a document, a link between documents, or left out with a reason."""
    tables = [table for table in schema.tables if not table.is_view]
    if not any(table.key for table in tables):
        tables = list(schema.tables)
    left_out = [LeftOut(t.name, "a view: it repeats tables. Name it under `table` to use it")
                for t in schema.tables if t not in tables]  # fmt: skip
    kinds: list[Kind] = []
    links: list[Table] = []
    found: dict[str, Columns] = {}
    prefix = w.shared_prefix([table.noun for table in tables])
    for table in tables:
        if why := _unfit(table, prefix):
            left_out.append(LeftOut(table.name, why))
        elif _is_link(table):
            links.append(table)
        else:
            columns = found[table.name] = Columns(table)
            kinds.append(_kind(table, columns, {each.name for each in kinds}, prefix))
    gone = stores.attach(kinds)
    left_out += [LeftOut(name, why) for name, why in gone.items()]
    kinds = [kind for kind in kinds if kind.table.name not in gone]
    by_table = {folded(kind.table.name): kind for kind in kinds}
    others = {folded(table.name): table for table in tables if folded(table.name) not in by_table}
    for kind in kinds:
        _refer(kind, by_table, others)
        _refer_by_type(kind, kinds, found[kind.table.name])
    left_out += [LeftOut(table.name, _link(table, by_table)) for table in links]
    for kind in kinds:
        roles.fill(kind, found[kind.table.name])
    return Draft(kinds, sorted(left_out, key=lambda each: each.name))


def _unfit(table: Table, prefix: str) -> str:
    words = w.without(prefix, w.words_of(table.noun))
    if not table.key:
        return "no column, alone, tells its rows apart. Write a query with a key"
    if {w.joined(w.singular(words)), *w.singular(words)[-1:], *words[:1]} & w.TECHNICAL_TABLES:
        return "its name says that it serves the program, not people"
    is_list = set(w.singular(words)[-1:]) & w.LOOKUP_TABLES or set(words[:-1][:1]) & w.LOOKUP_STARTS
    if is_list and len(table.columns) <= _SHORT_LIST:
        return "a short list of names; they are shown with the documents that refer to it"
    return ""


def _is_link(table: Table) -> bool:
    """Whether rows only say that others belong together: references, numbers and times."""
    referring = {folded(column) for ref in table.trusted for column in ref.columns}
    rest = [
        each for each in table.columns if folded(each.name) not in referring | set(map(folded, table.key))
    ]
    texts = [
        c for c in rest if c.sample.filled and not c.sample.mostly(max(c.sample.numbers, c.sample.times))
    ]
    named = [c for c in rest if set(Columns(table).forms(c)) & (w.NAME | w.TITLE | w.BODY | w.EMAIL)]
    return len(table.trusted) >= _ENDS and not texts and not named


def _kind(table: Table, columns: Columns, taken: set[str], prefix: str) -> Kind:
    words = w.without(prefix, w.words_of(table.noun))
    name = unique("_".join(re.findall(r"[a-z0-9]+", " ".join(words))) or "documents", taken)
    noun = " ".join(w.singular(words)) or name
    person, organisation = roles.is_person(table, columns), roles.is_organisation(table, columns)
    kind = Kind(name, table, [], "", "person" if person else "organisation" if organisation else noun)
    for column in {each.name: each for each in columns.take(w.SECRET) + columns.having(w.SECRET)}.values():
        columns.used(column)
        kind.notes.append(f"left out, because it looks secret: {column.name}")
    roles.leave_deleted(kind, columns)
    roles.tell_key(kind)
    key = {folded(column) for column in table.key}
    columns.left = [each for each in columns.left if folded(each.name) not in key or len(key) > 1]
    if person or organisation:
        roles.identify(kind, columns, person=person)
    roles.set_title(kind, columns, noun)
    roles.set_time(kind, columns, identity=bool(kind.identity))
    return kind


def _refer(kind: Kind, by_table: dict[str, Kind], others: dict[str, Table]) -> None:
    """By its own columns; the names of what it refers to are shown. `others` have no documents."""
    for ref in kind.table.references:
        shown = ", ".join(ref.columns)
        if ref not in kind.table.trusted:
            kind.notes.append(
                f"{shown} is named after {ref.table}, but {ref.found} of {ref.looked_up} values are there: "
                "no reference"
            )
        elif (target := by_table.get(folded(ref.table))) is not None:
            _refer_to(kind, ref, target)
        elif (label := _label(others.get(folded(ref.table)))) is not None:
            other, column = label
            kind.notes.append(f"{shown} stands for {column.name} of {other.name}, which is shown")
            _show(kind, ref, other, [column])
        else:
            kind.notes.append(f"{shown} refers to {ref.table}, which has no documents")


def _refer_to(kind: Kind, ref: Reference, target: Kind) -> None:
    if not ref.declared:
        found = (
            f"{ref.found} of {ref.looked_up} values are there"
            if ref.looked_up
            else "there are no rows to tell"
        )
        kind.notes.append(
            f"{', '.join(ref.columns)} is taken for a reference to {ref.table}: a guess by its name; {found}"
        )
    if tuple(map(folded, ref.referred)) == tuple(map(folded, target.table.key)):
        kind.refs.append({"to": target.name, "columns": list(ref.columns)})
    else:
        keys = ", ".join(f"other.{target.table.quoted(column)}" for column in target.table.key)
        kind.refs.append({"to": target.name, "query": f"SELECT {keys} FROM {_joined(ref, target.table)}"})
    if target.title_columns:
        _show(kind, ref, target.table, target.title_columns)


def _label(table: Table | None) -> tuple[Table, Column] | None:
    """The column of a list of names that says what its rows are."""
    if table is None or len(table.columns) > _LOOKUP_COLUMNS:
        return None
    columns = Columns(table)
    texts = [
        each
        for each in columns.left
        if each.name not in table.key and each.sample.filled
        if not each.sample.mostly(max(each.sample.numbers, each.sample.times))
    ]
    named = [each for each in columns.take(w.NAME | w.TITLE) if each in texts]
    found = named or (texts if len(texts) == 1 else [])
    return (table, found[0]) if found else None


def _joined(ref: Reference, other: Table) -> str:
    pairs = zip(ref.referred, ref.columns, strict=True)
    where = " AND ".join(f"other.{other.quoted(one)} = document.{other.quoted(mine)}" for one, mine in pairs)
    return f"{other.sql} AS other WHERE {where}"


def _text_sql(table: Table, columns: Sequence[Column]) -> str:
    names = [f"other.{table.quoted(each.name)}" for each in columns]
    if table.dialect != "sqlite":
        return f"trim(concat_ws(' ', {', '.join(names)}))"
    filled = [f"coalesce({name}, '')" for name in names]
    return f"trim({_SPACED.join(filled)})"


def _show(kind: Kind, ref: Reference, other: Table, columns: Sequence[Column]) -> None:
    """What a reference leads to, in words."""
    base = [x for x in w.words_of(ref.columns[0]) if x not in w.ID_ENDS] or w.words_of(ref.table)
    name = "_".join(base) or "other"
    column = unique(f"{name}_name", [*(c.name for c in kind.table.columns), *kind.columns])
    kind.columns[column] = f"SELECT {_text_sql(other, columns)} FROM {_joined(ref, other)} LIMIT 1"
    kind.header[unique(label_of(name), kind.header)] = slot(column)


def _refer_by_type(kind: Kind, kinds: Sequence[Kind], columns: Columns) -> None:
    tables = [each.table for each in kinds]
    for type_, key in polymorphic(kind.table):
        columns.left = [c for c in columns.left if c.name not in {type_.name, key.name}]
        named = {value: named_by(value, tables) for value in type_.sample.values}
        for value, table in named.items():
            target = next((each for each in kinds if each.table is table), None)
            if target is None or len(target.table.key) != 1:
                kind.notes.append(f"{type_.name} {value!r} names no documents: no reference")
                continue
            literal = "'" + value.replace("'", "''") + "'"
            quoted = kind.table.quoted
            sql = f"SELECT document.{quoted(key.name)} WHERE document.{quoted(type_.name)} = {literal}"
            kind.refs.append({"to": target.name, "query": sql})
        if not named:
            kind.notes.append(
                f"{key.name} refers to what {type_.name} says, of which there are no values to tell"
            )


def _link(table: Table, by_table: dict[str, Kind]) -> str:
    """Have one kind refer to the other through a table of links; says so."""
    ends = [(ref, by_table[folded(ref.table)]) for ref in table.trusted if folded(ref.table) in by_table]
    if len(ends) < _ENDS:
        return "a table of links, of which only one end is a document"
    ends.sort(key=lambda end: {"person": 1, "organisation": 2}.get(str(end[1].identity.get("kind")), 0))
    (ref, kind), *others = ends
    told = []
    for other_ref, other in others:
        if any(
            tuple(map(folded, r.referred)) != tuple(map(folded, k.table.key))
            for r, k in ((ref, kind), (other_ref, other))
        ):
            continue
        keys = ", ".join(f"link.{table.quoted(column)}" for column in other_ref.columns)
        pairs = zip(ref.columns, ref.referred, strict=True)
        quoted = table.quoted
        where = " AND ".join(f"link.{quoted(mine)} = document.{quoted(one)}" for mine, one in pairs)
        deleted = next(
            (c for c in Columns(table).take(w.DELETED, own=True) if set(c.sample.values) <= {"0", "1"}), None
        )
        if deleted:
            where += f" AND {table.is_off('link.' + table.quoted(deleted.name))}"
        kind.refs.append({"to": other.name, "query": f"SELECT {keys} FROM {table.sql} AS link WHERE {where}"})
        told.append(other.name)
    return (
        f"a table of links: {kind.name} refer to {', '.join(told)} through it" if told else "a table of links"
    )
