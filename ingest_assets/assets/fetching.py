"""Fetching the repository that a run is for, and whom it waits for.

Runs fetch beside each other, each its own repository: a remote that hangs keeps no other repository waiting.
What comes after that is for one run at a time, because each stage works off whatever differs.

What belongs here: the order of fetching, keeping and waiting. What does not: git, and the stages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

import dagster as dg

from ingest_assets.assets.indexing import JOB_TAG, Moved
from ingest_assets.catalog import REPOSITORIES
from ingest_assets.jobs.queue import status_of
from ingest_assets.resources import Ingest
from ingest_assets.workbench import Workbench


class Waiting(TypedDict, total=False):
    """How long to wait, and what ends it before by raising (see `Workbench.run_lock`)."""

    wait_s: float
    check: Callable[[], None]


def fetch(context: dg.AssetExecutionContext, ingest: Ingest, bench: Workbench, moved: Moved) -> None:
    """Bring the mirror of the run's partition up to date.

    An indexing job's run fetches what the job asks for. Only when that was there is the repository kept in
    step, with the job's ref: a job that fails before, or is cancelled, leaves the list as it was.
    """
    part, job_id = context.partition_key, context.run.tags.get(JOB_TAG)
    # Two runs of one repository: the second must not change what the first is reading.
    ingest.hold(REPOSITORIES.name, part, **waiting_for(context, bench, moved))
    if job_id is None:
        bench.repositories.fetch(bench.repositories.get(part))
        return
    job = status_of(bench.ledger, job_id)
    wanted = bench.repositories.checked(job["repo_path"], job["git_ref"])
    bench.repositories.fetch(wanted, lambda: moved(0, "Fetching the repository."))
    bench.repositories.keep(wanted)


def waiting_for(context: dg.AssetExecutionContext, bench: Workbench, moved: Moved) -> Waiting:
    """How a run waits for another: a job's as long as a job may take, and no longer than it is wanted."""
    if JOB_TAG not in context.run.tags:
        return {}
    return {
        "wait_s": bench.settings.indexing_job_timeout_seconds,
        "check": lambda: moved(0, "Waiting for another run on the repositories."),
    }
