"""The `ingest` command and its subcommands."""

from __future__ import annotations

import io
import sys
import warnings
from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated, Any

import typer

from ingest_assets import __version__
from ingest_assets.characters import visible
from ingest_assets.garbage import collect_rarely
from ingest_assets.interfaces.cli import agents, output
from ingest_assets.interfaces.cli.adopt import adopt
from ingest_assets.interfaces.cli.daemon import daemon, heartbeat
from ingest_assets.interfaces.cli.document import document
from ingest_assets.interfaces.cli.embed import embed
from ingest_assets.interfaces.cli.entity import entity
from ingest_assets.interfaces.cli.job import job
from ingest_assets.interfaces.cli.options import (
    DONE,
    FAILED,
    FILTER_HELP,
    PARKED,
    WRONG,
    AllowRemovals,
    Json,
    Part,
    Source,
    require_source,
)
from ingest_assets.interfaces.cli.serve import serve
from ingest_assets.interfaces.cli.ui import ui
from ingest_assets.interfaces.cli.watch import watch
from ingest_assets.interfaces.cli.worker import worker
from ingest_assets.model import ConfigurationError, IngestError, UnavailableError
from ingest_assets.process import begin_process, safe_traceback
from ingest_assets.redaction import redact
from ingest_assets.settings import Settings, begin_logging, listed, load_settings
from ingest_assets.sources.doubtful import doubtful_settings
from ingest_assets.sources.registry import load_sources
from ingest_assets.terminal import complain, safe_streams, say
from ingest_assets.workbench import Workbench

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keep a hybrid search index exactly in step with the systems you already have, and search it. "
    "`ingest sample` writes data to try it on; then run `ingest build` and `ingest search`.",
    epilog="Settings come from environment variables and from the file .env; .env.example describes them. "
    "Items that are refused are parked (dead letters) until they change; all others are indexed. "
    "Exit status: 0 done, 1 failed or something is wrong, 2 wrong usage or settings, 3 done but items are "
    "parked.",
)
sample = typer.Typer(no_args_is_help=True, help="Write sample data to try things out.")
app.add_typer(sample, name="sample")
app.add_typer(document, name="document")
app.add_typer(embed, name="embed")
app.add_typer(entity, name="entity")
app.add_typer(agents.note, name="note")
load_sources().derive(lambda source: source.commands(app, sample) if source.commands else None)


