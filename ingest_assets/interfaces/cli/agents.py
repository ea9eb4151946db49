"""Commands around agents: `ingest mcp`, the log of their calls, and their notes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import typer

from ingest_assets.interfaces.cli.options import Json
from ingest_assets.settings import load_settings
from ingest_assets.terminal import console_of, print_json, table
from ingest_assets.workbench import Workbench

note = typer.Typer(
    no_args_is_help=True,
    help="List and remove the notes that people and agents made on records and entities.",
)

audit_log = typer.Typer(invoke_without_command=True)

SHOWN_CHARS = 400  # of what a call was given; JSON has all of it
Limit = Annotated[int, typer.Option(help="Maximum number of rows, 1 to 1000.", min=1, max=1_000)]


def mcp() -> None:
    """Serve an agent on standard input and output (Model Context Protocol) until it disconnects."""
    from ingest_assets.interfaces.mcp import serve_stdio

    serve_stdio(load_settings())


@audit_log.callback()
def list_calls(
    context: typer.Context,
    limit: Limit = 50,
    before: Annotated[
        int | None,
        typer.Option(help="Only calls before this number, to see the next page.", min=1, max=(1 << 63) - 1),
    ] = None,
    who: Annotated[str | None, typer.Option(help="Only calls of the user or token of this name.")] = None,
    json: Json = False,
) -> None:
    """List agents' calls and people's decisions, newest first: when, who, what and why, and the outcome."""
    from ingest_assets.audit_log import read

    if context.invoked_subcommand is not None:
        return None
    with Workbench(load_settings()) as bench:
        calls = read(bench.ledger, limit=limit, before=before, who=who)
    if json:
        return print_json({"calls": [asdict(call) for call in calls]})
    rows = [
        [str(c.number), c.at, c.who, c.transport, c.tool, _shown(c.arguments), c.outcome, c.message]
        for c in calls
    ]
    names = ("number", "at", "who", "transport", "tool", "arguments", "outcome", "message")
    return table(names, rows, right=False)


def _shown(arguments: Mapping[str, object]) -> str:
    said = ", ".join(f"{name}: {value}" for name, value in arguments.items())
    return said if len(said) <= SHOWN_CHARS else f"{said[: SHOWN_CHARS - 1]}…"


@audit_log.command("verify")
def verify_log(
    expect: Annotated[
        str | None,
        typer.Option(help="A digest that an earlier verification printed: the log must still contain it."),
    ] = None,
    json: Json = False,
) -> None:
    """Check that the log is as it was written. Keep the digest that it prints elsewhere, for --expect.

    Exit status 0: the log is intact; 1: it is not.
    """
    from ingest_assets.audit_log import verify

    if expect is not None and not re.fullmatch(r"[0-9a-f]{64}", expect):
        raise typer.BadParameter("--expect takes a digest: 64 hexadecimal digits.")
    with Workbench(load_settings()) as bench:
        found = verify(bench.ledger, expect)
    if json:
        print_json(asdict(found) | {"intact": found.is_intact})
    else:
        console = console_of()
        for fault in found.faults:
            console.print(f"{fault.kind}: {fault.message}")
        if found.faults_count > len(found.faults):
            console.print(f"and {found.faults_count - len(found.faults):,} more")
        state = "intact" if found.is_intact else f"not intact, {found.faults_count:,} faults"
        console.print(f"{found.rows:,} calls, {state}. Head: {found.number} {found.digest}")
    raise typer.Exit(0 if found.is_intact else 1)


@note.command("list")
def list_(limit: Limit = 50, json: Json = False) -> None:
    """List notes, newest first."""
    from ingest_assets.notes import newest

    with Workbench(load_settings()) as bench:
        found = newest(bench.ledger, limit)
    if json:
        return print_json({"notes": [asdict(each) for each in found]})
    rows = [[n.id, n.at, n.kind, n.about, n.author, n.text] for n in found]
    return table(("note", "at", "kind", "about", "by", "text"), rows, right=False)


@note.command()
def remove(
    note_id: Annotated[str, typer.Argument(help="The note's id, from `ingest note list`.")],
    json: Json = False,
) -> None:
    """Remove a note. It leaves the index with the next refresh; the log of calls still mentions it."""
    from ingest_assets import audit_log as log
    from ingest_assets import notes
    from ingest_assets.interfaces.mcp.server import stdio_user

    settings = load_settings()
    with Workbench(settings) as bench:
        notes.remove(
            bench.ledger,
            note_id,
            in_transaction=lambda connection: log.append(
                connection,
                who=stdio_user(settings),
                transport="command line",
                tool="note remove",
                arguments={"note_id": note_id},
                outcome="ok",
                message="",
            ),
        )
    if json:
        return print_json({"removed": note_id})
    return console_of().print("Removed. The note leaves the index with the next refresh.")
