"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from ingest_assets.catalog import SOURCES

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text.")]
Source = Annotated[str, typer.Option(help=f"Which source: {', '.join(SOURCES)}.")]


def require_source(source: str) -> None:
    """Wrong usage, exit status 2, when there is no such source."""
    if source not in SOURCES:
        raise typer.BadParameter(f"there is no source {source!r}. Sources: {', '.join(SOURCES)}.")
