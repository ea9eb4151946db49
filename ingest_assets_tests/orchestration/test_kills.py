"""Whatever is killed in the middle of a job: when it is started again, every job ends settled and true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from ingest_assets_tests.built import ROOT, Home
from ingest_assets_tests.embedding.endpoint_server import DIMENSION, Endpoint, Reply, good_answer, serving
from ingest_assets_tests.fixtures_built import IngestHere
from ingest_assets_tests.sources.repositories.repos import Files, TestRepo
from ingest_assets_tests.standing import Standing, standing

FILES = 12
# Most of the time goes by in waiting for the daemon, which looks at its queue every five seconds.
OFTEN = """
run_coordinator:
  module: dagster
  class: QueuedRunCoordinator
  config: {dequeue_interval_seconds: 1}
"""


class Gate:
    """Holds runs in their middle: while it is closed, the endpoint that embeds for them does not answer."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self._opened, self._before = endpoint, Event(), 0
        endpoint.usual = Reply(body=self._answer)

    def _answer(self, body: dict[str, Any]) -> object:
        self._opened.wait()
        return good_answer(body)

    def close(self) -> None:
        self._opened.clear()
        self._before = len(self.endpoint.requests)

    def open(self) -> None:
        self._opened.set()

    @property
    def holds(self) -> bool:
        return len(self.endpoint.requests) > self._before


def functions(name: str, count: int) -> Files:
    return {
        f"{name}/part{n}.py": f'def {name}_{n}(turns: int) -> int:\n    """Turns {name} {n}."""\n'
        f"    total = turns * {n}\n    return total + {n}\n".encode()
        for n in range(count)
    }


@pytest.fixture
def gate() -> Iterator[Gate]:
    with serving() as endpoint:
        gate = Gate(endpoint)
        yield gate
        gate.open()


@pytest.fixture
def stand(tmp_path: Path, gate: Gate) -> Iterator[Standing]:
    home = Home(tmp_path / "home").with_settings(
        crm_db_path=None,
        ingest_repository_protocols="file",
        ingest_repository_roots=str(tmp_path / "code"),
        spark_control_url=gate.endpoint.url,
        ingest_dense_dimension=DIMENSION,
        ingest_http_search_workers=0,
        crm_sensor_interval_s=86_400,  # after its first look the sensor of heads leaves what changes to jobs
    )
    home.dagster.mkdir(parents=True)
    (home.dagster / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text("utf-8") + OFTEN, "utf-8")
    with standing(home) as stand:
        yield stand


def test_whatever_is_killed_every_job_ends_settled_and_true(
    stand: Standing, gate: Gate, tmp_path: Path, ingest_here: IngestHere
) -> None:
    crank, wheel = TestRepo(tmp_path / "code" / "crank"), TestRepo(tmp_path / "code" / "wheel")
    crank.commit(functions("crank", FILES))
    wheel.commit(functions("wheel", FILES))

    def wait_for_the_middle_of(job_id: str) -> None:
        stand.wait(lambda: gate.holds and stand.job(job_id)["status"] == "running")

    stand.start()
    stand.wait(lambda: "no repository is kept in step" in stand.said())  # the sensor of heads has looked
    gate.close()
    first = stand.start_job(crank.path)
    wait_for_the_middle_of(first)
    second = stand.start_job(wheel.path)
    stand.wait(lambda: stand.job(second)["progress_message"].startswith("Waiting for another run"))

    # The run's process alone. The other one, which has fetched meanwhile, goes on with what it left behind.
    gate.close()
    stand.kill(stand.worker(first))
    assert "process that worked on the job is gone" in stand.wait_for(first)["error_message"]

    # The daemon and the web server: the run knows of neither, and ends well.
    wait_for_the_middle_of(second)
    stand.kill(stand.daemon, stand.server)
    stand.start()
    assert stand.job(second)["status"] == "running"
    gate.open()
    done = stand.wait_for(second)
    assert (done["status"], done["files_indexed"]) == ("completed", FILES)

    # All at once, as when the power fails.
    crank.commit(functions("crank", FILES + 1))
    gate.close()
    third = stand.start_job(crank.path)
    wait_for_the_middle_of(third)
    stand.kill(*stand.processes())
    gate.open()
    stand.start()
    assert "process that worked on the job is gone" in stand.wait_for(third)["error_message"]

    again = stand.wait_for(stand.start_job(crank.path))
    assert (again["status"], again["files_indexed"]) == ("completed", FILES + 1)
    points = again["chunks_created"] + done["chunks_created"]
    assert stand.ask("GET", "/status")["sources"]["repositories"]["points"] == points >= 2 * FILES + 1
    assert ingest_here(stand.home, "audit").status == 0
    stand.wait(stand.runs_ended)
