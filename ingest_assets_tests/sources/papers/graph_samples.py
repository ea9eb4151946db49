"""Two graphs to ask, and what tests compare answers by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingest_assets.sources.papers.graph.pages import PageOf
from ingest_assets_tests.sources.papers.loading import Rows, entity, evidence, relationship

HUB = 400


def small() -> Rows:
    entities = [
        entity("MeSH:D000309", "Adrenal Insufficiency", synonyms=["AI", "Hypoadrenalism"]),
        entity("MeSH:D000224", "Addison Disease", synonyms=["Addison's disease"]),
        entity("AI:1", "Artificial intelligence", "Method", ["AI"]),
        entity("HGNC:2592", "CYP21A2", "Gene", ["21-hydroxylase"]),
        entity("RxNorm:5492", "Hydrocortisone", "Drug", supporting_documents=["PMC1", "PMC2"]),
        entity("lonely", "Lonely thing", "Concept"),
    ]
    treats = relationship("RxNorm:5492", "TREATS", "MeSH:D000309", 0.9, source_documents=["PMC1", "PMC2"])
    kind_of = relationship("MeSH:D000224", "SUBTYPE_OF", "MeSH:D000309", 0.8)
    encodes = relationship("HGNC:2592", "ASSOCIATED_WITH", "MeSH:D000224", 0.4)
    itself = relationship("HGNC:2592", "REGULATES", "HGNC:2592", 0.3)
    sentences = [
        evidence(treats, "Hydrocortisone treats it, a retracted paper says.", "PMC2", 0.95),
        evidence(treats, "Hydrocortisone replaces cortisol.", "PMC1", 0.7),
        evidence(kind_of, "Addison disease is an adrenal insufficiency.", "PMC1", 0.8),
    ]
    return Rows(entities, [treats, kind_of, encodes, itself], [], sentences)


def hub() -> Rows:
    """One entity that everything else is related to, in one direction or the other."""
    entities = [entity("hub", "Hub of everything"), entity("far", "Far away")]
    entities += [entity(f"e{i}", f"Spoke number {i}") for i in range(HUB)]
    found = [
        relationship(*(("hub", "CAUSES", f"e{i}") if i % 2 else (f"e{i}", "TREATS", "hub")), i / HUB)
        for i in range(HUB)
    ]
    found.append(relationship("e0", "AFFECTS", "far", 1.0))
    return Rows(entities, found, [], [evidence(found[5], f"Sentence {i}.") for i in range(50)])


def key_of(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["subject_id"], row["predicate"], row["object_id"]


def said(statement: Any) -> tuple[str, str, str]:
    return statement.subject.entity_id, statement.predicate, statement.object.entity_id


def asking(question: Callable[..., Any], *arguments: Any, **more: Any) -> Callable[[PageOf], Any]:
    return lambda page: question(*arguments, **more, page=page)


def all_pages(question: Callable[[PageOf], Any], items: str, limit: int = 7) -> list[Any]:
    found: list[Any] = []
    cursor = None
    while True:
        answer = question(PageOf(limit, cursor))
        page = getattr(answer, items)
        assert len(page) <= limit
        found += page
        cursor = answer.next_cursor
        if cursor is None:
            return found
