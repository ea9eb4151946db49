"""`ingest entity`: look up entities, and explain why records belong together."""

from __future__ import annotations

from typing import Annotated

import typer

from ingest_assets.interfaces.cli import entity_output
from ingest_assets.interfaces.cli.options import EntitySource, Json, require_source
from ingest_assets.settings import load_settings
from ingest_assets.workbench import Workbench

entity = typer.Typer(
    no_args_is_help=True,
    help="Entity resolution: which records are the same person or organisation, and why.",
)

Asked = Annotated[
    str, typer.Argument(metavar="ID", help="The id of an entity or of one of its records (people/42).")
]


@entity.command()
def show(asked: Asked, source: EntitySource = None, json: Json = False) -> None:
    """Show an entity: its best values, its records, what links them, and its history."""
    from ingest_assets.queries.directory import view
    from ingest_assets.queries.status import entities_meant

    require_source(source)
    with Workbench(load_settings()) as bench:
        found = view(bench.ledger, entities_meant(bench, source), asked, bench.decisions())
    entity_output.view(found, json)


@entity.command()
def why(
    left: Annotated[str, typer.Argument(help="The id of a record or an entity, for example people/42.")],
    right: Annotated[str, typer.Argument(help="The id of another one.")],
    source: EntitySource = None,
    json: Json = False,
) -> None:
    """Explain field by field why two records are, or are not, the same person or organisation."""
    from ingest_assets.queries.directory import why as why_of
    from ingest_assets.queries.status import entities_meant

    require_source(source)
    with Workbench(load_settings()) as bench:
        found = why_of(bench.ledger, entities_meant(bench, source), left, right, bench.decisions())
    entity_output.why(found, json)


@entity.command()
def search(
    name: Annotated[str, typer.Argument(help="A name, or the beginnings of its words.")],
    source: EntitySource = None,
    limit: Annotated[int, typer.Option(help="Maximum number of entities.", min=1, max=1_000)] = 10,
    json: Json = False,
) -> None:
    """Find people and organisations by name."""
    from ingest_assets.queries.directory import find
    from ingest_assets.queries.status import entities_meant

    require_source(source)
    with Workbench(load_settings()) as bench:
        hits = find(bench.ledger, entities_meant(bench, source), name, limit)
    entity_output.names(name, hits, json)
