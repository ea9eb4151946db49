"""The graph over HTTP and for agents: questions about what papers say.

What belongs here: arguments, descriptions and bounds of answers. What does not: finding answers
(`graph_queries`), and how operations are served (`interfaces`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field

from ingest_assets.sources.operations import Arguments, Asking, SourceOperation
from ingest_assets.sources.papers.graph.answers import (
    BundleInfo,
    Direction,
    EntityAnswer,
    EntityList,
    NeighbourList,
    PathAnswer,
    ReachedList,
    StatementList,
    Stats,
)
from ingest_assets.sources.papers.graph.author_links import AuthorLinks
from ingest_assets.sources.papers.graph.pages import PageOf

if TYPE_CHECKING:
    from ingest_assets.ledger import Ledger

BUDGET = 14_000  # characters of JSON that an answer may have, about

Name = Annotated[str, Field(min_length=1, max_length=1_000)]
Hops = Annotated[int, Field(ge=1, le=4)]


class _Paged(Arguments):
    limit: int = Field(10, ge=1, le=50, description="How many items a page has at most; it may have fewer.")
    cursor: str | None = Field(
        None, max_length=1_000, description="`next_cursor` of the answer before, to go on."
    )

    @property
    def page(self) -> PageOf:
        return PageOf(self.limit, self.cursor, BUDGET)


class OneEntity(Arguments):
    entity: Name = Field(description='Its id ("MeSH:D000309"), its name or a synonym.')


class SearchText(_Paged):
    text: Name = Field(description="The beginning of a name, or the beginnings of some of its words.")
    entity_class: str | None = Field(None, max_length=200, description='Only this class, such as "Disease".')


class _Narrowed(_Paged):
    predicate: str | None = Field(None, max_length=200, description='Only this kind, such as "TREATS".')
    min_confidence: float = Field(0.0, ge=0, le=1, description="Only statements as sure as this.")


class WhichRelationships(_Narrowed):
    subject: Name | None = Field(None, description="Id or name of the entity that does something.")
    object: Name | None = Field(None, description="Id or name of the entity that it is done to.")
    papers: list[Annotated[str, Field(max_length=200)]] = Field(
        default_factory=list,
        max_length=50,
        description="Only what one of these papers has a sentence for, by their ids.",
    )


class WhichNeighbours(_Narrowed):
    entity: Name = Field(description="Id or name of an entity.")
    direction: Direction = Field("both", description='"out": it is the subject; "in": it is the object.')


class HowNear(_Narrowed):
    entity: Name = Field(description="Id or name of an entity.")
    hops: Hops = Field(2, description="How many statements away at most, 1 to 4.")


class FromTo(Arguments):
    start: Name = Field(description="Id or name of an entity.")
    end: Name = Field(description="Id or name of another one.")
    max_hops: Annotated[int, Field(ge=1, le=6)] = Field(4, description="How long it may be, 1 to 6.")
    min_confidence: float = Field(0.0, ge=0, le=1, description="Only statements as sure as this.")


class PaperOrPerson(Arguments):
    id: Name = Field(description="The id of a paper, of a person (an entity), or of a person's record.")
    limit: int = Field(10, ge=1, le=30, description="How many links are shown at most.")


class Nothing(Arguments):
    """No arguments."""


def _entity(ledger: Ledger, asked: OneEntity) -> EntityAnswer:
    from ingest_assets.sources.papers.graph import queries as ask

    return ask.entity(ledger, asked.entity, page=PageOf(10, None, BUDGET))


def _search(ledger: Ledger, asked: SearchText) -> EntityList:
    from ingest_assets.sources.papers.graph import queries as ask

    return ask.search(ledger, asked.text, entity_class=asked.entity_class, page=asked.page)


def _relationships(ledger: Ledger, asked: WhichRelationships) -> StatementList:
    from ingest_assets.sources.papers.graph import queries as ask

    return ask.relationships(
        ledger,
        subject=asked.subject,
        predicate=asked.predicate,
        object_=asked.object,
        min_confidence=asked.min_confidence,
        papers=asked.papers,
        page=asked.page,
    )


def _neighbours(ledger: Ledger, asked: WhichNeighbours) -> NeighbourList:
    from ingest_assets.sources.papers.graph import queries as ask

    return ask.neighbours(
        ledger,
        asked.entity,
        predicate=asked.predicate,
        direction=asked.direction,
        min_confidence=asked.min_confidence,
        page=asked.page,
    )


def _within(ledger: Ledger, asked: HowNear) -> ReachedList:
    from ingest_assets.sources.papers.graph import queries as ask

    return ask.within_hops(
        ledger,
        asked.entity,
        hops=asked.hops,
        predicate=asked.predicate,
        min_confidence=asked.min_confidence,
        page=asked.page,
    )


def _path(ledger: Ledger, asked: FromTo) -> PathAnswer:
    from ingest_assets.sources.papers.graph import queries as ask

    return ask.path(
        ledger, asked.start, asked.end, max_hops=asked.max_hops, min_confidence=asked.min_confidence
    )


def _bundle_info(ledger: Ledger, _asked: Nothing) -> BundleInfo:
    from ingest_assets.sources.papers.graph import queries as ask

    return ask.bundle_info(ledger)


def _stats(ledger: Ledger, _asked: Nothing) -> Stats:
    from ingest_assets.sources.papers.graph import queries as ask

    return ask.stats(ledger)


def _links(asking: Asking, asked: PaperOrPerson) -> AuthorLinks:
    from ingest_assets.sources.papers.graph.author_links import links_of

    return links_of(asking.bench.ledger, asked.id, limit=asked.limit, sees=asking.sees)


def _reading(*, for_agents: bool = True, **said: Any) -> SourceOperation:
    return SourceOperation(scope="read", method="GET", idempotent=True, for_agents=for_agents, **said)


def _question(*, asks: Callable[[Ledger, Any], BaseModel], **said: Any) -> SourceOperation:
    """An operation that reads the ledger and nothing else."""

    def run(asking: Asking, arguments: Any) -> BaseModel:
        return asks(asking.bench.ledger, arguments)

    return _reading(run=run, **said)


GRAPH_OPERATIONS: tuple[SourceOperation, ...] = (
    _question(
        name="get_graph_entity",
        title="Get an entity of papers",
        description="One entity of the knowledge graph that was made of scientific papers (a disease, "
        "drug, gene, ...): its names, class, papers, and the ten surest statements about it "
        "with the sentences that say so. Use it to learn what papers say of one thing. It "
        "finds ids, names and synonyms, and suggests close names for an unknown one. Example:"
        ' {"entity": "adrenal insufficiency"}',
        takes=OneEntity,
        answers=EntityAnswer,
        asks=_entity,
        path="/graph/entity",
    ),
    _question(
        name="search_graph_entities",
        title="Search entities of papers",
        description="Entities of the papers' knowledge graph with a name or synonym that begins like a "
        "text, or has words that begin like its words, closest first. Use it to find out how "
        'the graph calls a thing, and its id. Example: {"text": "adrenal insuff", '
        '"entity_class": "Disease"}',
        takes=SearchText,
        answers=EntityList,
        asks=_search,
        path="/graph/entities",
    ),
    _question(
        name="find_relationships",
        title="Find relationships",
        description="What scientific papers say: statements (subject, predicate, object), surest first, "
        "each with its best sentences, their papers, and whether a paper was retracted. Give "
        "at least one of subject, object, predicate and papers. Use it for questions such as "
        'what treats a disease. Example: {"predicate": "TREATS", "object": "adrenal '
        'insufficiency"}',
        takes=WhichRelationships,
        answers=StatementList,
        asks=_relationships,
        path="/graph/relationships",
    ),
    _question(
        name="find_graph_neighbours",
        title="Find neighbours",
        description="The entities that papers relate directly to one, in either direction, surest first, "
        'with the sentences. Example: {"entity": "hydrocortisone", "direction": "out"}',
        takes=WhichNeighbours,
        answers=NeighbourList,
        asks=_neighbours,
        path="/graph/neighbours",
        for_agents=False,  # find_relationships answers the same
    ),
    _question(
        name="find_entities_within_hops",
        title="Find entities within hops",
        description="The entities within a few statements (hops) of one in the papers' knowledge graph, "
        "nearest first, each with the statement and the sentence by which it was reached. Use"
        " it to explore what is around a thing. Large neighbourhoods are cut, and `cut` says "
        'where. Example: {"entity": "hydrocortisone", "hops": 2, "min_confidence": 0.5}',
        takes=HowNear,
        answers=ReachedList,
        asks=_within,
        path="/graph/within",
    ),
    _question(
        name="find_graph_path",
        title="Find a path",
        description="The shortest chain of statements that connects two entities of the papers' knowledge"
        " graph, with the sentences of each. Use it to learn how two things are related. "
        'Example: {"start": "CYP21A2", "end": "hydrocortisone", "max_hops": 4}',
        takes=FromTo,
        answers=PathAnswer,
        asks=_path,
        path="/graph/path",
    ),
    _question(
        name="get_bundle_info",
        title="Get the bundle's facts",
        description="Which knowledge graph of papers is in use: the id of its bundle (equal ids mean "
        "equal graphs), its time, and how many entities, relationships, mentions and "
        "sentences it has. Example: {}",
        takes=Nothing,
        answers=BundleInfo,
        asks=_bundle_info,
        path="/graph/bundle",
    ),
    _question(
        name="get_graph_stats",
        title="Get the graph's size",
        description="How large the papers' knowledge graph is, by class of entity and by predicate. "
        "Example: {}",
        takes=Nothing,
        answers=Stats,
        asks=_stats,
        path="/graph/stats",
        for_agents=False,
    ),
    _reading(
        name="find_author_links",
        title="Find links of authors",
        description="Which authors of a paper may be people that other sources (such as the CRM) know, or"
        " which papers a person may have written: by e-mail address, or by name and "
        "organisation, each with a weight. They are links to judge; nothing is merged. "
        'Example: {"id": "PMC10667925"}',
        takes=PaperOrPerson,
        answers=AuthorLinks,
        run=_links,
        path="/graph/author-links",
    ),
)
