"""What agents do here: `ingest mcp`, the log of their calls, and the notes that they and people made."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ingest_assets.cli import output
from ingest_assets.cli.options import Json
from ingest_assets.settings import load_settings
from ingest_assets.workbench import Workbench

note = typer.Typer(no_args_is_help=True, help="Notes that people and agents made on records and entities.")

Limit = Annotated[int, typer.Option(help="How many at most, 1 to 1000.", min=1, max=1_000)]


def mcp() -> None:
    """Serve an agent on standard input and output (the Model Context Protocol), until it hangs up."""
    from ingest_assets.doors.mcp import serve_stdio

    serve_stdio(load_settings())


def audit_log(
    limit: Limit = 50,
    before: Annotated[int | None, typer.Option(help="Only calls before this number: the next page.")] = None,
    who: Annotated[str | None, typer.Option(help="Only calls of this user, or token, by its name.")] = None,
    json: Json = False,
) -> None:
    """List the calls of agents' tools, the newest first: who, when, what, and what became of it."""
    from ingest_assets.audit_log import read

    with Workbench(load_settings()) as bench:
        calls = read(bench.ledger, limit=limit, before=before, who=who)
    if json:
        return output.print_json({"calls": [asdict(call) for call in calls]})
    rows = [[str(c.number), c.at, c.who, c.transport, c.tool, c.outcome, c.message] for c in calls]
    return output.table(("number", "at", "who", "by", "tool", "outcome", "message"), rows, right=False)


@note.command("list")
def list_(limit: Limit = 50, json: Json = False) -> None:
    """The notes there are, the newest first."""
    from ingest_assets.notes import newest

    with Workbench(load_settings()) as bench:
        found = newest(bench.ledger, limit)
    if json:
        return output.print_json({"notes": [asdict(each) for each in found]})
    rows = [[n.id, n.at, n.kind, n.about, n.author, n.text] for n in found]
    return output.table(("note", "at", "kind", "about", "by", "text"), rows, right=False)


@note.command()
def remove(
    note_id: Annotated[str, typer.Argument(help="Its id, as `ingest note list` shows it.")],
    json: Json = False,
) -> None:
    """Take a note away. It leaves the index with the next refresh; the log of calls keeps that it was."""
    from ingest_assets import audit_log as log
    from ingest_assets import notes
    from ingest_assets.doors.mcp.server import stdio_user

    settings = load_settings()
    with Workbench(settings) as bench:
        notes.remove(
            bench.ledger,
            note_id,
            also=lambda connection: log.append(
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
        return output.print_json({"removed": note_id})
    return output.console_of().print("Taken away. It leaves the index with the next refresh.")
