"""Dagster's launcher for Celery, which also notices that the worker of a run is gone.

Dagster's own believes what the result backend says. A worker whose machine was switched off says nothing any
more, and its runs would count as started for ever, and keep their pool's slot. So this one asks the workers.

What belongs here: sending a run, and whether somebody works on it. What does not: the worker (`worker`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import dagster as dg
from celery import Celery, states
from celery.exceptions import ImproperlyConfigured
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, ResumeRunContext, WorkerStatus
from dagster._serdes import ConfigurableClassData
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from ingest_assets.certificates import is_refused, shown_by
from ingest_assets.model import ConfigurationError, IngestError, UnavailableError

# For how long nobody may know of a run before it counts as lost: a network may be away for a minute.
LOST_AFTER_S = 120
_ANSWER_S = 2.0
_BROKER_TRIES = 2
# Celery's store of results raises a RuntimeError once it has tried often enough.
_BROKER_ERRORS = (OperationalError, RedisError, OSError, RuntimeError)


class WatchedCeleryRunLauncher(CeleryRunLauncher):
    """Takes the settings of Dagster's launcher, and `lost_after_seconds`."""

    def __init__(self, lost_after_seconds: int = LOST_AFTER_S, **others: Any) -> None:
        self.lost_after_s = lost_after_seconds
        self._missing_since: dict[str, float] = {}  # by run
        super().__init__(**others)

    @classmethod
    def config_type(cls) -> Any:
        """As Dagster reads it from dagster.yaml."""
        mine = dg.Field(
            int,
            is_required=False,
            default_value=LOST_AFTER_S,
            description="A run counts as failed when no worker has known of it for this long.",
        )
        return {**dict(super().config_type()), "lost_after_seconds": mine}  # type: ignore[arg-type]

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """As Dagster makes it."""
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Send the run to the broker. Raises UnavailableError when that does not answer."""
        with asking_the_broker(self.celery):
            require_broker(self.celery)
            super().launch_run(context)

    def resume_run(self, context: ResumeRunContext) -> None:
        """The same, of a run that had begun."""
        with asking_the_broker(self.celery):
            require_broker(self.celery)
            super().resume_run(context)

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether a worker knows of the run. While the broker cannot be asked, nothing speaks against it."""
        try:
            with asking_the_broker(self.celery):
                state, known = self._asked(run.tags.get(DAGSTER_CELERY_TASK_ID_TAG, ""))
        except IngestError as error:
            return CheckRunHealthResult(WorkerStatus.RUNNING, str(error))
        if state == states.FAILURE:
            return CheckRunHealthResult(WorkerStatus.FAILED, "The worker's process for this run has died.")
        if known:
            self._missing_since.pop(run.run_id, None)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        # Perhaps it has just ended, or its worker is cut off for a moment.
        silent_s = time.monotonic() - self._missing_since.setdefault(run.run_id, time.monotonic())
        if silent_s < self.lost_after_s:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        del self._missing_since[run.run_id]
        return CheckRunHealthResult(
            WorkerStatus.FAILED,
            f"No worker has known of this run for {silent_s:.0f} s. Nothing recorded is lost: the next run "
            "goes on from there.",
        )

    def _asked(self, task_id: str) -> tuple[str, bool]:
        """What the result backend says of a task, and whether a worker is at work on it."""
        require_broker(self.celery)
        state = self.celery.AsyncResult(task_id).state if task_id else states.PENDING
        if state in (states.FAILURE, states.SUCCESS):
            return state, False
        answers = self.celery.control.inspect(timeout=_ANSWER_S).active() or {}
        return state, any(task["id"] == task_id for tasks in answers.values() for task in tasks)


def require_broker(app: Celery) -> None:
    """Raises one of the broker's errors at once if it does not answer, where Celery would try for long.

    Raises ConfigurationError if its URL, or that of the store of results, cannot be used.
    """
    try:
        app.backend  # noqa: B018 - made when it is first asked for
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=_BROKER_TRIES, interval_start=0.1, interval_step=0.2)
    except (ValueError, KeyError, ImportError, ImproperlyConfigured) as error:
        said = " ".join(str(error.args[0] if error.args else error).split())
        # Of a password that is not percent-encoded, a part is taken for the port.
        reason = "its port is no number" if said.startswith("Port") else said.rstrip(".")
        raise ConfigurationError(
            f"The broker's URL, which dagster.yaml names, cannot be used ({reason}): write "
            "redis://:PASSWORD@HOST:6379/0, or for TLS rediss://:PASSWORD@HOST/0?ssl_cert_reqs=required, "
            "with special characters in the password percent-encoded."
        ) from None


@contextmanager
def asking_the_broker(app: Celery) -> Iterator[None]:
    """Turns errors of the broker into one sentence, an UnavailableError."""
    try:
        yield
    except _BROKER_ERRORS as error:
        reason = _certificate_days(app, error) or str(error).strip() or type(error).__name__
        raise UnavailableError(
            f"The broker does not answer ({reason}). Start it, or mend its URL in dagster.yaml. Nothing was "
            "changed: the next refresh takes up what this one was to do."
        ) from None


def _certificate_days(app: Celery, error: Exception) -> str:
    if not ("certificate" in str(error) or is_refused(error)):
        return ""
    with app.connection_for_write() as connection:
        host, port = connection.hostname, connection.port
    return f"at {host}:{port}, {days}" if (days := shown_by(host, port)) else ""
