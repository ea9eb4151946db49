"""Printing for commands: tables and text for people, JSON for machines; results on standard output only.

Whatever is printed here shows no secrets, and no character of the data acts on the terminal. `safe_streams`
does the latter for what is printed past this module too, by a command of another package or by a library.

What belongs here: how to print. What does not: what any command prints.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast

import typer

from ingest_assets.characters import visible, visible_json
from ingest_assets.redaction import redact, redact_data, redact_values

if TYPE_CHECKING:
    from rich.console import Console

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text.")]


def table(header: Iterable[str], rows: Iterable[Iterable[str]], *, right: bool = True) -> None:
    """Print a table. Columns after the first hold numbers, aligned right, unless `right` is False."""
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for i, title in enumerate(header):
        shown.add_column(escape(title), justify="right" if right and i else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(escape(cell) for cell in row))
    console_of().print(shown)


def escape(text: str) -> str:
    """Text to print as it is, even if it looks like markup, or has characters that act on a terminal."""
    from rich.markup import escape as escaped

    return escaped(visible(redact_data(text)))


def say(text: str) -> None:
    """Print a line of plain text."""
    _write(visible(redact_data(text)))


def complain(text: str) -> None:
    """Print a message on standard error."""
    print(visible(redact(text)), file=sys.stderr)


def console_of(*, errors: bool = False) -> Console:
    """Standard output, or standard error."""
    from rich.console import Console

    class Quiet(Console):
        def on_broken_pipe(self) -> None:
            _stop_writing()

    _make_consoles_safe()
    # Lines are not cut to 80 columns if there is no terminal.
    stream = sys.stderr if errors else sys.stdout
    return Quiet(highlight=False, emoji=False, stderr=errors, width=None if stream.isatty() else 160)


def print_json(value: Any, *, on_one_line: bool = False) -> None:
    """Print one JSON value, even if the output's encoding lacks some of its characters."""
    value = redact_values(value)
    indent = None if on_one_line else 2
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent)
    _write(visible_json(text))


@contextmanager
def safe_streams() -> Iterator[None]:
    """For the duration of a command, no character of a text that it prints acts on the terminal."""
    sys.stdout, sys.stderr = (cast("TextIO", _SafeStream(stream)) for stream in (sys.stdout, sys.stderr))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = (_raw(stream) for stream in (sys.stdout, sys.stderr))


class _SafeStream:
    """A text stream in which characters that act on a terminal become visible."""

    def __init__(self, stream: TextIO) -> None:
        self.behind = stream

    @property
    def rich_proxied_file(self) -> TextIO:
        """Where rich's consoles write, typer's included: the sequences that set colours are their own."""
        _make_consoles_safe()
        return self.behind

    def write(self, text: str) -> int:
        self.behind.write(visible(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.behind, name)


@cache
def _make_consoles_safe() -> None:
    """From now on, rich prints the text that it is given without characters that act on a terminal."""
    from rich.console import Console
    from rich.segment import Segment

    render = Console.render

    def render_safely(self: Console, *args: Any, **kwargs: Any) -> Iterator[Segment]:
        for segment in render(self, *args, **kwargs):
            shown = segment.text if segment.control else visible(segment.text)
            yield segment if shown == segment.text else Segment(shown, segment.style)

    Console.render = render_safely  # type: ignore[method-assign]


def _raw(stream: TextIO) -> TextIO:
    return stream.behind if isinstance(stream, _SafeStream) else stream


def _write(text: str) -> None:
    try:
        print(text, file=_raw(sys.stdout), flush=True)
    except BrokenPipeError:
        _stop_writing()


def _stop_writing() -> None:
    """The reader has closed the pipe (`ingest search … | head`); the exit status stays our own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
