"""Questions about the knowledge graph, each answered with the sentences that say so and their papers.

An entity is asked for by its id, an id that gave way to it, its name or a synonym. Every question raises
RequestError, which says what to do, for what the graph does not have. Lists are pages.

What belongs here: one function per question. What does not: how rows are found (`graph_lookup`,
`graph_edges`, `graph_walks`), and what interfaces make of an answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from ingest_assets.ledger import Ledger, graph_tables, tables
from ingest_assets.model import RequestError
from ingest_assets.sources.papers.graph import edges as graph_edges
from ingest_assets.sources.papers.graph import lookup as graph_lookup
from ingest_assets.sources.papers.graph import walks as graph_walks
from ingest_assets.sources.papers.graph.answers import (
    Asked,
    BundleInfo,
    Direction,
    EntityAnswer,
    EntityHit,
    EntityList,
    EntityRef,
    Neighbour,
    NeighbourList,
    PathAnswer,
    Reached,
    ReachedList,
    StatementList,
    Stats,
    Words,
)
from ingest_assets.sources.papers.graph.edges import PAPERS_SHOWN, Edge, Wanted, edges_around
from ingest_assets.sources.papers.graph.lookup import (
    MAX_SHOWN,
    Hit,
    Meant,
    NotInGraphError,
    meant,
    nodes_of,
    require_graph,
)
from ingest_assets.sources.papers.graph.pages import (
    PageOf,
    clip,
    cursor_at,
    fitting,
    offset_cursor,
    offset_in,
    place_in,
)
from ingest_assets.sources.papers.settings import NAME

FIRST = PageOf()
SENTENCES = 2  # of each statement
_SYNONYMS, _MENTIONED, _EARLIER = 5, 5, 20
_MENTIONS_READ = 20
_MAX_SYNONYM = 120  # characters that are shown
_CUTS = 3
_SHORT_PATH = 4  # statements; of those of a longer one fewer sentences are shown
_ALL_SYNONYMS = 20

_entity, _edge = graph_tables.graph_entity, graph_tables.graph_relationship
_mention, _retired = graph_tables.graph_mention, tables.entity


def entity(ledger: Ledger, asked: str, *, page: PageOf = FIRST, source: str = NAME) -> EntityAnswer:
    """An entity in full, with what papers say of it; `neighbours` has the rest of that."""
    with ledger.reading() as connection:
        require_graph(connection, source)
        it = meant(connection, source, asked)
        row = sa.select(_entity).filter_by(source=source, entity_id=it.entity_id)
        stored = connection.execute(row).one_or_none()
        if stored is None:
            raise NotInGraphError(f"The graph was just replaced by one without {asked!r}. Ask again.")
        documents = json.loads(stored.documents)
        papers = graph_edges.papers_of(connection, documents[:PAPERS_SHOWN])
        found = edges_around(connection, source, it.entity_id, Wanted(page.limit))
        answer = EntityAnswer(
            **_asked(connection, source, it).__dict__,
            provisional=stored.provisional,
            url=json.loads(stored.row).get("canonical_url"),
            synonyms=[clip(each, _MAX_SYNONYM) for each in json.loads(stored.synonyms)[:_ALL_SYNONYMS]],
            earlier_ids=_earlier(connection, source, it.entity_id),
            mentions=stored.mentions,
            papers=list(papers.values()),
            papers_count=len(documents),
            mentioned=_mentioned(connection, source, it.entity_id),
            statements=[],
        )
        said = graph_edges.statements(connection, source, found, SENTENCES)
    answer.statements = fitting(said, page.left_by(answer))
    return answer


def search(
    ledger: Ledger,
    text: str,
    *,
    entity_class: str | None = None,
    page: PageOf = FIRST,
    source: str = NAME,
) -> EntityList:
    """Entities with a name like a text, the closest first."""
    start = offset_in(page.cursor)
    with ledger.reading() as connection:
        require_graph(connection, source)
        named = graph_lookup.class_named(connection, source, entity_class)
        hits, cut = graph_lookup.search(connection, source, text, named)
    rows = fitting([_hit(each) for each in hits[start : start + page.limit]], page.budget)
    end = start + len(rows)
    return EntityList(entities=rows, cut=cut, next_cursor=offset_cursor(end) if end < len(hits) else None)


def relationships(
    ledger: Ledger,
    *,
    subject: str | None = None,
    predicate: str | None = None,
    object_: str | None = None,
    min_confidence: float = 0.0,
    papers: Sequence[str] = (),
    page: PageOf = FIRST,
    source: str = NAME,
) -> StatementList:
    """What papers say, the surest first. With `papers`, only that for which one of them has a sentence."""
    after = place_in(page.cursor)
    with ledger.reading() as connection:
        require_graph(connection, source)
        ends = [None if each is None else meant(connection, source, each) for each in (subject, object_)]
        wanted = Wanted(
            limit=page.limit + 1,
            subject=ends[0].entity_id if ends[0] else None,
            object=ends[1].entity_id if ends[1] else None,
            predicate=graph_edges.predicate_named(connection, source, predicate),
            min_confidence=min_confidence,
            after=after,
        )
        if papers:
            found, cut = graph_edges.edges_of_papers(connection, source, papers, wanted)
        else:
            found, cut = graph_edges.edges(connection, source, wanted), ""
        said = graph_edges.statements(connection, source, found[: page.limit], SENTENCES)
        answer = StatementList(
            subject=_asked(connection, source, ends[0]) if ends[0] else None,
            object=_asked(connection, source, ends[1]) if ends[1] else None,
            statements=[],
            cut=cut,
        )
    answer.statements = fitting(said, page.left_by(answer))
    answer.next_cursor = _next(found, len(answer.statements))
    return answer


def neighbours(
    ledger: Ledger,
    asked: str,
    *,
    predicate: str | None = None,
    direction: Direction = "both",
    min_confidence: float = 0.0,
    page: PageOf = FIRST,
    source: str = NAME,
) -> NeighbourList:
    """The entities that papers relate to one, the surest statement first."""
    after = place_in(page.cursor)
    with ledger.reading() as connection:
        require_graph(connection, source)
        it = meant(connection, source, asked)
        wanted = Wanted(
            limit=page.limit + 1,
            predicate=graph_edges.predicate_named(connection, source, predicate),
            min_confidence=min_confidence,
            after=after,
        )
        found = edges_around(connection, source, it.entity_id, wanted, direction)
        said = graph_edges.statements(connection, source, found[: page.limit], SENTENCES)
        answer = NeighbourList(**_asked(connection, source, it).__dict__, neighbours=[])
    rows = [
        Neighbour(
            entity=each.object if each.subject.entity_id == it.entity_id else each.subject,
            direction="out" if each.subject.entity_id == it.entity_id else "in",
            statement=each,
        )
        for each in said
    ]
    answer.neighbours = fitting(rows, page.left_by(answer))
    answer.next_cursor = _next(found, len(answer.neighbours))
    return answer


def within_hops(
    ledger: Ledger,
    asked: str,
    *,
    hops: int = 2,
    predicate: str | None = None,
    min_confidence: float = 0.0,
    page: PageOf = FIRST,
    bounds: graph_walks.Bounds | None = None,
    source: str = NAME,
) -> ReachedList:
    """The entities within so many statements of one, in either direction, the nearest first."""
    _require_hops(hops, graph_walks.MAX_HOPS)
    start = offset_in(page.cursor)
    with ledger.reading() as connection:
        require_graph(connection, source)
        it = meant(connection, source, asked)
        named = graph_edges.predicate_named(connection, source, predicate)
        wanted = Wanted(limit=1, predicate=named, min_confidence=min_confidence)
        walk = graph_walks.within(
            connection, source, it.entity_id, hops, wanted, bounds or graph_walks.Bounds()
        )
        ids = list(walk.by)
        shown = ids[start : start + page.limit]
        said = graph_edges.statements(connection, source, [walk.by[each] for each in shown], 1)
        names = nodes_of(connection, source, shown)
        answer = ReachedList(
            **_asked(connection, source, it).__dict__, reached=[], count=len(ids), cut=_cut(walk.cuts)
        )
    rows = [
        Reached(entity=EntityRef(**names[each]._asdict()), hops=walk.hops[each], by=statement)
        for each, statement in zip(shown, said, strict=True)
    ]
    answer.reached = fitting(rows, page.left_by(answer))
    end = start + len(answer.reached)
    answer.next_cursor = offset_cursor(end) if end < len(ids) else None
    return answer


def path(
    ledger: Ledger,
    start: str,
    end: str,
    *,
    max_hops: int = 4,
    min_confidence: float = 0.0,
    bounds: graph_walks.Bounds | None = None,
    source: str = NAME,
) -> PathAnswer:
    """A shortest chain of statements between two entities, each of which may point either way."""
    _require_hops(max_hops, graph_walks.MAX_PATH)
    with ledger.reading() as connection:
        require_graph(connection, source)
        ends = [meant(connection, source, each) for each in (start, end)]
        route = graph_walks.shortest(
            connection,
            source,
            ends[0].entity_id,
            ends[1].entity_id,
            max_hops,
            Wanted(limit=1, min_confidence=min_confidence),
            bounds or graph_walks.OF_PATHS,
        )
        edges = route.edges or ()
        sentences = SENTENCES if len(edges) <= _SHORT_PATH else 1
        steps = graph_edges.statements(connection, source, edges, sentences)
        return PathAnswer(
            start=_asked(connection, source, ends[0]),
            end=_asked(connection, source, ends[1]),
            hops=None if route.edges is None else len(route.edges),
            steps=steps,
            cut=_cut(route.cuts),
        )


def bundle_info(ledger: Ledger, *, source: str = NAME) -> BundleInfo:
    """What the graph in use was made as."""
    with ledger.reading() as connection:
        state = require_graph(connection, source)
    manifest = json.loads(state.manifest)
    return BundleInfo(
        bundle_id=state.bundle_id,
        bundle_version=str(manifest.get("bundle_version") or ""),
        label=str(manifest.get("label") or ""),
        created_at=str(manifest.get("created_at") or ""),
        counts={name: count for name, count in sorted(json.loads(state.counts).items()) if _is_count(count)},
    )


def stats(ledger: Ledger, *, source: str = NAME) -> Stats:
    """How large the graph is, as it is in the ledger. Counts every row of two indexes."""
    with ledger.reading() as connection:
        state = require_graph(connection, source)
        classes = _counts(connection, source, _entity.c.entity_class)
        predicates = _counts(connection, source, _edge.c.predicate)
        provisional = sa.select(sa.func.count()).select_from(_entity)
        return Stats(
            bundle_id=state.bundle_id,
            entities=sum(classes.values()),
            provisional=connection.scalar(provisional.filter_by(source=source, provisional=True)) or 0,
            relationships=sum(predicates.values()),
            mentions=_count(connection, source, _mention),
            evidence=_count(connection, source, graph_tables.graph_evidence),
            papers=_count_papers(connection, state),
            classes=classes,
            predicates=predicates,
        )


def _count_papers(connection: sa.Connection, state: Any) -> int:
    counted = json.loads(state.counts).get("paper")
    if _is_count(counted):
        return int(counted)
    return connection.scalar(sa.select(sa.func.count()).select_from(graph_tables.paper_bundle)) or 0


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _count(connection: sa.Connection, source: str, table: sa.Table) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(table).filter_by(source=source)) or 0


def _counts(connection: sa.Connection, source: str, column: sa.Column[str]) -> dict[str, int]:
    query = sa.select(column, sa.func.count()).where(column.table.c.source == source).group_by(column)
    found = connection.execute(query).tuples().all()
    return dict(sorted(found, key=lambda each: (-each[1], each[0])))


def _asked(connection: sa.Connection, source: str, it: Meant) -> Asked:
    node = nodes_of(connection, source, [it.entity_id])[it.entity_id]
    return Asked(asked=it.asked, entity=EntityRef(**node._asdict()), gave_way=it.gave_way)


def _mentioned(connection: sa.Connection, source: str, entity_id: str) -> list[Words]:
    query = sa.select(_mention).filter_by(source=source, entity_id=entity_id).order_by(_mention.c.key)
    found = [
        Words(
            text=clip(json.loads(row.row).get("text_span") or "", graph_edges.MAX_SENTENCE),
            paper_id=row.document_id,
            section=row.section,
        )
        for row in connection.execute(query.limit(_MENTIONS_READ))
    ]
    return list({(each.text, each.paper_id, each.section): each for each in found}.values())[:_MENTIONED]


def _earlier(connection: sa.Connection, source: str, entity_id: str) -> list[str]:
    """Some of the ids that led to an entity at once; longer chains are followed when one is asked for."""
    query = sa.select(_retired.c.entity_id).filter_by(source=source, successor=entity_id)
    return list(connection.scalars(query.order_by(_retired.c.entity_id).limit(_EARLIER)))


def _hit(hit: Hit) -> EntityHit:
    return EntityHit(
        entity_id=hit.entity_id,
        name=clip(hit.name, MAX_SHOWN),
        entity_class=hit.entity_class,
        synonyms=[clip(each, _MAX_SYNONYM) for each in hit.synonyms[:_SYNONYMS]],
        mentions=hit.mentions,
        papers_count=hit.papers,
    )


def _require_hops(asked: int, most: int) -> None:
    if not 1 <= asked <= most:
        raise RequestError(f"A walk has 1 to {most} hops, not {asked}.")


def _next(found: Sequence[Edge], shown: int) -> str | None:
    return cursor_at(found[shown - 1].place) if 0 < shown < len(found) else None


def _cut(cuts: Sequence[str]) -> str:
    more = len(cuts) - _CUTS
    return " ".join(cuts[:_CUTS]) + (f" And {more:,} more such bounds were met." if more > 0 else "")
