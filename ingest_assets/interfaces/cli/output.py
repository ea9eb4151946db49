"""The output of the commands: text for people, JSON for programs; results on standard output only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ingest_assets.terminal import console_of, escape, print_json, say, table

if TYPE_CHECKING:
    from ingest_assets.interfaces.cli.runs import RunReport
    from ingest_assets.queries.search import Hit, Hits
    from ingest_assets.stages.audit import Audit
    from ingest_assets.stages.parked import ParkedItem
    from ingest_assets.stages.shapes import Finding

SNIPPET_CHARS = 300


def hits(result: Hits, as_json: bool) -> None:
    """Print the hits of a search."""
    if as_json:
        return print_json(result.to_dict())
    console = console_of()
    for number, hit in enumerate(result.hits, 1):
        console.print(
            f"[bold]{number}. {escape(hit.title)}[/bold]  [dim]{escape(hit.kind)}  {hit.score:.3f}[/dim]"
        )
        console.print(f"   [dim]{escape(hit.uri)}  {_where(hit)}[/dim]", soft_wrap=True)
        if hit.stale:
            console.print(f"   [yellow]{escape(hit.stale)}[/yellow]", soft_wrap=True)
        console.print(f"   {escape(_snippet(hit.text))}\n")
    found = f"{len(result.hits)} hits" if result.hits else "Nothing found"
    console.print(
        f"[dim]{found} in {result.took_ms:.0f} ms ({result.mode}, {escape(result.collection)}, "
        f"generation {result.generation})[/dim]"
    )
    return None


def status(result: Mapping[str, Any], installation_name: str, as_json: bool) -> None:
    """Print what the index holds."""
    if as_json:
        return print_json(result)
    columns = ("documents", "chunks", "points", "parked", "generation", "last_success")
    unknown = ("points", "generation")  # while the store does not answer
    rows = [
        [
            source,
            *("?" if c in unknown and not values["store_answers"] else _cell(values[c]) for c in columns),
        ]
        for source, values in result["sources"].items()
    ]
    table(("source", *(c.replace("_", " ") for c in columns)), rows)
    console = console_of()
    for source, values in result["sources"].items():
        if values["store"]:
            console.print(
                f"[dim]in the store[/dim]  [bold]{escape(source)}[/bold]  {escape(values['store'])}"
            )
        if values["problem"]:
            console.print(f"[red]wrong[/red]  [bold]{escape(source)}[/bold]  {escape(values['problem'])}")
    console.print(f"[dim]installation {escape(installation_name)} ({result['installation']})[/dim]")
    return None


def parked(items: list[ParkedItem], as_json: bool) -> None:
    """Print the parked items."""
    if as_json:
        return print_json({"parked": [asdict(item) for item in items]})
    if not items:
        console_of().print("Nothing is parked.")
        return None
    rows = [[f"{i.source}/{i.stage}", i.item_id, str(i.attempts), i.last_at, i.error] for i in items]
    return table(("source/stage", "item", "attempts", "last tried", "why"), rows)


def findings(found: Sequence[Finding], as_json: bool) -> None:
    """Print what `ingest doctor` found."""
    if as_json:
        return print_json({"findings": [asdict(each) for each in found]})
    marks = {
        "ok": "[green]ok[/green]",
        "not configured": "[dim]not configured[/dim]",
        "wrong": "[red]wrong[/red]",
    }
    console = console_of()
    for each in found:
        console.print(f"{marks[each.state]}  [bold]{escape(each.name)}[/bold]  {escape(each.message)}")
    return None


def audits(results: Mapping[str, Audit], as_json: bool, *, replicas: bool) -> None:
    """Print the counts of each collection, and of each node's replicas if they were asked for."""
    if as_json:
        return print_json({"collections": {name: result.to_dict() for name, result in results.items()}})
    repair = f"ingest audit --repair{' --replicas' if replicas else ''}"
    for name, result in results.items():
        counts = result.to_dict()
        table(("collection", *(c.replace("_", " ") for c in counts)), [[name, *map(_cell, counts.values())]])
        verdict = "All points agree." if result.agrees else f"Points differ: `{repair}` repairs them."
        console_of().print(verdict)
    return None


def serving(url: str, tokens: bool, as_json: bool) -> None:
    """Print where a server listens, once it does."""
    if as_json:
        return print_json({"url": url, "tokens": tokens})
    who = "tokens required" if tokens else "no tokens, this machine only"
    say(f"Serving at {url} ({who}). Press Ctrl-C to stop.")
    return None


def running_daemon(url: str, as_json: bool) -> None:
    """Print where the daemon's health is told, once it is."""
    if as_json:
        return print_json({"url": url})
    say(f"Dagster's daemon is starting; its health is at {url}. Press Ctrl-C to stop.")
    return None


def run(report: RunReport, as_json: bool) -> None:
    """Print what each asset did, the checks, and a summary."""
    if as_json:
        return print_json(report.to_dict())
    columns = ("added", "changed", "unchanged", "removed", "parked", "seconds")
    rows = [[asset, *(_cell(counts[c]) for c in columns)] for asset, counts in report.assets.items()]
    table(("asset", *columns), rows)
    console = console_of()
    for name, check in report.checks.items():
        failed = "[yellow]WARNING[/yellow]" if check["warning"] else "[red]FAILED[/red]"
        mark = "[green]passed[/green]" if check["passed"] else failed
        console.print(f"check {escape(name)}: {mark}  {escape(check['description'] or '')}")
    for error in report.errors:
        console.print(f"[red]{escape(error)}[/red]", soft_wrap=True)
    console.print(escape(_verdict(report)))
    return None


def _verdict(report: RunReport) -> str:
    if not report.success:
        return (
            "The run failed. Finished work is kept, the live index is untouched. "
            "When the cause is mended, run it again to continue."
        )
    if report.failed_checks:
        return f"The run ended, but these checks failed: {', '.join(report.failed_checks)}."
    if report.parked:
        return f"Done, but {report.parked} items are parked: `ingest parked` says why."
    return "Done: the index is complete."


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _where(hit: Hit) -> str:
    """The time of a hit, or its lines in a file."""
    if "start_line" in hit.attributes:
        symbol = hit.attributes.get("symbol_name") or hit.attributes.get("symbol_kind", "")
        return escape(f"lines {hit.attributes['start_line']} to {hit.attributes['end_line']}  {symbol}")
    return hit.time or ""


def _snippet(text: str) -> str:
    body = " ".join(text.partition("\n\n")[2].split() or text.split())
    return body if len(body) <= SNIPPET_CHARS else body[: SNIPPET_CHARS - 1] + "…"
