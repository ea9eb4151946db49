"""What a JATS article says of itself: its ids, journal, year, notices, references, abbreviations.

What belongs here: facts. What does not: its authors (`jats_people`), its text (`jats_sections`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ingest_assets.sources.papers.article import Notice, NoticeKind, Reference
from ingest_assets.sources.papers.formats.jats_text import (
    Node,
    below,
    child_of,
    clipped,
    flat,
    line_of,
    name_of,
)
from ingest_assets.sources.papers.identity import doi_of, pmcid_of, pmid_of

XLINK = "{http://www.w3.org/1999/xlink}href"
_EARLIEST, _LATEST = 1400, 2200  # of years that may be those of a publication
_NOTICES: dict[str, NoticeKind] = {
    "retraction": "retraction",
    "partial-retraction": "retraction",
    "withdrawal": "retraction",
    "removal": "retraction",
    "correction": "correction",
    "corrigendum": "correction",
    "erratum": "correction",
    "addendum": "correction",
    "expression-of-concern": "expression_of_concern",
    "concern": "expression_of_concern",
}
# What a related article is, if this one is the notice about it.
_SUBJECTS: dict[str, NoticeKind] = {
    "retracted-article": "retraction",
    "corrected-article": "correction",
    "addended-article": "correction",
    "object-of-concern": "expression_of_concern",
}
# "Retracted: Title" in front of an article, which is how PMC and publishers mark it.
_MARKED = re.compile(r"^\W*(?:retracted|withdrawn)(?:\s+article)?\s*[:\]\-–—]", re.IGNORECASE)  # noqa: RUF001
_MAX_REFERENCE = 20_000
_LISTS = ("app", "boxed-text", "def-list", "fn-group", "glossary", "notes", "sec")


def ids_of(meta: Node) -> tuple[str, str, str]:
    """PMCID, DOI and PMID, each "" if it has none. PMC has called its own by several names."""
    pmcid = doi = pmid = ""
    for node in meta:
        if name_of(node) != "article-id":
            continue
        kind, text = node.get("pub-id-type", "").lower(), flat(node)
        if kind in {"pmcid", "pmc", "pmc-uid"}:
            pmcid = pmcid or pmcid_of(text) or pmcid_of(f"PMC{text}")
        elif kind == "doi":
            doi = doi or doi_of(text)
        elif kind == "pmid":
            pmid = pmid or pmid_of(text)
    return pmcid, doi, pmid


def title_of(meta: Node) -> str:
    """The title, and after a colon the subtitle."""
    titles = child_of(meta, "title-group")
    parts = [flat(child_of(titles, name), "xref", "fn") for name in ("article-title", "subtitle")]
    joined = ": ".join(part for part in parts if part)
    return clipped(joined.replace("?:", "?").replace(".:", "."))


def journal_of(front: Node) -> str:
    journal = child_of(front, "journal-meta")
    titles = child_of(journal, "journal-title-group")
    named = line_of(child_of(titles, "journal-title")) or line_of(child_of(journal, "journal-title"))
    if named or journal is None:
        return named
    return next((line_of(node) for node in journal if name_of(node) == "journal-id"), "")


def year_of(meta: Node) -> int | None:
    """The earliest year in which it was published, in print or otherwise."""
    years = []
    for node in meta:
        if name_of(node) == "pub-date":
            text = flat(child_of(node, "year")) or node.get("iso-8601-date", "")
            found = re.match(r"\d{4}", text)
            if found and _EARLIEST <= int(found[0]) <= _LATEST:
                years.append(int(found[0]))
    return min(years, default=None)


# --- Notices ------------------------------------------------------------------------------------------------


def notices_of(article: Node, meta: Node, title: str) -> tuple[Notice, ...]:
    """What has become of the paper, or what it says of another one."""
    study = _NOTICES.get(article.get("article-type", ""))
    notices = []
    for node in below(meta, "related-article", "related-object"):
        kind = node.get("related-article-type", "").lower()
        if kind in _SUBJECTS:
            # Only a notice says what became of another paper; other articles merely mention it.
            if study == _SUBJECTS[kind]:
                notices.append(_notice(node, _SUBJECTS[kind], about_this=False))
        elif (named := _NOTICES.get(kind.removesuffix("-forward"))) is not None:
            # "retraction" in a retraction is what it is; in another article, where it is.
            notices.append(_notice(node, named, about_this=kind.endswith("-forward") or named != study))
    if study and not any(each.kind == study and not each.about_this for each in notices):
        notices.append(Notice(kind=study, about_this=False))
    marked = article.get("article-type") == "retracted-article" or (_MARKED.match(title) and not study)
    if marked and not any(each.kind == "retraction" and each.about_this for each in notices):
        notices.append(Notice(kind="retraction", about_this=True, text=title))
    return tuple(notices)


def _notice(node: Node, kind: NoticeKind, *, about_this: bool) -> Notice:
    address = node.get(XLINK, "")
    medium = node.get("ext-link-type", "").lower()
    doi, pmid = _cited_ids(node)
    return Notice(
        kind=kind,
        about_this=about_this,
        doi=doi_of(address) or doi,
        pmid=pmid or (pmid_of(address) if medium in {"pubmed", "pmid"} else ""),
        text=line_of(child_of(node, "article-title")) or line_of(node) or clipped(address),
    )


# --- References and abbreviations ---------------------------------------------------------------------------


def references_of(article: Node) -> tuple[Reference, ...]:
    """The works that its lists of references name; those of reports on it are not its own."""
    return tuple(
        reference
        for part in article
        if name_of(part) in {"body", "back", "floats-group"}
        for ref in below(part, "ref")
        for reference in _cited(ref)
    )


def _cited(ref: Node) -> Iterator[Reference]:
    for node in ref:
        name = name_of(node)
        cited = node
        if name == "citation-alternatives":
            cited = child_of(node, "mixed-citation", "element-citation", "nlm-citation")
        if cited is None or name not in {
            "citation-alternatives", "mixed-citation", "element-citation", "nlm-citation", "citation", "note"
        }:  # fmt: skip
            continue
        text = _citation(cited)
        if text:
            doi, pmid = _cited_ids(node)
            yield Reference(text=text[:_MAX_REFERENCE], doi=doi, pmid=pmid)


def _citation(node: Node) -> str:
    """As it is printed, or its parts with points between them."""
    left_out = ("pub-id", "object-id", "related-article", "label")
    if name_of(node) not in {"element-citation", "nlm-citation"}:
        return flat(node, *left_out)
    names: list[str] = []
    parts: list[str] = []
    for child in node:
        name = name_of(child)
        if name in {"name", "collab", "string-name"}:
            names.append(flat(child))
        elif name == "person-group":
            names += [flat(each) for each in child if name_of(each)]
        elif name and name not in left_out:
            parts.append(flat(child))
    return ". ".join(part.rstrip(".") for part in [", ".join(filter(None, names)), *parts] if part)


def _cited_ids(node: Node) -> tuple[str, str]:
    doi = pmid = ""
    for each in below(node, "pub-id", "ext-link", "uri"):
        if name_of(each) == "pub-id":
            kind = each.get("pub-id-type", "").lower()
            doi = doi or (doi_of(flat(each)) if kind == "doi" else "")
            pmid = pmid or (pmid_of(flat(each)) if kind == "pmid" else "")
        else:
            doi = doi or doi_of(each.get(XLINK, ""))
    return doi, pmid


def abbreviations_of(article: Node) -> dict[str, str]:
    """What its own lists of abbreviations say, the first definition of each."""
    found: dict[str, str] = {}
    for part in article:
        if name_of(part) not in {"front", "body", "back"}:
            continue
        for node in below(part, "abbrev", *_LISTS):
            for short, long in _defined(node):
                if short and long:
                    found.setdefault(clipped(short), clipped(long))
    return found


def _defined(node: Node) -> Iterator[tuple[str, str]]:
    """Of a definition within a line, or a list or table under a title that says what it lists."""
    name = name_of(node)
    if name == "abbrev" and child_of(node, "def") is not None:
        yield flat(node, "def"), flat(child_of(node, "def"))
    elif name in _LISTS and _lists_abbreviations(node, name):
        for each in below(node, "def-item", "tr"):
            cells = [cell for cell in each if name_of(cell) in {"td", "th"}] if name_of(each) == "tr" else []
            if name_of(each) == "def-item":
                yield flat(child_of(each, "term")), flat(child_of(each, "def"))
            elif len(cells) == 2:  # noqa: PLR2004 - short and long
                yield flat(cells[0]), flat(cells[1])


def _lists_abbreviations(node: Node, name: str) -> bool:
    title = child_of(node, "title")
    said = f"{node.get('list-content', '')} {flat(title)}".casefold()
    return "abbreviation" in said or "acronym" in said or (name == "glossary" and not flat(title))
