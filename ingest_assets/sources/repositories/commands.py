"""`ingest repository`: which source repositories are kept in step."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ingest_assets.settings import load_settings
from ingest_assets.sources.repositories import output
from ingest_assets.sources.repositories.settings import NAME
from ingest_assets.terminal import JsonOption
from ingest_assets.workbench import Workbench

repository = typer.Typer(no_args_is_help=True, help="Source repositories that are kept in step.")

Id = Annotated[str, typer.Argument(help="Its id, as `ingest repository list` shows it.")]


@repository.command()
def add(
    location: Annotated[
        str, typer.Argument(help="An https URL, or the absolute path of a local repository.")
    ],
    ref: Annotated[
        str | None, typer.Option(help="Branch, tag or commit; its default branch otherwise.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Keep a repository in step. `ingest refresh` then fetches and indexes it."""
    from ingest_assets.sources.repositories.kept import repositories_of

    with Workbench(load_settings()) as bench:
        output.one(repositories_of(bench).add(location, ref), "Kept in step", json)


@repository.command()
def remove(repository_id: Id, json: JsonOption = False) -> None:
    """Remove a repository's files from the index, with the next refresh."""
    from ingest_assets.sources.repositories.kept import repositories_of

    with Workbench(load_settings()) as bench:
        output.one(repositories_of(bench).remove(repository_id), "Leaves with the next refresh", json)


@repository.command("list")
def list_(json: JsonOption = False) -> None:
    """The repositories that are kept in step."""
    from ingest_assets.sources.repositories.kept import repositories_of

    with Workbench(load_settings()) as bench:
        rows = [
            asdict(each) | {"files": repositories_of(bench).files(each.id)}
            for each in repositories_of(bench).all()
        ]
    output.several(rows, json)


@repository.command()
def skips(repository_id: Id, json: JsonOption = False) -> None:
    """The files left out of the index, and why, as of the last run that read the repository."""
    from ingest_assets.queries.skipped import skipped_items
    from ingest_assets.sources.repositories.kept import repositories_of

    with Workbench(load_settings()) as bench:
        found = skipped_items(bench, NAME, repositories_of(bench).get(repository_id).id)
    output.skips(found, f"{repository_id}/", json)
