"""What stands in an element of JATS, as text: words whole, paragraphs apart, white space normalised.

Markup within a line ends no word ("H<sub>2</sub>O" is one), every other element ends a paragraph. A table is
lines of cells with tabs between them; a formula is what MathML shows, or TeX without its preamble.

What belongs here: an element to text. What does not: which text becomes which section (`jats_sections`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ingest_assets.model import ItemError

Node = Any  # an lxml element: the library has no types

# No XML contains these characters.
_BREAK, _TAB, _NEWLINE, _JOIN = "\0", "\1", "\2", "\3"
_JOINED = re.compile(rf"{_JOIN}[\s{_BREAK}{_JOIN}]*")
_MAX_LINE = 5_000  # characters, as `article.Line`

# Markup within a line. Every other element is a block.
INLINE = frozenset((
    "abbrev", "alternatives", "anonymous", "article-title", "award-id", "bold", "chapter-title",
    "chem-struct", "citation-alternatives", "collab", "comment", "conf-date", "conf-loc", "conf-name",
    "country", "data-title", "date", "date-in-citation", "day", "edition", "element-citation",
    "elocation-id", "email", "etal", "ext-link", "fixed-case", "fpage", "funding-source", "given-names",
    "gov", "inline-formula", "inline-graphic", "inline-media", "inline-supplementary-material",
    "institution", "institution-id", "institution-wrap", "isbn", "issn", "issue", "issue-title", "italic",
    "lpage", "milestone-end", "milestone-start", "mixed-citation", "monospace", "month", "name",
    "named-content", "nlm-citation", "object-id", "overline", "overline-end", "overline-start",
    "page-range", "part-title", "patent", "person-group", "prefix", "private-char", "pub-id",
    "publisher-loc", "publisher-name", "rb", "related-article", "related-object", "role", "roman", "rp",
    "rt", "ruby", "sans-serif", "sc", "season", "series", "size", "source", "std", "strike",
    "string-date", "string-name", "styled-content", "sub", "suffix", "sup", "surname", "target",
    "time-stamp", "trans-source", "trans-title", "underline", "underline-end", "underline-start", "uri",
    "version", "volume", "volume-id", "xref", "year",
))  # fmt: skip
# Their parts are words, even with nothing between them.
_RECORDS = frozenset((
    "address", "aff", "corresp", "date", "element-citation", "institution-wrap", "name", "nlm-citation",
    "person-group", "related-article", "related-object", "ruby", "string-date", "string-name",
))  # fmt: skip
_WITHIN_LINE = frozenset(("break", "hr"))
_LEADING = frozenset(("label", "term"))  # what follows is of the same paragraph
# Parts of these formulas stand above or beside each other.
_BESIDE = frozenset(("mfrac", "mtr", "mtd", "mlabeledtr", "mtable", "munder", "mover", "munderover"))
_ROWS = frozenset(("tr", "row"))


def name_of(node: Node) -> str:
    """The local name of an element; "" of a comment or a processing instruction.

    Raises ItemError for an entity: only a DTD could say what it stands for.
    """
    tag = node.tag
    if isinstance(tag, str):
        return tag.rpartition("}")[2]
    from lxml import etree

    if tag is etree.Entity:
        raise ItemError(
            f"It uses the entity {node.text[:80]}, which only a DTD explains, and DTDs are not read. "
            "Replace it by its character."
        )
    return ""


def child_of(node: Node | None, *names: str) -> Node | None:
    """The first child with one of these names."""
    return None if node is None else next((child for child in node if name_of(child) in names), None)


def below(node: Node, *names: str) -> Iterator[Node]:
    """The elements of these names in an element, itself included, in document order."""
    found: Iterator[Node] = node.iter(*(f"{{*}}{name}" for name in names))
    return found


def flat(node: Node | None, *without: str) -> str:
    """The text below an element in one line, without elements of these names."""
    if node is None:
        return ""
    if not len(node):  # most elements of references
        return _one_line(node.text)
    prose = Prose()
    write(node, prose, frozenset(without))
    return " ".join(prose.text().split())


def line_of(node: Node | None, *without: str) -> str:
    """The same, cut off where it is too long for a line."""
    return clipped(flat(node, *without))


def clipped(text: str) -> str:
    return text if len(text) <= _MAX_LINE else text[: _MAX_LINE - 1] + "…"


class Prose:
    """Collects text."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def add(self, text: str | None) -> None:
        """Text of the paragraph, as it stands."""
        if text:
            self._parts.append(text)

    def edge(self, name: str, *, after: bool) -> None:
        """Where an element begins or ends."""
        if name in INLINE:
            return
        if name in _WITHIN_LINE or (name in _LEADING and not after):
            self._parts.append(" ")
        else:
            self._parts.append(_JOIN if name in _LEADING else _BREAK)

    def end_paragraph(self) -> None:
        self._parts.append(_BREAK)

    def text(self) -> str:
        """Paragraphs with an empty line between them, and single spaces in them."""
        joined = _JOINED.sub(" ", "".join(self._parts))
        paragraphs = (" ".join(part.split()) for part in joined.split(_BREAK))
        text = "\n\n".join(paragraph for paragraph in paragraphs if paragraph)
        return text.replace(_TAB, "\t").replace(_NEWLINE, "\n")


