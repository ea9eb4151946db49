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
    from ingest_assets.stages.audit import Audit
    from ingest_assets.status import ParkedItem

SNIPPET_CHARS = 300


def hits(result: Hits, as_json: bool) -> None:
    """The answer to a search."""
    if as_json:
        return _json(result.to_dict())
    console = _console()
    for number, hit in enumerate(result.hits, 1):
        console.print(
            f"[bold]{number}. {_escape(hit.title)}[/bold]  [dim]{_escape(hit.kind)}  {hit.score:.3f}[/dim]"
        )
        console.print(f"   [dim]{_escape(hit.uri)}  {hit.time or ''}[/dim]", soft_wrap=True)
        console.print(f"   {_escape(_snippet(hit.text))}\n")
    found = f"{len(result.hits)} hits" if result.hits else "Nothing found"
    console.print(
        f"[dim]{found} in {result.took_ms:.0f} ms ({result.mode}, {result.collection}, "
        f"generation {result.generation})[/dim]"
    )
    return None


def status(result: Mapping[str, Any], as_json: bool) -> None:
    """What the index holds."""
    if as_json:
        return _json(result)
    columns = ("documents", "chunks", "points", "parked", "generation", "last_success")
    rows = [[source, *(_cell(values[c]) for c in columns)] for source, values in result["sources"].items()]
    return _table(("source", *(c.replace("_", " ") for c in columns)), rows)


def parked(items: list[ParkedItem], as_json: bool) -> None:
    """What waits."""
    if as_json:
        return _json({"parked": [asdict(item) for item in items]})
    if not items:
        _console().print("Nothing is parked.")
        return None
    rows = [[i.stage, i.item_id, str(i.attempts), i.last_at, i.error] for i in items]
    return _table(("stage", "item", "attempts", "last tried", "why"), rows)


def audits(results: Mapping[str, Audit], as_json: bool) -> None:
    """Counts by collection."""
    if as_json:
        return _json({"collections": {name: result.to_dict() for name, result in results.items()}})
    for name, result in results.items():
        counts = result.to_dict()
        _table(("collection", *(c.replace("_", " ") for c in counts)), [[name, *map(_cell, counts.values())]])
        verdict = "All points agree." if result.agrees else "It disagrees: `ingest audit --repair` mends it."
        _console().print(verdict)
    return None


def sample(path: Path, truth: Any, as_json: bool) -> None:
    """What was written."""
    if as_json:
        return _json({"path": str(path), "truth": str(truth.truth_path), "documents": truth.documents})
    _console().print(f"Wrote {truth.documents:,} records to {path}, and who is who to {truth.truth_path}.")
    return None


def run(report: RunReport, as_json: bool) -> None:
    """What each asset did, the checks, and one sentence."""
    if as_json:
        return _json(report.to_dict())
    columns = ("added", "changed", "unchanged", "removed", "parked", "seconds")
    rows = [[asset, *(_cell(counts[c]) for c in columns)] for asset, counts in report.assets.items()]
    _table(("asset", *columns), rows)
    console = _console()
    for name, check in report.checks.items():
        mark = "[green]passed[/green]" if check["passed"] else "[red]FAILED[/red]"
        console.print(f"check {name}: {mark}  {_escape(check['description'] or '')}")
    for error in report.errors:
        console.print(f"[red]{_escape(error)}[/red]", soft_wrap=True)
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


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, title in enumerate(header):
        table.add_column(title, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(_escape(cell) for cell in row))
    _console().print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _snippet(text: str) -> str:
    body = " ".join(text.partition("\n\n")[2].split() or text.split())
    return body if len(body) <= SNIPPET_CHARS else body[: SNIPPET_CHARS - 1] + "…"


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _console() -> Console:
    from rich.console import Console

    class Quiet(Console):
        def on_broken_pipe(self) -> None:
            _stop_writing()

    # Not cut to 80 columns where there is no terminal to cut for.
    return Quiet(highlight=False, width=None if sys.stdout.isatty() else 160)


def _json(value: Any) -> None:
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
