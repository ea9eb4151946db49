"""The sections of a JATS article: every word of it in one of them, in document order.

- A `sec`, a boxed text, an abstract or a part of the back matter is a section under its own title. The title
  is the first paragraph of its text; if it has no prose, of the first section in it.
- Captions, tables, displayed formulas and footnotes are sections of their own wherever they stand. They come
  after the prose around them, since they may stand between any two words of it. Prose that a boxed text or a
  section interrupts goes on afterwards, in a section "continued".
- The reports and replies that are published with an article are parts of its back matter.

What belongs here: which text becomes which section. What does not: the text itself (`jats_text`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

from ingest_assets.model import digest_of
from ingest_assets.sources.papers.article import Section, SectionKind
from ingest_assets.sources.papers.formats.jats_text import (
    Node,
    Prose,
    after,
    below,
    child_of,
    clipped,
    flat,
    name_of,
    special,
    write,
)

_MAX_SLUG, _MAX_PARENT = 60, 200
_NUMBERING = re.compile(r"^\W*\d+(?:\.\d+)*[.):]?\s+(?=\w)")
_CAPTIONED = {
    "fig": "Figure", "fig-group": "Figures", "media": "Media", "chem-struct-wrap": "Structure",
    "chem-struct-wrapper": "Structure", "graphic": "Graphic", "table-wrap": "Table",
    "table-wrap-group": "Tables",
}  # fmt: skip
_PANELS = frozenset(("fig", "graphic", "media", "chem-struct-wrap", "chem-struct-wrapper"))
_TITLED = {
    "sec": "", "ack": "Acknowledgements", "app": "Appendix", "bio": "Biography", "dedication": "Dedication",
    "front-matter-part": "", "fn-group": "Footnotes", "glossary": "Glossary", "notes": "Notes",
    "boxed-text": "Box", "sub-article": "Sub-article", "response": "Response",
}  # fmt: skip
_SUB_ARTICLES = ("sub-article", "response")


def slug_of(text: str, default: str) -> str:
    """A title as a part of a section's id: that of "2.1 Study population" is "study-population"."""
    text = unicodedata.normalize("NFKC", text).casefold()
    words = re.findall(r"\w+", _NUMBERING.sub("", text))
    return "-".join(words)[:_MAX_SLUG].strip("-") or default


