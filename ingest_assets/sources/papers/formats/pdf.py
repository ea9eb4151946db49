"""PDFs to articles: the text of their pages, its lines made into paragraphs under recognisable headings.

A PDF says where letters stand, and little else. What is certain is undone: the lines that every page repeats,
and words divided at the end of a line. A paper that is also there as XML is better read from that.

What belongs here: pages and lines. What does not: which heading begins what (`outline`).
"""

from __future__ import annotations

import io
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ingest_assets.model import ItemError
from ingest_assets.sources.papers.article import Article
from ingest_assets.sources.papers.formats.jats_text import clipped
from ingest_assets.sources.papers.formats.outline import Heading, Headings, Outline
from ingest_assets.sources.papers.formats.prose import article_of
from ingest_assets.sources.papers.identity import doi_in, pmcid_in

MAX_PAGES = 2_000
MAX_OBJECTS = 1_000_000
# One is added with each change. Each damaged one makes the library (7.1) read the rest of the file.
MAX_TRAILERS = 100
MAX_CHARS = 20_000_000  # of text
MAX_STREAM = 32 << 20  # bytes of a page's content when it is inflated; larger ones are drawings
_LETTERS_OF_TEXT = 20  # in all pages: those with fewer are pictures
_FIRST_PAGES = 2  # where a paper says its own ids
_EDGE = 2  # lines at the top and the bottom of a page that may be repeated
_REPEATED = 0.6  # of the pages
_FEW_PAGES = 3
_SHORT = 0.8  # of the usual length of a line, at which a paragraph ends
_TITLE_WORDS, _MAX_TITLE_WORDS = 3, 60
_LIGATURES = {
    0xFB00: "ff",
    0xFB01: "fi",
    0xFB02: "fl",
    0xFB03: "ffi",
    0xFB04: "ffl",
    0xFB05: "st",
    0xFB06: "st",
}
_CONTROLS = {**dict.fromkeys((*range(9), *range(14, 32), 127)), **_LIGATURES}
_DIVIDED = re.compile(r"(\w+)[-\u00ad\u2010]$")
_NUMBER = re.compile(r"^\[?\d{1,4}[\].]\s")  # of a reference
_NO_TITLE = re.compile(r"\.(?:docx?|indd|tex|pdf|qxd|dvi)\b|^(?:untitled|microsoft word)", re.IGNORECASE)


def parse(data: bytes, name: str) -> Article:
    """The article of a PDF. `name` names it if it says no id.

    Raises ItemError when it is damaged or encrypted, has no text, or exceeds a bound.
    """
    if data.count(b"trailer") > MAX_TRAILERS:
        raise ItemError(f"It is a PDF that was changed more than {MAX_TRAILERS} times. Save it anew.")
    try:
        said, largest, pages = _read(data)
    except (ItemError, MemoryError):
        raise
    except Exception as error:  # a damaged file makes the library raise whatever its code meets
        raise ItemError(
            f"It is a PDF that cannot be read: {type(error).__name__}: {str(error)[:200]}"
        ) from error
    if sum(each.isalpha() for page in pages for line in page for each in line) < _LETTERS_OF_TEXT:
        raise ItemError(
            "It is a PDF without text: its pages are pictures. Have its text recognised first (OCR)."
        )
    first = "\n".join(_before_references(line for page in pages[:_FIRST_PAGES] for line in page))
    facts = {"pmcid": pmcid_in(first), "doi": doi_in(first)}
    lines = [line for page in _without_repeated(pages) for line in page]
    title = said if _appears(said, first) else largest
    outline = Outline(title)
    for part in _paragraphs(_without_title(lines, title)):
        if isinstance(part, Heading):
            outline.heading(part.level, part.title, part.printed)
        else:
            outline.paragraph(part)
    sections = outline.sections()
    return article_of(
        {**facts, "title": title}, name, sections=sections, references=tuple(outline.references)
    )


def _read(data: bytes) -> tuple[str, str, list[list[str]]]:
    """The title that the file says it has, what it prints largest, and the lines of each page."""
    from pypdf import apply_configuration

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # the error says once what is wrong
    with apply_configuration(
        zlib_maximum_output_length=MAX_STREAM,
        lzw_maximum_output_length=MAX_STREAM,
        run_length_maximum_output_length=MAX_STREAM,
        array_based_stream_maximum_output_length=MAX_STREAM,
        jbig2dec_binary=None,
        disable_legacy_handling=True,
    ):
        return _opened(data)


def _opened(data: bytes) -> tuple[str, str, list[list[str]]]:
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(data), strict=False)
    # Many that may be read by anybody are encrypted all the same, with no password.
    if reader.is_encrypted and not _opens(reader):
        raise ItemError("It is a PDF that is encrypted. Remove its password.")
    if sum(map(len, reader.xref.values())) + len(reader.xref_objStm) > MAX_OBJECTS:
        raise ItemError(f"It is a PDF of more than {MAX_OBJECTS:,} objects.")
    pages: list[list[str]] = []
    sizes = _Sizes()
    size = 0
    for page in reader.pages:
        if len(pages) == MAX_PAGES:
            raise ItemError(f"It is a PDF of more than {MAX_PAGES:,} pages. Split it.")
        text = _clean(page.extract_text(visitor_text=None if pages else sizes.note))
        size += len(text)
        if size > MAX_CHARS:
            raise ItemError(f"It is a PDF with more than {MAX_CHARS:,} characters of text. Split it.")
        pages.append([" ".join(line.split()) for line in text.splitlines()])
    return _said_title(reader), sizes.largest(), pages


