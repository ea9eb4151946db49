"""What the commands print: text for people, JSON for machines, results on standard output only."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from ingest_assets.cli.runs import RunReport
    from ingest_assets.search import Hits
    from ingest_assets.search.query import Hit
    from ingest_assets.stages.audit import Audit
    from ingest_assets.status import ParkedItem

SNIPPET_CHARS = 300


def hits(result: Hits, as_json: bool) -> None:
    """The answer to a search."""
    if as_json:
        return print_json(result.to_dict())
    console = console_of()
    for number, hit in enumerate(result.hits, 1):
        console.print(
            f"[bold]{number}. {escape(hit.title)}[/bold]  [dim]{escape(hit.kind)}  {hit.score:.3f}[/dim]"
        )
        console.print(f"   [dim]{escape(hit.uri)}  {_where(hit)}[/dim]", soft_wrap=True)
        console.print(f"   {escape(_snippet(hit.text))}\n")
    found = f"{len(result.hits)} hits" if result.hits else "Nothing found"
    console.print(
        f"[dim]{found} in {result.took_ms:.0f} ms ({result.mode}, {result.collection}, "
        f"generation {result.generation})[/dim]"
    )
    return None


def status(result: Mapping[str, Any], as_json: bool) -> None:
    """What the index holds."""
    if as_json:
        return print_json(result)
    columns = ("documents", "chunks", "points", "parked", "generation", "last_success")
    rows = [[source, *(_cell(values[c]) for c in columns)] for source, values in result["sources"].items()]
    return table(("source", *(c.replace("_", " ") for c in columns)), rows)


def parked(items: list[ParkedItem], as_json: bool) -> None:
    """What waits."""
    if as_json:
        return print_json({"parked": [asdict(item) for item in items]})
    if not items:
        console_of().print("Nothing is parked.")
        return None
    rows = [[i.stage, i.item_id, str(i.attempts), i.last_at, i.error] for i in items]
    return table(("stage", "item", "attempts", "last tried", "why"), rows)


def audits(results: Mapping[str, Audit], as_json: bool) -> None:
    """Counts by collection."""
    if as_json:
        return print_json({"collections": {name: result.to_dict() for name, result in results.items()}})
    for name, result in results.items():
        counts = result.to_dict()
        table(("collection", *(c.replace("_", " ") for c in counts)), [[name, *map(_cell, counts.values())]])
        verdict = "All points agree." if result.agrees else "It disagrees: `ingest audit --repair` mends it."
        console_of().print(verdict)
    return None


def sample(path: Path, truth: Any, as_json: bool) -> None:
    """What was written."""
    if as_json:
        return print_json({"path": str(path), "truth": str(truth.truth_path), "documents": truth.documents})
    console_of().print(f"Wrote {truth.documents:,} records to {path}, and who is who to {truth.truth_path}.")
    return None


def serving(url: str, tokens: bool, as_json: bool) -> None:
    """Where a server listens, once it does."""
    if as_json:
        return print_json({"url": url, "tokens": tokens})
    who = "with a token" if tokens else "without tokens, from this machine only"
    print(f"Serving at {url} ({who}). Ctrl-C ends it.", flush=True)
    return None


def run(report: RunReport, as_json: bool) -> None:
    """What each asset did, the checks, and one sentence."""
    if as_json:
        return print_json(report.to_dict())
    columns = ("added", "changed", "unchanged", "removed", "parked", "seconds")
    rows = [[asset, *(_cell(counts[c]) for c in columns)] for asset, counts in report.assets.items()]
    table(("asset", *columns), rows)
    console = console_of()
    for name, check in report.checks.items():
        failed = "[yellow]WARNING[/yellow]" if check["warning"] else "[red]FAILED[/red]"
        mark = "[green]passed[/green]" if check["passed"] else failed
        console.print(f"check {name}: {mark}  {escape(check['description'] or '')}")
    for error in report.errors:
        console.print(f"[red]{escape(error)}[/red]", soft_wrap=True)
    console.print(_verdict(report))
    return None


def _verdict(report: RunReport) -> str:
    if not report.success:
        return "The run failed. What was recorded stays, the live index is untouched; run it again to go on."
    if report.failed_checks:
        return f"The run ended, but the index is not as it should be: {', '.join(report.failed_checks)}."
    if report.parked:
        return f"Done, but {report.parked} items are parked: `ingest parked` says why."
    return "Done: the index is complete."


def table(header: Iterable[str], rows: Iterable[Iterable[str]], *, right: bool = True) -> None:
    """A table; all columns but the first hold numbers and stand `right`, unless told otherwise."""
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for i, title in enumerate(header):
        shown.add_column(title, justify="right" if right and i else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(escape(cell) for cell in row))
    console_of().print(shown)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _where(hit: Hit) -> str:
    """When it happened, or which lines of a file it is."""
    if "start_line" in hit.attributes:
        symbol = hit.attributes.get("symbol_name") or hit.attributes.get("symbol_kind", "")
        return escape(f"lines {hit.attributes['start_line']} to {hit.attributes['end_line']}  {symbol}")
    return hit.time or ""


def _snippet(text: str) -> str:
    body = " ".join(text.partition("\n\n")[2].split() or text.split())
    return body if len(body) <= SNIPPET_CHARS else body[: SNIPPET_CHARS - 1] + "…"


def escape(text: str) -> str:
    """Text that happens to look like markup, as it is."""
    from rich.markup import escape as escaped

    return escaped(text)


def console_of() -> Console:
    """Standard output."""
    from rich.console import Console

    class Quiet(Console):
        def on_broken_pipe(self) -> None:
            _stop_writing()

    # Not cut to 80 columns where there is no terminal to cut for.
    return Quiet(highlight=False, width=None if sys.stdout.isatty() else 160)


def print_json(value: Any) -> None:
    """One JSON value, readable also where the output's encoding lacks a letter."""
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
    """Whoever read our output has seen enough (`ingest search … | head`); the exit status stays our own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
