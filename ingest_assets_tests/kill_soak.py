"""Kill the product's processes at random moments: every job must still end, with a correct status.

    python -m ingest_assets_tests.kill_soak --seed 1 --minutes 10

In a round, jobs are started and cancelled and commits are pushed, while any process of the product may be
killed, or all of them; then everything is started again and has to come to rest. Prints the seed of each
round and what is done in it; a round that breaks a promise ends in an assertion, and the exit status is 1. A
seed determines what is done, but not at which moment of the work: that depends on the machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from random import Random

from ingest_assets.sources.repositories.kept import repositories_of
from ingest_assets.stages.audit import audit
from ingest_assets_tests.sources.repositories.repos import TestRepo
from ingest_assets_tests.support.built_index import ROOT, Home
from ingest_assets_tests.support.processes import ENDED, RunningProduct, running_product

ROUND_S = 40.0
REST_S = 200.0
NAMES = ("crank", "wheel", "spoke")
# Dagster gives runs minutes to begin and to end, which is longer than a round.
HASTE = {
    "start_timeout_seconds: 300": "start_timeout_seconds: 30\n  cancel_timeout_seconds: 30",
    "poll_interval_seconds: 30": "poll_interval_seconds: 5",
}


def home_in(folder: Path) -> Home:
    home = Home(folder / "home").with_settings(
        crm_db_path=None,
        ingest_repository_protocols="file",
        ingest_repository_roots=str(folder / "code"),
        crm_sensor_interval_s=5,
        ingest_http_search_workers=1,
    )
    home.dagster.mkdir(parents=True)
    config = (ROOT / "dagster.yaml").read_text("utf-8")
    for usual, hasty in HASTE.items():
        assert usual in config
        config = config.replace(usual, hasty)
    (home.dagster / "dagster.yaml").write_text(config)
    return home


class Round:
    """One home, from its start to its rest."""

    def __init__(self, product: RunningProduct, code: Path, random: Random) -> None:
        self.product, self.random = product, random
        self.repositories = {name: TestRepo(code / name) for name in NAMES}
        self.files: dict[str, int] = {}
        self.jobs: list[str] = []
        for name in NAMES:
            self.push(name)

    def push(self, name: str) -> None:
        files, turns = self.random.randint(5, 200), self.random.randint(1, 1_000_000)
        function = 'def {0}_{1}(turns: int) -> int:\n    """Turns {0} {2}."""\n    return turns * {1}\n'
        self.repositories[name].commit(
            {f"part{n}.py": function.format(name, n, n * turns).encode() for n in range(files)}
        )
        self.files[name] = files

    def start(self) -> None:
        repository, force = self.repositories[self.random.choice(NAMES)], self.random.random() < 0.2
        self.jobs.append(self.product.start_job(repository.path, force_reindex=force))
        say("started", self.jobs[-1], "of", repository.path.name)

    def cancel(self) -> None:
        active = [job for job in self.jobs if self.product.job(job)["status"] not in ENDED]
        if active:
            job = self.random.choice(active)
            say("cancelled", job)
            self.product.ask("POST", f"/jobs/{job}/cancel")

    def kill_one(self) -> None:
        processes = self.product.processes()
        youngest = max(processes, key=lambda process: process.create_time())  # often one that works on a run
        victim = self.random.choice([youngest, self.random.choice(processes)])
        say("killed", " ".join(victim.cmdline())[-80:])
        self.product.kill(victim)

    def kill_all(self) -> None:
        say("killed all")
        self.product.kill(*self.product.processes())

    def disturb(self) -> None:
        acts = [self.start, lambda: self.push(self.random.choice(NAMES)), self.cancel]
        kills = [self.kill_one, self.kill_all]
        end = time.monotonic() + ROUND_S
        while time.monotonic() < end:
            self.product.start()
            self.random.choices([*acts, *kills], [4, 2, 1, 4, 1])[0]()
            time.sleep(self.random.uniform(0, 3))  # so that work goes on between two disturbances

    def rest(self) -> None:
        self.product.start()
        for job in dict.fromkeys(self.jobs):
            ended = self.product.wait_for(job, REST_S)
            say(job, ended["status"], ended["error_message"] or "")
        last = {name: self.product.start_job(repo.path) for name, repo in self.repositories.items()}
        for name, job in last.items():
            ended = self.product.wait_for(job, REST_S)
            assert (ended["status"], ended["files_indexed"]) == ("completed", self.files[name]), ended
        self.product.wait(self.product.runs_ended, REST_S)
        with self.product.home.bench() as bench:
            counts = audit(bench.published("repositories"), bench.ledger)
            assert counts.agrees, counts
            assert counts.expected >= sum(self.files.values())
            kept = {
                one.location: repositories_of(bench).files(one.id) for one in repositories_of(bench).all()
            }
        assert kept == {str(repo.path): self.files[name] for name, repo in self.repositories.items()}


def say(*what: object) -> None:
    print(time.strftime("%H:%M:%S"), *what, flush=True)  # noqa: T201 - a command: it prints


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--minutes", type=float, default=10)
    given = parser.parse_args()
    end, seed = time.monotonic() + given.minutes * 60, given.seed
    while time.monotonic() < end:
        say("seed", seed)
        with tempfile.TemporaryDirectory() as folder, running_product(home_in(Path(folder))) as product:
            product.start()
            one = Round(product, Path(folder) / "code", Random(seed))
            one.disturb()
            one.rest()
        seed += 1
    say("every job ended with a correct status")


if __name__ == "__main__":
    main()
