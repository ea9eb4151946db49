"""Workers of Celery as they are on several hosts: processes with homes of their own, and the servers between.

What belongs here: starting, killing and cutting them off, and sending runs. What does not: what must hold.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import psutil
import psycopg2
import yaml
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from psycopg2.extras import execute_values
from qdrant_client import QdrantClient

from ingest_assets.definitions import build_defs
from ingest_assets.orchestration.orphaned_runs import TAG
from ingest_assets.sources.crm.sample import SCHEMA, edit_sample, write_sample
from ingest_assets_tests.support.built_index import ROOT, Home, command
from ingest_assets_tests.support.faulty_server import faulty_server
from ingest_assets_tests.support.memory import memory
from ingest_assets_tests.support.proxies import Relay
from ingest_assets_tests.support.redis_server import RedisServer, redis_server
from ingest_assets_tests.support.server import SERVER_URL

PATIENCE_S = 120.0
_POLL_S = 0.1


def write_dagster_yaml(folder: Path, *, start_timeout_s: int = 300, **config: Any) -> None:
    """What is shipped, with some settings of the launcher replaced."""
    shipped = yaml.safe_load((ROOT / "deploy" / "celery" / "dagster.yaml").read_text("utf-8"))
    shipped["run_launcher"]["config"] |= config
    shipped["run_monitoring"]["start_timeout_seconds"] = start_timeout_s
    shipped["run_coordinator"] = {
        "module": "dagster._core.run_coordinator",
        "class": "DefaultRunCoordinator",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dagster.yaml").write_text(yaml.safe_dump(shipped), "utf-8")


class CrmOnPostgres:
    """The sample, and its edits, in a Postgres that every host reaches."""

    def __init__(self, folder: Path, url: str, documents: int) -> None:
        self.url, self._file = url, folder / "crm.sqlite"
        write_sample(self._file, documents, 7)
        schema = SCHEMA.read_text("utf-8").replace(" WITHOUT ROWID", "").replace("REAL", "double precision")
        with closing(psycopg2.connect(url)) as connection, connection:
            connection.cursor().execute(schema)
        self._copy()

    def edit(self, seed: int, **counts: int) -> None:
        edit_sample(self._file, seed, **({"changes": 0, "deletes": 0, "inserts": 0} | counts))
        self._copy()

    def _copy(self) -> None:
        mine, theirs = sqlite3.connect(self._file), psycopg2.connect(self.url)
        with closing(mine), closing(theirs), theirs:
            cursor = theirs.cursor()
            # Those that others refer to come first.
            names = ("organisations", "people", "interactions", "interaction_participants", "opportunities")
            for name in reversed(names):
                cursor.execute(f"DELETE FROM {name}")
            for name in names:
                if rows := mine.execute(f"SELECT * FROM {name}").fetchall():
                    execute_values(cursor, f"INSERT INTO {name} VALUES %s", rows)


class Worker:
    """`ingest worker` with a home of its own, which reaches the servers through relays that can be cut."""

    def __init__(self, name: str, cluster: Cluster) -> None:
        self.name, self._cluster = name, cluster
        self.folder = cluster.folder / name
        self._sockets = Path(tempfile.mkdtemp(prefix="pgr", dir=memory()))
        pg = ".s.PGSQL.5432"
        self.relays = {
            "postgres": Relay.to_socket(cluster.postgres_folder / pg, self._sockets / pg),
            "redis": Relay.to_port(cluster.redis.port),
            "qdrant": Relay.to_port(cluster.qdrant_port),
        }
        self.home = cluster.home_of(
            self.folder,
            postgres=self._sockets,
            qdrant=self.relays["qdrant"].port,
        )
        self.env = self.home.env | cluster.variables(self._sockets, self.relays["redis"].port)
        self.process: subprocess.Popen[bytes] | None = None
        self._said_before = 0  # bytes of its log, before it was last started

    def start(self) -> None:
        self.begin()
        self._cluster.wait(self.is_ready, self.said)

    def begin(self) -> None:
        """Start it, and do not wait until it takes runs."""
        log = (self.folder / "said.log").open("ab")
        self._said_before = log.tell()
        self.process = subprocess.Popen(
            command("worker"),
            env=self.env,
            cwd=self.folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def is_ready(self) -> bool:
        return b" ready." in (self.folder / "said.log").read_bytes()[self._said_before :]

    def said(self) -> str:
        return (self.folder / "said.log").read_text("utf-8", "replace")

    def processes(self) -> list[psutil.Process]:
        mine, found = str(self.home.path / "ingest"), []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("INGEST_HOME") == mine:
                    found.append(process)
        return found

    def kill(self) -> None:
        """As when the machine loses power: its processes at once, and its connections with them."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
        if self.process is not None:
            self.process.wait()

    def stop(self, seconds: float = 60) -> int:
        """Ask it to end, as a supervisor does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def close(self) -> None:
        self.kill()
        for relay in self.relays.values():
            relay.close()
        shutil.rmtree(self._sockets, ignore_errors=True)


class Cluster:
    """The servers that workers share, and the host that sends runs."""

    def __init__(
        self,
        folder: Path,
        postgres: str,
        redis: RedisServer,
        qdrant_url: str,
        start_timeout_s: int,
        **settings: Any,
    ) -> None:
        self.folder, self.redis = folder, redis
        self.qdrant_port = int(qdrant_url.rstrip("/").rpartition(":")[2])
        self.postgres_folder = Path(postgres.partition("?host=")[2])
        self._settings, self._start_timeout_s = settings, start_timeout_s
        self._databases = {name: self._new(postgres, name) for name in ("ledger", "dagster", "crm")}
        self.crm = CrmOnPostgres(folder, self.database("crm", self.postgres_folder), 60)
        self.home = self.home_of(folder / "head", postgres=self.postgres_folder, qdrant=self.qdrant_port)
        self._env = self.home.env | self.variables(self.postgres_folder, redis.port)
        self._stack = ExitStack()
        self._was = {name: os.environ.get(name) for name in self._own}
        os.environ |= {name: self._env[name] for name in self._own}  # dagster.yaml names them
        self.instance = self._stack.enter_context(dg.DagsterInstance.from_config(str(self.home.dagster)))
        self.workers: list[Worker] = []

    _own = ("DAGSTER_POSTGRES_URL", "CELERY_BROKER_URL")

    @staticmethod
    def _new(postgres: str, name: str) -> str:
        made = f"{name}{uuid.uuid4().hex[:8]}"
        with closing(psycopg2.connect(postgres)) as connection:
            connection.autocommit = True
            connection.cursor().execute(f"CREATE DATABASE {made}")
        return made

    def database(self, name: str, folder: Path) -> str:
        return f"postgresql://postgres:@/{self._databases[name]}?host={folder}"

    def home_of(self, folder: Path, *, postgres: Path, qdrant: int) -> Home:
        home = Home(folder).with_settings(
            **self._settings,
            ingest_ledger_url=self.database("ledger", postgres),
            crm_db_path=None,
            # Of one system, by whatever way it is reached.
            crm_db_url=self.database("crm", self.postgres_folder),
            qdrant_url=f"http://127.0.0.1:{qdrant}",
            ingest_collection_prefix=f"{self._databases['ledger']}_",
            qdrant_retry_s=5,
        )
        write_dagster_yaml(home.dagster, start_timeout_s=self._start_timeout_s, lost_after_seconds=3)
        return home

    def variables(self, postgres: Path, redis: int) -> dict[str, str]:
        return {
            "DAGSTER_POSTGRES_URL": self.database("dagster", postgres),
            "CELERY_BROKER_URL": f"redis://:{self.redis.password}@127.0.0.1:{redis}/0",
            "PYTHONPATH": str(ROOT),
        }

    def worker(self, name: str) -> Worker:
        worker = Worker(name, self)
        self.workers.append(worker)
        worker.start()
        return worker

    def send(self, job: str) -> str:
        """As `dagster job launch` does, or the UI. Returns the run's id."""
        known = {run.run_id for run in self.instance.get_runs()}
        launch = [*("job", "launch", "-m", "ingest_assets.definitions", "-j", job)]
        said = subprocess.run(
            [sys.executable, "-m", "dagster", *launch],
            env=self._env,
            cwd=self.home.path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.returncode == 0, said.stdout + said.stderr
        (run,) = (run.run_id for run in self.instance.get_runs() if run.run_id not in known)
        return run

    def launch(self, job: str) -> str:
        """The same from this process, which takes less time."""
        pointer = ModuleCodePointer("ingest_assets.definitions", "defs")
        origin = JobPythonOrigin(job, RepositoryPythonOrigin(sys.executable, pointer, None, None, None))
        definition = build_defs(self.home.overrides).resolve_job_def(job)
        run = self.instance.create_run_for_job(definition, job_code_origin=origin)
        no_workspace: Any = None  # the launcher needs none
        self.instance.launch_run(run.run_id, no_workspace)
        return run.run_id

    def status(self, run: str) -> dg.DagsterRunStatus:
        found = self.instance.get_run_by_id(run)
        assert found is not None
        return found.status

    def process_of(self, run: str) -> int | None:
        """The id of the process that works on it, or did; None while none has begun."""
        found = self.instance.get_run_by_id(run)
        assert found is not None
        return int(found.tags[TAG].split()[1]) if TAG in found.tags else None

    def host_of(self, run: str) -> Worker:
        """The worker whose process works on it."""
        pid = self.process_of(run)
        return next(each for each in self.workers if any(p.pid == pid for p in each.processes()))

    def watch(self) -> None:
        """What Dagster's daemon does every few seconds to runs that have begun."""
        process: Any = SimpleNamespace(instance=self.instance, create_request_context=lambda: None)
        errors = [error for error in execute_run_monitoring_iteration(process, logging.getLogger()) if error]
        assert not errors, errors

    def ended(self, run: str, *, watched: bool = False) -> dg.DagsterRunStatus:
        """Wait until a run has ended."""

        def has_ended() -> bool:
            if watched:
                self.watch()
            found = self.instance.get_run_by_id(run)
            return found is not None and found.is_finished

        self.wait(has_ended, lambda: self.said(run))
        return self.status(run)

    def said(self, run: str) -> str:
        events = [entry.dagster_event for entry in self.instance.all_logs(run) if entry.dagster_event]
        lines = [str(event.message) for event in events]
        failed = [str(event.step_failure_data) for event in events if event.is_step_failure]
        logs = [f"{worker.name}: {worker.said()[-4_000:]}" for worker in self.workers]
        return "\n".join([*lines, *failed, *logs])

    def wait(self, until: Callable[[], bool], said: Callable[[], str]) -> None:
        ends = time.monotonic() + PATIENCE_S
        while not until():
            assert time.monotonic() < ends, said()
            time.sleep(_POLL_S)  # for other processes

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
        prefix = self.home.overrides["ingest_collection_prefix"]
        client = QdrantClient(url=f"http://127.0.0.1:{self.qdrant_port}")  # others may use the server too
        for entry in client.get_collections().collections:
            if entry.name.startswith(prefix):
                client.delete_collection(entry.name)
        client.close()
        self._stack.close()
        for name, value in self._was.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


@contextmanager
def cluster(folder: Path, postgres: str, *, start_timeout_s: int = 300, **settings: Any) -> Iterator[Cluster]:
    """The servers, and no worker yet. A run that none begins counts as failed after `start_timeout_s`."""
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(folder / "redis"))
        url = SERVER_URL or stack.enter_context(faulty_server()).url
        made = Cluster(folder, postgres, redis, url, start_timeout_s, **settings)
        stack.callback(made.close)
        yield made
