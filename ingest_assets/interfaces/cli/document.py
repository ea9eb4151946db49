"""`ingest document`: what is stored of a document and why it is not found; which kinds there are."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingest_assets.interfaces.cli.options import Json, Source, require_source
from ingest_assets.model import common_of
from ingest_assets.settings import load_settings
from ingest_assets.terminal import console_of, escape, print_json, table
from ingest_assets.workbench import Workbench

if TYPE_CHECKING:
    from ingest_assets.queries.whereabouts import Whereabouts

document = typer.Typer(
    no_args_is_help=True, help="Documents as they are stored: one of them in full, or the kinds there are."
)

NOT_FOUND = 1


@document.command()
def show(
    asked: Annotated[str, typer.Argument(metavar="ID", help="The id of the document, such as people/42.")],
    source: Source = None,
    json: Json = False,
) -> None:
    """Show what is stored of a document, its passages in the index, and why something is missing.

    Exit status 1 if there is no such document.
    """
    from ingest_assets.queries.whereabouts import whereabouts

    require_source(source)
    with Workbench(load_settings()) as bench:
        found = whereabouts(bench, asked, source)
    if json:
        print_json(_as_json(found))
    else:
        _print(found)
    if found.found is None:
        raise typer.Exit(NOT_FOUND)


@document.command()
def kinds(
    source: Annotated[str | None, typer.Option(help="Only this source. By default all in use.")] = None,
    json: Json = False,
) -> None:
    """List the kinds of documents of each source, and how many there are of each."""
    from ingest_assets.queries.status import sources_in_use
    from ingest_assets.queries.whereabouts import kinds as kinds_of

    require_source(source)
    with Workbench(load_settings()) as bench:
        names = [source] if source else sources_in_use(bench)
        found = {name: kinds_of(bench, name) for name in names}
    if json:
        return print_json({"sources": found})
    rows = [[name, kind, f"{count:,}"] for name, counts in found.items() for kind, count in counts.items()]
    return table(("source", "kind", "documents"), rows) if rows else console_of().print("No documents yet.")


def _as_json(found: Whereabouts) -> dict[str, Any]:
    shown: dict[str, Any] = {"asked": found.asked, "source": found.source, "document": None}
    if found.found is not None:
        stored = found.found.document
        shown["document"] = {
            "document_id": stored.id,
            **common_of(stored),
            "header": dict(stored.context),
            "text": stored.body,
            "refs": list(stored.refs),
            "attributes": dict(stored.attributes),
            "identity": asdict(stored.identity) if stored.identity else None,
        }
        shown |= {"entity_id": found.entity_id, "entity_ids": list(found.found.entity_ids)}
    passages = [asdict(each) for each in found.passages]
    return shown | {"passages": passages, "missing": list(found.missing), "near": list(found.near)}


def _print(found: Whereabouts) -> None:
    console = console_of()
    if found.found is None:
        console.print(f"There is no document {escape(found.asked)} in {found.source}.")
    else:
        _print_stored(found)
    for sentence in found.missing:
        console.print(f"[yellow]{escape(sentence)}[/yellow]", soft_wrap=True)
    if found.near:
        console.print(f"Did you mean: {escape(', '.join(found.near))}?", soft_wrap=True)
    if found.found is not None and not found.missing:
        console.print("[dim]All of it is in the index.[/dim]")


def _print_stored(found: Whereabouts) -> None:
    assert found.found is not None
    console, stored = console_of(), found.found.document
    console.print(
        f"[bold]{escape(stored.title)}[/bold]  [dim]{escape(stored.kind)} {escape(stored.id)}[/dim]"
    )
    console.print(
        f"[dim]{escape(stored.uri)}  {escape(stored.time or '')}  {found.source}[/dim]", soft_wrap=True
    )
    for label, value in (*stored.context, *stored.attributes.items()):
        console.print(f"{escape(str(label))}: {escape(str(value))}", soft_wrap=True)
    if stored.refs:
        console.print(f"About: {escape(', '.join(stored.refs))}", soft_wrap=True)
    if found.entity_id:
        console.print(f"Record of the entity {escape(found.entity_id)}")
    others = [each for each in found.found.entity_ids if each != found.entity_id]
    if others:
        console.print(f"Entities: {escape(', '.join(others))}", soft_wrap=True)
    if stored.body:
        console.print(f"\n{escape(stored.body)}\n", soft_wrap=True)
    rows = [
        [
            each.chunk_id,
            "-" if each.position is None else str(each.position),
            f"{each.characters:,}",
            each.state,
        ]
        for each in found.passages
    ]
    if rows:
        table(("passage", "position", "characters", "state"), rows, right=False)
