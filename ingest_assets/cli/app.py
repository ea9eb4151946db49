"""The `ingest` command and its subcommands."""

from __future__ import annotations

import io
import sys
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from ingest_assets.catalog import CRM, REPOSITORIES
from ingest_assets.cli import agents, output
from ingest_assets.cli.entity import entity
from ingest_assets.cli.options import Json, Source, require_source
from ingest_assets.cli.repository import repository as repository_commands
from ingest_assets.cli.serve import serve
from ingest_assets.collector import collect_seldom
from ingest_assets.model import ConfigurationError, IngestError
from ingest_assets.settings import SAMPLE_CRM, Settings, load_settings
from ingest_assets.workbench import Workbench

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keep a hybrid search index exactly in step with your CRM, and search it.",
    epilog="Settings come from the environment and from .env; see .env.example. "
    "Exit status: 0 done, 1 failed or disagreeing, 2 wrong usage or settings, 3 done but items are parked.",
)
sample = typer.Typer(no_args_is_help=True, help="Write sample data to try things on.")
app.add_typer(sample, name="sample")
app.add_typer(entity, name="entity")
app.add_typer(repository_commands, name="repository")
app.add_typer(agents.note, name="note")
app.command()(agents.mcp)
app.command("audit-log")(agents.audit_log)
app.command()(serve)

DONE, FAILED, WRONG, PARKED = 0, 1, 2, 3


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for, in plain words.")],
    source: Source = "crm",
    mode: Annotated[str, typer.Option(help="dense (meaning), sparse (words) or hybrid (both).")] = "hybrid",
    limit: Annotated[int, typer.Option(help="How many hits at most, 1 to 1000.")] = 10,
    filter_: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="KEY=VALUE",
            help="Only hits with this value: kind=email, document_id=…, entity_ids=…, since=2026-01-31, "
            "until=…; of code repository=…, path=…, language=Python, symbol_kind=function, symbol_name=…. "
            "Repeat a key to allow several values.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Search the index, for example: ingest search "renewal of the support contract" --filter kind=email."""
    from ingest_assets.search import Searcher

    settings = load_settings()
    require_source(source)
    where = _filters(filter_ or [])
    with Workbench(settings) as bench:
        hits = Searcher(bench, source).search(query, mode=mode, limit=limit, where=where)  # type: ignore[arg-type]
    output.hits(hits, json)


@app.command()
def status(json: Json = False) -> None:
    """What the index holds, and when it was last brought up to date."""
    from ingest_assets.status import status as status_of

    with Workbench(load_settings()) as bench:
        output.status(status_of(bench.ledger), json)


@app.command()
def parked(source: Source = "crm", json: Json = False) -> None:
    """List the items that were refused, with the reason. They are tried again when they change."""
    from ingest_assets.status import parked_items

    require_source(source)
    with Workbench(load_settings()) as bench:
        output.parked(parked_items(bench.ledger, source), json)


@app.command()
def audit(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what disagrees, then audit again.")] = False,
    json: Json = False,
) -> None:
    """Compare every point of the index with what should be there. Exit status 0 when all agree, else 1."""
    from ingest_assets.reconcile import reconcile
    from ingest_assets.stages.audit import accept_observed
    from ingest_assets.stages.audit import audit as audit_of
    from ingest_assets.status import sources_in_use

    settings = load_settings()
    results = {}
    # Between two stages of a run, chunks and points do not agree, and need not.
    with Workbench(settings) as bench, ExitStack() as locks:
        for source in sources_in_use(bench.ledger):
            locks.enter_context(bench.run_lock(source))
            published = bench.published(source)
            if repair:
                accept_observed(published, bench.ledger, settings.ingest_lock_timeout_s)
                reconcile(bench.collection(source), bench.ledger, bench.run())
            results[published.collection] = audit_of(published, bench.ledger)
    output.audits(results, json)
    raise typer.Exit(DONE if all(result.agrees for result in results.values()) else FAILED)


