"""`ingest job`: background jobs, who started them, and why they failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from ingest_assets.interfaces.cli.options import Json
from ingest_assets.settings import load_settings
from ingest_assets.terminal import complain, print_json, say, table
from ingest_assets.workbench import Workbench

if TYPE_CHECKING:
    from ingest_assets.jobs.rows import JobRow

job = typer.Typer(no_args_is_help=True, help="Background jobs, as programs and agents start them.")

LISTED = ("job_id", "status", "created_at", "repository_id", "project_id", "connection_id")
SHOWN = (
    *(
        "job_id",
        "status",
        "repo_path",
        "git_ref",
        "project_id",
        "force_reindex",
        "connection_id",
        "progress_message",
        "error_type",
    ),
    *("error_message", "missing", "created_at", "started_at", "completed_at", "cancelled_at"),
)


@job.command()
def start(
    location: Annotated[str, typer.Argument(help="What to index: a URL, or the absolute path of a folder.")],
    ref: Annotated[
        str | None, typer.Option(help="Branch, tag or commit. A folder is then read at that commit.")
    ] = None,
    project: Annotated[
        str | None, typer.Option(help="Your own name for what it belongs to; by default its id.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Read, cut and embed every file again, changed or not.")
    ] = False,
    committed_only: Annotated[
        bool | None,
        typer.Option(
            "--committed-only/--as-it-stands",
            help="Of a folder: read what is committed alone, or all as it stands on disk.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Start a background job, and return at once. `ingest job show ID` says how far it is.

    Whoever runs jobs (a Dagster daemon, `ingest job run`, `ingest serve --run-jobs`) takes it.
    """
    from ingest_assets.interfaces.job_service import JobRequest
    from ingest_assets.interfaces.queued_jobs import QueuedJobs

    with Workbench(load_settings()) as bench:
        jobs = QueuedJobs(bench, "command line", here=True)
        started = jobs.start(
            JobRequest(location, ref, project, force_reindex=force, committed_only=committed_only)
        )
        silent = jobs.why_none_run()
    if json:
        return print_json(started.model_dump())
    say(f"{started.job_id}: {started.message}")
    return say(silent) if silent else None


@job.command("list")
def list_(
    limit: Annotated[int, typer.Option(help="Maximum number of jobs, 1 to 1000.", min=1, max=1_000)] = 50,
    status: Annotated[str | None, typer.Option(help="Only jobs in this state, for example failed.")] = None,
    project: Annotated[str | None, typer.Option(help="Only jobs of this project.")] = None,
    json: Json = False,
) -> None:
    """List background jobs, newest first: what they index, and who started them."""
    from ingest_assets.jobs.queue import list_jobs
    from ingest_assets.jobs.rows import Status

    known: tuple[Status, ...] = get_args(Status)
    state = next((each for each in known if each == status), None)
    if status is not None and state is None:
        raise typer.BadParameter(f"--status is one of {', '.join(known)}; not {status!r}.")
    with Workbench(load_settings()) as bench:
        found = list_jobs(bench.ledger, status=state, project_id=project, limit=limit)
    if json:
        return print_json({"jobs": found})
    if not found:
        return say("There is no background job." if state is None else f"No background job is {state}.")
    return table((*LISTED, "caller"), [[*_cells(each, LISTED), _caller(each)] for each in found], right=False)


@job.command()
def show(
    job_id: Annotated[
        str, typer.Argument(help="The job's id, from `ingest job list` or an answer to an agent.")
    ],
    json: Json = False,
) -> None:
    """Show a background job: its progress, who started it, and why it failed if it did."""
    from ingest_assets.jobs.queue import status_of

    with Workbench(load_settings()) as bench:
        found = status_of(bench.ledger, job_id)
    if json:
        return print_json(found)
    rows = [*zip(SHOWN, _cells(found, SHOWN), strict=True), ("caller", _caller(found))]
    return table(("field", "value"), rows, right=False)


@job.command()
def cancel(
    job_id: Annotated[str, typer.Argument(help="The job's id, from `ingest job list`.")],
    json: Json = False,
) -> None:
    """Cancel a background job. A running one stops within a few seconds."""
    from ingest_assets.jobs import queue

    with Workbench(load_settings()) as bench:
        found = queue.cancel(bench.ledger, job_id)
    if json:
        return print_json(found)
    return say(f"{found['job_id']}: {found['message']}")


@job.command()
def run(
    job_id: Annotated[
        str | None, typer.Argument(help="Run this pending job, and wait. By default all jobs, as they come.")
    ] = None,
    json: Json = False,
) -> None:
    """Run background jobs where no Dagster daemon does, until stopped (Ctrl-C or SIGTERM).

    MAX_CONCURRENT_INDEXING_JOBS run at a time, each in a process of its own. Of one job, the exit status is 0
    if it has completed, and 1 if not.
    """
    from ingest_assets.interfaces.cli.job_runner import JobRunner
    from ingest_assets.interfaces.cli.runs import run_job
    from ingest_assets.interfaces.cli.watch import stopped_by_signals

    settings = load_settings()
    if job_id is not None:
        found = run_job(settings, job_id)
        done = found["status"] == "completed"
        if json:
            print_json(found | {"success": done})
        else:
            say(_outcome(found)) if done else complain(f"ingest: {_outcome(found)}")
        raise typer.Exit(0 if done else 1)
    with stopped_by_signals() as stop:
        JobRunner(settings, stop).run()


def _outcome(found: JobRow) -> str:
    if found["completed_at"] is None:
        return (
            f"{found['job_id']}: its run has ended, and that could not be recorded. Whoever runs jobs next "
            "ends it."
        )
    if found["error_message"]:
        return f"{found['job_id']}: {found['status']}. {found['error_message']}"
    counts = f"files: {found['files_indexed']:,}, chunks: {found['chunks_created']:,}"
    return f"{found['job_id']}: {found['status']}; {counts}."


def _cells(found: Any, names: tuple[str, ...]) -> list[str]:
    return [_cell(found[name]) for name in names]


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in value.items())
    return "" if value is None else str(value)


def _caller(found: Any) -> str:
    from ingest_assets.jobs.queue import CALLER

    return str(found["metadata"].get(CALLER, ""))
