"""The dictionaries of names: diseases, drugs, genes, with the ids that authorities gave them.

What belongs here: reading the package's data into tables that a text can be compared with. What does not:
deciding whether a word of a text is such a name (`names`, `symbols`).
"""

from __future__ import annotations

import gzip
import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.papers.extraction.words import GREEK, key

PACKAGE = "ingest_assets.sources.papers.dictionaries"
FILES = ("diseases.tsv.gz", "drugs.tsv.gz", "genes.tsv.gz", "words.toml")
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


@dataclass(frozen=True, eq=False)
class Dictionaries:
    """All names, folded. `phrases` and `symbols` hold positions in `entries`."""

    entries: tuple[Entry, ...]
    phrases: dict[str, int]
    genes: dict[str, int]  # phrases that name a gene too, where the drug is not meant
    # Of the phrases that are acronyms in the dictionary: they have to be written so. "AIDS" is no "aids".
    acronyms: frozenset[str]
    longest: dict[str, int]  # how many words the longest phrase has that starts with this word
    symbols: dict[str, tuple[Symbol, ...]]
    # The lists of words.toml.
    ambiguous: frozenset[str]  # symbols that are words
    only_defined: frozenset[str]  # symbols that count where the paper defines them
    beside: frozenset[str]
    product: frozenset[str]
    when_given: frozenset[str]
    given: frozenset[str]
    in_plural: frozenset[str]
    hormones: frozenset[str]  # neither drugs nor genes, unless they are given
    own: frozenset[str]
    no_drug_before: frozenset[str]
    not_before: frozenset[str]
    modifiers: frozenset[str]
    no_disease: frozenset[str]


def _folded(names: list[str]) -> frozenset[str]:
    return frozenset(key(name) for name in names)


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
    return hashlib.sha256(b"".join(hashlib.sha256(_raw(name)).digest() for name in FILES)).hexdigest()


@cache
def load() -> Dictionaries:
    """The dictionaries in the package, read once a process.

    Raises:
        ConfigurationError: the package's data is missing or damaged.
    """
    try:
        words = tomllib.loads(_raw("words.toml").decode())
        tables = {name: gzip.decompress(_raw(name)).decode() for name in FILES[:3]}
    except (EOFError, OSError, ValueError) as error:
        raise _unreadable(error) from error
    return _build(tables, words)


def _raw(name: str) -> bytes:
    try:
        return files(PACKAGE).joinpath(name).read_bytes()
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"The dictionaries of the papers' extractor cannot be read ({error}). Install the package again."
    )


class _Builder:
    def __init__(self, words: dict[str, Any]) -> None:
        self.entries: list[Entry] = []
        self.phrases: dict[str, int] = {}
        self.genes: dict[str, int] = {}
        self.acronyms: set[str] = set()
        self.symbols: dict[str, list[Symbol]] = {}
        self.never = {kind: _folded(words[kind]["never"]) for kind in ("diseases", "drugs", "genes")}

    def add(self, entity_class: str, name: str, *ids: tuple[str, str]) -> int:
        self.entries.append(Entry(entity_class, name, tuple(pair for pair in ids if pair[1])))
        return len(self.entries) - 1

    def names(self, kind: str, cell: str, entry: int) -> None:
        """Take in the names of an entry. The first of two entries of one name has it."""
        never, phrases = self.never[kind], self.phrases
        for name in cell.split("|"):
            if name in phrases:
                if kind == "genes":
                    self.genes.setdefault(name, entry)
            elif name.startswith("!"):
                self._acronym(name[1:], entry)
            elif name and name not in never:
                phrases[name] = entry

    def _acronym(self, name: str, entry: int) -> None:
        # Symbols of genes have rules of their own; of aliases the disease counts: "COPD".
        gene = any(each.approved for each in self.symbols.get(symbol_key(name), ()))
        if name not in self.phrases and not gene:
            self.phrases[name] = entry
            self.acronyms.add(name)

    def symbol(self, surface: str, entry: int, *, approved: bool) -> None:
        folded = symbol_key(surface)
        if len(folded) > 1 and not folded.isdigit():
            self.symbols.setdefault(folded, []).append(Symbol(surface, entry, approved))

    def longest(self) -> dict[str, int]:
        longest: dict[str, int] = {}
        for phrase in self.phrases:
            first, count = phrase.split(" ", 1)[0], phrase.count(" ") + 1
            if longest.get(first, 0) < count:
                longest[first] = count
        return longest

    # Symbols before names, since a name that is a symbol is left to the rules for symbols.

    def gene_symbols(self, table: str) -> list[tuple[int, str]]:
        """Take in the symbols; the genes with their names in words."""
        found = []
        for hgnc, uniprot, symbol, symbols, names in _rows(table, 5):
            family = not hgnc.startswith("HGNC:")
            field = "canonical_id" if family else "hgnc_id"
            entry = self.add("Gene", symbol, (field, hgnc), ("uniprot_id", uniprot))
            if not family:
                self.symbol(symbol, entry, approved=True)
            for each in filter(None, symbols.split("|")):
                self.symbol(each, entry, approved=family)
            found.append((entry, names))
        return found

    def diseases(self, table: str) -> None:
        for mesh, doid, umls, name, names in _rows(table, 5):
            entry = self.add("Disease", name, ("mesh_id", mesh), ("umls_id", umls), ("canonical_id", doid))
            self.names("diseases", names, entry)

    def drugs(self, table: str) -> None:
        for mesh, drugbank, name, names in _rows(table, 4):
            own = f"DrugBank:{drugbank}" if drugbank else ""
            entry = self.add("Drug", name, ("mesh_id", mesh), ("canonical_id", own))
            self.names("drugs", names, entry)


def _build(tables: dict[str, str], words: dict[str, Any]) -> Dictionaries:
    builder = _Builder(words)
    names = builder.gene_symbols(tables["genes.tsv.gz"])
    builder.diseases(tables["diseases.tsv.gz"])
    builder.drugs(tables["drugs.tsv.gz"])
    for entry, spellings in names:
        builder.names("genes", spellings, entry)
    return Dictionaries(
        entries=tuple(builder.entries),
        phrases=builder.phrases,
        genes=builder.genes,
        acronyms=frozenset(builder.acronyms),
        longest=builder.longest(),
        symbols={name: tuple(found) for name, found in builder.symbols.items()},
        ambiguous=frozenset(words["genes"]["words"]),
        only_defined=frozenset(words["genes"]["only_defined"]),
        beside=frozenset(words["genes"]["beside"]),
        product=_folded(words["genes"]["product"]),
        when_given=_folded(words["drugs"]["when_given"]),
        given=frozenset(words["drugs"]["given"]),
        hormones=builder.never["genes"],
        in_plural=_folded(words["drugs"]["in_plural"]),
        own=_folded(words["drugs"]["own"] + words["drugs"]["when_given"]),
        no_drug_before=frozenset(words["drugs"]["not_before"]),
        not_before=frozenset(words["diseases"]["not_before"]),
        modifiers=_folded(words["diseases"]["modifiers"]),
        no_disease=_folded(words["diseases"]["no_disease"]),
    )


def _rows(table: str, columns: int) -> Iterator[list[str]]:
    for line in table.splitlines()[1:]:
        row = line.split("\t")
        if len(row) != columns:
            raise ConfigurationError(
                f"A dictionary of the papers' extractor has a row of {len(row)} columns for {columns}. "
                "Install the package again."
            )
        yield row
