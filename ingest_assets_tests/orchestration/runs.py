"""Runs as an instance records them, without executing them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.dagster_run import DagsterRun


def add_run(
    instance: dg.DagsterInstance, job: str, status: dg.DagsterRunStatus, tags: Mapping[str, str]
) -> DagsterRun:
    """Record a run in some state."""
    location = RegisteredCodeLocationOrigin("ingest_assets")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job)
    run = DagsterRun(
        job_name=job, run_id=str(uuid.uuid4()), status=status, tags=dict(tags), remote_job_origin=origin
    )
    return instance.add_run(run)


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def ticked(schedule: dg.ScheduleDefinition, context: dg.ScheduleEvaluationContext) -> Any:
    """What a schedule returns at a tick; a list, if that is several things."""
    said: Any = schedule(context)
    if isinstance(said, dg.RunRequest | dg.SkipReason):
        return said
    found = list(said)
    return found[0] if len(found) == 1 else found


def looked(sensor: dg.SensorDefinition, context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """What a sensor returns: the one run that it requests, or why it requests none."""
    said = sensor(context)
    assert isinstance(said, dg.SensorResult)
    if said.run_requests:
        assert len(said.run_requests) == 1
        return said.run_requests[0]
    assert said.skip_reason
    return said.skip_reason
