"""What the abbreviations of a paper name.

What belongs here: from a paper's definitions to diseases, drugs and genes. What does not: finding the
definitions (`abbreviations`), and the names in a text (`names`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from ingest_assets.sources.papers.article import Article
from ingest_assets.sources.papers.extraction.abbreviations import best_long_form, is_short_form, of_article
from ingest_assets.sources.papers.extraction.dictionaries import Dictionaries, Entry, symbol_key
from ingest_assets.sources.papers.extraction.phrases import Phrase, find
from ingest_assets.sources.papers.extraction.words import key, words

# How a name ends that is a disease, though no dictionary has it.
_DISEASE = re.compile(
    r"(?:cancer|carcinoma|sarcoma|lymphoma|leuka?emia|melanoma|glioma|blastoma|adenoma|tumou?r|neoplasia|neoplasm"
    r"|syndrome|disease|disorder|deficiency|insufficiency|diabetes|osteoporosis|hyperplasia|failure|injury|infection"
    r"|neuropathy|nephropathy|retinopathy|cardiomyopathy|arthritis|hepatitis|cirrhosis|stenosis|thrombosis|embolism"
    r"|infarction|fibrillation|hypertension|trypanosomiasis)s?\Z",
    re.IGNORECASE,
)
_PROTEIN = re.compile(r"(?:ase|kine)\Z")
_PROTEIN_TOO = re.compile(r"(?:ase|kine|in)\Z")  # of approved symbols: drugs end so too
# What after an abbreviation says that the gene of that name is meant: "the MEN1 tumor suppressor gene".
_GENE_MEANT = re.compile(
    r"[-\s]+(?:\w+\s+){0,2}?(?:genes?|genetic|mutations?|variants?|locus|exons?|alleles?|mRNA)\b",
    re.IGNORECASE,
)
MIN_NOUN_CHARS = 3
MAX_ABBREVIATIONS = 500  # papers have a tenth of it; each costs time at every word
MIN_PROTEIN_CHARS = 5
MIN_PLURAL_CHARS = 3


class Meaning(NamedTuple):
    """What an abbreviation stands for; `entry` is None if that is no disease, drug or gene."""

    entry: Entry | None
    when_given: bool = False  # it is a drug where the text speaks of giving it
    gene: int | None = None  # the gene of the same symbol


@dataclass
class Glossary:
    """The abbreviations of one paper."""

    short: dict[str, Meaning] = field(default_factory=dict)
    genes: dict[str, int | None] = field(default_factory=dict)  # by symbol's key; None: something else
    phrases: dict[str, Entry] = field(
        default_factory=dict
    )  # long forms that the dictionaries do not have, folded
    pattern: re.Pattern[str] | None = None  # what finds the short forms in a text


def glossary(article: Article, dictionaries: Dictionaries) -> Glossary:
    """What the paper's abbreviations name."""
    found = Glossary()
    for short, long in of_article(article).items():
        _define(found, short, long, dictionaries)
    for short, long in of_article(article).items():
        # "ES-SCLC" says what "SCLC" is.
        tail = short.partition("-")[2]
        if tail and tail not in found.short and is_short_form(tail) and tail.isupper():
            offset = best_long_form(tail, long)
            if offset is not None:
                _define(found, tail, long[offset:], dictionaries)
    first = list(found.short)[:MAX_ABBREVIATIONS]
    named = sorted(first, key=lambda short: (-len(short), short))
    if named:
        listed = "|".join(re.escape(short) for short in named)
        found.pattern = re.compile(rf"(?<![^\W_])({listed})(?:s|es)?(?![^\W_])")
    return found


def gene_is_meant(text: str, end: int) -> bool:
    """Whether what follows an abbreviation of a disease says that its gene is meant."""
    return _GENE_MEANT.match(text, end) is not None


def _define(found: Glossary, short: str, long: str, dictionaries: Dictionaries) -> None:
    entry, number = _entry(short, long, dictionaries)
    folded = symbol_key(short)
    candidates = dictionaries.symbols.get(folded)
    approved = next((each.entry for each in candidates if each.approved and each.surface == short), None)
    gene = number if entry is not None and entry.entity_class == "Gene" else None
    if gene is None and entry is None and approved is not None and any(map(str.isdigit, short)):
        return  # "(PGAM5)" after words that we do not know is still that gene
    found.short[short] = Meaning(entry, key(long) in dictionaries.when_given, approved)
    found.genes[folded] = gene
    if short.endswith("s") and gene is None and len(short) > MIN_PLURAL_CHARS:
        found.genes[symbol_key(short[:-1])] = None
    if entry is not None and not entry.ids:
        found.phrases[key(long)] = entry


def _entry(short: str, long: str, dictionaries: Dictionaries) -> tuple[Entry | None, int | None]:
    names = list(find(long, words(long), dictionaries, {}))
    last = names[-1] if names else None
    if last is not None and not long[last.end :].strip(" -s"):
        named, number = _named(long, last, dictionaries)
        if named is not None:
            return named, number
    if _DISEASE.search(long) and " " in long and not _none(long, dictionaries):
        return Entry("Disease", " ".join(long.split()).lower(), ()), None
    return _gene(short, long, dictionaries)


def _none(long: str, dictionaries: Dictionaries) -> bool:
    """Whether a long form is about a disease without being one: "Registry of Malignant Mesothelioma"."""
    return "," in long or any(word in dictionaries.no_disease for word in key(long).split(" "))


def _named(long: str, last: Phrase, dictionaries: Dictionaries) -> tuple[Entry | None, int | None]:
    if last.entry.entity_class == "Drug" and last.number is not None:
        gene = dictionaries.genes.get(key(long[last.start : last.end]))
        if gene is not None:
            return dictionaries.entries[gene], gene
    if last.start == 0 or last.entry.entity_class == "Gene":
        return last.entry, last.number
    if last.entry.entity_class == "Drug" and key(long[last.start : last.end]) in dictionaries.own:
        return None, None  # "fasting plasma insulin" is measured, not given
    if not _none(long, dictionaries):
        # More special than what the dictionary knows: it has no id, but a name.
        return Entry(last.entry.entity_class, " ".join(long.split()).lower(), ()), None
    return None, None


def _gene(short: str, long: str, dictionaries: Dictionaries) -> tuple[Entry | None, int | None]:
    """A gene or protein by the end of its name; its id only if the abbreviation is the gene's own symbol."""
    candidates = dictionaries.symbols.get(symbol_key(short))
    approved = [each.entry for each in candidates if each.approved and each.surface == short]
    protein = _PROTEIN_TOO if approved else _PROTEIN
    said = key(long).split(" ")
    if not dictionaries.no_gene.isdisjoint(said):
        return None, None
    last = next((word for word in reversed(said) if len(word) >= MIN_NOUN_CHARS), "")
    if not candidates or not (
        last in dictionaries.product or (len(last) > MIN_PROTEIN_CHARS and protein.search(last))
    ):
        return None, None
    if len(approved) == 1:
        return dictionaries.entries[approved[0]], approved[0]
    return Entry("Gene", " ".join(long.split()), ()), None
