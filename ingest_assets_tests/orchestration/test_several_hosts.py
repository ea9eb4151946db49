"""What runs on several hosts refuse: state of one host, two versions, a wrong clock, an absent broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from celery.worker.control import Panel
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher import WorkerStatus
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.orchestration import hosts
from ingest_assets.orchestration.celery_runs import worker
from ingest_assets.orchestration.celery_runs.launcher import WatchedCeleryRunLauncher
from ingest_assets.orchestration.hosts import VERSION_TAG, version
from ingest_assets_tests.conftest import fresh_schema
from ingest_assets_tests.orchestration.jobs import failures_of, run
from ingest_assets_tests.support.built_index import Home, command, new_home, run_command
from ingest_assets_tests.support.celery_cluster import write_dagster_yaml
from ingest_assets_tests.support.faulty_server import faulty_server
from ingest_assets_tests.support.redis_server import RedisServer, free_port, redis_server

ELSEWHERE = {"qdrant_url": "http://127.0.0.1:9"}  # never asked
REFRESH = "refresh_search_index"


@pytest.fixture
def home(tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch) -> Home:
    """One whose runs go to Celery, with everything on servers; nothing listens where the broker should be."""
    made = new_home(tmp_path / "home", 10).with_settings(
        ingest_ledger_url=fresh_schema(postgres), **ELSEWHERE
    )
    write_dagster_yaml(made.dagster)
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", fresh_schema(postgres))
    _broker(monkeypatch, free_port())
    return made


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), password="") as server:
        yield server


@pytest.fixture(autouse=True)
def workers_answer_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a test are on this machine: nobody else is waited for."""
    for module in ("worker", "launcher"):
        monkeypatch.setattr(f"ingest_assets.orchestration.celery_runs.{module}._ANSWER_S", 0.5)


def _broker(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", f"redis://127.0.0.1:{port}/0")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"qdrant_url": None}, "name a Qdrant server that all of them reach in QDRANT_URL"),
        ({"ingest_ledger_url": None}, "name a Postgres that all of them reach in INGEST_LEDGER_URL"),
    ],
)
def test_a_run_that_may_be_on_any_host_writes_no_files_of_one(
    home: Home, settings: dict[str, Any], said: str
) -> None:
    home = home.with_settings(**settings)
    with home.instance() as instance:
        result = run(home, instance, REFRESH)
        assert not result.success
        (failure, *_), *_ = [[each for each in failures_of(result).values() if each]]
        assert "Runs may be on several hosts (WatchedCeleryRunLauncher in dagster.yaml)" in failure
        assert said in failure
        with pytest.raises(ConfigurationError, match=said):
            worker.run(home.load(), concurrency=1, queue=None)
    assert not (home.path / "ingest" / "ledger.sqlite").exists()
    assert not (home.path / "ingest" / "collections").exists()


def test_dagsters_own_records_are_on_a_server_too(home: Home) -> None:
    file = home.dagster / "dagster.yaml"
    file.write_text(file.read_text("utf-8").replace("storage:", "compute_logs_unused:", 1), "utf-8")
    text = file.read_text("utf-8").split("compute_logs_unused:")[0]
    file.write_text(text, "utf-8")
    with home.instance() as instance:
        assert hosts.on_several_hosts(instance)
    with pytest.raises(ConfigurationError, match="set storage to a Postgres"):
        worker.run(home.load(), concurrency=1, queue=None)


