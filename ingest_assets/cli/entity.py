"""`ingest entity`: who is who."""

from __future__ import annotations

from typing import Annotated

import typer

from ingest_assets.cli import entity_output
from ingest_assets.cli.options import Json, Source, require_source
from ingest_assets.settings import load_settings
from ingest_assets.workbench import Workbench

entity = typer.Typer(
    no_args_is_help=True, help="Who is who: the people and organisations behind the records."
)

Asked = Annotated[
    str, typer.Argument(help="An entity's id, an earlier id of it, or one of its records: people/42.")
]


@entity.command()
def show(asked: Asked, source: Source = "crm", json: Json = False) -> None:
    """An entity: its best values, its records, what links them, and its history."""
    from ingest_assets.directory import view

    require_source(source)
    with Workbench(load_settings()) as bench:
        found = view(bench.ledger, source, asked, bench.decisions())
    entity_output.view(found, json)


@entity.command()
def why(
    left: Annotated[str, typer.Argument(help="A record or an entity, for example people/42.")],
    right: Annotated[str, typer.Argument(help="Another one.")],
    source: Source = "crm",
    json: Json = False,
) -> None:
    """Why two records are one person or organisation, or why they are not, field by field."""
    from ingest_assets.directory import why as why_of

    require_source(source)
    with Workbench(load_settings()) as bench:
        found = why_of(bench.ledger, source, left, right, bench.decisions())
    entity_output.why(found, json)


@entity.command()
def search(
    name: Annotated[str, typer.Argument(help="A name, or the beginnings of its parts.")],
    source: Source = "crm",
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=1_000)] = 10,
    json: Json = False,
) -> None:
    """Find people and organisations by name."""
    from ingest_assets.directory import find

    require_source(source)
    with Workbench(load_settings()) as bench:
        hits = find(bench.ledger, source, name, limit)
    entity_output.names(name, hits, json)
