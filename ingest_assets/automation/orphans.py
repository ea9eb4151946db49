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


def note_process(context: dg.AssetExecutionContext) -> None:
    """Write on the run which process works on it."""
    me = _process(os.getpid())
    if me is not None and context.run.tags.get(TAG) != me:
        context.instance.add_run_tags(context.run_id, {TAG: me})


def settle_orphans(instance: dg.DagsterInstance) -> list[str]:
    """Mark as failed the started runs of this machine whose process is gone. Returns their ids.

    A run on another machine is left to that machine, or to the launcher's own health check.
    """
    settled = []
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        host, _, rest = run.tags.get(TAG, "").partition(" ")
        if host != socket.gethostname():
            continue
        pid = int(rest.split(" ")[0])
        if _process(pid) != run.tags[TAG]:
            instance.report_run_failed(
                run, f"The process of this run ({pid}) is gone. Nothing recorded is lost."
            )
            settled.append(run.run_id)
    return settled


def _process(pid: int) -> str | None:
    """Machine, id and start time, which together name a process for ever; None when there is none."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{socket.gethostname()} {pid} {process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None
