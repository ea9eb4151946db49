"""The relationships of the graph: the surest first, a bounded number at a time, with what supports them.

Each query reads a range of an index that has all it needs, in order, so that an entity with a hundred
thousand relationships costs no more than another one.

What belongs here: relationships, their evidence and their papers. What does not: walks (`graph_walks`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import sqlalchemy as sa

from ingest_assets.ledger import graph_tables
from ingest_assets.ledger.store import batched
from ingest_assets.model import RequestError, digest_of
from ingest_assets.sources.papers.graph.answers import Direction, EntityRef, Paper, Sentence, Statement
from ingest_assets.sources.papers.graph.lookup import distinct, nodes_of
from ingest_assets.sources.papers.graph.pages import Place, clip, storable
from ingest_assets.sources.papers.known import KnownNotice, facts_of, notices_of
from ingest_assets.sources.papers.merging.graph_rows import relationship_key

PAPERS_SHOWN = 10
MAX_SENTENCE, MAX_TITLE = 400, 160  # characters that are shown
FROM_PAPERS = 20_000  # sentences that are looked at for the relationships of some papers
_LOOKED_AT = 20  # sentences of one relationship, the surest, of which those of retracted papers come last
_BOUND = 5_000  # values per query
_AT_ONCE = 50  # entities whose relationships one query reads; SQLite takes 500 parts, two for each
_KNOWN_SHOWN = 60

_edge, _evidence = graph_tables.graph_relationship, graph_tables.graph_evidence


class Edge(NamedTuple):
    """A relationship without what is said of it. Greater ones are surer."""

    confidence: float
    evidence_count: int
    predicate: str
    key: str
    subject_id: str
    object_id: str

    @property
    def place(self) -> Place:
        return self[:4]

    def other(self, entity_id: str) -> str:
        """The entity at the other end."""
        return self.object_id if self.subject_id == entity_id else self.subject_id


_COLUMNS = tuple(_edge.c[name] for name in Edge._fields)
_ORDER = _COLUMNS[:4]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which relationships are wanted: those of all the ends that are given, after a place in their order."""

    limit: int
    subject: str | None = None
    object: str | None = None
    predicate: str | None = None
    min_confidence: float = 0.0
    after: Place | None = None


def predicate_named(connection: sa.Connection, source: str, asked: str | None) -> str | None:
    """The predicate as the graph spells it. Raises RequestError for one that it has not."""
    if asked is None:
        return None
    spelled = re.sub(r"[\s_-]+", "_", asked.strip()).upper()
    if storable(spelled) and connection.scalar(
        sa.select(_edge.c.predicate).filter_by(source=source, predicate=spelled).limit(1)
    ):
        return spelled
    known = distinct(connection, source, _edge.c.predicate)
    shown = ", ".join(known[:_KNOWN_SHOWN]) + (", ..." if len(known) > _KNOWN_SHOWN else "")
    raise RequestError(f"The graph has no predicate {asked!r}. It has {shown or 'none'}.")


def edges(connection: sa.Connection, source: str, wanted: Wanted) -> list[Edge]:
    """The surest relationships of a subject, an object, both, or a predicate."""
    return [Edge(*row) for row in connection.execute(_surest(source, wanted))]


def _surest(source: str, wanted: Wanted) -> sa.Select[Any]:
    query = sa.select(*_COLUMNS).where(_edge.c.source == source)
    ends = (
        (_edge.c.subject_id, wanted.subject),
        (_edge.c.object_id, wanted.object),
        (_edge.c.predicate, wanted.predicate),
    )
    given = [(column, value) for column, value in ends if value is not None]
    if not given:
        raise RequestError("Say at least a subject, an object, a predicate or a paper.")
    for number, (column, value) in enumerate(given):
        # Only the first may choose the index: SQLite cannot know which of two is the rarer value.
        query = query.where((column if number == 0 else sa.func.coalesce(column, "")) == value)
    if wanted.min_confidence > 0:
        query = query.where(_edge.c.confidence >= wanted.min_confidence)
    if wanted.after is not None:
        query = query.where(sa.tuple_(*_ORDER) < sa.tuple_(*map(sa.literal, wanted.after)))
    return query.order_by(*(column.desc() for column in _ORDER)).limit(wanted.limit)


def edges_around(
    connection: sa.Connection, source: str, entity_id: str, wanted: Wanted, direction: Direction = "both"
) -> list[Edge]:
    """The surest relationships of an entity, as a subject ("out"), an object ("in") or either ("both")."""
    found: set[Edge] = set()
    if direction != "in":
        found.update(edges(connection, source, replace(wanted, subject=entity_id)))
    if direction != "out":
        found.update(edges(connection, source, replace(wanted, object=entity_id)))
    return sorted(found, reverse=True)[: wanted.limit]


def edges_around_each(
    connection: sa.Connection, source: str, ids: Sequence[str], wanted: Wanted
) -> Iterator[tuple[str, list[Edge]]]:
    """Entities, each with its surest relationships in either direction, some at a time."""
    for part in batched(ids, _AT_ONCE):
        around: dict[str, set[Edge]] = {each: set() for each in part}
        for entity_id, *edge in connection.execute(_around_all(source, part, wanted)):
            around[entity_id].add(Edge(*edge))
        for entity_id, found in around.items():
            yield entity_id, sorted(found, reverse=True)[: wanted.limit]