def after(child: Node, parent: str) -> str | None:
    """What stands behind a child of an element of that name."""
    tail: str | None = child.tail
    return " " if parent in _RECORDS and not tail else tail


def write(node: Node, prose: Prose, without: frozenset[str] = frozenset()) -> None:
    """All that is below an element, with nothing taken out of it but elements of some names."""
    name = name_of(node)
    prose.add(node.text)
    for child in node:
        inner = name_of(child)
        if inner and inner not in without and not special(child, inner, prose):
            prose.edge(inner, after=False)
            write(child, prose, without)
            prose.edge(inner, after=True)
        prose.add(after(child, name))


def special(node: Node, name: str, prose: Prose) -> bool:
    """Write it if it is a formula or a table, which read differently."""
    if name == "math":
        prose.add(_formula(node))
    elif name == "tex-math":
        prose.add(_tex(node))
    elif name in {"table", "array"}:
        prose.end_paragraph()
        prose.add(_NEWLINE.join(_lines(node)))
        prose.end_paragraph()
    else:
        return False
    return True


def _formula(node: Node) -> str:
    """MathML as a line of text. Indentation between its elements means nothing."""
    parts = [(node.text or "").strip()]
    apart = name_of(node) in _BESIDE
    for child in node:
        name = name_of(child)
        if name and not name.startswith("annotation"):  # the same formula in another language
            inner = _formula(child)
            parts.append(f" {inner} " if apart or name in _BESIDE else inner)
        parts.append((child.tail or "").strip())
    return "".join(parts)


def _tex(node: Node) -> str:
    """TeX without its preamble; nothing if the same formula is there as MathML."""
    above = node.getparent()
    if name_of(above) == "alternatives" and child_of(above, "math") is not None:
        return ""
    text = "".join(node.itertext())
    _, begin, formula = text.partition(r"\begin{document}")
    return formula.partition(r"\end{document}")[0].strip("$ \n") if begin else text


def _lines(table: Node) -> list[str]:
    """The rows of a table, and what stands outside them, in order."""
    lines = [_one_line(table.text)]
    for child in table:
        name = name_of(child)
        if name in _ROWS:
            lines.append(_row(child))
        elif name in {"caption", "title", "label", "p"}:
            lines.append(flat(child))
        elif name:
            lines += _lines(child)
        lines.append(_one_line(child.tail))
    return [line for line in lines if line]


def _row(row: Node) -> str:
    cells = [_one_line(row.text)] if _one_line(row.text) else []
    for cell in row:
        if name_of(cell):
            cells.append(flat(cell))
        if stray := _one_line(cell.tail):
            cells.append(stray)
    return _TAB.join(cells).rstrip(_TAB)


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
