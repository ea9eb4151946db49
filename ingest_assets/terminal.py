"""Printing for commands: tables and text for people, JSON for machines, on standard output only.

What belongs here: how to print. What does not: what any command prints.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text.")]


def table(header: Iterable[str], rows: Iterable[Iterable[str]], *, right: bool = True) -> None:
    """Print a table. Columns after the first hold numbers, aligned right, unless `right` is False."""
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for i, title in enumerate(header):
        shown.add_column(title, justify="right" if right and i else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(escape(cell) for cell in row))
    console_of().print(shown)


def escape(text: str) -> str:
    """Text to print as it is, even if it looks like markup."""
    from rich.markup import escape as escaped

    return escaped(text)


def console_of() -> Console:
    """Standard output."""
    from rich.console import Console

    class Quiet(Console):
        def on_broken_pipe(self) -> None:
            _stop_writing()

    # Lines are not cut to 80 columns if there is no terminal.
    return Quiet(highlight=False, width=None if sys.stdout.isatty() else 160)


def print_json(value: Any) -> None:
    """Print one JSON value, even if the output's encoding lacks some of its characters."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _stop_writing()


def _stop_writing() -> None:
    """The reader has closed the pipe (`ingest search … | head`); the exit status stays our own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