def _around_all(source: str, ids: Sequence[str], wanted: Wanted) -> sa.CompoundSelect[Any]:
    """For each entity and direction a range of an index, as for one: both databases can do no better."""
    asked = [(each, replace(wanted, subject=each)) for each in ids]
    asked += [(each, replace(wanted, object=each)) for each in ids]
    return sa.union_all(
        *(
            sa.select(sa.literal(entity_id), *_surest(source, narrowed).subquery().c)
            for entity_id, narrowed in asked
        )
    )


def edges_of_papers(
    connection: sa.Connection, source: str, papers: Sequence[str], wanted: Wanted
) -> tuple[list[Edge], str]:
    """The surest relationships for which the papers have a sentence of evidence; and what was left out."""
    said = sa.select(_evidence.c.relationship_key).where(
        _evidence.c.source == source, _evidence.c.document_id.in_(sorted(filter(storable, set(papers))))
    )
    # Of too many, the surest: the same ones for every page.
    surest = said.order_by(_evidence.c.confidence.desc(), _evidence.c.key.desc()).limit(FROM_PAPERS + 1)
    called = connection.scalars(surest).all()
    cut = f"Of these papers' sentences, only the {FROM_PAPERS:,} surest were looked at: name fewer papers."
    # A relationship's row has the digest of what its evidence calls it as its key.
    keys = {digest_of(each) for each in called[:FROM_PAPERS]}
    ends = {"subject_id": wanted.subject, "object_id": wanted.object, "predicate": wanted.predicate}
    found = [
        edge
        for edge in edges_with(connection, source, keys)
        if all(value in {None, getattr(edge, name)} for name, value in ends.items())
        and edge.confidence >= wanted.min_confidence
        and (wanted.after is None or edge.place < wanted.after)
    ]
    return sorted(found, reverse=True)[: wanted.limit], cut if len(called) > FROM_PAPERS else ""


def edges_with(connection: sa.Connection, source: str, keys: Iterable[str]) -> list[Edge]:
    """The relationships with these keys, in any order."""
    # With a column that no other index has: SQLite would read a whole one of those rather than the keys.
    query = sa.select(*_COLUMNS, _edge.c.documents).where(_edge.c.source == source)
    return [
        Edge(*row[:-1])
        for part in batched(sorted(set(keys)), _BOUND)
        for row in connection.execute(query.where(_edge.c.key.in_(part)))
    ]


def statements(
    connection: sa.Connection, source: str, found: Sequence[Edge], sentences: int
) -> list[Statement]:
    """What papers say, in the order of the edges, each with so many sentences at most."""
    ends = [end for edge in found for end in (edge.subject_id, edge.object_id)]
    names = {
        each.entity_id: EntityRef(**each._asdict()) for each in nodes_of(connection, source, ends).values()
    }
    documents = _documents(connection, source, [edge.key for edge in found])
    evidence = {edge.key: _best_evidence(connection, source, edge) for edge in found} if sentences else {}
    papers = papers_of(connection, {row.document_id for rows in evidence.values() for row in rows})
    return [
        Statement(
            subject=names[edge.subject_id],
            predicate=edge.predicate,
            object=names[edge.object_id],
            confidence=edge.confidence,
            evidence_count=edge.evidence_count,
            papers=documents.get(edge.key, [])[:PAPERS_SHOWN],
            papers_count=len(documents.get(edge.key, [])),
            evidence=_sentences(evidence.get(edge.key, ()), papers)[:sentences],
        )
        for edge in found
    ]


def _documents(connection: sa.Connection, source: str, keys: Sequence[str]) -> dict[str, list[str]]:
    query = sa.select(_edge.c.key, _edge.c.documents).where(_edge.c.source == source)
    return {
        row.key: json.loads(row.documents)
        for part in batched(sorted(set(keys)), _BOUND)
        for row in connection.execute(query.where(_edge.c.key.in_(part)))
    }


def _best_evidence(connection: sa.Connection, source: str, edge: Edge) -> Sequence[Any]:
    key = relationship_key(edge.subject_id, edge.predicate, edge.object_id)
    query = sa.select(_evidence).filter_by(source=source, relationship_key=key)
    surest = query.order_by(_evidence.c.confidence.desc(), _evidence.c.key.desc()).limit(_LOOKED_AT)
    return connection.execute(surest).all()


def _sentences(rows: Iterable[Any], papers: Mapping[str, Paper]) -> list[Sentence]:
    """Sentences, the surest first, but those of retracted papers last."""
    found = [
        Sentence(
            text=clip(json.loads(row.row).get("text_span") or "", MAX_SENTENCE),
            paper=papers[row.document_id],
            section=row.section,
            confidence=row.confidence,
        )
        for row in rows
    ]
    return sorted(found, key=lambda each: each.paper.retracted)


def papers_of(connection: sa.Connection, ids: Iterable[str]) -> dict[str, Paper]:
    """What is known of papers, by their ids: from their files, else from their bundles."""
    wanted = sorted(set(ids))
    facts = facts_of(connection, wanted)
    notices = notices_of(connection, facts)
    return {paper: _paper(paper, facts.get(paper, {}), notices.get(paper, ())) for paper in wanted}


def _paper(paper_id: str, facts: Mapping[str, Any], notices: Iterable[KnownNotice]) -> Paper:
    retraction = next((each for each in notices if each.kind == "retraction"), None)
    return Paper(
        paper_id=paper_id,
        title=clip(facts.get("title") or "", MAX_TITLE),
        journal=clip(facts.get("journal") or "", MAX_TITLE),
        year=facts.get("year"),
        retracted=retraction is not None,
        retraction_said_by=retraction.said_by if retraction else "",
    )
