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
from ingest_assets.sources.crm.readings import UNREAD

_HEADERS = 10  # lines, which every chunk repeats
_LONG = 120  # characters of a value on average that make it a text, not a field
_TECHNICAL = w.CREATED | w.CHANGED | w.DELETED
_TAKEN = {each.name for each in (*COMMON_FIELDS, *BOUNDS)} | COMMON_PAYLOAD


def is_person(table: Table, columns: Columns) -> bool:
    if columns.take(w.GIVEN, own=True) or columns.take(w.FAMILY, own=True):
        return True
    noun = w.singular(w.words_of(table.noun))
    if w.joined(noun) not in w.PEOPLE_TABLES and not set(noun[-1:]) & w.PEOPLE_TABLES:
        return False
    # "nameFirstName" is a name in a table of people, and of whom an order is in others.
    if columns.take(w.GIVEN) and columns.take(w.FAMILY):
        return True
    return bool(columns.take(w.NAME, own=True)) and not columns.take(w.COMPANY, own=True)


def is_organisation(table: Table, columns: Columns) -> bool:
    noun = w.singular(w.words_of(table.noun))
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


def identify(kind: Kind, columns: Columns, *, person: bool) -> None:
    """Who a row is, for entity resolution; what of it people look for goes to the header too."""
    kind.identity = {"kind": "person" if person else "organisation"}
    kind.title_columns = _name_person(kind, columns) if person else _name_organisation(kind, columns)
    _reach(kind, columns, person=person)
    _number(kind, columns)
    _locate(kind, columns)
    kind.notes.append(
        f"taken for {'people' if person else 'organisations'}, which are resolved across documents"
    )


def _name_person(kind: Kind, columns: Columns) -> list[Column]:
    """What a person is called, does and was born; the columns of the name."""
    given = columns.first(w.GIVEN, own=True)
    family = columns.first(w.FAMILY, own=True)
    given = given or (columns.first(w.GIVEN_OR_NAME, own=True) if family else None)
    family = family or (columns.first(w.FAMILY_OR_NAME, own=True) if given else None)
    full = columns.first(w.NAME, own=True) if not (given or family) else None
    if not (given or family or full):
        given, family = columns.first(w.GIVEN), columns.first(w.FAMILY)
    parts = [each for each in (given, family) if each]
    parts = [full] if full else parts
    said = kind.identity
    said["name"] = " ".join(placeholder(each) for each in parts)
    said |= {key: placeholder(each) for key, each in (("given_name", given), ("family_name", family)) if each}
    if job := columns.first(w.JOB) or columns.first(w.JOB_OR_TITLE, own=True):
        said["title"] = kind.header["Title"] = placeholder(job)
    if company := columns.first(w.COMPANY):
        said["organisation"] = kind.header["Organisation"] = placeholder(company)
    if born := columns.first(w.BIRTH):
        said["birth_date"] = placeholder(born)
    return parts


def _name_organisation(kind: Kind, columns: Columns) -> list[Column]:
    full = columns.first(w.COMPANY, own=True) or columns.first(w.NAME, own=True)
    assert full is not None  # which made it one
    kind.identity["name"] = placeholder(full)
    return [full]


def _reach(kind: Kind, columns: Columns, *, person: bool) -> None:
    """Addresses, telephone numbers and web sites, each kept in one column or in several."""
    lists = {
        "emails": [*columns.having(w.EMAIL), *(c for c in columns.left if c.sample.mostly(c.sample.emails))],
        "phones": columns.having(w.PHONE),
    }
    if not person:
        sites = [*columns.take(w.WEB), *(c for c in columns.left if c.sample.mostly(c.sample.urls))]
        lists["domains"] = sites[:2]
    for key, found in lists.items():
        left = [each.name for each in columns.left]
        mine = {each.name: each for each in found if each.name in left}
        for column in mine.values():
            columns.used(column)
        if mine:
            kind.identity[key] = list(mine)
            label = {"emails": "Email", "phones": "Phone", "domains": "Web"}[key]
            first, *others = map(placeholder, mine.values())
            kind.header[label] = first + "".join(f"[, {other}]" for other in others)


def _number(kind: Kind, columns: Columns) -> None:
    """Numbers of their own, such as that of a tax office."""
    numbers = [c for c in columns.take(w.IDENTIFIERS) if c.sample.distinct == c.sample.filled]
    if numbers:
        kind.identity["identifiers"] = [columns.used(each).name for each in numbers]
        kind.notes.append("identifiers are taken for numbers that no two people or organisations share")


def _locate(kind: Kind, columns: Columns) -> None:
    for key, names in (("address", w.ADDRESS), ("place", w.PLACE), ("postcode", w.POSTCODE)):
        if column := columns.first(names):
            kind.identity[key] = placeholder(column)
    place, country = str(kind.identity.get("place", "")), columns.first(w.COUNTRY)
    if country is not None:
        place = f"{place}[, {placeholder(country)}]" if place else placeholder(country)
    if place:
        kind.header["Place"] = place