@app.command()
def refresh(
    source: Annotated[str | None, typer.Option(help="Only this source; all by default.")] = None,
    repository: Annotated[
        str | None, typer.Option(help="Only this repository, by its id; all by default.")
    ] = None,
    retry_parked: Annotated[
        bool, typer.Option("--retry-parked", help="Try refused items once more, though they did not change.")
    ] = False,
    json: Json = False,
) -> None:
    """Work off what changed since the last run. Safe at any time."""
    _run(source, repository, rebuild=False, retry_parked=retry_parked, json=json)


@app.command()
def build(
    source: Annotated[str | None, typer.Option(help="Only this source; all by default.")] = None,
    json: Json = False,
) -> None:
    """Look at everything again and build a new index beside the live one, then switch. Safe at any time."""
    _run(source, None, rebuild=True, retry_parked=True, json=json)


@sample.command("crm")
def sample_crm(
    path: Annotated[
        Path | None, typer.Option(help=f"The file to write; {SAMPLE_CRM} in INGEST_HOME by default.")
    ] = None,
    documents: Annotated[int, typer.Option(help="How many records.", min=20, max=2_000_000)] = 2_000,
    seed: Annotated[int, typer.Option(help="The same seed writes the same CRM.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    json: Json = False,
) -> None:
    """Write a CRM with natural text and known duplicates; its truth goes to a CSV file beside it."""
    from ingest_assets.sources.crm.sample import write_sample

    target = path or load_settings().ingest_home / SAMPLE_CRM
    target.parent.mkdir(parents=True, exist_ok=True)
    truth = write_sample(target, documents, seed, overwrite=overwrite)
    output.sample(target, truth, json)


def _run(
    source: str | None, repository: str | None, *, rebuild: bool, retry_parked: bool, json: bool
) -> None:
    from ingest_assets.cli.runs import run_sources

    if source is not None:
        require_source(source)
    settings = load_settings()
    report = run_sources(
        settings,
        sources=_sources(settings, REPOSITORIES.name if repository else source),
        repository=repository,
        rebuild=rebuild,
        retry_parked=retry_parked,
        show_progress=not json and sys.stderr.isatty(),
    )
    output.run(report, json)
    if not report.success or report.failed_checks:
        raise typer.Exit(FAILED)
    raise typer.Exit(PARKED if report.parked else DONE)


def _sources(settings: Settings, asked: str | None) -> list[str]:
    """The sources to run: those asked for, or all that there are. Fails where nothing is configured."""
    with Workbench(settings) as bench:
        if settings.crm_path and asked != REPOSITORIES.name:
            bench.source(CRM.name)  # what is wrong with it is said before anything is opened
        there = [name for name in (asked,) if name] or [REPOSITORIES.name, CRM.name]
        if REPOSITORIES.name in there and not (bench.has_ledger and bench.repositories.all()):
            there.remove(REPOSITORIES.name)
            if asked:
                raise ConfigurationError("No repository is kept in step. `ingest repository add` adds one.")
        if CRM.name in there and not bench.has_crm:
            if there == [CRM.name]:
                bench.source(CRM.name)  # says that there is none
            there.remove(CRM.name)  # repositories alone will do
    return there


def _filters(pairs: list[str]) -> dict[str, list[str]]:
    where: dict[str, list[str]] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not (key and separator and value):
            raise typer.BadParameter(f"--filter takes KEY=VALUE, for example kind=email; not {pair!r}.")
        where.setdefault(key, []).append(value)
    return where


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line. What we understand is one sentence on standard error and status 2."""
    collect_seldom()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What the terminal's or a file's encoding lacks is shown as an escape.
            stream.reconfigure(errors="backslashreplace")
    # Without the place in our code, which helps nobody who works with the command line.
    warnings.formatwarning = lambda message, *_where: f"ingest: warning: {message}\n"
    try:
        return app(arguments, standalone_mode=True)
    except IngestError as error:
        print(f"ingest: {error}", file=sys.stderr)
        raise SystemExit(WRONG) from None
    except OSError as error:
        # A folder that cannot be written to, a full disk: the system says which and why.
        place = f"{error.filename}: " if error.filename else ""
        print(f"ingest: {place}{error.strerror or error}", file=sys.stderr)
        raise SystemExit(WRONG) from None
