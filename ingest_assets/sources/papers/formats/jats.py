"""JATS XML to articles: one file as PMC's efetch gives it, with or without its wrapper.

Neither a DTD nor anything else is fetched or read besides the file, and no entity is expanded but the five of
XML itself and numbers. A file that declares entities is refused before its content is parsed.

What belongs here: XML from outside, and which articles it holds. What does not: their parts (`jats_front`,
`jats_people`, `jats_sections`).
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple
from xml.parsers import expat

from ingest_assets.model import ItemError
from ingest_assets.sources.papers.article import Article
from ingest_assets.sources.papers.formats.jats_front import (
    abbreviations_of,
    ids_of,
    journal_of,
    notices_of,
    references_of,
    title_of,
    year_of,
)
from ingest_assets.sources.papers.formats.jats_people import authors_of
from ingest_assets.sources.papers.formats.jats_sections import sections_of
from ingest_assets.sources.papers.formats.jats_text import Node, child_of, clipped, name_of
from ingest_assets.sources.papers.identity import paper_id

MAX_BYTES = 32 << 20  # of a file: a hundred papers
MAX_DEPTH = 120  # of elements: tables in lists in boxes reach 30
MAX_TAGS = 4_000_000  # of a file, counted before it is parsed
_PROLOG = 1 << 16
_OUT_OF_MEMORY = 2  # XML_ERR_NO_MEMORY


class Found(NamedTuple):
    """An article of a file, and the file that would hold it alone; None if this one does."""

    article: Article
    content: bytes | None


def parse(data: bytes) -> tuple[list[Found], str]:
    """The articles of a file in its order, and what is wrong with the others: "" if nothing is.

    Raises ItemError when it is no XML, none that may be read, or holds no article at all.
    """
    root = tree_of(data)
    articles = _articles(root)
    found: list[Found] = []
    faults: list[str] = []
    for number, node in enumerate(articles, start=1):
        try:
            article = article_of(node)
        except ItemError as error:
            which = f"Article {number} of {len(articles)}: " if len(articles) > 1 else ""
            faults.append(f"{which}{error}")
            continue
        alone = len(articles) == 1
        found.append(Found(article, None if alone else _alone(node)))
    times = Counter(each.article.paper_id for each in found)
    faults += [
        f"Two of its articles have the id {each}. Keep one of them." for each in times if times[each] > 1
    ]
    return [each for each in found if times[each.article.paper_id] == 1], " ".join(faults)


def tree_of(data: bytes) -> Node:
    """The root element. Raises ItemError when it is no XML, or more of it than a file of papers has."""
    from lxml import etree

    if len(data) > MAX_BYTES:
        raise ItemError(f"It is larger than {MAX_BYTES >> 20} MiB. Split it into several files.")
    if data.count(b"<") > MAX_TAGS:
        raise ItemError(f"It has more than {MAX_TAGS:,} tags.")
    _refuse_declarations(data)
    # Never `collect_ids=False`: libxml2 (2.14) then reads the DTD, whatever `load_dtd` says.
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        no_network=True,
        huge_tree=False,
        recover=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        if error.code == _OUT_OF_MEMORY:
            raise MemoryError from error
        raise ItemError(f"It is not well-formed XML: {str(error)[:300]}") from error
    declared = root.getroottree().docinfo.internalDTD
    if declared is not None and any(True for _ in declared.iterentities()):
        raise _declares()
    if root.xpath(f"boolean({'/*' * (MAX_DEPTH + 1)})"):
        raise ItemError(f"Its elements are nested more than {MAX_DEPTH} deep.")
    return root


class _Done(Exception):  # noqa: N818 - no error
    """The prolog has ended."""


def _refuse_declarations(data: bytes) -> None:
    """Raises ItemError when a DOCTYPE has declarations of its own. Reads up to the first element.

    What is wrong with the XML is for the other parser to say.
    """
    reader = expat.ParserCreate()

    def doctype(_name: str, _system: str | None, _public: str | None, has_declarations: int) -> None:
        if has_declarations:
            raise _declares()

    def element(_name: str, _attributes: dict[str, str]) -> None:
        raise _Done

    reader.StartDoctypeDeclHandler = doctype
    reader.StartElementHandler = element
    try:
        for at in range(0, len(data), _PROLOG):
            reader.Parse(data[at : at + _PROLOG], False)  # noqa: FBT003 - there is more to come
    except (_Done, expat.ExpatError):
        return
    except (LookupError, ValueError):  # an encoding that only the other one may know
        return


def _declares() -> ItemError:
    return ItemError(
        "Its DOCTYPE has declarations of its own, which are not read. Remove what its brackets enclose."
    )


def _articles(root: Node) -> list[Node]:
    """The article elements that are in no other one."""
    if name_of(root) == "article":
        return [root]
    found = [node for node in root if name_of(node) == "article"]
    if not found:
        found = [each for node in root for each in node if name_of(each) == "article"]  # OAI wraps it twice
    if not found:
        raise ItemError(f"It holds no article: its root is {name_of(root)[:80]}, and JATS was expected.")
    return found


def _alone(node: Node) -> bytes:
    from lxml import etree

    content: bytes = etree.tostring(node, encoding="UTF-8", xml_declaration=True, with_tail=False)
    return content


def article_of(node: Node) -> Article:
    """What an article element says. Raises ItemError when it has no id or no text, or exceeds a bound."""
    from pydantic import ValidationError

    front = child_of(node, "front")
    meta = child_of(front, "article-meta")
    if meta is None:
        raise ItemError("It has no article-meta, where its id would stand.")
    pmcid, doi, pmid = ids_of(meta)
    title = title_of(meta)
    facts: dict[str, Any] = {"pmcid": pmcid, "doi": doi, "pmid": pmid, "title": title}
    facts["paper_id"] = paper_id(pmcid, doi, pmid)
    try:
        sections = sections_of(node)
        if all(section.kind == "title" for section in sections):
            raise ItemError(f"{facts['paper_id']} has neither a body nor an abstract.")
        return Article(
            **facts,
            authors=authors_of(meta),
            journal=journal_of(front),
            year=year_of(meta),
            study_type=clipped(node.get("article-type", "")),
            notices=notices_of(node, meta, title),
            references=references_of(node),
            abbreviations=abbreviations_of(node),
            sections=sections,
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ItemError(
            f"{facts['paper_id']} exceeds a bound: {'.'.join(map(str, first['loc']))}: {first['msg']}."
        ) from error
