"""HTML in a column to the text that a reader would see.

What belongs here: telling HTML from text, and its text. What does not: which columns hold it (the mapping).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# Begins with an element that programs write, ends with a tag, and closes or breaks something in between: text
# about HTML does not, and an address in angle brackets neither.
_BEGINS = re.compile(
    r"\s*(?:<!--(?:(?!-->).)*-->\s*)*<(?:!doctype html|html|head|body|div|p|table|span|style|meta|br|ul|ol|"
    r"h[1-6]|blockquote|font|b|strong|i|em|a|section|article|center|pre)\b[^<>]*>",
    re.IGNORECASE | re.DOTALL,
)
_INSIDE = re.compile(r"</[a-z][a-z0-9]*\s*>|<br\s*/?>", re.IGNORECASE)
_DROPPED = frozenset(["script", "style", "title", "template", "noscript", "svg", "math", "object", "iframe"])
_BLOCKS = frozenset(
    ["address", "article", "aside", "blockquote", "body", "center", "dd", "div", "dl", "dt", "fieldset",
     "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html",
     "li", "main", "nav", "ol", "p", "pre", "section", "table", "tbody", "tfoot", "thead", "tr", "ul"]
)  # fmt: skip
_PARAGRAPHS = frozenset(
    ["p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "table", "ul", "ol", "dl", "pre"]
)
_CELLS = frozenset(["td", "th"])
# Breaks, until those that meet become one. No text of HTML has these characters.
_BLOCK, _PARAGRAPH = "\0", "\1"
_WHITE = re.compile(r"\s+")
_SPACES = re.compile(r"[ \t\xa0]+")
_BREAKS = re.compile(r"[\0\1][ \t\0\1]*")
_BLANK_LINES = re.compile(r"\n{3,}")


def is_html(text: str) -> bool:
    """Whether a text is HTML beyond doubt."""
    return (
        text.rstrip().endswith(">") and _BEGINS.match(text) is not None and _INSIDE.search(text) is not None
    )


def text_of(html: str) -> str:
    """The text of HTML: scripts and styles dropped, characters decoded, blocks as breaks of lines.

    However deep it is nested, and in memory that does not grow with the nesting.
    """
    from lxml import etree

    if not html.strip():
        return ""
    # A target, and no tree: trees are cut off below a certain depth, which long threads of mail reach.
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, target=_Text())
    parser.feed(html.encode("utf-8", "replace"))
    return _tidy(parser.close())


class _Text:
    """Collects texts and breaks while the parser goes through the elements."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._dropped = self._verbatim = 0  # elements of those sorts that are open

    def start(self, tag: str, _attributes: Mapping[str, str]) -> None:
        self._dropped += tag in _DROPPED
        self._verbatim += tag == "pre"
        self._pieces.append(_break(tag))

    def end(self, tag: str) -> None:
        self._dropped -= tag in _DROPPED
        self._verbatim -= tag == "pre"
        self._pieces.append(_break(tag, ends=True))

    def data(self, text: str) -> None:
        if not self._dropped:
            self._pieces.append(text if self._verbatim else _WHITE.sub(" ", text))

    def comment(self, _text: str) -> None:
        """Nobody sees it."""

    def pi(self, _target: str, _data: str | None = None) -> None:
        """Nor this."""

    def close(self) -> str:
        return "".join(self._pieces)


def _break(tag: str, *, ends: bool = False) -> str:
    if tag == "br":
        return "\n" if ends else ""
    if tag in _CELLS:
        return " " if ends else ""
    if tag == "li" and not ends:
        return f"{_BLOCK}- "
    if tag in _PARAGRAPHS:
        return _PARAGRAPH
    return _BLOCK if tag in _BLOCKS else ""


def _tidy(text: str) -> str:
    """Breaks that meet are one; lines without spaces at their ends."""
    text = _BREAKS.sub(lambda found: "\n\n" if _PARAGRAPH in found[0] else "\n", text)
    lines = [_SPACES.sub(" ", line).strip() for line in text.split("\n")]
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()
