"""What the columns of one table are for: names, addresses, titles, times, texts, marks of deleted rows.

What belongs here: decisions about one table by itself. What does not: its references (`draft`).
"""

from __future__ import annotations

import re

from ingest_assets.fields import BOUNDS, COMMON_FIELDS, NAME
from ingest_assets.model import COMMON_PAYLOAD
from ingest_assets.sources.crm.mapping import field_of
from ingest_assets.sources.crm.mapping_tools import words as w
from ingest_assets.sources.crm.mapping_tools.facts import Column, Table, as_text
from ingest_assets.sources.crm.mapping_tools.kind import (
    Columns,
    Kind,
    escaped,
    label_of,
    placeholder,
    slot,
    unique,
)

_HEADERS = 10  # lines, which every chunk repeats
_LONG = 120  # characters of a value on average that make it a text, not a field
_TAKEN = {each.name for each in (*COMMON_FIELDS, *BOUNDS)} | COMMON_PAYLOAD


def is_person(table: Table, columns: Columns) -> bool:
    given, family = columns.take(w.GIVEN, own=True), columns.take(w.FAMILY, own=True)
    named = w.joined(w.singular(w.words_of(table.name))) in w.PEOPLE_TABLES or bool(
        set(w.singular(w.words_of(table.name))[-1:]) & w.PEOPLE_TABLES
    )
    if given or family:
        return True
    own_company = columns.take(w.COMPANY, own=True)
    return named and bool(columns.take(w.NAME, own=True)) and not own_company


def is_organisation(table: Table, columns: Columns) -> bool:
    noun = w.singular(w.words_of(table.name))
    named = w.joined(noun) in w.ORGANISATION_TABLES or bool(set(noun[-1:]) & w.ORGANISATION_TABLES)
    return named and bool(columns.take(w.NAME | w.COMPANY, own=True))


def leave_deleted(kind: Kind, columns: Columns) -> None:
    for column in columns.take(w.DELETED, own=True)[:1]:
        columns.used(column)
        name, sample = kind.table.quoted(column.name), column.sample
        values = {value.lower() for value in sample.values}
        if (sample.filled and sample.mostly(sample.times)) or (
            not sample.filled and w.words_of(column.name)[-1] in {"at", "on", "date"}
        ):
            kind.where = f"{name} IS NULL"
        elif values <= {"0", "1"}:
            kind.where = kind.table.is_off(name)
        elif values <= {"n", "no", "false", "f", "y", "yes", "true", "t", "nein", "ja", "non", "oui"}:
            text = name if kind.table.dialect == "sqlite" else as_text(name, kind.table.dialect)
            kind.where = f"lower(coalesce({text}, 'n')) IN ('n', 'no', 'false', 'f', 'nein', 'non')"
        else:
            kind.notes.append(f"{column.name} may say that a row is deleted: such rows are not left out")
            continue
        kind.notes.append(f"rows that {column.name} marks as deleted are left out")
    for column in columns.take(w.ARCHIVED, own=True)[:1]:
        kind.notes.append(f"{column.name} may say that a row is no longer in use: such rows are not left out")


def tell_key(kind: Kind) -> None:
    table = kind.table
    if table.key_is == "rowid":
        kind.notes.append("no key is declared: the rowid is used, which changes if the table is written anew")
    elif table.key_is == "found":
        kind.notes.append("no key is declared: guessed, because it is unique in the rows there are")
    elif table.key_is == "unique":
        kind.notes.append("no primary key is declared: the key is that of a unique index")
    if table.null_keys:
        filled = " AND ".join(f"{table.quoted(column)} IS NOT NULL" for column in table.key)
        kind.where = f"{kind.where} AND {filled}" if kind.where else filled
        kind.notes.append("rows without a key are left out")


