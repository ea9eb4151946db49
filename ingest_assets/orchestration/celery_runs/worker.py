"""A worker of Celery that takes runs: what must hold before it takes the first, and its start.

What belongs here: refusing to work beside others in a way that would spoil the index. What does not: sending
runs, and noticing that a worker is gone (`launcher`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dagster as dg

from ingest_assets.log_output import send_logs
from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.orchestration.hosts import require_right_clock, require_shared_state, version
from ingest_assets.orchestration.instance import open_instance
from ingest_assets.queries.status import require_usable
from ingest_assets.settings import Settings
from ingest_assets.workbench import Workbench

if TYPE_CHECKING:
    from celery import Celery

log = logging.getLogger(__name__)
_ANSWER_S = 2.0  # within which the other workers answer
_ASK_VERSION = "ingest_version"


def run(
    settings: Settings, *, concurrency: int, queue: str | None, ready: Callable[[str], None] | None = None
) -> None:
    """Take runs until SIGTERM, then end when those at work have ended.

    `ready` is called with the queue's name once everything was checked.
    Raises ConfigurationError if the settings are not fit for several hosts; UnavailableError while the ledger
    or the broker does not answer, workers of another version are at work, or the clock is wrong.
    """
    # Nothing that is open may be inherited by the processes of the runs.
    with open_instance(settings) as instance:
        launcher = _launcher(instance)
        require_shared_state(instance, settings)
        os.environ["DAGSTER_HOME"] = instance.root_directory  # where each run looks for it
    with Workbench(settings) as bench:
        require_right_clock(bench.ledger)
        try:
            require_usable(bench)
        except UnavailableError as error:  # its runs fail until it answers, and the next ones work
            log.warning("%s", error)
    app = _application(launcher)
    require_one_version(app)
    queue = queue or str(launcher.default_queue)
    if ready is not None:
        ready(queue)
    # Who takes which run is worth a line, unless the settings say otherwise.
    level = settings.ingest_log_level if "ingest_log_level" in settings.model_fields_set else "info"
    send_logs(level, settings.ingest_log_format)
    logging.getLogger("celery").setLevel(level.upper())
    app.worker_main(
        [
            "worker",
            f"--concurrency={concurrency}",
            f"--queues={queue}",
            f"--hostname=ingest-{os.getpid()}@%h",
            # A message that was fetched ahead would wait for this worker while others are idle.
            "--prefetch-multiplier=1",
            "-Ofair",
            "--max-tasks-per-child=1",  # a run leaves nothing behind
            "--without-gossip",
            "--without-mingle",
        ]
    )


def _launcher(instance: dg.DagsterInstance) -> Any:
    try:
        from dagster_celery import launcher
    except ImportError:
        raise ConfigurationError(
            "Celery is not installed: pip install 'ingest-assets[celery]', on every host."
        ) from None
    found = instance.run_launcher
    if not isinstance(found, launcher.CeleryRunLauncher):
        raise ConfigurationError(
            f"{instance.root_directory}/dagster.yaml sends runs to no Celery worker: set run_launcher as "
            "deploy/celery/dagster.yaml does."
        )
    return found


def _application(launcher: Any) -> Celery:
    """A Celery application that takes what the launcher sends, by the same settings."""
    from celery.worker.control import inspect_command
    from dagster_celery.make_app import make_app
    from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

    app: Celery = make_app(launcher.app_args())  # type: ignore[no-untyped-call]
    create_execute_job_task(app)
    create_resume_job_task(app)
    # Our log is where the settings send it, and in their form.
    app.conf.update(worker_hijack_root_logger=False, worker_redirect_stdouts=False)
    inspect_command(name=_ASK_VERSION)(_version)
    return app


def _version(_state: Any) -> str:
    return version()


def require_one_version(app: Celery) -> None:
    """Raises UnavailableError if workers of another version are at work, or the broker does not answer."""
    from ingest_assets.orchestration.celery_runs.launcher import asking_the_broker, require_broker

    with asking_the_broker(app):
        require_broker(app)
        answers = app.control.inspect(timeout=_ANSWER_S)._request(_ASK_VERSION) or {}
    # Workers that `ingest worker` did not start know no such question, and answer with an error.
    known = {answer if isinstance(answer, str) else "unknown" for answer in answers.values()}
    others = sorted(known - {version()})
    if others:
        raise UnavailableError(
            f"Workers of version {', '.join(others)} are at work, and this one is version {version()}: stop "
            "them first (they end the runs that they have begun). Two versions would undo each other's work."
        )
