"""Which words of a paper name a disease, a drug or a gene.

What belongs here: comparing the text with the dictionaries and with what the paper abbreviates; longest match
wins. What does not: symbols of genes (`symbols`), entities and their ids (`rules`).
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from ingest_assets.sources.papers.article import Article, Section
from ingest_assets.sources.papers.extraction import symbols
from ingest_assets.sources.papers.extraction.definitions import Glossary, gene_is_meant, glossary
from ingest_assets.sources.papers.extraction.dictionaries import Dictionaries, Entry
from ingest_assets.sources.papers.extraction.phrases import Phrase, find, of_suffix
from ingest_assets.sources.papers.extraction.words import Word, key, words

_GIVEN_WINDOW = 30  # characters on each side of a hormone in which the text has to speak of giving it
_WORD = re.compile(r"[A-Za-z]+")
_AFTER = re.compile(r"[-\s]+([A-Za-z]+)")
_ANALOGUE = re.compile(r"\s+analog(?:ue)?s?\b")
_SYNDROME = re.compile(r"\s+syndromes?\b")
_RECEPTORS = frozenset({"receptor", "receptors", "transporter", "transporters", "symporter"})
_LISTED = re.compile(r"\s*(?:[,/+]|and|or|,\s*and|,\s*or)\s*\Z")
_ORDER = {"Disease": 0, "Drug": 1, "Gene": 2}  # of names at one place
MAX_MODIFIER_WORDS = 2
SHORT_ACRONYM_CHARS = 3


class Name(NamedTuple):
    """A name at a place of a section; it stands for an entry or, of an abbreviation, for its long form."""

    start: int
    end: int
    entity: Entry


def of_article(article: Article, dictionaries: Dictionaries) -> list[tuple[Section, list[Name]]]:
    """The names in every section, in the order of the text, none within another."""
    known = glossary(article, dictionaries)
    texts = [(section, words(section.text)) for section in article.sections]
    phrases = [list(find(section.text, found, dictionaries, known.phrases)) for section, found in texts]
    found_symbols = [list(symbols.find(section.text, dictionaries)) for section in article.sections]
    evidence = symbols.Evidence(defined=known.genes)
    for found in phrases:
        in_words = (phrase.number for phrase in found if not phrase.is_acronym)
        evidence.named.update(number for number in in_words if number is not None)
    reader = _Reader(dictionaries, known, evidence.named)
    for section, each in zip(article.sections, found_symbols, strict=True):
        evidence.supported.update(symbols.support(section.text, each, dictionaries, known.genes))
    return [
        (
            section,
            _longest(
                [
                    *reader.phrases(section.text, text_words, phrase),
                    *reader.symbols(section.text, symbol, evidence),
                    *reader.abbreviations(section.text),
                ]
            ),
        )
        for (section, text_words), phrase, symbol in zip(texts, phrases, found_symbols, strict=True)
    ]


class _Reader:
    """What of one paper decides about its names."""

    def __init__(self, dictionaries: Dictionaries, known: Glossary, named: AbstractSet[int]) -> None:
        self.dictionaries = dictionaries
        self.known = known
        self.named = named  # entries that the paper names in words
        self.last_drug = -1  # where the drug before ended, in the text that is read

    def phrases(self, text: str, text_words: list[Word], found: list[Phrase]) -> Iterator[Name]:
        """The names in words that mean what they say here."""
        starts = [word.start for word in text_words]
        self.last_drug = -1
        for phrase in found:
            start, end, entry = phrase.start, phrase.end, phrase.entry
            if text[start:end] in self.known.short:
                continue  # what the paper says counts
            if phrase.is_acronym and phrase.number not in self.named and _is_short(text[start:end]):
                continue  # so short ones mean many things
            if entry.entity_class == "Drug":
                name = self._drug(text, start, end, entry)
                if name is not None and name.entity.entity_class == "Drug":
                    self.last_drug = name.end
            elif entry.entity_class == "Disease":
                name = self._disease(text, text_words, bisect_left(starts, start), phrase)
            else:
                name = Name(start, end, entry)
            if name is not None:
                yield name
        known = [(phrase.start, phrase.end) for phrase in found]
        for start, end in of_suffix(text, text_words):
            if not _overlaps(known, start, end):
                yield Name(start, end, Entry("Disease", text[start:end].lower(), ()))

    def _drug(self, text: str, start: int, end: int, entry: Entry) -> Name | None:
        """A hormone is a drug where it is given; of a protein that is a drug too, the gene is meant."""
        folded = key(text[start:end])
        after = _AFTER.match(text, end)
        next_word = after.group(1).lower() if after is not None else ""
        if next_word in _RECEPTORS or (
            folded in self.dictionaries.own and next_word in self.dictionaries.no_drug_before
        ):
            return None
        if folded in self.dictionaries.in_plural and text[end - 1] != "s":
            return None
        if folded in self.dictionaries.when_given:
            analogue = _ANALOGUE.match(text, end)
            if analogue is not None:
                name = f"{entry.name} analogues".lower()
                return Name(start, analogue.end(), Entry("Drug", name, ()))
            given = self._given(text, start, end) or self._listed(text, start)
            return Name(start, end, entry) if given else None
        if folded in self.dictionaries.hormones:
            return None
        gene = self.dictionaries.genes.get(folded)
        return Name(start, end, entry if gene is None else self.dictionaries.entries[gene])

    def _listed(self, text: str, start: int) -> bool:
        """Whether it goes on a list of drugs: "fluoxetine and lithium"."""
        return self.last_drug >= 0 and _LISTED.match(text[self.last_drug : start]) is not None

    def _given(self, text: str, start: int, end: int) -> bool:
        before = _WORD.findall(text[max(0, start - _GIVEN_WINDOW) : start])[-2:]
        after = _WORD.findall(text[end : end + _GIVEN_WINDOW])[:1]
        return any(word.lower() in self.dictionaries.given for word in (*before, *after))

    def _disease(self, text: str, text_words: list[Word], at: int, phrase: Phrase) -> Name | None:
        after = _AFTER.match(text, phrase.end)
        if after is not None and after.group(1).lower() in self.dictionaries.not_before:
            return None
        start = phrase.start
        for count in range(MAX_MODIFIER_WORDS, 0, -1):
            if at < count or not all(word.joined for word in text_words[at - count + 1 : at + 1]):
                continue
            if " ".join(word.folded for word in text_words[at - count : at]) in self.dictionaries.modifiers:
                start = text_words[at - count].start
                break
        syndrome = _SYNDROME.match(text, phrase.end)
        end = phrase.end if syndrome is None else syndrome.end()
        if (start, end) == (phrase.start, phrase.end):
            return Name(start, end, phrase.entry)
        # More special than what the dictionary knows: it has no id, but a name.
        name = " ".join(text[start:end].split()).lower()
        return Name(start, end, Entry("Disease", name, ()))

    def symbols(self, text: str, found: list[symbols.Found], evidence: symbols.Evidence) -> Iterator[Name]:
        """The symbols that mean genes in this paper."""
        for each in found:
            if evidence.accepts(each, self.dictionaries.only_defined, text[each.start : each.end]):
                number = evidence.defined.get(each.key)
                entry = self.dictionaries.entries[each.entry if number is None else number]
                if number is None and each.shared and each.entry not in evidence.named:
                    entry = Entry("Gene", text[each.start : each.end], ())  # which one, we do not know
                yield Name(each.start, each.end, entry)

    def abbreviations(self, text: str) -> Iterator[Name]:
        """The abbreviations that the paper defines as one of its diseases, drugs or genes."""
        if self.known.pattern is None:
            return
        for match in self.known.pattern.finditer(text):
            meaning = self.known.short[match.group(1)]
            entry = meaning.entry
            if entry is None:
                continue
            if meaning.when_given and not self._given(text, *match.span()):
                continue
            if (
                meaning.gene is not None
                and entry.entity_class == "Disease"
                and gene_is_meant(text, match.end())
            ):
                entry = self.dictionaries.entries[meaning.gene]
            yield Name(*match.span(1), entry)


def _is_short(acronym: str) -> bool:
    return len(acronym.removesuffix("s")) <= SHORT_ACRONYM_CHARS


def _longest(found: list[Name]) -> list[Name]:
    """The longest at each place, in the order of the text, none over another."""
    kept: list[Name] = []
    taken: list[tuple[int, int]] = []
    for name in sorted(
        found, key=lambda each: (each.start - each.end, each.start, _ORDER[each.entity.entity_class])
    ):
        if not _overlaps(taken, name.start, name.end):
            insort(taken, (name.start, name.end))
            kept.append(name)
    return sorted(kept)


def _overlaps(taken: list[tuple[int, int]], start: int, end: int) -> bool:
    at = bisect_left(taken, (start, end))
    return (at < len(taken) and taken[at][0] < end) or (at > 0 and taken[at - 1][1] > start)
