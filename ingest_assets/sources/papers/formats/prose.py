"""Papers as Markdown or plain text to articles: front matter, headings, paragraphs.

Front matter is lines of `name: value` between two lines of `---`, with lists as YAML writes the simple ones.
Paragraphs are joined to one line each; lists, tables and code stay as they are.

What belongs here: text that people wrote. What does not: text out of a PDF (`pdf`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from ingest_assets.model import ItemError
from ingest_assets.sources.papers.article import Article, Author
from ingest_assets.sources.papers.formats.jats_text import clipped
from ingest_assets.sources.papers.formats.outline import KNOWN, Headings, Outline, plain
from ingest_assets.sources.papers.identity import doi_of, paper_id, pmcid_of, pmid_of

MAX_BYTES = 16 << 20
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_FENCE = "---"
_MAX_FRONT = 1_000  # lines
_NAMED_BY_PMC = re.compile(r"PMC\d+", re.IGNORECASE)
_KEY = re.compile(r"^([A-Za-z][\w -]{0,40}?)\s*:(?:\s+(.*))?$")
_FAMILY_FIRST = re.compile(r"[^\s,;]+,(?:(?!\sand\s)[^,;])+")  # one author: "Lo, Ada B."
_WITH_ADDRESS = re.compile(r"^(.*?)\s*[<(]\s*([^\s<>()@]+@[^\s<>()@]+)\s*[>)]$")
_MARKDOWN = re.compile(r"^(?:#{1,6}\s+\S|(?:=+|-+)\s*$|```|~~~|[*+-]\s+\S|\|.*\|\s*$)", re.MULTILINE)


def parse(data: bytes, name: str) -> Article:
    """The article of a text file. `name` names it if it says no id.

    Raises ItemError when it is no text, or holds none.
    """
    facts, lines = _front_matter(text_of(data).splitlines())
    is_markdown = PurePath(name).suffix.lower() in {".md", ".markdown"} or _MARKDOWN.search("\n".join(lines))
    blocks = _markdown(lines) if is_markdown else _plain(lines)
    title = facts.get("title") or _own_title(blocks)
    outline = Outline(title)
    for at, (level, text, printed) in enumerate(blocks):
        if level and at == 0 and text == title:
            continue
        if level:
            outline.heading(level, text, printed)
        else:
            outline.paragraph(text)
    sections = outline.sections()
    if all(section.kind == "title" for section in sections):
        raise ItemError("It holds no text but a title.")
    return article_of(
        {**facts, "title": title}, name, sections=sections, references=tuple(outline.references)
    )


def article_of(facts: dict[str, Any], name: str, **parts: Any) -> Article:
    """An article that its ids name, or its file. Raises ItemError when it exceeds a bound."""
    from pydantic import ValidationError

    stem = PurePath(name).stem
    if not facts.get("pmcid") and _NAMED_BY_PMC.fullmatch(stem):
        facts = {**facts, "pmcid": pmcid_of(stem)}
    named = paper_id(facts.get("pmcid", ""), facts.get("doi", ""), facts.get("pmid", ""), stem)
    try:
        return Article(paper_id=named, **facts, **parts)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ItemError(f"{named} exceeds a bound: {where}: {first['msg']}.") from error


def text_of(data: bytes) -> str:
    """UTF-8, or UTF-16 with its mark. Raises ItemError when it is neither, or no text."""
    if len(data) > MAX_BYTES:
        raise ItemError(f"It is a text of more than {MAX_BYTES >> 20} MiB. Split it into several files.")
    mark = next((mark for mark in _BYTE_ORDER_MARKS if data.startswith(mark)), b"")
    try:
        text = data[len(mark) :].decode(_BYTE_ORDER_MARKS.get(mark, "utf-8"))
    except UnicodeDecodeError as error:
        raise ItemError("It is neither XML nor PDF nor text in UTF-8. Convert it to one of these.") from error
    if any(unicodedata.category(each) in {"Cc", "Cs"} and each not in "\t\n\r\f\v\x85" for each in set(text)):
        raise ItemError("It is neither XML nor PDF nor text: it holds control characters.")
    return text


# --- Front matter -------------------------------------------------------------------------------------------


def _front_matter(lines: list[str]) -> tuple[dict[str, Any], list[str]]:
    """What it says of the paper, and the lines behind it. What is not understood is left out."""
    if not lines or lines[0].rstrip() != _FENCE:
        return {}, lines
    ends = (i for i, line in enumerate(lines[1:_MAX_FRONT], 1) if line.rstrip() in {_FENCE, "..."})
    end = next(ends, None)
    if end is None:
        return {}, lines
    return _facts(_values(lines[1:end])), lines[end + 1 :]


def _values(lines: Sequence[str]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        found = _KEY.match(line)
        if found:
            current = values.setdefault(found[1].strip().lower().replace("-", "_").replace(" ", "_"), [])
            current += _listed(found[2] or "")
        elif line.lstrip().startswith("- "):
            current += [_unquoted(line.lstrip()[2:])]
        elif line[:1] in {" ", "\t"} and current:  # goes on
            current[-1] = f"{current[-1]} {line.strip()}".strip()
    return values


def _listed(text: str) -> list[str]:
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        parts = re.findall(r"\"[^\"]*\"|'[^']*'|[^,]+", text[1:-1])
        return [value for part in parts if (value := _unquoted(part))]
    value = _unquoted(text)
    return [] if value in {"", ">", "|", ">-", "|-", "null", "~"} else [value]


def _unquoted(text: str) -> str:
    text = text.strip()
    for quote in "\"'":
        if len(text) > 1 and text[0] == text[-1] == quote:
            return text[1:-1].strip()
    return text


def _facts(values: dict[str, list[str]]) -> dict[str, Any]:
    def first(*names: str) -> str:
        return clipped(next((" ".join(values[name][0].split()) for name in names if values.get(name)), ""))

    named = [each for name in ("authors", "author") for each in values.get(name, [])]
    if len(named) == 1 and not _FAMILY_FIRST.fullmatch(named[0].strip()):
        named = (
            re.split(r"\s*;\s*|\s*,\s*|\s+and\s+", named[0]) if ";" not in named[0] else named[0].split(";")
        )
    year = re.search(r"\b(1[4-9]\d\d|2[01]\d\d)\b", first("year", "date", "published"))
    return {
        "title": first("title"),
        "pmcid": pmcid_of(first("pmcid", "pmc")) or pmcid_of(f"PMC{first('pmcid', 'pmc')}"),
        "doi": doi_of(first("doi")),
        "pmid": pmid_of(first("pmid")),
        "authors": tuple(_author(each) for each in named if each.strip()),
        "journal": first("journal"),
        "year": int(year[1]) if year else None,
        "study_type": first("study_type", "type"),
    }


def _author(text: str) -> Author:
    found = _WITH_ADDRESS.match(text.strip())
    name, email = (found[1], found[2]) if found else (text.strip(), "")
    return Author(name=clipped(name or email), email=clipped(email))


# --- Blocks: level (0 of a paragraph), text, and a heading as it is printed --------------------------------


def _markdown(lines: list[str]) -> list[tuple[int, str, str]]:
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").enable("table").parse("\n".join(lines))
    blocks: list[tuple[int, str, str]] = []
    seen = 0
    for at, token in enumerate(tokens):
        if token.level or token.map is None:
            continue
        begin, end = token.map
        blocks.append((0, _block("", lines[seen:begin]), ""))  # such as the definition of a link
        if token.type == "heading_open":
            text = " ".join(_text_of(tokens[at + 1]).split())
            blocks.append((int(token.tag[1:]), text, text))
        else:
            blocks.append((0, _block(token.type, lines[begin:end]), ""))
        seen = end
    blocks.append((0, _block("", lines[seen:]), ""))
    return [block for block in blocks if block[1]]


def _text_of(inline: Any) -> str:
    return "".join(" " if each.type.endswith("break") else each.content for each in inline.children or ())


def _block(kind: str, lines: list[str]) -> str:
    if kind == "paragraph_open":
        return " ".join(" ".join(lines).split())
    kept = [line.rstrip() for line in lines]
    return re.sub(r"\n{2,}", "\n", "\n".join(kept)).strip("\n")


def _plain(lines: list[str]) -> list[tuple[int, str, str]]:
    """Paragraphs stand between empty lines, and a heading is one of a single line."""
    headings = Headings()
    blocks: list[tuple[int, str, str]] = []
    paragraph: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            paragraph.append(line)
            continue
        text = " ".join(" ".join(paragraph).split())
        found = headings.in_line(text)
        found = found if found and (len(paragraph) == 1 or found.rest) else None
        if found:
            blocks += [(found.level, found.title, found.printed), (0, found.rest, "")]
        elif text:
            blocks.append((0, text, ""))
        paragraph = []
    return [block for block in blocks if block[1]]


def _own_title(blocks: list[tuple[int, str, str]]) -> str:
    """A heading at the very beginning, if none of the others is above it or beside it."""
    levels = [level for level, _, _ in blocks if level]
    if levels and blocks[0][0] == levels[0] and all(level > levels[0] for level in levels[1:]):
        text = blocks[0][1]
        return "" if plain(text) in KNOWN else clipped(text)
    return ""
