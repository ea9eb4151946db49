"""`ingest embed`: make dense vectors ahead of a refresh, by as many workers as one likes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ingest_assets.interfaces.cli.options import Json, require_source
from ingest_assets.settings import load_settings
from ingest_assets.terminal import console_of, escape, print_json, say, table
from ingest_assets.workbench import Workbench

embed = typer.Typer(
    invoke_without_command=True,
    help="Embed the texts that lack a vector, ahead of a refresh. Any number of workers can do so at once, "
    "on any machine that reaches the ledger, each with a shard of its own: `ingest embed --shard 1/4` to "
    "`--shard 4/4`. They need no source and no collection. The refresh then finds nothing left to embed.",
)

AnySource = Annotated[
    str | None, typer.Option("--source", help="Only texts of this source. By default of all in use.")
]


@embed.callback()
def make(
    context: typer.Context,
    shard: Annotated[
        str,
        typer.Option(metavar="I/N", help="Only this share of the texts, such as 1/4 for the first of four."),
    ] = "1/1",
    source: AnySource = None,
    json: Json = False,
) -> None:
    """Embed the texts of a shard. What a killed worker had recorded stays; start it again to go on."""
    if context.invoked_subcommand is not None:
        return None
    from ingest_assets.queries.status import sources_in_use
    from ingest_assets.stages.ahead import make_ahead, shard_of

    asked = shard_of(shard)
    require_source(source)
    with Workbench(load_settings()) as bench:
        made = make_ahead(bench, [source] if source else sources_in_use(bench), asked)
    if json:
        return print_json(asdict(made))
    say(f"Shard {made.shard}: {made.embedded:,} texts embedded with {made.model} in {made.seconds:,.1f} s.")
    if made.refused:
        say(f"The model refused {made.refused:,}: the next refresh parks them, and `ingest parked` says why.")
    if made.ahead:
        say(
            "No generation of the index was built with this model yet. Its vectors are kept until one is, or "
            f"until `ingest embed give-up {made.model}`."
        )
    return None


@embed.command()
def status(source: AnySource = None, json: Json = False) -> None:
    """Show how many texts lack a vector of the configured model, and the models with vectors."""
    from ingest_assets.queries.status import sources_in_use
    from ingest_assets.stages.ahead import missing, models

    require_source(source)
    with Workbench(load_settings()) as bench:
        configured = bench.dense_model.identity
        lacking = {each: missing(bench, each) for each in ([source] if source else sources_in_use(bench))}
        found = models(bench.ledger)
    if json:
        return print_json(
            {"model": configured, "missing": lacking, "models": [each._asdict() for each in found]}
        )
    console_of().print(f"Configured model: {escape(configured)}")
    table(("source", "texts without a vector"), [[name, f"{count:,}"] for name, count in lacking.items()])
    if found:
        rows = [
            [each.identity, f"{each.vectors:,}", "made ahead" if each.ahead else "in use"] for each in found
        ]
        table(("model", "vectors", "state"), rows)
    return None


@embed.command("give-up")
def give_up(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As `ingest embed status` names it.")],
    json: Json = False,
) -> None:
    """Delete the vectors that were made ahead for a model that is not to come after all."""
    from ingest_assets.stages.ahead import give_up as delete

    with Workbench(load_settings()) as bench:
        deleted = delete(bench.ledger, model)
    if json:
        return print_json({"model": model, "deleted": deleted})
    return say(f"{deleted:,} vectors of {model} were deleted.")