class _Sizes:
    """The text of a page by the size of its letters: the title is the largest."""

    def __init__(self) -> None:
        self._texts: dict[float, list[str]] = {}

    def note(self, text: str, _page: Any, matrix: Sequence[float], _font: Any, size: float) -> None:
        if text.strip():
            self._texts.setdefault(round(abs(float(size) * float(matrix[3])), 1), []).append(text)

    def largest(self) -> str:
        for _, texts in sorted(self._texts.items(), reverse=True):
            words = _clean(" ".join(texts)).split()
            if _TITLE_WORDS <= len(words) <= _MAX_TITLE_WORDS and len(self._texts) > 1:
                return clipped(" ".join(words))
        return ""


def _clean(text: str) -> str:
    """Without control characters and halves of characters, and with ligatures as letters."""
    return text.translate(_CONTROLS).encode("utf-8", "ignore").decode("utf-8")


def _opens(reader: Any) -> bool:
    from pypdf.errors import DependencyError, PyPdfError

    try:
        return bool(reader.decrypt(""))
    except (DependencyError, PyPdfError, NotImplementedError):
        return False


def _said_title(reader: Any) -> str:
    said = reader.metadata.title if reader.metadata else None
    title = " ".join(_clean(str(said or "")).split())
    return "" if len(title.split()) < _TITLE_WORDS or _NO_TITLE.search(title) else clipped(title)


def _appears(title: str, text: str) -> bool:
    """Whether the first pages show the title: what a file says of itself may be that of a template."""
    words = re.findall(r"\w+", title.casefold())
    shown = set(re.findall(r"\w+", text.casefold()))
    return bool(words) and sum(word in shown for word in words) >= 0.8 * len(words)


def _before_references(lines: Iterable[str]) -> Iterator[str]:
    """The ids of other papers stand there."""
    headings = Headings()
    for line in lines:
        found = headings.in_line(line)
        if found and found.begins_references:
            return
        yield line


def _without_title(lines: Sequence[str], title: str) -> list[str]:
    """Without the lines that are the title, which has a section of its own, if they come first."""
    text = ""
    for at, line in enumerate(lines):
        text = f"{text} {line}".strip()
        if text.casefold() == title.casefold():
            return list(lines[at + 1 :])
        if not title.casefold().startswith(text.casefold()):
            break
    return list(lines)


def _without_repeated(pages: Sequence[list[str]]) -> Iterator[list[str]]:
    """Without the lines that stand at the edge of most pages, but for their numbers, and page numbers."""
    pages = [[line for line in page if line] for page in pages]
    counts = Counter(key for page in pages for key in {_key(line) for line in _edges(page)})
    often = max(_FEW_PAGES, int(_REPEATED * len(pages)))
    for page in pages:
        kept = list(page)
        for take in (0, -1):
            for _ in range(_EDGE):
                if kept and (counts[_key(kept[take])] >= often or _is_number(kept[take])):
                    kept.pop(take)
        yield kept


def _edges(page: Sequence[str]) -> list[str]:
    return [*page[:_EDGE], *page[-_EDGE:]]


def _key(line: str) -> str:
    return re.sub(r"\d+", "#", line)


def _is_number(line: str) -> bool:
    return re.fullmatch(r"(?:page )?\d{1,5}(?: (?:of|/) \d{1,5})?", line, re.IGNORECASE) is not None


def _paragraphs(lines: Sequence[str]) -> Iterator[str | Heading]:
    """Paragraphs and headings, in order. One ends with a short line, and in references before a number."""
    usual = sorted(map(len, lines))[len(lines) * 3 // 4] if lines else 0
    compounds = _compounds(lines)
    headings = Headings()
    paragraph: list[str] = []
    numbered = False
    for line in lines:
        found = headings.in_line(line)
        if found or (numbered and _NUMBER.match(line)):
            yield _joined(paragraph, compounds)
            paragraph = []
        if found:
            yield found
            numbered = found.begins_references
        text = found.rest if found else line
        paragraph += [text] if text else []
        if len(line) < _SHORT * usual and text[-1:] in {".", "?", "!", ":"}:
            yield _joined(paragraph, compounds)
            paragraph = []
    yield _joined(paragraph, compounds)


def _compounds(lines: Sequence[str]) -> set[str]:
    """The words that are written with a hyphen within a line: they keep it at the end of one."""
    return {word.casefold() for line in lines for word in re.findall(r"\w+-\w+", line)}


def _joined(lines: Sequence[str], compounds: set[str]) -> str:
    """One line, with divided words whole again."""
    text = ""
    for line in lines:
        divided = _DIVIDED.search(text)
        following = re.match(r"[^\W\d_]+", line)
        if divided and following and following[0][0].islower() and not divided[1][-1].isdigit():
            keep = f"{divided[1]}-{following[0]}".casefold() in compounds
            text = text[:-1] + ("-" if keep else "") + line
        else:
            text = f"{text} {line}" if text else line
    return text.replace("\u00ad", "")