def _version(asked: bool) -> None:
    if asked:
        say(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options that come before a command."""


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to search for, in plain language.")],
    source: Source = None,
    mode: Annotated[
        str, typer.Option(help="dense (by meaning), sparse (by words) or hybrid (both).")
    ] = "hybrid",
    limit: Annotated[int, typer.Option(help="Maximum number of hits, 1 to 1000.")] = 10,
    filter_: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="FIELD=VALUE", help=FILTER_HELP),
    ] = None,
    json: Json = False,
) -> None:
    """Search the index. For example: ingest search "renewal of the support contract" --filter kind=email."""
    from ingest_assets.queries.asked import where_meant, zone_of
    from ingest_assets.queries.search import open_search
    from ingest_assets.queries.status import source_meant

    settings = load_settings()
    require_source(source)
    where = _filters(filter_ or [])
    with Workbench(settings) as bench:
        meant = source_meant(bench, source)
        zone = zone_of(bench, None) if settings.ingest_time_zone else None  # else that of this machine
        where = where_meant(bench, meant, where, zone)
        searcher = open_search(bench, meant)
        hits = searcher.search(query, mode=mode, limit=limit, where=where)  # type: ignore[arg-type]
    output.hits(hits, json)


@app.command()
def status(
    project: Annotated[
        str | None,
        typer.Option(help="Only sources whose documents belong to projects, and of this one."),
    ] = None,
    json: Json = False,
) -> None:
    """Show what the index holds, and when each source was last brought up to date."""
    from ingest_assets.queries.reach import narrowed
    from ingest_assets.queries.status import status as status_of

    with Workbench(load_settings()) as bench:
        output.status(
            status_of(bench, reach=narrowed(None, project)), bench.unchecked_installation.name, json
        )


@app.command()
def parked(
    source: Annotated[str | None, typer.Option(help="Only this source. By default all.")] = None,
    json: Json = False,
) -> None:
    """List the parked items (dead letters): what was refused, and why. They are retried when they change."""
    from ingest_assets.stages.parked import parked_items

    require_source(source)
    with Workbench(load_settings()) as bench:
        output.parked(parked_items(bench, *([source] if source else ())), json)


@app.command()
def doctor(json: Json = False) -> None:
    """Check everything that a refresh and a search need. Exit status 0 if nothing is wrong, else 1."""
    from ingest_assets.queries.doctor import diagnose

    findings = diagnose(heartbeat)
    output.findings(findings, json)
    raise typer.Exit(FAILED if any(each.state == "wrong" for each in findings) else DONE)


@app.command()
def audit(
    repair: Annotated[bool, typer.Option("--repair", help="Repair what differs, then audit again.")] = False,
    replicas: Annotated[
        bool, typer.Option("--replicas", help="Ask each node that QDRANT_URL names for its own replicas.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare every point of the index with what should be there. Exit status 0 if all agree, else 1."""
    from ingest_assets.queries.status import sources_in_use
    from ingest_assets.reconcile import reconcile
    from ingest_assets.stages.audit import Audit, accept_observed
    from ingest_assets.stages.audit import audit as audit_of

    settings = load_settings()
    results: dict[str, Audit] = {}
    # The locks wait for runs to end: in the middle of one, points rightly differ from what should be there.
    with Workbench(settings) as bench, ExitStack() as locks:
        if replicas and not listed(settings.qdrant_url or "")[1:]:
            raise ConfigurationError("--replicas needs the URLs of several nodes in QDRANT_URL.")
        nodes = bench.store.at_each_node() if replicas else {}
        for node in nodes.values():
            locks.callback(node.close)
        for source in sources_in_use(bench):
            locks.enter_context(bench.run_lock(source))
            published = bench.published(source)
            name = published.collection
            views = {name: published}
            views |= {f"{name} at {url}": replace(published, store=node) for url, node in nodes.items()}
            if repair:
                for view in views.values():
                    accept_observed(view, bench.ledger, settings.ingest_lock_timeout_s)
                with bench.sources[source].quoting():
                    reconcile(bench.collection(source), bench.ledger, bench.run())
            results |= {where: audit_of(view, bench.ledger) for where, view in views.items()}
    output.audits(results, json, replicas=replicas)
    raise typer.Exit(DONE if all(result.agrees for result in results.values()) else FAILED)


@app.command()
def refresh(
    source: Annotated[
        str | None, typer.Option(help="Only this source. By default all that are configured.")
    ] = None,
    part: Part = None,
    retry_parked: Annotated[
        bool, typer.Option("--retry-parked", help="Retry parked items even if they have not changed.")
    ] = False,
    allow_removals: AllowRemovals = False,
    json: Json = False,
) -> None:
    """Bring the index up to date with what changed since the last run. Safe to run at any time."""
    _run(source, part, retry_parked=retry_parked, allow_removals=allow_removals, json=json)


@app.command()
def build(
    source: Annotated[
        str | None, typer.Option(help="Only this source. By default all that are configured.")
    ] = None,
    allow_removals: AllowRemovals = False,
    json: Json = False,
) -> None:
    """Build a new index from scratch beside the live one, then switch to it. Safe to run at any time."""
    _run(source, None, rebuild=True, retry_parked=True, allow_removals=allow_removals, json=json)


def _run(
    source: str | None,
    part: str | None,
    *,
    json: bool,
    rebuild: bool = False,
    retry_parked: bool,
    allow_removals: bool,
) -> None:
    from ingest_assets.interfaces.cli.runs import Asked, run_sources

    require_source(source)
    settings = load_settings()
    report = run_sources(
        settings,
        sources=_source_of_part(settings, source, part) if part else _sources_to_run(settings, source),
        part=part,
        asked=Asked(rebuild, retry_parked, allow_removals),
        show_progress=not json and sys.stderr.isatty(),
    )
    output.run(report, json)
    if not report.success or report.failed_checks:
        raise typer.Exit(FAILED)
    raise typer.Exit(PARKED if report.parked else DONE)


def _sources_to_run(settings: Settings, asked: str | None) -> list[str]:
    """The source that was asked for, or all that are configured. Raises ConfigurationError if there is none.

    A wrong setting of the sources or of the dense model is thus found before anything runs.
    """
    with Workbench(settings) as bench:
        bench.dense_model  # noqa: B018 - raises if the settings are wrong; loads nothing yet
        if asked is not None:
            bench.require_configured(asked)
            return [asked]
        missing = {name: bench.missing(name) for name in bench.sources}
    configured = [name for name, lacks in missing.items() if lacks is None]
    if not configured:
        reasons = " ".join(str(lacks) for lacks in missing.values() if lacks is not None)
        raise ConfigurationError(f"No source is configured. {reasons}")
    return configured


def _source_of_part(settings: Settings, asked: str | None, part: str) -> list[str]:
    """The source that has this part. Raises ConfigurationError if there is none."""
    from ingest_assets.sources.parts import known_parts

    with Workbench(settings) as bench:
        for name, source in bench.sources.items():
            if not source.partitions or asked not in (None, name):
                continue
            try:
                if part in known_parts(bench, source):
                    return [name]
            except IngestError:
                # Perhaps this one is not configured: the part may be another's.
                if asked is not None:
                    raise
        raise ConfigurationError(f"There is no part {part!r} of {asked or 'any source'}.")


def _filters(pairs: list[str]) -> dict[str, list[str]]:
    where: dict[str, list[str]] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not (key and separator and value):
            raise typer.BadParameter(f"--filter takes FIELD=VALUE, for example kind=email; not {pair!r}.")
        where.setdefault(key, []).append(value)
    return where


# Registered last, so that `ingest --help` lists the commands above first.
app.command()(adopt)
app.command()(serve)
app.command()(ui)
app.command()(daemon)
app.command()(worker)
app.command()(watch)
app.command()(agents.mcp)
app.add_typer(job, name="job")
app.add_typer(agents.audit_log, name="audit-log")


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line. Errors that we raise are one message on standard error and exit status 2."""
    begin_process()
    begin_logging()
    collect_rarely()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Characters that the output's encoding lacks are printed as escapes.
            stream.reconfigure(errors="backslashreplace")
    # Without the file and line of our code, which do not help a user of the command line.
    warnings.formatwarning = lambda message, *_where: f"ingest: warning: {visible(redact(str(message)))}\n"
    with safe_streams():
        for left_out in load_sources().left_out:
            complain(f"ingest: warning: {left_out}")
        for doubtful in doubtful_settings(load_sources()):
            complain(f"ingest: warning: {doubtful}")
        try:
            return app(arguments, standalone_mode=True)
        except IngestError as error:
            complain(f"ingest: {error}")
            # A supervisor tries again after the first, and leaves wrong settings to people.
            raise SystemExit(FAILED if isinstance(error, UnavailableError) else WRONG) from None
        except OSError as error:
            # A folder that cannot be written to, a full disk: the system's message says which and why.
            place = f"{error.filename}: " if error.filename else ""
            complain(f"ingest: {place}{error.strerror or error}")
            raise SystemExit(WRONG) from None
        except Exception as error:  # noqa: BLE001 - a fault of ours: typer's own hook would show it as it is
            complain(safe_traceback(error))
            raise SystemExit(FAILED) from None
