"""Kill everything around the spool at random moments: each record must still be accounted for, exactly once.

    python -m ingest_assets_tests.spool_soak --seed 1 --minutes 10 [--ledger sqlite|postgres]

In a round, producers deliver batches (ordinary, personal, broken, twice, slowly), gates are opened and
closed, batches removed and tried again, while two `ingest watch` work on one spool and any of their processes
may be killed, the listener fails, Postgres is restarted and loses partitions, and Redis is emptied or filled
with other answers. Then everything has to come to rest. Prints the seed of each round and what is done in it;
a round that breaks a promise ends in an assertion. A seed determines what is done, but not at which moment of
the work: that depends on the machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import psutil
import sqlalchemy as sa

from ingest_assets.interfaces.cli.runs import run_sources
from ingest_assets.model import NotPublishedError, RequestError, UnavailableError
from ingest_assets.queries.search import open_search
from ingest_assets.sources.spool import gates, manifest, partitions, removing
from ingest_assets.sources.spool.decisions import Decider
from ingest_assets.sources.spool.notifier.delivery import deliver, redeliver
from ingest_assets.sources.spool.places import Spool
from ingest_assets.sources.spool.producer import write_batch
from ingest_assets.sources.spool.settings import SpoolSettings
from ingest_assets.workbench import Workbench
from ingest_assets_tests.conftest import fresh_schema
from ingest_assets_tests.sources.spool.gate_listener import Answer, GateListener, listening
from ingest_assets_tests.sources.spool.test_nothing_is_left import holding
from ingest_assets_tests.sources.spool.test_postgres_restarts import Server
from ingest_assets_tests.support.built_index import Home, command
from ingest_assets_tests.support.redis_server import RedisServer, redis_server
from ingest_assets_tests.support.small_parts import contents

ROUND_S = 60.0
REST_S = 240.0
WATCHERS = 2
BY = Decider("ada", "the soak", "cli")
MONTHS = ("2026-11-03T00:00:00+00:00", "2026-10-05T00:00:00+00:00", "2025-02-28T00:00:00+00:00")
BAD_ANSWERS = (Answer(500), Answer(302, {"Location": "/elsewhere"}), Answer(breaks=True))


class Round:
    """One home, from its start to its rest."""

    def __init__(self, home: Home, random: Random, listener: GateListener, redis: RedisServer) -> None:
        self.home, self.random, self.listener, self.redis = home, random, listener, redis
        self.postgres: Server | None = None
        self.spool = home.path / "spool"
        Spool.of(home.load().of(SpoolSettings)).prepare()
        self.log = (home.path / "said.log").open("ab")
        self.watchers: list[subprocess.Popen[bytes]] = []
        self.batches: dict[str, list[str]] = {}  # texts by tag; "" for a record without
        self.personal: set[str] = set()
        self.open: set[str] = set()
        self.removed: set[str] = set()
        self.broken = 0
        listener.usual = lambda _heard: random.choice(BAD_ANSWERS) if random.random() < 0.3 else Answer()

    # What producers do

    def write(self) -> None:
        tag, size = f"batch-{len(self.batches):03}", self.random.choice([1, 3, 40, 400])
        texts = [f"The quokka{tag[6:]}x{n} came late." for n in range(size)] + [""]
        is_personal = self.random.random() < 0.4
        self.batches[tag] = texts
        if is_personal:
            self.personal.add(tag)
        self._deliver(tag)
        say("wrote", tag, size, "personal" if is_personal else "")

    def _deliver(self, tag: str) -> None:
        from datetime import datetime

        created_at = datetime.fromisoformat(MONTHS[int(tag[6:]) % len(MONTHS)])
        records = [{"text": text} for text in self.batches[tag]]
        pii = tag in self.personal
        write_batch(self.spool, records, source="desk", pii=pii, batch_tag=tag, created_at=created_at)

    def deliver_again(self) -> None:
        if self.batches:
            self._deliver(self.random.choice(list(self.batches)))

    def break_one(self) -> None:
        (self.spool / "incoming" / f"broken{self.broken}.msgpack").write_bytes(b"\xc1%d" % self.broken)
        self.broken += 1

    # What people decide

    def decide(self) -> None:
        tags = [*self.personal] if self.random.random() < 0.8 else [*self.batches]
        if not tags:
            return
        tag, what = self.random.choice(sorted(tags)), self.random.choice(["open", "open", "close", "remove"])
        with suppress(RequestError, UnavailableError), self.home.bench() as bench:
            if what == "remove":
                removing.remove(bench, tag, BY)
                self.removed.add(tag)
            elif what == "open":
                gates.open_gate(bench.ledger, tag, BY)
                self.open.add(tag)
            else:
                gates.close_gate(bench.ledger, tag, BY)
                self.open.discard(tag)
            say(what, tag)
            self.not_found(bench)

    def retry(self) -> None:
        with suppress(RequestError, UnavailableError), self.home.bench() as bench:
            failed = manifest.listed(bench.ledger, "failed")
            if failed:
                removing.retry(bench, self.random.choice(failed).batch_tag, BY)

    # What goes wrong

    def kill(self) -> None:
        processes = self.processes()
        if not processes:
            return
        victim = self.random.choice(processes)
        with suppress(psutil.Error):
            say("killed", " ".join(victim.cmdline())[-60:])
            victim.kill()

    def kill_all(self) -> None:
        say("killed all")
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()

    def restart_postgres(self) -> None:
        if self.postgres is not None:
            say("Postgres restarted")
            self.postgres.restart()

    def drop_partition(self) -> None:
        with (
            suppress(UnavailableError, sa.exc.SQLAlchemyError),
            self.home.bench() as bench,
            bench.ledger.transaction() as connection,
        ):
            there = sorted(partitions.present(connection)) if partitions.are_used(connection) else []
            if there:
                month = self.random.choice(there)
                connection.execute(sa.text(f"drop table spool_record_{month.replace('-', '_')}"))
                say("dropped", month)

    def spoil_redis(self) -> None:
        held = self.redis.values()
        if self.random.random() < 0.4 or not held:
            self.redis.client.flushall()
            return
        values = [*held.values(), b"\x00", b'{"hits": []}']
        for key in held:
            self.redis.client.set(key, self.random.choice(values))
        say("Redis lies about", len(held))

    def search(self) -> None:
        with suppress(UnavailableError, NotPublishedError), self.home.bench() as bench:
            self.not_found(bench)

    # What must hold meanwhile

    def not_found(self, bench: Workbench) -> None:
        """No batch that is locked, or removed, is found, whatever was done last."""
        hidden = (self.personal - self.open) | self.removed
        for tag in self.random.sample(sorted(hidden), min(3, len(hidden))):
            with suppress(NotPublishedError):
                hits = open_search(bench, "spool").search(f"quokka{tag[6:]}x0", limit=50).hits
                found = [hit.document_id for hit in hits if hit.attributes["batch_tag"] == tag]
                assert not found, found

    def processes(self) -> list[psutil.Process]:
        mine, found = self.home.env["INGEST_HOME"], []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.pid != os.getpid() and process.environ().get("INGEST_HOME") == mine:
                    found.append(process)
        return found

    def start(self) -> None:
        self.watchers = [each for each in self.watchers if each.poll() is None]
        while len(self.watchers) < WATCHERS:
            watch = command("watch", "--source", "spool")
            started = subprocess.Popen(
                watch, env=self.home.env, cwd=self.home.path, stdout=self.log, stderr=self.log
            )
            self.watchers.append(started)

    def disturb(self) -> None:
        acts: dict[Callable[[], None], int] = {
            self.write: 6,
            self.deliver_again: 2,
            self.break_one: 1,
            self.decide: 5,
            self.retry: 1,
            self.search: 2,
            self.kill: 5,
            self.kill_all: 1,
            self.restart_postgres: 1,
            self.drop_partition: 2,
            self.spoil_redis: 2,
        }
        end = time.monotonic() + ROUND_S
        while time.monotonic() < end:
            self.start()
            self.random.choices([*acts], [*acts.values()])[0]()
            time.sleep(self.random.uniform(0, 2))  # so that work goes on between two disturbances

    def rest(self) -> None:
        self.listener.usual = lambda _heard: Answer()
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
        end = time.monotonic() + REST_S
        while self.moves():
            assert time.monotonic() < end, "it does not come to rest"
        with self.home.bench() as bench:
            redeliver(bench, BY)
            with bench.ledger.transaction() as connection:
                # Nobody waits for an hour here.
                connection.execute(sa.text("update spool_event set next_at = 0"))
            deliver(bench, budget_s=30)
            self.accounted_for(bench)
            self.in_order(bench)
            self.not_found(bench)
            found = contents(bench.store, "spool_chunks")
        for tag in (self.personal - self.open) | (self.personal & self.removed):
            assert holding(self.home, f"quokka{tag[6:]}x0") == [], tag
            assert not any(f"quokka{tag[6:]}x0".encode() in each for each in self.redis.values().values())
        wanted = {text for tag in self.searchable for text in self.batches[tag] if text}
        assert sorted(payload["text"] for payload, _, _ in found.values()) == sorted(wanted)
        assert self.built_from_the_archive() == found

    def moves(self) -> bool:
        """Run once. Whether there may be more to do."""
        report = run_sources(self.home.load(), sources=["spool"], overrides=self.home.overrides)
        failed = report.failed_checks
        assert report.success, report.errors
        moved = any(
            counts[what] for counts in report.assets.values() for what in ("added", "changed", "removed")
        )
        return moved or any("everybody_was_told" not in name for name in failed)

    @property
    def searchable(self) -> set[str]:
        return {tag for tag in self.batches if tag not in self.personal or tag in self.open} - self.removed

    def accounted_for(self, bench: Workbench) -> None:
        with bench.ledger.reading() as connection:
            rows = {
                row.batch_tag: row for row in connection.execute(sa.text("select * from ingestion_manifest"))
            }
        folders = {
            name: {each.name for each in (self.spool / name).iterdir()}
            for name in ("incoming", "processing", "archive", "failed")
        }
        assert not folders["incoming"], folders
        for tag, texts in self.batches.items():
            row = rows[tag]
            places = [name for name, files in folders.items() if row.file and row.file in files]
            if tag in self.removed:
                assert (row.gone, places) == ("removed", []), (tag, row)
            elif tag in self.searchable:
                assert (row.status, row.processed, places) == ("success", len(texts) - 1, ["archive"]), (
                    tag,
                    row,
                )
            else:
                assert (row.status, row.gate) == ("queued", "locked"), (tag, row)
                assert len(places) == 1, (tag, row, places)
        failed = [row for row in rows.values() if row.status == "failed" and not row.gone]
        assert len(failed) == self.broken, failed
        assert len(rows) == len(self.batches) + self.broken

    def in_order(self, bench: Workbench) -> None:
        """The listener has heard each event, those of a batch in the order in which they happened."""
        with bench.ledger.reading() as connection:
            events = connection.execute(
                sa.text("select batch_tag, event, nth, state from spool_event order by batch_tag, number")
            ).all()
        assert {event.state for event in events} <= {"delivered"}, events
        heard: dict[str, list[str]] = {}
        for each in self.listener.accepted:
            keys = heard.setdefault(each.body["batch_tag"], [])
            if each.key not in keys:
                keys.append(each.key)
        told: dict[str, list[str]] = {}
        for event in events:
            key = f"{event.event}:{event.batch_tag}" + (f":{event.nth}" if event.nth > 1 else "")
            told.setdefault(event.batch_tag, []).append(key)
        assert heard == told

    def built_from_the_archive(self) -> Any:
        other = Home(self.home.path.parent / "other").with_settings(
            **{name: value for name, value in self.home.settings.items() if "redis" not in name}
            | {"spool_dir": str(self.home.path.parent / "other" / "spool"), "ingest_ledger_url": None}
        )
        other.dagster.mkdir(parents=True)
        Spool.of(other.load().of(SpoolSettings)).prepare()
        for file in (self.spool / "archive").iterdir():
            if any(file.name.startswith(tag) for tag in self.searchable):
                shutil.copy2(file, other.path / "spool" / "incoming" / file.name)
        for _ in range(2):
            report = run_sources(other.load(), sources=["spool"], overrides=other.overrides)
            assert report.success, report.errors
            with other.bench() as bench:
                for tag in self.personal & self.searchable:
                    with suppress(RequestError):
                        gates.open_gate(bench.ledger, tag, BY)
        with other.bench() as bench:
            return contents(bench.store, "spool_chunks")


@contextmanager
def ready(folder: Path, random: Random, ledger: str) -> Iterator[Round]:
    with ExitStack() as stack:
        listener = stack.enter_context(listening())
        redis = stack.enter_context(redis_server(folder / "redis"))
        postgres = Server(str(folder / "pg")) if ledger == "postgres" else None
        if postgres is not None:
            stack.callback(postgres.close)
        home = Home(folder / "home").with_settings(
            crm_db_path=None,
            spool_dir=str(folder / "home" / "spool"),
            spool_quiet_s="0",
            spool_min_files=1,
            spool_failure_log=str(folder / "home" / "logs" / "failures.jsonl"),
            rag_log_file=str(folder / "home" / "logs" / "rag.log"),
            gate_url=listener.url,
            gate_timeout_s=2,
            ingest_ledger_url=fresh_schema(postgres.url) if postgres else None,
            **redis.settings,
        )
        home.dagster.mkdir(parents=True)
        one = Round(home, random, listener, redis)
        one.postgres = postgres
        try:
            yield one
        finally:
            one.kill_all()
            for watcher in one.watchers:
                watcher.wait()
            one.log.close()


def say(*what: object) -> None:
    print(time.strftime("%H:%M:%S"), *what, flush=True)  # noqa: T201 - a command: it prints


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--ledger", choices=["sqlite", "postgres"], default="sqlite")
    given = parser.parse_args()
    end, seed = time.monotonic() + given.minutes * 60, given.seed
    while time.monotonic() < end:
        say("seed", seed)
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
            ready(Path(folder), Random(seed), given.ledger) as one,
        ):
            one.disturb()
            say("coming to rest")
            one.rest()
        seed += 1
    say("every record was accounted for, and every event heard in order")


if __name__ == "__main__":
    main()
