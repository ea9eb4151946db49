"""Whatever is killed in the middle of a job: once it is started again, every job ends, and correctly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from ingest_assets_tests.embedding.endpoint_server import DIMENSION, Endpoint, Reply, good_answer, serving
from ingest_assets_tests.sources.repositories.repos import Files, TestRepo
from ingest_assets_tests.support.built_index import ROOT, Home
from ingest_assets_tests.support.fixtures import IngestHere
from ingest_assets_tests.support.processes import RunningProduct, running_product

FILES = 12
# Most of the time is spent waiting for the daemon, which by default looks at its queue every five seconds.
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
def product(tmp_path: Path, gate: Gate) -> Iterator[RunningProduct]:
    home = Home(tmp_path / "home").with_settings(
        crm_db_path=None,
        ingest_repository_protocols="file",
        ingest_repository_roots=str(tmp_path / "code"),
        spark_control_url=gate.endpoint.url,
        ingest_dense_dimension=DIMENSION,
        ingest_http_search_workers=0,
        crm_sensor_interval_s=86_400,  # so that after its first look the sensor leaves changes to jobs
    )
    home.dagster.mkdir(parents=True)
    (home.dagster / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text("utf-8") + OFTEN, "utf-8")
    with running_product(home) as product:
        yield product


@pytest.mark.thorough
def test_whatever_is_killed_every_job_ends_with_a_correct_status(
    product: RunningProduct, gate: Gate, tmp_path: Path, ingest_here: IngestHere
) -> None:
    crank, wheel = TestRepo(tmp_path / "code" / "crank"), TestRepo(tmp_path / "code" / "wheel")
    crank.commit(functions("crank", FILES))
    wheel.commit(functions("wheel", FILES))

    def wait_for_the_middle_of(job_id: str) -> None:
        product.wait(lambda: gate.holds and product.job(job_id)["status"] == "running")

    product.start()
    product.wait(lambda: "no repository is kept in step" in product.said())  # the sensor has looked
    gate.close()
    first = product.start_job(crank.path)
    wait_for_the_middle_of(first)
    second = product.start_job(wheel.path)
    product.wait(lambda: product.job(second)["progress_message"].startswith("Waiting for another run"))

    # Only the run's process. The other run, which has fetched meanwhile, then continues.
    gate.close()
    product.kill(product.worker(first))
    assert "process that worked on the job is gone" in product.wait_for(first)["error_message"]

    # The daemon and the web server: the run depends on neither, and completes.
    wait_for_the_middle_of(second)
    product.kill(product.daemon, product.server)
    product.start()
    assert product.job(second)["status"] == "running"
    gate.open()
    done = product.wait_for(second)
    assert (done["status"], done["files_indexed"]) == ("completed", FILES)

    # All at once, as when the power fails.
    crank.commit(functions("crank", FILES + 1))
    gate.close()
    third = product.start_job(crank.path)
    wait_for_the_middle_of(third)
    product.kill(*product.processes())
    gate.open()
    product.start()
    assert "process that worked on the job is gone" in product.wait_for(third)["error_message"]

    again = product.wait_for(product.start_job(crank.path))
    assert (again["status"], again["files_indexed"]) == ("completed", FILES + 1)
    points = again["chunks_created"] + done["chunks_created"]
    assert product.ask("GET", "/status")["sources"]["repositories"]["points"] == points >= 2 * FILES + 1
    assert ingest_here(product.home, "audit").status == 0
    product.wait(product.runs_ended)