def set_title(kind: Kind, columns: Columns, noun: str) -> None:
    if not kind.title_columns:
        found = (
            columns.first(w.TITLE, own=True)
            or columns.first(w.NAME, own=True)
            or columns.first(frozenset([columns.prefix]), own=True)  # the column "city" of a table "cities"
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
    key = [slot(column) for column in kind.table.key if "\n" not in column]  # which no template can name
    kind.title = " ".join(list(map(placeholder, kind.title_columns)) or [escaped(noun.capitalize()), *key])


def set_time(kind: Kind, columns: Columns, *, identity: bool) -> None:
    """The column that says when it happened, else when it was entered, else when it was changed."""
    ranked = [(_rank_of_time(columns, each, identity=identity), each) for each in columns.left]
    found = sorted(((rank, n, each) for n, (rank, each) in enumerate(ranked) if rank is not None), key=_place)
    if not found:
        return
    column = columns.used(found[0][2])
    kind.time = column.name
    if others := [each.name for _, _, each in found[1:]]:
        kind.notes.append(f"time could also be: {', '.join(others)}")
    if not column.sample.mostly(column.sample.times):
        _set_format(kind, column)


def _place(found: tuple[int, int, Column]) -> tuple[int, int]:
    return found[:2]


def _rank_of_time(columns: Columns, column: Column, *, identity: bool) -> int | None:
    """How well a column would do as the time of a row, 0 the best; None if it holds no times."""
    sample, forms = column.sample, set(columns.forms(column))
    dated = sample.day_first + sample.month_first + sample.either_first
    by_type = re.search(r"date|time", column.type, re.IGNORECASE) is not None
    by_name = bool(forms & (w.HAPPENED | w.CREATED | w.CHANGED))
    if (sample.filled and not sample.mostly(sample.times + dated)) or not (sample.filled or by_type):
        return None
    if sample.mostly(sample.numbers) and not (by_name or by_type):
        return None
    if forms & w.BIRTH:
        return 5
    if forms & w.CHANGED:
        return 4
    if forms & w.CREATED:
        return 1
    return int(identity) if forms & w.HAPPENED else 2


def _set_format(kind: Kind, column: Column) -> None:
    """What rows tell of the order of day and month."""
    sample, by = column.sample, column.sample.separator
    day, month = f"%d{by}%m{by}%Y", f"%m{by}%d{by}%Y"
    if bool(sample.day_first) == bool(sample.month_first):
        kind.notes.append(
            f'which of day and month comes first is unclear: set time_format = "{day}" or "{month}"'
        )
        return
    kind.time_format = day if sample.day_first else month
    kind.notes.append("time_format is guessed from rows in which one of day and month is above 12")


def fill(kind: Kind, columns: Columns) -> None:
    """Texts, fields to filter by, and what is left: in the header, then in the body."""
    texts = _texts(kind, columns)
    _leave_out(kind, columns)
    states = columns.take(w.STATES)
    kind.filters += [each.name for each in states if _can_filter(kind, each)]
    ranked = [*states, *columns.take(w.AMOUNTS)]
    ranked += [c for c in columns.left if c not in ranked]
    lines = [placeholder(c) for c in texts]
    for column in ranked:
        if len(kind.header) < _HEADERS:
            kind.header[unique(label_of(column.name), kind.header)] = placeholder(column)
        else:
            lines.append(f"{escaped(label_of(column.name))}: {placeholder(column)}")
    lines += [str(kind.identity[key]) for key in ("address", "postcode") if key in kind.identity]
    kind.body = "\n".join(lines)


def _texts(kind: Kind, columns: Columns) -> list[Column]:
    texts = [c for c in columns.left if set(columns.forms(c)[:2]) & w.BODY or c.sample.average > _LONG]
    texts += [c for c in columns.take(w.BODY) if c not in texts and not c.sample.mostly(c.sample.numbers)]
    for column in texts:
        columns.used(column)
        if column.sample.tags * 2 > column.sample.filled > 0 and column.sample.html < column.sample.filled:
            kind.formats[column.name] = "html"
            kind.notes.append(f"{column.name} is read as HTML, because most of its values have tags")
    return texts


def _leave_out(kind: Kind, columns: Columns) -> None:
    """Columns without values, and those that serve the program."""
    empty = [c.name for c in columns.left if not c.sample.filled and kind.table.has_rows]
    columns.left = [c for c in columns.left if c.name not in empty]
    if empty:
        kind.notes.append(f"left out, because the rows looked at have nothing in them: {', '.join(empty)}")
    technical = [c.name for c in columns.left if _is_technical(columns, c)]
    columns.left = [c for c in columns.left if c.name not in technical]
    if technical:
        kind.notes.append(f"left out, because they look technical: {', '.join(technical)}")


def _is_technical(columns: Columns, column: Column) -> bool:
    forms = columns.forms(column)
    is_id = bool(set(w.words_of(column.name)[-1:]) & w.ID_ENDS)
    return is_id or bool(set(forms) & _TECHNICAL) or bool(set(forms[:2]) & w.TECHNICAL)


def _can_filter(kind: Kind, column: Column) -> bool:
    name = field_of(column.name)
    few = not kind.table.has_rows or bool(column.sample.values)
    return few and NAME.fullmatch(name) is not None and name not in _TAKEN and not name.startswith(UNREAD)
