"""Every fault of a mapping file at once, with its line: those of its form, and where it does not fit the CRM.

The sentences are those of a refresh, which stops at the first kind of fault.

What belongs here: collecting and placing them. What does not: the checks themselves (`mapping`,
`extract`), and printing (`output`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ingest_assets.model import ConfigurationError, SourceUnavailableError
from ingest_assets.sources.crm.faults import Fault, Where, faults_of, place_of, value_at
from ingest_assets.sources.crm.mapping import DEFAULT_MAPPING, CrmMapping, FieldMapping, RefMapping
from ingest_assets.sources.crm.mapping_tools.partial import usable_entry
from ingest_assets.sources.crm.mapping_tools.positions import Position, Positions
from ingest_assets.sources.crm.place import crm_database, in_dialect
from ingest_assets.sources.crm.settings import CrmSettings

if TYPE_CHECKING:
    from ingest_assets.settings import Settings

_AT = re.compile(r"\s*\(at line (\d+), column (\d+)\)$")
_ENTRY = 2  # parts of the place of an entry
_AT_END = re.compile(r"\s*\(at end of document\)$")
_REF = re.compile(r"refs number (\d+)")


@dataclass(frozen=True, slots=True)
class PlacedFault:
    """A fault, and where in the file it is. Lines and columns count from 1."""

    line: int
    column: int
    place: str  # in words
    message: str


@dataclass(slots=True)
class Checked:
    """What is wrong with a file."""

    file: str
    kinds: int = 0  # entries that are right by themselves
    database: str = ""  # the one that the mapping was compared with; "" if with none
    not_compared: str = ""  # why, as a sentence
    unreadable: str = ""  # why the database could not be read
    faults: list[PlacedFault] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Whether a refresh can begin."""
        return not self.faults and not self.unreadable


def check(settings: Settings, path: Path) -> Checked:
    """Check a mapping file, against the database if one is configured and any entry can be.

    Raises ConfigurationError when the file cannot be read.
    """
    checked = Checked(str(path))
    text = _text_of(path)
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        checked.faults.append(_syntax(text, error))
        checked.not_compared = "Nothing else was checked, because the file is not valid TOML."
        return checked
    form, mapping, numbers = faults_in(data)
    mapping._origin = str(path)
    checked.kinds = len(mapping.documents)
    found = [*form, *_misfits(settings, checked, mapping, numbers)]
    positions = Positions(text)
    placed = [(positions.of(fault.where), fault) for fault in dict.fromkeys(found)]
    checked.faults = [_placed(at, fault, data) for at, fault in sorted(placed, key=lambda each: each[0])]
    return checked


def faults_in(data: dict[str, Any]) -> tuple[list[Fault], CrmMapping, list[int]]:
    """All faults of a file's form; the mapping of what is right in it, with its entries' numbers."""
    try:
        mapping = CrmMapping.model_validate(data)
    except ValidationError as error:
        found = faults_of(error, data)
    else:
        return [], mapping, list(range(len(mapping.documents)))
    # An entry or a field with a fault hides others: they are looked for in what is left without it.
    entries = data.get("documents")
    entries = entries if isinstance(entries, list) else []
    usable = {number: entry for number, each in enumerate(entries) if (entry := usable_entry(each, number))}
    for number, each in enumerate(entries):
        if isinstance(each, dict) and bool(each.get("table")) == bool(each.get("query")):
            found.append(Fault(("documents", number), "needs either table or query"))
    declared = data.get("fields")
    declared = declared if isinstance(declared, dict) else {}
    fields = {name: field for name, each in declared.items() if (field := _field(each))}
    mapping = CrmMapping.model_construct(documents=tuple(usable.values()), fields=fields)
    numbers = list(usable)
    names = [each.get("name") for each in entries if isinstance(each, dict)]
    others = {name for name in names if isinstance(name, str)}
    found += [_renumbered(fault, numbers) for fault in mapping.faults(others, declared)]
    return list(dict.fromkeys(found)), _usable(mapping), numbers


