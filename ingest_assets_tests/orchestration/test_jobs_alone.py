"""One container alone: `ingest serve --run-jobs` runs the jobs that it takes, without a Dagster daemon."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from ingest_assets_tests.sources.repositories.repos import TestRepo
from ingest_assets_tests.support.built_index import Home, command


@contextmanager
def serving(home: Home) -> Iterator[httpx.Client]:
    home = home.with_settings(ingest_http_port=0)
    process = subprocess.Popen(
        command("serve", "--json", "--run-jobs"),
        env=home.env,
        cwd=home.path,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")["url"]
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        assert process.wait(30) in (0, -15)


def test_a_container_alone_indexes_and_answers(home: Home, repo: TestRepo) -> None:
    with serving(home) as client:
        with client.stream("GET", "/ingest", params={"repo_url": str(repo.path)}) as answer:
            assert answer.status_code == 200
            events = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
        assert [event["sequence"] for event in events] == list(range(len(events)))
        assert (events[0]["event_type"], events[-1]["status"]) == ("ingest.started.v1", "success")
        found = client.get("/search", params={"query": "frobnicate", "source": "repositories"}).json()
        assert found["hits"]
