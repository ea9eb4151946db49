"""Any history of producers, gates, removals and crashes: each record is accounted for, exactly once.

Afterwards the index equals one that was built from the archive, the listener hears of each batch in order,
and no text of a locked batch is in the index, in an answer, or in a file but the spool's and the ledger's.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ingest_assets.collection.embedded import EmbeddedStore
from ingest_assets.model import RequestError
from ingest_assets.queries.search import open_search
from ingest_assets.sources.spool import gates, partitions, removing
from ingest_assets.sources.spool.decisions import Decider
from ingest_assets.sources.spool.places import Spool
from ingest_assets.sources.spool.settings import NAME
from ingest_assets_tests.conftest import fresh_schema
from ingest_assets_tests.sources.spool.spool_bench import SpoolBench
from ingest_assets_tests.support.crashes import Crash, Fuse, FusedStore
from ingest_assets_tests.support.engines import Engines

BATCHES = range(5)
BY = Decider("ada", "a test", "cli")
MONTHS = ("2026-11-03T00:00:00Z", "2026-10-05T00:00:00Z", "2024-02-29T00:00:00Z")
BROKEN = b"\x83\xa7version\x01\xa7records\xdd\xff\xff\xff\xff"

crashing = st.none() | st.integers(0, 60)
writing = st.tuples(st.just("write"), st.sampled_from(BATCHES))
breaking = st.tuples(st.just("break_"), st.sampled_from(BATCHES))
repeating = st.tuples(st.just("redeliver"), st.sampled_from(BATCHES))
opening = st.tuples(st.just("open"), st.sampled_from(BATCHES))
closing = st.tuples(st.just("close"), st.sampled_from(BATCHES))
removal = st.tuples(st.just("remove"), st.sampled_from(BATCHES))
retrying = st.tuples(st.just("retry"), st.sampled_from(BATCHES))
dropping = st.tuples(st.just("drop_partitions"))
running = st.tuples(st.just("run"), crashing)
anything = st.one_of(
    writing,
    writing,
    breaking,
    repeating,
    opening,
    opening,
    closing,
    removal,
    retrying,
    dropping,
    running,
    running,
)
histories = st.lists(anything, min_size=3, max_size=12)


def tag(number: int) -> str:
    return f"batch-{number}"


def text(number: int, record: int) -> str:
    return f"record {record} of batch {number} speaks of {'abcdefgh'[number]}{record}word"


def is_personal(number: int) -> bool:
    return number >= 3


class History:
    """One history, and what follows from it."""

    def __init__(self, bench: SpoolBench) -> None:
        self.bench = bench
        self.written: set[int] = set()
        self.broken: set[int] = set()
        self.removed: set[int] = set()
        self.opened: set[int] = set()
        self.known: set[int] = set()  # by the manifest

    def do(self, what: str, *given: Any) -> None:
        getattr(self, what)(*given)
        self.known = {int(name.split("-")[1]) for name in self.bench.batches() if name.startswith("batch-")}

    def write(self, number: int) -> None:
        records = [{"text": text(number, each)} for each in range(number + 1)] + [{"text": ""}]
        self.bench.write(
            records,
            pii=is_personal(number),
            batch_tag=tag(number),
            created_at=MONTHS[number % len(MONTHS)],
        )
        self.written.add(number)

    redeliver = write

    def break_(self, number: int) -> None:
        (self.bench.spool.incoming / f"broken{number}.msgpack").write_bytes(BROKEN + bytes([number]))
        self.broken.add(number)

    def open(self, number: int) -> None:
        with suppress(RequestError):
            gates.open_gate(self.bench.ledger, tag(number), BY)
            self.opened.add(number)

    def close(self, number: int) -> None:
        with suppress(RequestError):
            gates.close_gate(self.bench.ledger, tag(number), BY)
            self.opened.discard(number)
            self.not_shown(number)

    def remove(self, number: int) -> None:
        with suppress(RequestError):
            removing.remove(self.bench, tag(number), BY)
            self.removed.add(number)
            self.not_shown(number)

    def retry(self, number: int) -> None:
        with suppress(RequestError):
            removing.retry(self.bench, tag(number), BY)

    def drop_partitions(self) -> None:
        with self.bench.ledger.transaction() as connection:
            if partitions.are_used(connection):
                for month in partitions.present(connection):
                    connection.execute(sa.text(f"drop table spool_record_{month.replace('-', '_')}"))

    def run(self, crash_after: int | None) -> None:
        fuse = Fuse()
        fuse.light(crash_after)
        with suppress(Crash), fused(self.bench, fuse):
            self.bench.run_all(progress=lambda _moved: fuse.point())

    def not_shown(self, number: int) -> None:
        """From the moment of the decision, before any run."""
        if self.bench.store.live(self.bench.sources[NAME].collection) is not None:
            hits = open_search(self.bench, NAME).search(text(number, 0), limit=50).hits
            assert [hit for hit in hits if hit.attributes["batch_tag"] == tag(number)] == []

    @property
    def wanted(self) -> set[str]:
        """The texts that should be found."""
        return {
            text(number, record)
            for number in self.written - self.removed
            if not is_personal(number) or number in self.opened
            for record in range(number + 1)
        }


@contextmanager
def fused(bench: SpoolBench, fuse: Fuse) -> Iterator[None]:
    """Crashes before and after each transaction, each move of a file and each thing that the store does."""
    ledger, move = bench.ledger, Spool.move
    transaction = ledger.transaction

    @contextmanager
    def crashing_transaction() -> Iterator[sa.Connection]:
        fuse.point()
        with transaction() as connection:
            yield connection
        fuse.point()

    def crashing_move(self: Spool, *given: Any, **named: Any) -> str:
        fuse.point()
        name = move(self, *given, **named)
        fuse.point()
        return name

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "transaction", crashing_transaction)
        patch.setattr(Spool, "move", crashing_move)
        engine = bench.__dict__["engine"]
        patch.setitem(bench.__dict__, "engine", FusedStore(engine, fuse))
        bench.forget_installation()
        try:
            yield
        finally:
            bench.__dict__.pop("store", None)


def check(engines: Engines, steps: list[Any]) -> None:
    folder = Path(tempfile.mkdtemp(dir=engines.folder()))
    ledger, store = engines.lend_ledger(), engines.lend_store()
    other_ledger, other_store = engines.lend_ledger(), engines.lend_store()
    try:
        with SpoolBench(folder / "a", ledger=ledger, store=store, gate_url="http://127.0.0.1:9/") as bench:
            history = History(bench)
            for step in steps:
                history.do(*step)
            settled(bench)
            # Gates of batches that were not there yet when somebody tried to open them stay locked.
            found = bench.points()
            assert sorted(payload["text"] for payload, _, _ in found.values()) == sorted(history.wanted)
            accounted_for(bench, history)
            in_order(bench)
            nothing_of_locked(bench, history)
            for stage, outcomes in bench.run_all().items():
                assert not outcomes.moved, stage
            assert bench.points() == found
        with SpoolBench(folder / "b", ledger=other_ledger, store=other_store) as other:
            for file in bench.spool.archive.iterdir():
                shutil.copy(file, other.spool.incoming / file.name)
            other.run_all()
            for number in history.opened - history.removed:
                gates.open_gate(other.ledger, tag(number), BY)
            other.run_all()
            rebuilt = other.points()
            assert rebuilt.keys() == found.keys()
            for key, (payload, dense, sparse) in found.items():
                assert (rebuilt[key][0], rebuilt[key][2]) == (payload, sparse)
                # The client of the tests normalises what it is given once more.
                assert rebuilt[key][1] == pytest.approx(dense, abs=1e-6)
    finally:
        for each in (ledger, other_ledger):
            engines.take_ledger(each)
        for each_store in (store, other_store):
            engines.take_store(each_store)
        shutil.rmtree(folder)


def settled(bench: SpoolBench) -> None:
    """Run until nothing is left to do: a batch that fails late leaves with the next run."""
    for _ in range(3):
        bench.run_all()


def accounted_for(bench: SpoolBench, history: History) -> None:
    batches, files = bench.batches(), bench.files()
    assert files["incoming"] == []
    for number in history.written:
        batch = batches[tag(number)]
        if number in history.removed:
            expected = ("removed", "")
        elif is_personal(number) and number not in history.opened:
            expected = ("queued", "processing" if batch.purge is False else "")
        else:
            expected = ("success", "archive")
        state, place = expected
        if state == "removed":
            assert batch.gone == "removed"
            assert all(batch.file not in names or not batch.file for names in files.values())
            continue
        assert batch.status == state
        places = [name for name, names in files.items() if batch.file in names]
        assert len(places) == 1
        if state == "success":
            assert places == [place]
            assert batch.processed == number + 1
    failed = [batch for batch in batches.values() if batch.status == "failed" and not batch.gone]
    assert len(failed) == len(history.broken)
    assert len(files["failed"]) == 2 * len(history.broken)
    assert bench.documents() == sorted(payload["document_id"] for payload, _, _ in bench.points().values())
    assert len(bench.records()) == len(bench.documents())


def in_order(bench: SpoolBench) -> None:
    """Each batch was opened first, and has a gate.done if it was settled."""
    events: dict[str, list[str]] = {}
    for event in bench.events():
        events.setdefault(event.batch_tag, []).append(event.event)
    for batch in bench.batches().values():
        told = events[batch.batch_tag]
        assert told[0] == "gate.open"
        assert set(told[1:]) <= {"gate.done"}
        if batch.status in {"success", "failed"}:
            assert told[1:]


def nothing_of_locked(bench: SpoolBench, history: History) -> None:
    """No text of a locked batch is on disk outside of the spool and the ledger."""
    locked = {number for number in history.written if is_personal(number) and number not in history.opened}
    stored = bench.engine._home if isinstance(bench.engine, EmbeddedStore) else bench.folder
    for file in (*bench.folder.rglob("*"), *stored.rglob("*")):
        if file.is_file() and not file.is_relative_to(bench.spool.root) and "ledger" not in file.name:
            content = file.read_bytes()
            for number in locked:
                assert text(number, 0).encode() not in content, file


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def engines(request: pytest.FixtureRequest) -> Iterator[Engines]:
    if request.param == "sqlite":
        engines = Engines(embedded=False)
    else:
        postgres = request.getfixturevalue("postgres")
        engines = Engines(lambda _home: fresh_schema(postgres), embedded=False)
    yield engines
    engines.close()


@pytest.fixture(scope="module")
def embedded() -> Iterator[Engines]:
    engines = Engines(embedded=True)
    yield engines
    engines.close()


RULES: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "phases": (Phase.explicit, Phase.generate),
}


@settings(max_examples=8, derandomize=True, **RULES)
@given(histories)
def test_few(engines: Engines, steps: list[Any]) -> None:
    check(engines, steps)


@settings(max_examples=4, derandomize=True, **RULES)
@given(histories)
def test_few_on_the_embedded_engine(embedded: Engines, steps: list[Any]) -> None:
    check(embedded, steps)


@pytest.mark.thorough
@settings(max_examples=80, derandomize=True, **RULES)
@given(histories)
def test_many(engines: Engines, steps: list[Any]) -> None:
    check(engines, steps)


def test_a_batch_that_is_opened_closed_and_opened_again(embedded: Engines) -> None:
    steps = [
        ("write", 3),
        ("run", None),
        ("open", 3),
        ("run", None),
        ("close", 3),
        ("run", None),
        ("open", 3),
    ]
    check(embedded, steps)


def test_a_batch_that_is_closed_leaves_nothing_in_files(embedded: Engines) -> None:
    check(embedded, [("write", 3), ("run", None), ("open", 3), ("run", None), ("close", 3)])


@pytest.mark.parametrize("what", ["close", "remove"])
def test_what_is_decided_while_nothing_else_happens_takes_effect(engines: Engines, what: str) -> None:
    run = ("run", None)
    check(engines, [("write", 3), run, ("open", 3), run, run, run, (what, 3), run, run])


def test_a_gate_that_is_closed_and_opened_before_any_run(engines: Engines) -> None:
    run = ("run", None)
    check(engines, [("write", 3), run, ("open", 3), run, run, ("close", 3), ("open", 3)])


def test_a_removed_batch_stays_away(engines: Engines) -> None:
    check(engines, [("write", 1), ("run", None), ("remove", 1), ("redeliver", 1), ("run", None)])
