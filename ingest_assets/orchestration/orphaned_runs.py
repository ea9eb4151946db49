"""Runs whose process is gone.

Dagster's default launcher cannot tell that a run's process was killed: the run would stay "started" forever
and keep its pool's slot, and no refresh would start again. So a process notes itself on its run before the
first step, and whoever is about to start a run first marks as failed those whose process no longer exists.

A run of one of our jobs that was killed before it could note itself is marked as failed once Dagster's time
for a run to start (`start_timeout_seconds`) is over, on whatever machine it was to run. A run of assets that
somebody chose by hand carries no mark until its process notes itself.
"""

from __future__ import annotations

import os
import socket
import time

import dagster as dg

TAG = "ingest/process"
NOT_YET = "not noted yet"  # the initial value on runs of our jobs
_BEGUN = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
# Start times depend on the machine's clock, which is set now and then: two readings may differ.
CLOCK_TOLERANCE_S = 2.0


def process_tags() -> dict[str, str]:
    """Tags that say that this process works on a run: machine, process id and start time."""
    started = _started(os.getpid())
    return {} if started is None else {TAG: f"{socket.gethostname()} {os.getpid()} {started:.2f}"}


def note_process(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Note on the run that this process works on it."""
    tags = process_tags()
    if tags.items() - run.tags.items():
        instance.add_run_tags(run.run_id, tags)


def fail_orphaned_runs(instance: dg.DagsterInstance) -> list[str]:
    """End the runs that have begun but whose process is gone or never appeared. Returns their ids.

    A run whose process is noted as being on another machine is left to that machine, or to the launcher's own
    health check.
    """
    patience_s = instance.run_monitoring_start_timeout_seconds
    failed = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=_BEGUN)):
        run_id = record.dagster_run.run_id
        if _lost(record, patience_s) is None:
            continue
        # Read again: it may have ended well after it was read and before its process was looked for.
        now = instance.get_run_record_by_id(run_id)
        if now is not None and (reason := _lost(now, patience_s)) is not None:
            cancelled = now.dagster_run.status == dg.DagsterRunStatus.CANCELING
            end = instance.report_run_canceled if cancelled else instance.report_run_failed
            end(now.dagster_run, f"{reason} Nothing recorded is lost.")
            failed.append(run_id)
    return failed


def _lost(record: dg.RunRecord, patience_s: float) -> str | None:
    """Why a run that has begun counts as one without a process; None if it does not."""
    run = record.dagster_run
    noted = run.tags.get(TAG)
    if noted is None or run.status not in _BEGUN:
        return None
    # While it starts, a run that was started again from the UI has the note of its predecessor.
    if noted == NOT_YET or run.status == dg.DagsterRunStatus.STARTING:
        late = time.time() - record.update_timestamp.timestamp() > patience_s > 0
        return f"No process began to work on this run within {patience_s} s." if late else None
    pid = _gone(noted)
    return None if pid is None else f"The process of this run ({pid}) is gone."


def _gone(tag: str) -> int | None:
    """The id of a process that a tag names, if it ran on this machine and no longer runs."""
    host, _, rest = tag.partition(" ")
    pid, _, noted = rest.partition(" ")
    if host != socket.gethostname() or not pid.isdigit():
        return None
    started = _started(int(pid))
    # Another start time: the id has been reused for another process.
    alive = started is not None and abs(started - float(noted)) <= CLOCK_TOLERANCE_S
    return None if alive else int(pid)


def _started(pid: int) -> float | None:
    """When a process began (seconds since 1970); None if there is none, or it is a zombie."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