def test_on_one_host_files_are_right(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home", 10)
    with home.instance() as instance:
        assert not hosts.on_several_hosts(instance)
        hosts.require_shared_state(instance, home.load())
    with pytest.raises(ConfigurationError, match=r"dagster\.yaml sends runs to no Celery worker"):
        worker.run(home.load(), concurrency=1, queue=None)


def test_a_run_of_another_version_changes_nothing(home: Home) -> None:
    with home.instance() as instance:
        job = _definition(home)
        result = job.execute_in_process(
            instance=instance, tags={VERSION_TAG: "0.0.1 (ledger 0001)"}, raise_on_error=False
        )
        (said, *_) = failures_of(result).values()
        assert "started by version 0.0.1 (ledger 0001)" in said
        assert version() in said


def test_every_job_says_which_version_starts_it(home: Home) -> None:
    from ingest_assets.definitions import build_defs

    names = ("build_search_index", "audit_search_index", "train_match_models", "embed_missing_vectors")
    defs = build_defs(home.overrides)
    said = {name: defs.resolve_job_def(name).tags[VERSION_TAG] for name in (REFRESH, *names)}
    assert set(said.values()) == {version()}


@pytest.mark.parametrize(("off_s", "said"), [(3_600, "3,600 s ahead of"), (-90, "90 s behind")])
def test_a_worker_whose_clock_is_wrong_takes_no_run(
    home: Home, monkeypatch: pytest.MonkeyPatch, off_s: float, said: str
) -> None:
    monkeypatch.setattr("ingest_assets.orchestration.hosts.time.time", lambda now=time.time: now() + off_s)
    with pytest.raises(UnavailableError, match=f"The clock of this machine is {said} that of the ledger's"):
        worker.run(home.load(), concurrency=1, queue=None)
    # Nor does one that another program has started.
    with home.instance() as instance:
        (failure, *_) = failures_of(run(home, instance, REFRESH)).values()
        assert failure is not None
        assert said in failure


def test_a_worker_does_not_start_with_a_qdrant_that_is_too_old(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest_assets.collection.server.connection.OLDEST", (99, 0))
    with faulty_server() as server, pytest.raises(ConfigurationError, match=r"99\.0 or newer is needed"):
        worker.run(home.with_settings(qdrant_url=server.url).load(), concurrency=1, queue=None)


def test_a_worker_without_a_broker_says_so_and_may_be_started_again(home: Home) -> None:
    said = run_command(command("worker"), home)
    assert said.status == 1  # which a supervisor tries again
    assert "The broker does not answer" in said.err
    assert "Traceback" not in said.everything


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://:p/ss-word@127.0.0.1:9/0", "its port is no number"),
        ("http://127.0.0.1:9", "http"),
        # Without it the certificate would not be verified.
        ("rediss://127.0.0.1:9/0", "A rediss:// URL must have parameter ssl_cert_reqs"),
    ],
)
def test_a_url_of_a_broker_that_cannot_be_used(
    url: str, said: str, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", url)
    with pytest.raises(ConfigurationError, match=r"The broker's URL.* cannot be used") as caught:
        worker.run(home.load(), concurrency=1, queue=None)
    assert said in str(caught.value)
    assert "ss-word" not in str(caught.value)


def test_a_run_that_cannot_be_sent_fails_with_a_sentence(home: Home) -> None:
    with home.instance() as instance:
        sent = _run_to_send(home, instance)
        with pytest.raises(UnavailableError, match=r"The broker does not answer .*Nothing was changed"):
            instance.launch_run(sent.run_id, _NO_WORKSPACE)


def test_while_the_broker_is_away_no_run_counts_as_lost(
    home: Home, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with home.instance() as instance:
        launcher = instance.run_launcher
        assert isinstance(launcher, WatchedCeleryRunLauncher)
        launcher.lost_after_s = 0
        running = _run_to_send(home, instance).with_tags({DAGSTER_CELERY_TASK_ID_TAG: "0" * 32})
        said = launcher.check_run_worker_health(running)
        assert said.status == WorkerStatus.RUNNING
        assert "The broker does not answer" in (said.msg or "")
    _broker(monkeypatch, redis.port)
    with home.instance() as instance:
        launcher = instance.run_launcher
        assert isinstance(launcher, WatchedCeleryRunLauncher)
        launcher.lost_after_s = 1_000
        assert launcher.check_run_worker_health(running).status == WorkerStatus.RUNNING
        launcher.lost_after_s = 0
        lost = launcher.check_run_worker_health(running)
        assert lost.status == WorkerStatus.FAILED
        assert "No worker has known of this run" in (lost.msg or "")


def test_a_worker_waits_until_those_of_another_version_have_stopped(
    home: Home, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    _broker(monkeypatch, redis.port)
    with home.instance() as instance:
        app = worker._application(instance.run_launcher)
    worker.require_one_version(app)  # nobody is at work
    # This one does not answer at once where the machine is busy, and who has not answered is not known of.
    monkeypatch.setattr(worker, "_ANSWER_S", 5.0)
    with _at_work(app):
        worker.require_one_version(app)
        monkeypatch.setitem(Panel.data, "ingest_version", lambda _state: "9.9.9 (ledger 9999)")
        with pytest.raises(UnavailableError, match=r"Workers of version 9\.9\.9 \(ledger 9999\) are at work"):
            worker.require_one_version(app)
        monkeypatch.delitem(Panel.data, "ingest_version")
        with pytest.raises(UnavailableError, match="Workers of version unknown are at work"):
            worker.require_one_version(app)


class _at_work:  # noqa: N801 - used as a function
    """A real worker of an application, in a thread: it takes no run, and answers."""

    def __init__(self, app: Any) -> None:
        from celery.apps.worker import Worker

        self._worker = Worker(app=app, hostname="other@here", pool="solo", quiet=True, without_gossip=True)
        self._thread = threading.Thread(target=self._worker.start, daemon=True)
        self._app = app

    def __enter__(self) -> None:
        self._thread.start()
        ends = time.monotonic() + 20
        while not self._app.control.ping(timeout=0.2):
            assert time.monotonic() < ends

    def __exit__(self, *_: object) -> None:
        from celery.worker import state

        state.should_stop = 0  # the exit status
        self._thread.join(20)
        state.should_stop = None
        assert not self._thread.is_alive()


_NO_WORKSPACE: Any = None  # the launcher needs none


def _definition(home: Home) -> dg.JobDefinition:
    from ingest_assets.definitions import build_defs

    return build_defs(home.overrides).resolve_job_def(REFRESH)


def _run_to_send(home: Home, instance: dg.DagsterInstance) -> dg.DagsterRun:
    pointer = ModuleCodePointer("ingest_assets.definitions", "defs")
    origin = JobPythonOrigin(REFRESH, RepositoryPythonOrigin("python", pointer, None, None, None))
    return instance.create_run_for_job(_definition(home), job_code_origin=origin)
