"""The dictionaries of names: diseases, drugs, genes, with the ids that authorities gave them.

What belongs here: reading the package's data, as tables that a text can be compared with. What does not:
making these tables (`dictionary_tables`), and deciding whether a word of a text is such a name (`names`,
`symbols`).
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, overload

from pydantic_core import from_json

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.papers.extraction.words import GREEK, key

PACKAGE = "ingest_assets.sources.papers.dictionaries"
FILES = ("diseases.tsv.gz", "drugs.tsv.gz", "genes.tsv.gz", "words.toml")
COMPILED = "compiled.json.gz"  # all of them as `dictionary_tables` makes them
# The fields of `Dictionaries` that are lists in the compiled form.
SETS = (
    *(
        "acronyms",
        "ambiguous",
        "only_defined",
        "beside",
        "product",
        "no_gene",
        "when_given",
        "given",
        "in_plural",
    ),
    *("hormones", "own", "no_drug_before", "not_before", "modifiers", "no_disease"),
)
MIN_NAME_CHARS = 4  # shorter names are abbreviations, and count where a paper defines them


class Entry(NamedTuple):
    """What one name stands for."""

    entity_class: str  # "Disease", "Drug" or "Gene"
    name: str
    ids: tuple[
        tuple[str, str], ...
    ]  # (field of a bundle's entity, id), the first is of the highest authority


class Symbol(NamedTuple):
    """One spelling of a gene's symbol."""

    surface: str
    entry: int
    approved: bool  # the symbol itself or a family's, not an alias or a former symbol


class Entries(Sequence[Entry]):
    """Entries that are made when they are asked for: of 48,000 a paper needs a few hundred."""

    def __init__(self, rows: Sequence[str]) -> None:
        self._rows = rows  # class, name, and each field and id, with tabs between them

    @overload
    def __getitem__(self, at: int) -> Entry: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Entry]: ...
    def __getitem__(self, at: int | slice) -> Entry | Sequence[Entry]:
        if isinstance(at, slice):
            return Entries(self._rows[at])
        entity_class, name, *ids = self._rows[at].split("\t")
        return Entry(entity_class, name, tuple(zip(ids[::2], ids[1::2], strict=True)))

    def __len__(self) -> int:
        return len(self._rows)


class Symbols:
    """Symbols by key, in the same way."""

    def __init__(self, cells: Mapping[str, str]) -> None:
        self._cells = cells  # surface, entry, and "1" if it is approved, with tabs between all of them

    def __getitem__(self, name: str) -> tuple[Symbol, ...]:
        said = iter(self._cells[name].split("\t"))
        return tuple(
            Symbol(surface, int(entry), approved == "1")
            for surface, entry, approved in zip(said, said, said, strict=True)
        )

    def get(self, name: str) -> tuple[Symbol, ...]:
        """None, if no symbol has this key."""
        return self[name] if name in self._cells else ()


@dataclass(frozen=True, eq=False)
class Dictionaries:
    """All names, folded. `phrases` and `symbols` hold positions in `entries`."""

    entries: Entries
    phrases: dict[str, int]
    genes: dict[str, int]  # phrases that name a gene too, where the drug is not meant
    # Of the phrases that are acronyms in the dictionary: they have to be written so. "AIDS" is no "aids".
    acronyms: frozenset[str]
    longest: dict[str, int]  # how many words the longest phrase has that starts with this word
    symbols: Symbols
    # The lists of words.toml.
    ambiguous: frozenset[str]  # symbols that are words
    only_defined: frozenset[str]  # symbols that count where the paper defines them
    beside: frozenset[str]
    product: frozenset[str]
    no_gene: frozenset[str]
    when_given: frozenset[str]
    given: frozenset[str]
    in_plural: frozenset[str]
    hormones: frozenset[str]  # neither drugs nor genes, unless they are given
    own: frozenset[str]
    no_drug_before: frozenset[str]
    not_before: frozenset[str]
    modifiers: frozenset[str]
    no_disease: frozenset[str]

    def ids_of(self, entity_class: str, name: str) -> dict[str, str]:
        """The ids that authorities give what has this name, by the fields of a bundle's entity.

        None if the name is unknown in this class, or several things have it. Acronyms are no names: they mean
        too many things.
        """
        folded = key(name)
        numbers = {self.phrases.get(folded), self.genes.get(folded)} if folded not in self.acronyms else set()
        if entity_class == "Gene":
            written = [each for each in self.symbols.get(symbol_key(name)) if each.surface == name]
            approved = {each.entry for each in written if each.approved}
            numbers |= approved or {each.entry for each in written}
        found = [self.entries[number] for number in numbers if number is not None]
        ids = [dict(each.ids) for each in found if each.entity_class == entity_class]
        return ids[0] if len(ids) == 1 else {}


def symbol_key(surface: str) -> str:
    """A symbol without case, hyphens and Greek letters: "TGF-β1" and "TGFbeta1" are equal."""
    if surface.isascii():
        if surface.isalnum():
            return surface.upper()
    else:
        surface = "".join(GREEK.get(character, character) for character in surface)
    return re.sub(r"[^A-Z0-9]", "", surface.upper())


@cache
def digest() -> str:
    """Of the files. Cheap: a run with nothing to extract needs no more of them."""
    return hashlib.sha256(b"".join(hashlib.sha256(raw(name)).digest() for name in FILES)).hexdigest()


@cache
def load() -> Dictionaries:
    """The dictionaries in the package, read once a process.

    Raises:
        ConfigurationError: the package's data is missing or damaged.
    """
    try:
        tables: dict[str, Any] = from_json(gzip.decompress(raw(COMPILED)), cache_strings=False)
    except (EOFError, OSError, ValueError) as error:
        raise unreadable(error) from error
    if tables.get("digest") != digest():
        raise unreadable(f"{COMPILED} was made of others: compile it again")
    return Dictionaries(
        entries=Entries(tables["entries"]),
        symbols=Symbols(tables["symbols"]),
        phrases=tables["phrases"],
        genes=tables["genes"],
        longest=tables["longest"],
        **{name: frozenset(tables[name]) for name in SETS},
    )


def raw(name: str) -> bytes:
    """A file of the package's data. Raises ConfigurationError."""
    try:
        return files(PACKAGE).joinpath(name).read_bytes()
    except OSError as error:
        raise unreadable(error) from error


def unreadable(error: Exception | str) -> ConfigurationError:
    """What to raise when the data is missing or damaged."""
    return ConfigurationError(
        f"The dictionaries of the papers' extractor cannot be read ({error}). Install the package again."
    )
