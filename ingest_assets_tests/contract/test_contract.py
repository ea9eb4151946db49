"""A client that knows the contracts alone, against a real server that runs its jobs itself.

What takes long here is the promises: a slow endpoint, and jobs that are cancelled at any moment.
"""

from __future__ import annotations

import ast
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from ingest_assets_tests.contract import client as contract
from ingest_assets_tests.contract.client import Agent, Jobs, Stream, check_events, has_ended, watched
from ingest_assets_tests.embedding.endpoint_server import DIMENSION, Endpoint, Reply, serving
from ingest_assets_tests.sources.repositories.git_server import GitServer
from ingest_assets_tests.sources.repositories.repos import TestRepo
from ingest_assets_tests.support.built_index import ROOT, Home
from ingest_assets_tests.support.processes import start_server

FILES = 40


@pytest.fixture(autouse=True)
def _fast_again(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "service" in request.fixturenames:
        request.getfixturevalue("service").endpoint.usual = Reply()


@dataclass
class Service:
    """A server, an endpoint that embeds as slowly as a test wants, and the repositories."""

    url: str
    endpoint: Endpoint
    api: httpx.Client
    root: Path
    git: GitServer

    @property
    def jobs(self) -> Jobs:
        return Jobs(self.api)

    def repository(self, name: str) -> str:
        """One with forty files of two functions each, an image, and a text in another language."""
        with TestRepo(self.root / name) as repo:
            files = {f"src/m{i}.py": _module(name, i) for i in range(FILES)}
            repo.commit({**files, "logo.png": b"\x89PNG\0\0", "main.rs": b"fn main() {}\n"})
        return str(self.root / name)


def _module(name: str, i: int) -> bytes:
    functions = (
        f'def {name}_{i}_{k}(x: int) -> int:\n    """Number {i}.{k} of {name}."""\n    return x * {i + k}\n'
        for k in range(2)
    )
    return "\n\n".join(functions).encode()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("contract")
    (folder / "home").mkdir()
    root = folder / "repositories"
    root.mkdir()
    with serving() as endpoint, GitServer(folder / "git").running() as git:
        home = Home(folder / "home").with_settings(
            crm_db_path=None,
            ingest_repository_protocols="file,http",
            ingest_repository_roots=str(root),
            ingest_repository_private_addresses=True,
            ingest_agent_local_repositories=True,
            spark_control_url=endpoint.url,
            ingest_dense_dimension=DIMENSION,
            ingest_http_search_workers=0,
        )
        home.dagster.mkdir()
        (home.dagster / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        with (folder / "said.log").open("w") as said:
            process, url = start_server(home, said, "serve", "--run-jobs")
            try:
                with httpx.Client(base_url=url, timeout=20, trust_env=False) as api:
                    yield Service(url, endpoint, api, root, git)
            finally:
                process.terminate()
                process.communicate(timeout=30)


def test_the_client_knows_the_contracts_alone() -> None:
    tree = ast.parse(Path(contract.__file__).read_text("utf-8"))
    names = {
        name
        for node in ast.walk(tree)
        for name in (
            [each.name for each in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not [name for name in names if name.startswith(("ingest_assets", "deploy", "tools"))]


def test_a_stream_tells_of_the_work_while_it_is_done_and_is_resumed(service: Service) -> None:
    path = service.repository("streamed")
    service.endpoint.usual = Reply(delay_s=1)
    stream = Stream(service.api, "/ingest", repo_url=path)
    early = []
    for event in stream.events():
        early.append(event)
        if event["event_type"] == "ingest.chunk_created.v1":
            break  # the connection is lost
    # They came while the job was at work: its chunks are not embedded yet.
    assert service.jobs.status(stream.job_id)["status"] == "running"
    last = early[-1]["sequence"]
    rest = list(Stream(service.api, "/ingest", last=last, repo_url=path).events())
    check_events(early + rest)
    assert rest[-1]["status"] == "success"
    said = rest[-1]["payload"]
    assert (said["files_detected"], said["files_skipped"]) == (FILES + 2, 1)
    assert said["language_breakdown"] == {"Python": FILES, "Rust": 1}
    assert service.jobs.events(stream.job_id) == early + rest
    done = service.jobs.status(stream.job_id)
    assert (done["files_scanned"], done["files_indexed"]) == (FILES + 1, FILES + 1)
    assert done["chunks_created"] == said["chunks_created"]
    for after in random.Random(1).sample(range(len(early + rest) - 1), 3):
        again = list(Stream(service.api, f"/jobs/{stream.job_id}/events", last=after).events())
        assert again == (early + rest)[after + 1 :]
    # Whoever has received everything is told that there is no more.
    gone = service.api.get(
        f"/jobs/{stream.job_id}/events", headers={"Last-Event-ID": str(len(early + rest) - 1)}
    )
    assert gone.status_code == 204


@pytest.mark.parametrize("by", ["http", pytest.param("mcp", marks=pytest.mark.thorough)])
def test_start_watch_and_search(service: Service, by: str) -> None:
    path = service.repository(f"watched_{by}")
    jobs: Jobs | Agent = service.jobs if by == "http" else Agent(service.url)
    started = jobs.start(path, project_id="mine")
    assert started["project_id"] == "mine"
    seen = watched(jobs.status, started["job_id"], has_ended)
    assert (seen[-1]["status"], seen[-1]["files_indexed"]) == ("completed", FILES + 1)
    assert jobs.cancel(started["job_id"]) is False
    check_events(service.jobs.events(started["job_id"]))
    found = service.api.get("/search", params={"query": f"watched_{by}_7_1", "mode": "sparse"}).json()
    assert f"watched_{by}_7_1" in found["hits"][0]["text"]


@pytest.mark.thorough
def test_two_repositories_at_once_and_what_is_waited_for(service: Service) -> None:
    """They are under way together; the one whose turn it is not says so."""
    service.endpoint.usual = Reply(delay_s=1.5)
    jobs = [service.jobs.start(service.repository(name))["job_id"] for name in ("first", "second", "third")]
    running, said = set[int](), set[str]()
    ends = time.monotonic() + contract.PATIENCE_S
    while time.monotonic() < ends:
        now = [service.jobs.status(job) for job in jobs]
        running.add(sum(each["status"] == "running" for each in now))
        said |= {each["progress_message"] for each in now if each["status"] in {"pending", "running"}}
        if all(map(has_ended, now)):
            break
        time.sleep(0.1)
    assert {service.jobs.status(job)["status"] for job in jobs} == {"completed"}
    assert max(running) == 2  # MAX_CONCURRENT_INDEXING_JOBS
    assert "Waiting for another run on repositories." in said
    assert any("next to run" in each for each in said)


def _cancelled(service: Service, jobs: Jobs | Agent, location: str, after_s: float) -> str:
    """Start a job, and cancel it after a while. Returns how it ended, which is in time and told of."""
    job_id = jobs.start(location)["job_id"]
    time.sleep(after_s)
    if jobs.cancel(job_id):
        asked = time.monotonic()
        watched(jobs.status, job_id, has_ended)
        assert time.monotonic() - asked < contract.CANCELLED_WITHIN_S, jobs.status(job_id)
    ended = jobs.status(job_id)
    assert ended["status"] in {"cancelled", "completed"}, ended
    events = service.jobs.events(job_id)
    check_events(events)
    assert events[-1]["status"] == ("success" if ended["status"] == "completed" else "failed")
    assert jobs.cancel(job_id) is False
    return str(ended["status"])


def _cancels(service: Service, name: str, seed: int, times: int) -> None:
    rng, path = random.Random(seed), service.repository(name)
    ways: list[Jobs | Agent] = [service.jobs, Agent(service.url)]
    for i in range(times):
        service.endpoint.usual = Reply(delay_s=rng.choice([0, 1, 20]))
        _cancelled(service, ways[i % 2], path, rng.uniform(0, 6))
    service.endpoint.usual = Reply()
    done = watched(service.jobs.status, service.jobs.start(path)["job_id"], has_ended)[-1]
    assert (done["status"], done["files_indexed"]) == ("completed", FILES + 1)
    found = service.api.get("/search", params={"query": f"{name}_3_0", "mode": "sparse"}).json()
    assert f"{name}_3_0" in found["hits"][0]["text"]


@pytest.mark.thorough
def test_cancelled_while_the_model_does_not_answer_and_while_the_remote_does_not(service: Service) -> None:
    path = service.repository("slow")
    service.endpoint.usual = Reply(delay_s=30)
    service.endpoint.requests.clear()
    job_id = service.jobs.start(path)["job_id"]
    _until(lambda: bool(service.endpoint.requests))
    assert _cancelled(service, service.jobs, path, 0) == "cancelled"
    assert service.jobs.status(job_id)["status"] == "cancelled"

    def hangs(_environ: object, _start: object) -> list[bytes]:
        time.sleep(20)
        return []

    service.git.misbehave = hangs
    service.jobs.start(service.git.url())
    _until(lambda: bool(service.git.requests))
    assert _cancelled(service, service.jobs, service.git.url(), 0) == "cancelled"


def _until(there: Callable[[], bool]) -> None:
    ends = time.monotonic() + contract.PATIENCE_S
    while not there():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_cancelled_at_a_random_moment(service: Service) -> None:
    _cancels(service, "moment", seed=7, times=1)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_cancelled_at_many_random_moments(service: Service, seed: int) -> None:
    _cancels(service, f"moments{seed}", seed, times=8)


@pytest.mark.thorough
def test_keep_alives_between_events(service: Service) -> None:
    """A comment every 15 s while there is nothing to tell."""
    service.endpoint.usual = Reply(delay_s=40)
    stream = Stream(service.api, "/ingest", repo_url=service.repository("quiet"))
    begun = time.monotonic()
    for event in stream.events():
        if time.monotonic() - begun > 1 and len(stream.keep_alives) > 3:
            service.jobs.cancel(event["context"]["job_id"])
    waits = [b - a for a, b in zip(stream.keep_alives[1:], stream.keep_alives[2:], strict=False)]
    assert waits
    assert all(14 < wait < 17 for wait in waits)


def test_a_serverless_worker_answers_the_same(tmp_path: Path) -> None:
    """Called as a platform does, in a process of its own."""
    served = tmp_path / "served"
    with TestRepo(served / "repo") as repo:
        repo.commit({"a.rs": b"fn a() {}\n", "b.py": b"def b():\n    return 1\n", "c.png": b"\x89PNG\0"})
    code = (
        "import json, sys; from deploy.serverless.handler import handler; "
        "print(json.dumps([handler(event) for event in json.load(sys.stdin)]))"
    )
    env = {"INGEST_REPOSITORY_PROTOCOLS": "http", "INGEST_REPOSITORY_PRIVATE_ADDRESSES": "true"}
    with GitServer(served).running() as git:
        asked = [
            {"id": "1", "input": {"repo_url": git.url(), "git_ref": "main"}},
            {"id": "2", "input": {"repo_url": git.url(), "git_ref": "nowhere"}},
            {"id": "3", "input": {"repo_url": git.url()[:-4] + "gone"}},
            {"id": "4", "input": {}},
        ]
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(asked),
            env={"PATH": "", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), **env},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        )
    answers = json.loads(done.stdout)
    assert [answer["status"] for answer in answers] == ["success", "error", "error", "error"]
    events = [contract.checked_answer(answer) for answer in answers]
    assert answers[0]["summary"]["language_breakdown"] == {"Python": 1, "Rust": 1}
    assert events[0]