def _field(data: Any) -> FieldMapping | None:
    try:
        return FieldMapping.model_validate(data)
    except ValidationError:
        return None


def _usable(mapping: CrmMapping) -> CrmMapping:
    """Without what nothing can be made of: references to kinds that there are not, undeclared attributes.

    References keep their places in their entries, so that they have the same numbers.
    """
    widths = {entry.name: len(entry.key) for entry in mapping.documents}

    def usable(ref: RefMapping) -> bool:
        return ref.to in widths and (not ref.columns or len(ref.columns) == widths[ref.to])

    entries = []
    for entry in mapping.documents:
        myself = RefMapping(to=entry.name, columns=entry.key)
        refs = tuple(ref if usable(ref) else myself for ref in entry.refs)
        attributes = {name: text for name, text in entry.attributes.items() if name in mapping.fields}
        entries.append(entry.model_copy(update={"refs": refs, "attributes": attributes}))
    return CrmMapping.model_construct(documents=tuple(entries), fields=mapping.fields)


def _renumbered(fault: Fault, numbers: list[int]) -> Fault:
    match fault.where:
        case ["documents", int(number), *rest]:
            return Fault(("documents", numbers[number], *rest), fault.message)
        case _:
            return fault


def _misfits(
    settings: Settings, checked: Checked, mapping: CrmMapping, numbers: list[int]
) -> Iterator[Fault]:
    """What is wrong for the database; notes in `checked` what it was compared with."""
    database = crm_database(settings, mapping)
    if database is None:
        checked.not_compared = (
            "Neither CRM_DB_PATH nor CRM_DB_URL is set: tables, columns and queries were not looked at."
        )
        return
    if not mapping.documents:
        checked.not_compared = "No entry is right by itself: tables, columns and queries were not looked at."
        return
    if Path(checked.file) == DEFAULT_MAPPING:
        mapping = in_dialect(mapping, database.dialect)
    from ingest_assets.sources.crm.mapping_tools.confined import misfits_of
    from ingest_assets.sources.crm.reader import CrmSource

    limit = settings.of(CrmSettings).crm_max_document_chars
    try:
        found = misfits_of(settings, CrmSource(database, mapping, max_document_chars=limit))
    except (SourceUnavailableError, ConfigurationError) as error:
        checked.unreadable = str(error)
        return
    checked.database = database.identity
    for misfit in found:
        number = numbers[misfit.number]
        yield Fault(("documents", number, *_where(misfit.key)), misfit.message)


def _where(key: str) -> Where:
    """The place in an entry that a key of `Extract` stands for: header labels may have dots in them."""
    if ref := _REF.fullmatch(key):
        return "refs", int(ref[1]) - 1
    head, _, rest = key.partition(".")
    return (head, rest) if rest else (head,)


def _placed(at: Position, fault: Fault, data: dict[str, Any]) -> PlacedFault:
    where = fault.where
    while len(where) > _ENTRY and value_at(data, where) is None and value_at(data, where[:-1]) is None:
        where = where[:-1]  # an attribute that `filters` stands for
    return PlacedFault(at.line, at.column, place_of(where, data), fault.message)


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise ConfigurationError(f"The mapping file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"The mapping file {path} is not text in UTF-8: save it as UTF-8."
        ) from error


def _syntax(text: str, error: Exception) -> PlacedFault:
    said = str(error)
    if at := _AT.search(said):
        return PlacedFault(int(at[1]), int(at[2]), "the file", f"not valid TOML: {said[: at.start()]}")
    lines = text.split("\n")
    end = _AT_END.search(said)
    line, column = (len(lines), len(lines[-1]) + 1) if end else (1, 1)
    return PlacedFault(line, column, "the file", f"not valid TOML: {said[: end.start()] if end else said}")
