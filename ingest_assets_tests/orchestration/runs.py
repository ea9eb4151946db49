"""Runs as an instance records them, without executing them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

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
