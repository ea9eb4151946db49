"""`ingest repository`: which source repositories are kept in step."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ingest_assets.cli import repository_output
from ingest_assets.cli.options import Json
from ingest_assets.settings import load_settings
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
    json: Json = False,
) -> None:
    """Keep a repository in step. `ingest refresh` then fetches and indexes it."""
    with Workbench(load_settings()) as bench:
        repository_output.one(bench.repositories.add(location, ref), "Kept in step", json)


@repository.command()
def remove(repository_id: Id, json: Json = False) -> None:
    """Have a repository's files leave the index, with the next refresh."""
    with Workbench(load_settings()) as bench:
        repository_output.one(bench.repositories.remove(repository_id), "Leaves with the next refresh", json)


@repository.command("list")
def list_(json: Json = False) -> None:
    """The repositories that are kept in step."""
    with Workbench(load_settings()) as bench:
        rows = [
            asdict(each) | {"files": bench.repositories.files(each.id)} for each in bench.repositories.all()
        ]
    repository_output.several(rows, json)


@repository.command()
def skips(repository_id: Id, json: Json = False) -> None:
    """The files that are left out of the index, and why. Reads the repository as it was last fetched."""
    from ingest_assets.sources.repositories.source import RepositorySource

    with Workbench(load_settings()) as bench:
        source = bench.source("repositories", bench.repositories.get(repository_id).id)
        skipped = []
        if isinstance(source, RepositorySource):
            with source.read() as items:
                for _ in items:
                    pass
            skipped = source.skipped
    repository_output.skips(skipped, json)
