"""Runs whose process is gone.

Dagster's default launcher cannot tell that a run's process was killed: the run would stay "started" for
ever, keep its pool's slot, and no refresh would start again. So every step notes its process on its run,
and whoever is about to start a run first settles those whose process does not exist any more.
"""

from __future__ import annotations

import os
import socket

import dagster as dg

TAG = "ingest/process"
# A process's start is told by the machine's clock, which is set now and then: two readings may differ.
CLOCK_TOLERANCE_S = 2.0


def process_tags() -> dict[str, str]:
    """Tags that say that this process works on a run: machine, process id and start time."""
    started = _started(os.getpid())
    return {} if started is None else {TAG: f"{socket.gethostname()} {os.getpid()} {started:.2f}"}


def note_process(context: dg.AssetExecutionContext) -> None:
    """Write on the run which process works on it."""
    tags = process_tags()
    if tags.items() - context.run.tags.items():
        context.instance.add_run_tags(context.run.run_id, tags)


def settle_orphans(instance: dg.DagsterInstance) -> list[str]:
    """Mark as failed the started runs of this machine whose process is gone. Returns their ids.

    A run on another machine is left to that machine, or to the launcher's own health check.
    """
    settled = []
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        pid = _gone(run.tags.get(TAG, ""))
        if pid is None:
            continue
        # Looked at again: it may have ended well between our look at it and our look for its process.
        now = instance.get_run_by_id(run.run_id)
        if now is not None and now.status == dg.DagsterRunStatus.STARTED:
            instance.report_run_failed(
                now, f"The process of this run ({pid}) is gone. Nothing recorded is lost."
            )
            settled.append(run.run_id)
    return settled


def _gone(tag: str) -> int | None:
    """The id of a process that a tag names, if it ran on this machine and does not run any more."""
    host, _, rest = tag.partition(" ")
    pid, _, noted = rest.partition(" ")
    if host != socket.gethostname() or not pid.isdigit():
        return None
    started = _started(int(pid))
    # Another start time: the number was given to another process since.
    alive = started is not None and abs(started - float(noted)) <= CLOCK_TOLERANCE_S
    return None if alive else int(pid)


def _started(pid: int) -> float | None:
    """When a process began (seconds since 1970); None when there is none, or only its exit status."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