def identify(kind: Kind, columns: Columns, *, person: bool) -> None:  # noqa: C901, PLR0912 - one case each
    said: dict[str, object] = {"kind": "person" if person else "organisation"}
    parts: list[Column] = []
    if person:
        given = columns.first(w.GIVEN, own=True)
        family = columns.first(w.FAMILY, own=True)
        given = given or (columns.first(w.GIVEN_OR_NAME, own=True) if family else None)
        family = family or (columns.first(w.FAMILY_OR_NAME, own=True) if given else None)
        parts = [each for each in (given, family) if each]
        full = columns.first(w.NAME, own=True) if not parts else None
        parts = [full] if full else parts
        said["name"] = " ".join(placeholder(each) for each in parts)
        said |= {
            key: placeholder(each) for key, each in (("given_name", given), ("family_name", family)) if each
        }
        if job := columns.first(w.JOB) or columns.first(w.JOB_OR_TITLE, own=True):
            said["title"] = placeholder(job)
            kind.header["Title"] = placeholder(job)
        if company := columns.first(w.COMPANY):
            said["organisation"] = placeholder(company)
            kind.header["Organisation"] = placeholder(company)
        if born := columns.first(w.BIRTH):
            said["birth_date"] = placeholder(born)
    else:
        full = columns.first(w.COMPANY, own=True) or columns.first(w.NAME, own=True)
        assert full is not None
        parts = [full]
        said["name"] = placeholder(full)
    kind.title_columns = parts
    lists = {
        "emails": [*columns.having(w.EMAIL), *(c for c in columns.left if c.sample.mostly(c.sample.emails))],
        "phones": columns.having(w.PHONE),
    }
    if not person:
        sites = [*columns.take(w.WEB), *(c for c in columns.left if c.sample.mostly(c.sample.urls))]
        lists["domains"] = sites[:2]
    for key, found in lists.items():
        unique = [
            c for c in dict.fromkeys(each.name for each in found) if any(x.name == c for x in columns.left)
        ]
        for name in unique:
            columns.used(next(c for c in columns.left if c.name == name))
        if unique:
            said[key] = unique
            label = {"emails": "Email", "phones": "Phone", "domains": "Web"}[key]
            first = next(c for c in kind.table.columns if c.name == unique[0])
            others = [c for c in kind.table.columns if c.name in unique[1:]]
            kind.header[label] = placeholder(first) + "".join(f"[, {placeholder(c)}]" for c in others)
    numbers = [c for c in columns.take(w.IDENTIFIERS) if c.sample.distinct == c.sample.filled]
    if numbers:
        said["identifiers"] = [columns.used(each).name for each in numbers]
        kind.notes.append("identifiers are taken for numbers that no two people or organisations share")
    for key, names in (("address", w.ADDRESS), ("place", w.PLACE), ("postcode", w.POSTCODE)):
        if column := columns.first(names):
            said[key] = placeholder(column)
    country = columns.first(w.COUNTRY)
    place = [str(said["place"])] if "place" in said else []
    if place or country:
        kind.header["Place"] = "".join(
            [
                *place,
                f"[, {placeholder(country)}]"
                if country and place
                else placeholder(country)
                if country
                else "",
            ]
        )
    kind.identity = said
    kind.notes.append(
        f"taken for {'people' if person else 'organisations'}, which are resolved across documents"
    )


def set_title(kind: Kind, columns: Columns, noun: str) -> None:
    if not kind.title_columns:
        found = (
            columns.first(w.TITLE, own=True)
            or columns.first(w.NAME, own=True)
            or columns.first(w.TITLE | w.NAME)
        )
        if found is None and (number := columns.first(w.NUMBER, own=True)):
            kind.title_columns, kind.title = [number], f"{escaped(noun.capitalize())} {placeholder(number)}"
            return
        if found is None:
            short = [
                c
                for c in columns.left
                if c.sample.filled
                and not c.sample.mostly(max(c.sample.numbers, c.sample.times))
                and c.sample.longest <= _LONG
            ]
            found = columns.used(short[0]) if short and not kind.table.references else None
            kind.notes.append("no column looks like a title" + (f": {found.name} is used" if found else ""))
        kind.title_columns = [found] if found else []
    key = " ".join(slot(column) for column in kind.table.key)
    kind.title = " ".join(map(placeholder, kind.title_columns)) or f"{escaped(noun.capitalize())} {key}"


