"""The tables of names as a text is compared with them, made of the package's data.

Making them takes a third of a second, so they are compiled into a file beside the data, when it changes:

    python -m ingest_assets.sources.papers.extraction.dictionary_tables

What belongs here: which name of the data stands for what. What does not: what the data is made from
(`dictionaries.compile`), and reading the tables (`extraction.dictionaries`).
"""

from __future__ import annotations

import gzip
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.papers.extraction.dictionaries import (
    COMPILED,
    FILES,
    digest,
    raw,
    symbol_key,
    unreadable,
)
from ingest_assets.sources.papers.extraction.words import key


def _folded(names: list[str]) -> frozenset[str]:
    return frozenset(key(name) for name in names)


class _Builder:
    def __init__(self, words: dict[str, Any]) -> None:
        self.entries: list[str] = []
        self.phrases: dict[str, int] = {}
        self.genes: dict[str, int] = {}
        self.acronyms: set[str] = set()
        self.symbols: dict[str, str] = {}
        self.approved: set[str] = set()  # keys
        self.more: dict[str, list[str]] = words["genes"]["more"]
        self.never = {kind: _folded(words[kind]["never"]) for kind in ("diseases", "drugs", "genes")}

    def add(self, entity_class: str, name: str, *ids: tuple[str, str]) -> int:
        self.entries.append(
            "\t".join([entity_class, name, *(cell for pair in ids if pair[1] for cell in pair)])
        )
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
        if name not in self.phrases and symbol_key(name) not in self.approved:
            self.phrases[name] = entry
            self.acronyms.add(name)

    def symbol(self, surface: str, entry: int, *, approved: bool) -> None:
        folded = symbol_key(surface)
        if len(folded) > 1 and not folded.isdigit():
            said = f"{surface}\t{entry}\t{approved:d}"
            before = self.symbols.get(folded)
            self.symbols[folded] = said if before is None else f"{before}\t{said}"
            if approved:
                self.approved.add(folded)

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
                if "-" not in each or key(each) not in self.never["genes"]:
                    self.symbol(each, entry, approved=family)
            found.append((entry, "|".join(filter(None, (names, *map(key, self.more.get(hgnc, ())))))))
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


def build() -> dict[str, Any]:
    """The tables, in a form that JSON has: as `dictionaries.load` wants them.

    Raises:
        ConfigurationError: the package's data is missing or damaged.
    """
    try:
        words = tomllib.loads(raw("words.toml").decode())
        tables = {name: gzip.decompress(raw(name)).decode() for name in FILES[:3]}
    except (EOFError, OSError, ValueError) as error:
        raise unreadable(error) from error
    builder = _Builder(words)
    names = builder.gene_symbols(tables["genes.tsv.gz"])
    builder.diseases(tables["diseases.tsv.gz"])
    builder.drugs(tables["drugs.tsv.gz"])
    for entry, spellings in names:
        builder.names("genes", spellings, entry)
    genes, drugs, diseases = (words[kind] for kind in ("genes", "drugs", "diseases"))
    lists = {
        "acronyms": builder.acronyms,
        "ambiguous": genes["words"],
        "only_defined": genes["only_defined"],
        "beside": genes["beside"],
        "product": _folded(genes["product"]),
        "no_gene": _folded(genes["no_gene"]),
        "when_given": _folded(drugs["when_given"]),
        "given": drugs["given"],
        "hormones": builder.never["genes"],
        "in_plural": _folded(drugs["in_plural"]),
        "own": _folded(drugs["own"] + drugs["when_given"]),
        "no_drug_before": drugs["not_before"],
        "not_before": diseases["not_before"],
        "modifiers": _folded(diseases["modifiers"]),
        "no_disease": _folded(diseases["no_disease"]),
    }
    return {
        "digest": digest(),
        "entries": builder.entries,
        "phrases": builder.phrases,
        "genes": builder.genes,
        "longest": builder.longest(),
        "symbols": builder.symbols,
        **{name: sorted(set(found)) for name, found in lists.items()},
    }


def compiled() -> bytes:
    """The tables as their file has them; the same for the same data."""
    return gzip.compress(to_json(build()), mtime=0)


def _rows(table: str, columns: int) -> Iterator[list[str]]:
    for line in table.splitlines()[1:]:
        row = line.split("\t")
        if len(row) != columns:
            raise ConfigurationError(
                f"A dictionary of the papers' extractor has a row of {len(row)} columns for {columns}. "
                "Install the package again."
            )
        yield row


if __name__ == "__main__":
    (Path(__file__).parents[1] / "dictionaries" / COMPILED).write_bytes(compiled())
