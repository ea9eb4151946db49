"""`ingest graph`: what scientific papers say, as a graph of entities, with the sentences that say so.

What belongs here: arguments and options. What does not: finding answers (`graph_queries`), printing them
(`graph_output`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ingest_assets.settings import load_settings
from ingest_assets.sources.papers.graph import output
from ingest_assets.sources.papers.graph.pages import PageOf
from ingest_assets.terminal import JsonOption

if TYPE_CHECKING:
    from ingest_assets.ledger import Ledger

graph = typer.Typer(
    no_args_is_help=True,
    help="What scientific papers say: entities, the statements that relate them, and the sentences of the "
    "papers. An entity is named by its id (MeSH:D000309), its name or a synonym.",
)

Entity = Annotated[str, typer.Argument(help="An entity: its id, name or synonym.")]
Predicate = Annotated[str | None, typer.Option(help="Only statements of this kind, such as TREATS.")]
Sure = Annotated[
    float, typer.Option("--min-confidence", min=0, max=1, help="Only statements as sure as this.")
]
Limit = Annotated[int, typer.Option(min=1, max=100, help="How many to show.")]
Cursor = Annotated[str | None, typer.Option(help="To go on: what the page before ends with.")]


@graph.command()
def entity(asked: Entity, limit: Limit = 10, *, json: JsonOption = False) -> None:
    """Show an entity: its names, its papers, and what they say of it."""
    from ingest_assets.sources.papers.graph import queries as ask

    with _ledger() as ledger:
        found = ask.entity(ledger, asked, page=PageOf(limit))
    output.entity(found, as_json=json)


@graph.command()
def search(
    text: Annotated[str, typer.Argument(help="The beginning of a name, or some of its words.")],
    class_: Annotated[str | None, typer.Option("--class", help="Only this class, such as Disease.")] = None,
    limit: Limit = 10,
    cursor: Cursor = None,
    *,
    json: JsonOption = False,
) -> None:
    """Find entities by name, the closest first. For example: ingest graph search "adrenal insuff"."""
    from ingest_assets.sources.papers.graph import queries as ask

    with _ledger() as ledger:
        found = ask.search(ledger, text, entity_class=class_, page=PageOf(limit, cursor))
    output.entities(found, as_json=json)


@graph.command()
def neighbours(
    asked: Entity,
    predicate: Predicate = None,
    direction: Annotated[
        Literal["out", "in", "both"],
        typer.Option(help="out: it is the subject of the statement; in: it is the object."),
    ] = "both",
    min_confidence: Sure = 0,
    limit: Limit = 10,
    cursor: Cursor = None,
    *,
    json: JsonOption = False,
) -> None:
    """The entities that papers relate to one, the surest statement first."""
    from ingest_assets.sources.papers.graph import queries as ask

    with _ledger() as ledger:
        found = ask.neighbours(
            ledger,
            asked,
            predicate=predicate,
            direction=direction,
            min_confidence=min_confidence,
            page=PageOf(limit, cursor),
        )
    output.neighbours(found, as_json=json)


@graph.command()
def relationships(
    subject: Annotated[str | None, typer.Option(help="The entity that does something.")] = None,
    predicate: Predicate = None,
    object_: Annotated[str | None, typer.Option("--object", help="The entity it is done to.")] = None,
    paper: Annotated[
        list[str] | None, typer.Option(help="Only what this paper has a sentence for; may be repeated.")
    ] = None,
    min_confidence: Sure = 0,
    limit: Limit = 10,
    cursor: Cursor = None,
    *,
    json: JsonOption = False,
) -> None:
    """What papers say, the surest first. For example: ingest graph relationships --predicate TREATS."""
    from ingest_assets.sources.papers.graph import queries as ask

    with _ledger() as ledger:
        found = ask.relationships(
            ledger,
            subject=subject,
            predicate=predicate,
            object_=object_,
            papers=paper or (),
            min_confidence=min_confidence,
            page=PageOf(limit, cursor),
        )
    output.relationships(found, as_json=json)


@graph.command()
def within(
    asked: Entity,
    hops: Annotated[int, typer.Option(min=1, max=4, help="How many statements away at most.")] = 2,
    predicate: Predicate = None,
    min_confidence: Sure = 0,
    limit: Limit = 20,
    cursor: Cursor = None,
    *,
    json: JsonOption = False,
) -> None:
    """The entities within a few statements of one, the nearest first."""
    from ingest_assets.sources.papers.graph import queries as ask

    with _ledger() as ledger:
        found = ask.within_hops(
            ledger,
            asked,
            hops=hops,
            predicate=predicate,
            min_confidence=min_confidence,
            page=PageOf(limit, cursor),
        )
    output.reached(found, as_json=json)


@graph.command()
def path(
    start: Entity,
    end: Entity,
    max_hops: Annotated[int, typer.Option(min=1, max=6, help="How long it may be, in statements.")] = 4,
    min_confidence: Sure = 0,
    *,
    json: JsonOption = False,
) -> None:
    """The shortest chain of statements from one entity to another."""
    from ingest_assets.sources.papers.graph import queries as ask

    with _ledger() as ledger:
        found = ask.path(ledger, start, end, max_hops=max_hops, min_confidence=min_confidence)
    output.path(found, as_json=json)


@graph.command()
def stats(*, json: JsonOption = False) -> None:
    """How large the graph is, by class and by predicate, and the id of its bundle."""
    from ingest_assets.sources.papers.graph import queries as ask

    with _ledger() as ledger:
        found, bundle = ask.stats(ledger), ask.bundle_info(ledger)
    output.stats(found, bundle, as_json=json)


@graph.command()
def links(
    asked: Annotated[
        str, typer.Argument(metavar="ID", help="A paper's id, or the id of a person or of a person's record.")
    ],
    limit: Limit = 20,
    *,
    json: JsonOption = False,
) -> None:
    """Which authors of papers may be people of other sources, each with its weight. Nothing is merged."""
    from ingest_assets.sources.papers.graph.author_links import links_of

    with _ledger() as ledger:
        found = links_of(ledger, asked, limit=limit)
    output.links(found, as_json=json)


@contextmanager
def _ledger() -> Iterator[Ledger]:
    """The ledger of the settings. Asking creates none: raises NotInGraphError if it is not there."""
    from ingest_assets.ledger import Ledger
    from ingest_assets.sources.papers.graph.lookup import NO_GRAPH, NotInGraphError

    url = load_settings().ledger_url
    kind, _, file = url.partition(":///")
    if kind == "sqlite" and not Path(file).exists():
        raise NotInGraphError(NO_GRAPH)
    with closing(Ledger(url)) as ledger:
        yield ledger