def set_time(kind: Kind, columns: Columns, *, identity: bool) -> None:  # noqa: C901 - one case each
    found: list[tuple[int, int, Column]] = []
    for number, column in enumerate(columns.left):
        sample, forms = column.sample, set(columns.forms(column))
        dated = sample.day_first + sample.month_first + sample.either_first
        by_type = re.search(r"date|time", column.type, re.IGNORECASE) is not None
        by_name = bool(forms & (w.HAPPENED | w.CREATED | w.CHANGED))
        if (sample.filled and not sample.mostly(sample.times + dated)) or not (sample.filled or by_type):
            continue
        if sample.mostly(sample.numbers) and not (by_name or by_type):
            continue
        rank = 4 if forms & w.CHANGED else 1 if forms & w.CREATED else 0 if forms & w.HAPPENED else 2
        if forms & w.BIRTH:
            rank = 5
        if identity and rank == 0:
            rank = 1
        found.append((rank, number, column))
    if not found:
        return
    column = columns.used(min(found, key=lambda each: each[:2])[2])
    kind.time = column.name
    sample = column.sample
    others = [each.name for _, _, each in sorted(found, key=lambda each: each[:2]) if each is not column]
    if others:
        kind.notes.append(f"time could also be: {', '.join(others)}")
    if sample.mostly(sample.times):
        return
    by = sample.separator
    day, month = f"%d{by}%m{by}%Y", f"%m{by}%d{by}%Y"
    if sample.day_first and not sample.month_first:
        kind.time_format = day
    elif sample.month_first and not sample.day_first:
        kind.time_format = month
    else:
        kind.notes.append(
            f'which of day and month comes first is unclear: set time_format = "{day}" or "{month}"'
        )
        return
    kind.notes.append("time_format is guessed from rows in which one of day and month is above 12")


def fill(kind: Kind, columns: Columns) -> None:
    """Texts, fields to filter by, and what is left: in the header, then in the body."""
    texts = [c for c in columns.left if set(columns.forms(c)[:2]) & w.BODY or c.sample.average > _LONG]
    texts += [c for c in columns.take(w.BODY) if c not in texts and not c.sample.mostly(c.sample.numbers)]
    for column in texts:
        columns.used(column)
        if column.sample.tags * 2 > column.sample.filled > 0 and column.sample.html < column.sample.filled:
            kind.formats[column.name] = "html"
            kind.notes.append(f"{column.name} is read as HTML, because most of its values have tags")
    empty = [c.name for c in columns.left if not c.sample.filled and kind.table.has_rows]
    columns.left = [c for c in columns.left if c.name not in empty]
    if empty:
        kind.notes.append(f"left out, because the rows looked at have nothing in them: {', '.join(empty)}")
    dull = [c.name for c in columns.left if set(columns.forms(c)) & (w.CHANGED | w.DELETED)
            or (w.words_of(c.name)[-1:] and w.words_of(c.name)[-1] in w.ID_ENDS)]  # fmt: skip
    columns.left = [c for c in columns.left if c.name not in dull]
    if dull:
        kind.notes.append(f"left out, because they look technical: {', '.join(dull)}")
    for column in columns.take(w.STATES):
        name = field_of(column.name)
        few = not kind.table.has_rows or column.sample.values
        if few and NAME.fullmatch(name) and name not in _TAKEN and not name.startswith("unread_"):
            kind.filters.append(column.name)
    ranked = [*columns.take(w.STATES), *columns.take(w.AMOUNTS)]
    ranked += [c for c in columns.left if c not in ranked]
    lines = ["".join(placeholder(c)) for c in texts]
    for column in ranked:
        if len(kind.header) < _HEADERS:
            kind.header[unique(label_of(column.name), kind.header)] = placeholder(column)
        else:
            lines.append(f"{escaped(label_of(column.name))}: {placeholder(column)}")
    lines += [str(kind.identity[key]) for key in ("address", "postcode") if key in kind.identity]
    kind.body = "\n".join(lines)
