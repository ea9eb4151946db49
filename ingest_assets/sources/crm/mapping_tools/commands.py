"""`ingest mapping`: draft a mapping file, check it, and preview what its documents will be.

What belongs here: arguments and options. What does not: what is printed (`output`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ingest_assets.model import ConfigurationError, SourceUnavailableError
from ingest_assets.settings import Settings, load_settings
from ingest_assets.sources.crm.mapping import DEFAULT_MAPPING
from ingest_assets.sources.crm.mapping_tools import output
from ingest_assets.sources.crm.place import crm_database, crm_mapping, file_database
from ingest_assets.sources.crm.settings import CrmSettings
from ingest_assets.terminal import JsonOption

mapping = typer.Typer(
    no_args_is_help=True,
    help="How the tables of your CRM are read: draft a mapping file, check it, preview its documents.",
)


@mapping.command()
def init(
    database: Annotated[
        Path | None,
        typer.Argument(
            help="The CRM's SQLite file, or a folder of CSV files; by default what CRM_DB_URL or CRM_DB_PATH "
            "names. It is only read."
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--output", help="The file to write; standard output by default.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    json: JsonOption = False,
) -> None:
    """Draft a mapping from a database's tables, keys and columns; comments say what is guessed."""
    from ingest_assets.sources.crm.mapping_tools.confined import read_schema_of
    from ingest_assets.sources.crm.mapping_tools.draft import draft
    from ingest_assets.sources.crm.mapping_tools.written import written

    if file is not None and file.exists() and not overwrite:
        raise ConfigurationError(f"{file} exists. Choose another name, or replace it with --overwrite.")
    settings = load_settings()
    crm = file_database(database) if database is not None else crm_database(settings)
    if crm is None:
        raise ConfigurationError(
            "There is no CRM to draft a mapping of: name its SQLite file or its folder of CSV files, or set "
            "CRM_DB_PATH or CRM_DB_URL."
        )
    if database is not None and not database.exists():
        raise ConfigurationError(f"{database} does not exist. Name an SQLite file or a folder of CSV files.")
    try:
        drafted = draft(read_schema_of(settings, crm))
    except SourceUnavailableError as error:
        if database is None:
            raise
        raise SourceUnavailableError(str(error).removeprefix("CRM_DB_PATH: ")) from error
    output.drafted(drafted, written(drafted, crm.identity if database is None else database.name), file, json)


@mapping.command()
def check(
    file: Annotated[
        Path | None, typer.Argument(help="The mapping file; that of CRM_MAPPING_PATH by default.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List every fault of a mapping file, with its line. Exit status 0 if there is none, else 1.

    If a CRM is configured (CRM_DB_PATH or CRM_DB_URL), its tables, columns, keys and queries are checked too.
    """
    from ingest_assets.sources.crm.mapping_tools.check import check as check_of

    settings = load_settings()
    checked = check_of(settings, file or _mapping_path(settings))
    output.checked(checked, json)
    if not checked.is_right:
        raise typer.Exit(1)


@mapping.command()
def preview(
    kind: Annotated[
        str | None, typer.Argument(help="The name of one [[documents]] entry; all by default.")
    ] = None,
    limit: Annotated[
        int, typer.Option(help="How many rows of each kind to look at.", min=1, max=100_000)
    ] = 200,
    everything: Annotated[bool, typer.Option("--all", help="Look at all rows, however many.")] = False,
    show: Annotated[
        int | None,
        typer.Option(help="How many documents of each kind to show; 1, or 3 of one kind.", min=0, max=50),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show documents as they will read, and per kind what is read of times, addresses and references."""
    from ingest_assets.sources.crm.mapping_tools.confined import previews_of
    from ingest_assets.sources.crm.reader import CrmSource

    settings = load_settings()
    configured = crm_database(settings)
    if configured is None:
        raise ConfigurationError("Neither CRM_DB_PATH nor CRM_DB_URL is set: there is no CRM to preview.")
    read = crm_mapping(settings, configured.dialect)
    names = tuple(entry.name for entry in read.documents)
    if kind is not None and kind not in names:
        raise ConfigurationError(f"The mapping has no {kind!r}. It has: {', '.join(names)}.")
    limit_chars = settings.of(CrmSettings).crm_max_document_chars
    crm = CrmSource(crm_database(settings, read) or configured, read, max_document_chars=limit_chars)
    shown = show if show is not None else 1 if kind is None else 3
    kinds = names if kind is None else (kind,)
    output.previewed(previews_of(settings, crm, kinds, None if everything else limit, shown), json)


def _mapping_path(settings: Settings) -> Path:
    return settings.of(CrmSettings).crm_mapping_path or DEFAULT_MAPPING
