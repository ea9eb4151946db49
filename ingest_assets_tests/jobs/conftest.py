from __future__ import annotations

from collections.abc import Callable

import pytest

from ingest_assets.jobs import queue
from ingest_assets.jobs.queue import JobStarted, JobTarget
from ingest_assets.ledger import Ledger

Start = Callable[..., JobStarted]


def repository(name: str = "name") -> JobTarget:
    return JobTarget("repositories", f"github.com/owner/{name}", f"https://github.com/owner/{name}", name)


@pytest.fixture
def start(ledger: Ledger) -> Start:
    """Starts a job for the repository with the given name."""

    def start_one(name: str = "name", **more: object) -> JobStarted:
        return queue.start(ledger, repository(name), **more)  # type: ignore[arg-type]  # tests give all of them

    return start_one
