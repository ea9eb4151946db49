"""The programs in `docs/examples`, run as their readers run them, against one real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ingest_assets_tests.orchestration.test_jobs_alone import serving
from ingest_assets_tests.sources.repositories.repos import TestRepo
from ingest_assets_tests.support.built_index import ROOT, Home

EXAMPLES = ROOT / "docs" / "examples"


def _run(client: httpx.Client, program: str, argument: object) -> str:
    path = EXAMPLES / program
    command = [sys.executable, str(path)] if path.suffix == ".py" else [str(path)]
    env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "INGEST_URL": str(client.base_url)}
    said = subprocess.run(
        [*command, str(argument)], env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


@pytest.fixture
def client(home: Home) -> Iterator[httpx.Client]:
    with serving(home) as client:
        yield client


@pytest.mark.skipif(
    not (shutil.which("curl") or os.environ.get("CI")), reason="two of them are shell scripts with curl"
)
def test_all_examples(client: httpx.Client, repo: TestRepo) -> None:
    """One test, because they share a server, which takes seconds to start, and build on each other."""
    run = {
        name: lambda argument, name=name: _run(client, name, argument)
        for name in (path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".sh"})
    }
    used = set()

    polled = run["start_and_poll.py"](repo.path)
    used.add("start_and_poll.py")
    assert "completed: " in polled.splitlines()[-1]
    assert "100 % Completed." in polled

    lines = run["stream.py"](repo.path).splitlines()
    used.add("stream.py")
    assert [line.split()[0] for line in lines[:-1]] == [str(n) for n in range(len(lines) - 1)]
    assert lines[0].split()[1] == "ingest.started.v1"
    assert lines[-1] == "success"

    cancelled = run["start_and_cancel.py"](repo.path)
    used.add("start_and_cancel.py")
    assert cancelled.startswith("cancelled at 2")

    job_id = run["start_and_forget.sh"](repo.path).strip()
    used.add("start_and_forget.sh")
    assert str(uuid.UUID(job_id)) == job_id
    # Its stream ends with it, so that nothing works on when the test removes its folder.
    assert "ingest.completed.v1" in client.get(f"/jobs/{job_id}/events").text
    assert client.get(f"/jobs/{job_id}").json()["status"] == "completed"

    assert json.loads(run["search.sh"]('frobnicate & "more"'))["hits"]
    used.add("search.sh")
    assert used == set(run)
    assert all(name in (EXAMPLES / "README.md").read_text() for name in run)
