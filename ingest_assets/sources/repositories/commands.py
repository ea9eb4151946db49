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

Id = Annotated[str, typer.Argument(help="Its id, as `ingest repository list` shows it, or its URL.")]
CommittedOnly = Annotated[
    bool | None,
    typer.Option(
        "--committed-only/--as-it-stands",
        help="Of a folder: read what is committed alone, or all as it stands on disk.",
        show_default=False,
    ),
]


@repository.command()
def add(
    location: Annotated[
        str, typer.Argument(help="An https URL, or the absolute path of a folder or a local repository.")
    ],
    ref: Annotated[
        str | None, typer.Option(help="Branch, tag or commit; its default branch otherwise.")
    ] = None,
    committed_only: CommittedOnly = None,
    project: Annotated[
        str | None, typer.Option(help="Your own name for what it belongs to; by default its id.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Keep a repository in step, for a project. `ingest refresh` then fetches and indexes it.

    A folder is read as it stands on disk, with what is not committed and without what git ignores. A
    repository that several projects have is indexed once, at one ref.
    """
    from ingest_assets.sources.repositories.kept import repositories_of

    with Workbench(load_settings()) as bench:
        repositories = repositories_of(bench)
        added = repositories.add(location, ref, project, committed=committed_only, own_folder=True)
        output.one(added, "Kept in step", json)


@repository.command()
def remove(
    repository_id: Id,
    project: Annotated[
        str | None, typer.Option(help="Take it from this project alone. By default from all that have it.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Remove a repository's files from the index, with the next refresh.

    While another project has it, it stays, and only the searches of the one find nothing of it.
    """
    from ingest_assets.sources.repositories.kept import repositories_of

    with Workbench(load_settings()) as bench:
        removed = repositories_of(bench).remove(repository_id, project)
    if removed.removed:
        output.one(removed, "Leaves with the next refresh", json)
    else:
        output.stays(removed, json)


@repository.command("list")
def list_(json: JsonOption = False) -> None:
    """The repositories that are kept in step."""
    from ingest_assets.sources.repositories.kept import repositories_of
    from ingest_assets.sources.repositories.projects import projects_of

    with Workbench(load_settings()) as bench:
        projects = projects_of(bench.ledger)
        rows = [
            asdict(each)
            | {"files": repositories_of(bench).files(each.id), "projects": projects.get(each.id, [])}
            for each in repositories_of(bench).all()
        ]
    output.several(rows, json)


@repository.command()
def skips(repository_id: Id, json: JsonOption = False) -> None:
    """The files left out of the index, and why, as of the last run that read the repository."""
    from ingest_assets.queries.skipped import skipped_items
    from ingest_assets.sources.repositories.kept import repositories_of

    with Workbench(load_settings()) as bench:
        kept = repositories_of(bench).get(repository_id)
        found = skipped_items(bench, NAME, kept.id)
    output.skips(found, f"{kept.id}/", json)
