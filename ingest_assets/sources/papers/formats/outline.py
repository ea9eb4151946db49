"""Headings and paragraphs to sections, for papers that say nothing of their structure but that.

What belongs here: which heading begins what, and sections from them. What does not: finding lines (`pdf`,
`prose`), and papers that have a structure of their own (`jats`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from ingest_assets.sources.papers.article import Reference, Section, SectionKind
from ingest_assets.sources.papers.formats.jats_sections import Ids, slug_of
from ingest_assets.sources.papers.formats.jats_text import clipped
from ingest_assets.sources.papers.identity import doi_in, pmid_of

_ABSTRACTS = frozenset(
    ("abstract", "summary", "simple summary", "graphical abstract", "plain language summary")
)
_REFERENCES = frozenset(("references", "bibliography", "literature cited", "works cited", "reference list"))
_BACK = frozenset((
    "abbreviations", "acknowledgement", "acknowledgements", "acknowledgment", "acknowledgments", "appendix",
    "author contributions", "authors contributions", "availability of data and materials",
    "competing interests", "conflict of interest", "conflicts of interest", "consent for publication",
    "data availability", "data availability statement", "declaration of competing interest",
    "declaration of interest", "declarations", "disclosure", "disclosures", "ethics approval",
    "ethics statement", "footnotes", "funding", "funding information", "glossary",
    "informed consent statement", "institutional review board statement", "supplementary information",
    "supplementary material", "supplementary materials", "supporting information",
))  # fmt: skip
_BODY = frozenset((
    "aim", "aims", "background", "case", "case description", "case presentation", "case report",
    "case reports", "concluding remarks", "conclusion", "conclusions", "discussion",
    "experimental procedures", "findings", "future directions", "introduction", "limitations",
    "material and methods", "materials and methods", "method", "methodology", "methods", "objective",
    "objectives", "patients and methods", "results", "results and discussion", "statistical analysis",
    "strengths and limitations", "study design", "subjects and methods",
))  # fmt: skip
# In PDF and text they are recognised by these names only.
KNOWN = _ABSTRACTS | _REFERENCES | _BACK | _BODY

_NUMBERED = re.compile(r"^(?P<number>\d{1,2}(?:\.\d{1,2}){0,3})\.?\s+(?P<title>[^\W\d_].*)$")
_MAX_HEADING, _MAX_WORDS = 100, 12
_MAX_REFERENCE = 20_000
_PMID = re.compile(r"\bPMID:?\s*(\d{1,9})\b", re.IGNORECASE)


_LEAD = re.compile(
    r"^(?P<printed>(?P<title>abstract|summary)\s*[:.\-\u2013\u2014]+)\s+(?P<rest>\S.*)$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading in running lines."""

    level: int  # from 1
    title: str  # without its number
    printed: str
    rest: str = ""  # of its line: the text that it leads into

    @property
    def begins_references(self) -> bool:
        return plain(self.title) in _REFERENCES


class Headings:
    """Recognises headings line by line: those of known names, and those that continue their numbering."""

    def __init__(self) -> None:
        self._last: tuple[int, ...] = ()

    def in_line(self, line: str) -> Heading | None:
        text = " ".join(line.split())
        lead = _LEAD.match(text)
        if lead:
            return Heading(1, lead["title"], lead["printed"], lead["rest"])
        if not text or len(text) > _MAX_HEADING or len(text.split()) > _MAX_WORDS:
            return None
        numbered = _NUMBERED.match(text)
        title = (numbered["title"] if numbered else text).rstrip(" :.")
        numbers = tuple(map(int, numbered["number"].split("."))) if numbered else ()
        if plain(title) in KNOWN and (title[:1].isupper() or numbers):
            self._last = numbers or self._last
            return Heading(max(1, len(numbers)), title, text)
        if numbers and self._continues(numbers) and title[:1].isupper() and text[-1] not in ".,;:":
            self._last = numbers
            return Heading(len(numbers), title, text)
        return None

    def _continues(self, numbers: tuple[int, ...]) -> bool:
        """Whether it is the next one, on any level. A list begins with 1 too, but no heading is before it."""
        if not self._last:
            return False
        if len(numbers) == len(self._last) + 1:
            return numbers == (*self._last, 1)
        above = self._last[: len(numbers)]
        return len(numbers) <= len(self._last) and numbers == (*above[:-1], above[-1] + 1)


def plain(title: str) -> str:
    """A heading as it is looked up."""
    text = title.replace("'", "").replace("\N{RIGHT SINGLE QUOTATION MARK}", "").replace("&", " and ")
    return " ".join(re.findall(r"[^\W\d_]+", text.casefold()))


class Outline:
    """Collects headings and paragraphs in order."""

    def __init__(self, title: str) -> None:
        self.references: list[Reference] = []
        self._ids = Ids()
        self._sections: list[Section] = []
        if title:
            self._sections.append(Section(id=self._ids.new("", "title"), kind="title", path=(), text=title))
        self._above: list[tuple[int, str, str]] = []  # level, id, title
        self._kind: SectionKind | None = "body"  # None in references
        self._id = self._ids.new("", "body")
        self._headings: list[str] = []
        self._paragraphs: list[str] = []

    def heading(self, level: int, title: str, printed: str) -> None:
        """What follows stands under this heading, and those of smaller levels before it."""
        above = list(takewhile(lambda each: each[0] < level, self._above))
        kind = self._kind_of(title, [name for _, _, name in above])
        self._flush(final=kind is None or kind != self._kind)
        self._above, self._kind = above, kind
        parent = above[-1][1] if above else ""
        self._id = self._ids.new(parent, slug_of(title, "section"))
        self._above.append((level, self._id, clipped(title)))
        if kind is not None:
            self._headings.append(printed)

    def paragraph(self, text: str) -> None:
        if self._kind is None:
            found = _PMID.search(text)
            pmid = pmid_of(found[1]) if found else ""
            if text:
                self.references.append(Reference(text=text[:_MAX_REFERENCE], doi=doi_in(text), pmid=pmid))
        elif text:
            self._paragraphs.append(text)

    def sections(self) -> tuple[Section, ...]:
        """All that was collected."""
        self._flush(final=True)
        return tuple(self._sections)

    @staticmethod
    def _kind_of(title: str, above: Sequence[str]) -> SectionKind | None:
        """By its own name, or that of the part in which it is."""
        names = list(map(plain, (*above, title)))
        if not _REFERENCES.isdisjoint(names):
            return None
        name = names[0]
        return "abstract" if name in _ABSTRACTS else "back" if name in _BACK else "body"

    def _flush(self, *, final: bool) -> None:
        """Headings wait for text below them, until the end."""
        if self._kind is None or not (self._paragraphs or (final and self._headings)):
            return
        text = "\n\n".join([*self._headings, *self._paragraphs])
        path = tuple(title for _, _, title in self._above)
        self._sections.append(Section(id=self._id, kind=self._kind, path=path, text=text))
        self._headings, self._paragraphs = [], []
