"""`ingest entity`: look up entities, and explain why records belong together."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from ingest_assets.interfaces.cli import entity_output, output
from ingest_assets.interfaces.cli.options import DONE, FAILED, PARKED, EntitySource, Json, require_source
from ingest_assets.settings import load_settings
from ingest_assets.workbench import Workbench

entity = typer.Typer(
    no_args_is_help=True,
    help="Entity resolution: which records are the same person or organisation, and why.",
)

Form = Literal["csv", "jsonl"]
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
def train(source: EntitySource = None, json: Json = False) -> None:
    """Train the matching models on the records as they are now, and work off what that changes.

    Entities keep their ids by the usual rules, and decisions hold.
    """
    from ingest_assets.interfaces.cli.runs import Asked, run_sources
    from ingest_assets.queries.status import entities_meant

    require_source(source)
    settings = load_settings()
    with Workbench(settings) as bench:
        meant = entities_meant(bench, source)
    shows = not json and sys.stderr.isatty()
    report = run_sources(settings, sources=[meant], asked=Asked(retrain=True), show_progress=shows)
    output.run(report, json)
    if not report.success or report.failed_checks:
        raise typer.Exit(FAILED)
    raise typer.Exit(PARKED if report.parked else DONE)


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


@entity.command()
def export(
    source: EntitySource = None,
    since: Annotated[
        int | None,
        typer.Option(
            metavar="REVISION",
            min=0,
            help="Only entities that changed after this revision, and what is gone since. It is the greatest "
            "revision of an earlier export.",
        ),
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="CSV, or a JSON object a line.")] = "csv",
    json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
) -> None:
    """Write which record belongs to which entity, for other systems to join with: one row per record."""
    from ingest_assets.queries.entity_export import exported
    from ingest_assets.queries.status import entities_meant

    require_source(source)
    with Workbench(load_settings()) as bench:
        rows = exported(bench.ledger, entities_meant(bench, source), since)
        entity_output.export(rows, "jsonl" if json else form)
