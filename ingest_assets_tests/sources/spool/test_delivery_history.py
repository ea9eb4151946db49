"""Whatever a listener does, whoever delivers: every event at least once, in order, none past a dead one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest_assets.ledger.spool_tables import spool_event
from ingest_assets.ledger.tables import metadata
from ingest_assets.sources.spool import manifest
from ingest_assets.sources.spool.notifier import outbox
from ingest_assets.sources.spool.notifier.delivery import MAX_WAIT_S, deliver, redeliver
from ingest_assets.sources.spool.notifier.outbox import DONE, OPEN, counts
from ingest_assets.workbench import Workbench
from ingest_assets_tests.sources.spool.gate_listener import (
    BY,
    Answer,
    Clock,
    GateListener,
    announce,
    gate_bench,
    listening,
)
from ingest_assets_tests.sources.spool.test_manifest import ROW

TAGS = ("a", "b", "c")
ATTEMPTS = 2
ANSWERS = {
    "good": Answer(),
    "down": Answer(breaks=True),
    "500": Answer(500),
    "proxy": Answer(502),
    "too much": Answer(429, {"Retry-After": "100"}),
    "redirect": Answer(302, {"Location": "/"}),
    "token": Answer(403),
}
DELIVERIES = st.lists(st.sampled_from(sorted(ANSWERS)), max_size=4)
STEPS = st.one_of(
    st.tuples(st.just("announce"), st.sampled_from(TAGS)),
    st.tuples(st.sampled_from(["announce", "refuse", "redeliver"]), st.sampled_from(TAGS)),
    st.tuples(st.just("forget"), st.sampled_from([1, 2, 100])),
    st.tuples(st.just("deliver"), DELIVERIES),
    st.tuples(st.just("deliver later"), DELIVERIES),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 3, 100, MAX_WAIT_S])),
    st.tuples(st.just("clock"), st.sampled_from([-1e8, 1e8])),
)


@pytest.fixture(scope="module")
def listener() -> Iterator[GateListener]:
    with listening() as started:
        yield started


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, listener: GateListener
) -> Iterator[Workbench]:
    from ingest_assets_tests.conftest import fresh_schema

    folder = tmp_path_factory.mktemp("outbox")
    url = f"sqlite:///{folder / 'ledger.sqlite'}"
    if request.param == "postgres":
        url = fresh_schema(request.getfixturevalue("postgres"))
    with gate_bench(folder, url, gate_url=listener.url, gate_max_attempts=ATTEMPTS) as opened:
        yield opened


def events(bench: Workbench) -> list[Any]:
    query = sa.select(spool_event).order_by(spool_event.c.batch_tag, spool_event.c.number)
    with bench.ledger.reading() as connection:
        return list(connection.execute(query))


def first_heard(listener: GateListener, tag: str) -> list[str]:
    """The keys of a batch that were accepted, in this order, repetitions left out."""
    mine = [heard.key for heard in listener.accepted if heard.body["batch_tag"] == tag]
    return list(dict.fromkeys(mine))


def keys(tag: str, announced: list[str]) -> list[str]:
    done = [f"{DONE}:{tag}" if n == 1 else f"{DONE}:{tag}:{n}" for n in range(1, announced.count(DONE) + 1)]
    return [*([f"{OPEN}:{tag}"] if OPEN in announced else []), *done]


def _begin_anew(bench: Workbench) -> None:
    with bench.ledger.transaction() as connection:
        for name in ("spool_event", "alert", "ingestion_manifest"):
            connection.execute(metadata.tables[name].delete())
        manifest.insert_all(connection, [ROW | {"batch_tag": tag, "digest": tag} for tag in TAGS])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=8, max_size=30))
def test_any_history(bench: Workbench, listener: GateListener, steps: list[tuple[str, Any]]) -> None:
    _begin_anew(bench)
    listener.heard.clear()
    listener.accepted.clear()
    listener.answers.clear()
    clock = Clock()
    clock.at = time.time() + 1_000
    announced: dict[str, list[str]] = {tag: [] for tag in TAGS}
    refused: set[str] = set()  # batches that the listener refuses
    listener.usual = lambda heard: Answer(404 if heard.body["batch_tag"] in refused else 200)
    for step, value in steps:
        if step == "announce":
            event = DONE if announced[value] else OPEN
            announce(bench, value, event)
            announced[value].append(event)
        elif step.startswith("deliver"):
            clock.pass_s(MAX_WAIT_S if step == "deliver later" else 0)
            listener.then(*(ANSWERS[name] for name in value))
            said = deliver(bench, budget_s=20, now=clock)
            listener.answers.clear()
            check_rows(bench, announced, said)
        elif step == "refuse":
            refused ^= {value}
        elif step == "redeliver":
            redeliver(bench, BY, value, now=clock)
        elif step == "forget":
            outbox.forget_delivered(bench.ledger, clock.at + 1, value)
        else:
            clock.pass_s(value)
        for tag in TAGS:
            assert first_heard(listener, tag) == keys(tag, announced[tag])[: len(first_heard(listener, tag))]
    refused.clear()
    redeliver(bench, BY, now=clock)
    for _ in range(2):
        clock.pass_s(MAX_WAIT_S)
        deliver(bench, budget_s=20, now=clock)
    for tag in TAGS:
        assert first_heard(listener, tag) == keys(tag, announced[tag])
    assert {row.state for row in events(bench)} <= {"delivered"}


def check_rows(bench: Workbench, announced: dict[str, list[str]], said: tuple[int, int, int]) -> None:
    found = events(bench)
    with bench.ledger.reading() as connection:
        assert said[1:] == counts(connection)
    for tag in TAGS:
        mine = [row for row in found if row.batch_tag == tag]
        forgotten = len(announced[tag]) - len(mine)
        assert [row.event for row in mine] == announced[tag][forgotten:]
        assert [row.number for row in mine] == list(range(1 + forgotten, 1 + len(announced[tag])))
        states = [row.state for row in mine]
        delivered = states.count("delivered")
        assert states[:delivered] == ["delivered"] * delivered, "one was heard before an earlier one"
        assert len(set(states[delivered:])) <= 1, "one waits behind a dead one"
        assert all(row.refused < ATTEMPTS or row.state != "waiting" for row in mine)


DELIVERER = """
import sys, time
from pathlib import Path
from ingest_assets.sources.spool.notifier.delivery import deliver
from ingest_assets_tests.sources.spool.gate_listener import gate_bench