class Ids:
    """Gives every section an id of its own, which only those above it and its namesakes before it change."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def new(self, parent: str, slug: str) -> str:
        if len(parent) > _MAX_PARENT:
            parent = digest_of(parent)
        plain = f"{parent}/{slug}" if parent else slug
        count = self._given[plain] = self._given.get(plain, 0) + 1
        return plain if count == 1 else f"{plain}~{count}"


class _Place:
    """Where text is put: a part of the article with its title, the prose directly in it, and its pieces."""

    def __init__(self, ids: Ids, section_id: str, path: tuple[str, ...], kind: SectionKind) -> None:
        self.ids, self.id, self.path, self.kind = ids, section_id, path, kind
        self.prefix = section_id  # of the ids below it
        self.prose = Prose()
        self.done: list[Section] = []
        self.table: _Place | None = None  # of a table's caption: where its rows go
        self._headings: list[str] = []
        self._pieces: list[Section] = []  # which follow the prose
        self._id_is_used = False

    def below(self, title: str, kind: SectionKind, default: str) -> _Place:
        """A part of this one."""
        section_id = self.ids.new(self.prefix, slug_of(title, default))
        return _Place(self.ids, section_id, (*self.path, clipped(title)) if title else self.path, kind)

    def open(self, part: _Place, heading: str) -> None:
        """A part begins: what was said before comes before it."""
        self.flush(final=part.kind != self.kind)
        part._headings = [*self._headings, heading] if heading else self._headings
        self._headings = []

    def close(self, part: _Place) -> None:
        part.flush(final=True)
        self.done += part.done

    def take(self, piece: _Place) -> None:
        """A piece that is complete."""
        piece.flush(final=True)
        self._pieces += piece.done

    def flush(self, *, final: bool) -> None:
        """What was collected becomes sections. Headings wait for text below them, until the end."""
        text = self.prose.text()
        self.prose = Prose()
        if text or (final and self._headings and not self._pieces):
            text = self._headed(text)
            self.done.append(Section(id=self._next_id(), kind=self.kind, path=self.path, text=text))
        if self._pieces:
            first = self._pieces[0]
            self._pieces[0] = first.model_copy(update={"text": self._headed(first.text)})
        self.done += self._pieces
        self._pieces = []

    def _headed(self, text: str) -> str:
        headings, self._headings = self._headings, []
        return "\n\n".join([*headings, text] if text else headings)

    def _next_id(self) -> str:
        if self._id_is_used:
            return self.ids.new(self.prefix, "continued")
        self._id_is_used = True
        return self.id


def sections_of(article: Node) -> tuple[Section, ...]:
    """The sections of an article element."""
    ids = Ids()
    meta = child_of(child_of(article, "front"), "article-meta")
    done = _front(meta, ids) if meta is not None else []
    body, back = _Place(ids, ids.new("", "body"), (), "body"), _Place(ids, "back", (), "back")
    body.prefix = back.prefix = ""  # the ids of what is in them begin with its own name
    for node in article:
        name = name_of(node)
        if name in {"body", "floats-group", "floats-wrap", "back"}:
            place = back if name == "back" else body
            _flow(node, place)
            place.flush(final=True)
            done += place.done
            place.done = []
    for node in article:
        if name_of(node) in _SUB_ARTICLES:
            _sub_article(node, name_of(node), back)
    back.flush(final=True)
    return (*done, *back.done)


def _front(meta: Node, ids: Ids) -> list[Section]:
    titles = child_of(meta, "title-group")
    title = _Place(ids, ids.new("", "title"), (), "title")
    for child in titles if titles is not None else ():
        if name_of(child) not in {"alt-title", "fn-group", ""}:
            title.prose.end_paragraph()
            write(child, title.prose, frozenset(("fn", "xref")))  # the signs of footnotes are no words of it
    title.flush(final=True)
    top = _Place(ids, "", (), "abstract")
    for node in meta:
        if name_of(node) in {"abstract", "trans-abstract"}:
            _abstract(node, top)
    return title.done + top.done


def _abstract(node: Node, top: _Place) -> None:
    """One is called by its own title, or else by its type."""
    kind = node.get("abstract-type") or ("translated" if name_of(node) == "trans-abstract" else "")
    plain = "abstract" if kind in {"", "unstructured", "structured"} else f"{kind.replace('-', ' ')} abstract"
    _part(node, top, top.kind, plain[0].upper() + plain[1:])


def _sub_article(node: Node, name: str, top: _Place) -> bool:
    front = child_of(node, "front-stub", "front")
    meta = child_of(front, "article-meta")
    meta = front if meta is None else meta
    title = flat(child_of(child_of(meta, "title-group"), "article-title"))
    part = top.below(title or _TITLED[name], "back", name)
    top.open(part, title)
    for each in () if meta is None else meta:
        if name_of(each) in {"abstract", "trans-abstract"}:  # of a translation
            _abstract(each, part)
    _flow(node, part, (front,))
    top.close(part)
    return True


def _flow(node: Node, place: _Place, without: Iterable[Node | None] = ()) -> None:
    """What is below an element: prose, and what is taken out of it."""
    parent = name_of(node)
    left_out = [child for child in without if child is not None]
    place.prose.add(node.text)
    for child in node:
        name = name_of(child)
        if child in left_out:
            place.prose.end_paragraph()
        elif name:
            handle = _HANDLERS.get(name)
            if handle is None or not handle(child, name, place):
                place.prose.edge(name, after=False)
                _flow(child, place)
                place.prose.edge(name, after=True)
        place.prose.add(after(child, parent))


# Each returns False if the element is an ordinary one here.


def _named_part(node: Node, name: str, place: _Place) -> bool:
    kind: SectionKind = "back" if name == "fn-group" else "boxed_text" if name == "boxed-text" else place.kind
    if kind in {"caption", "table"}:  # text of the caption
        return False
    _part(node, place, kind, _TITLED[name])
    return True


def _part(node: Node, place: _Place, kind: SectionKind, default: str) -> None:
    """A part with its own title, which may stand in a caption."""
    label, title = child_of(node, "label"), child_of(node, "title")
    named = flat(title) or flat(child_of(child_of(node, "caption"), "title")) or flat(label) or default
    part = place.below(named, kind, "section")
    place.open(part, " ".join(filter(None, (flat(label), flat(title)))))
    _flow(node, part, (label, title))
    place.close(part)


def _captioned(node: Node, name: str, place: _Place) -> bool:
    """A figure, a table or the like: its caption, with those of its panels. A table in it is below it."""
    if name in _PANELS and (place.kind == "caption" or name_of(node.getparent()) == "supplementary-material"):
        return False  # its legend is a part of what it is in
    label = flat(child_of(node, "label"))
    title = flat(child_of(child_of(node, "caption"), "title"))
    whole = place.below(label or _CAPTIONED[name], "caption", name)
    named = f"{label.rstrip('.:')}: {title}" if label and title else title
    if named:
        whole.path = (*place.path, clipped(named))
    # A floating part is elsewhere in print, and the paragraph goes on. The words on both sides are two.
    place.prose.add(" ")
    if name == "table-wrap" and next(below(node, "table", "array"), None) is not None:
        words = _Place(whole.ids, whole.ids.new(whole.id, "caption"), whole.path, "caption")
        words.prefix, words.table, whole.kind = whole.id, whole, "table"
        _flow(node, words)
        place.take(words)
    else:
        _flow(node, whole)
    place.take(whole)
    return True


def _table(node: Node, name: str, place: _Place) -> bool:
    if place.table is not None:  # of several with one caption
        return special(node, name, place.table.prose)
    piece = place.below("Table", "table", "table")
    place.prose.add(" ")
    special(node, name, piece.prose)
    place.take(piece)
    return True


def _table_foot(node: Node, _name: str, place: _Place) -> bool:
    if place.table is None:
        return False
    place.table.prose.end_paragraph()
    _flow(node, place.table)
    return True


def _displayed(node: Node, _name: str, place: _Place) -> bool:
    piece = place.below(f"Formula {flat(child_of(node, 'label'))}".strip(), "formula", "formula")
    place.prose.end_paragraph()
    write(node, piece.prose)
    place.take(piece)
    return True


def _footnote(node: Node, _name: str, place: _Place) -> bool:
    if place.kind not in {"body", "boxed_text", "abstract"}:
        return False
    piece = place.below("Footnote", "back", "footnote")
    place.prose.add(" ")
    _flow(node, piece)
    place.take(piece)
    return True


def _formula(node: Node, name: str, place: _Place) -> bool:
    return special(node, name, place.prose)


def _references(_node: Node, _name: str, place: _Place) -> bool:
    place.prose.end_paragraph()  # they are metadata
    return True


_HANDLERS: dict[str, Callable[[Node, str, _Place], bool]] = {
    **dict.fromkeys(_TITLED, _named_part),
    **dict.fromkeys(_SUB_ARTICLES, _sub_article),
    **dict.fromkeys(_CAPTIONED, _captioned),
    "table": _table,
    "array": _table,
    "table-wrap-foot": _table_foot,
    "disp-formula": _displayed,
    "fn": _footnote,
    "math": _formula,
    "tex-math": _formula,
    "ref-list": _references,
}