with gate_bench(Path(sys.argv[1]), sys.argv[2], gate_url=sys.argv[3]) as bench:
    bench.ledger
    print("ready", flush=True)
    sys.stdin.readline()
    said = deliver(bench, budget_s=60)
    while said.waiting:
        said = deliver(bench, budget_s=60)
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_two_processes_never_send_at_once(
    tmp_path: Path, kind: str, ledger_url_of: Callable[[str], str]
) -> None:
    url = ledger_url_of(kind)
    with listening() as listener, gate_bench(tmp_path, url, gate_url=listener.url) as bench:
        tags = [f"b{number:03}" for number in range(60)]
        for tag in tags:
            announce(bench, tag)
            announce(bench, tag, DONE)
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", DELIVERER, str(tmp_path), url, listener.url],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        assert [process.wait(60) for process in processes] == [0, 0]
        for process in processes:
            process.communicate()
        assert listener.most_at_once == 1
        assert len(listener.heard) == 120, "one was sent twice"
        for tag in tags:
            assert first_heard(listener, tag) == [f"{OPEN}:{tag}", f"{DONE}:{tag}"]


def test_a_deliverer_that_is_killed_between_request_and_record_repeats_one_event(
    tmp_path: Path, ledger_url_of: Callable[[str], str]
) -> None:
    url = ledger_url_of("sqlite")
    with listening() as listener, gate_bench(tmp_path, url, gate_url=listener.url) as bench:
        for number in range(5):
            announce(bench, f"b{number}")
        process = subprocess.Popen(
            [sys.executable, "-c", DELIVERER, str(tmp_path), url, listener.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

        def kill(_heard: object) -> Answer:
            if len(listener.heard) == 3:
                process.kill()
            return Answer()

        listener.usual = kill
        assert process.stdout is not None
        process.stdout.readline()
        process.communicate("\n")
        assert len(listener.heard) == 3
        clock = Clock()
        clock.at = time.time() + 1_000
        assert deliver(bench, budget_s=20, now=clock) == (3, 0, 0)
        assert sorted(set(listener.keys)) == [f"{OPEN}:b{number}" for number in range(5)]
        assert len(listener.keys) == 6
