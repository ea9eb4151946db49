"""Failures are written for good, and people are told of each cause once, whatever is wrong with telling."""

from __future__ import annotations

import json
import logging
import os
import socketserver
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets.ledger.spool_tables import alert as alert_table
from ingest_assets.sources.spool.notifier import alerts
from ingest_assets.sources.spool.notifier.delivery import deliver
from ingest_assets.sources.spool.notifier.failures import end_cause, file_of, record_failure
from ingest_assets.sources.spool.notifier.outbox import REASONS
from ingest_assets.workbench import Workbench
from ingest_assets_tests.sources.spool.gate_listener import (
    Answer,
    Clock,
    GateListener,
    NewBench,
    listener,
    listening,
    new_bench,
    unused_port,
)

__all__ = ["listener", "new_bench"]  # fixtures

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
CAUSE = "partitions"


def fail(bench: Workbench, clock: Callable[[], float] = time.time, **given: Any) -> None:
    facts: dict[str, Any] = {
        "batch_tag": "b1",
        "reason": "healed_partition",
        "healed": True,
        "message": "The partition of 2026-11 was missing, and was made.",
        "cause": CAUSE,
    }
    record_failure(bench, **(facts | given), now=clock)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def log_files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "logs").glob("failures-*.jsonl"))


def alert_rows(bench: Workbench) -> list[Any]:
    with bench.ledger.reading() as connection:
        return list(connection.execute(sa.select(alert_table).order_by(alert_table.c.cause)))


def test_a_line_of_the_failure_log(new_bench: NewBench, tmp_path: Path) -> None:
    clock = Clock()
    for reason in REASONS:
        fail(new_bench(), clock, reason=reason, message="a\nb\x1b[2J" + "x" * 5_000)
    (file,) = log_files(tmp_path)
    assert file.name == "failures-2027-01.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = lines(file)
    assert [line["reason"] for line in found] == list(REASONS)
    assert set(found[0]) == {"ts", "batch_tag", "reason", "healed", "message", "cause"}
    assert found[0]["ts"] == "2027-01-15T08:00:00+00:00"
    assert len(found[0]["message"]) == 500
    assert "\x1b" not in found[0]["message"]
    with pytest.raises(ValueError, match="is no reason"):
        fail(new_bench(), reason="because")


def test_a_month_begins_a_file_and_leaves_the_old_one_as_it_is(new_bench: NewBench, tmp_path: Path) -> None:
    bench, clock = new_bench(), Clock()
    fail(bench, clock)
    (first,) = log_files(tmp_path)
    before = (first.stat().st_ino, first.stat().st_mtime_ns, first.read_bytes())
    clock.pass_s(40 * 86_400)
    fail(bench, clock)
    old, new = log_files(tmp_path)
    assert (old, new.name) == (first, "failures-2027-02.jsonl")
    assert (first.stat().st_ino, first.stat().st_mtime_ns, first.read_bytes()) == before


def test_lines_of_several_processes(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from ingest_assets.sources.spool.notifier.lines import append_line
for number in range(200):
    append_line(Path(sys.argv[1]), {"who": sys.argv[2], "number": number, "text": "é" * 3000}, sync=False)
"""
    file = tmp_path / "shared.jsonl"
    processes = [subprocess.Popen([sys.executable, "-c", code, str(file), str(n)]) for n in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    found = lines(file)
    for who in "012":
        assert [line["number"] for line in found if line["who"] == who] == list(range(200))


def test_a_line_that_was_cut_off_spoils_no_other(new_bench: NewBench, tmp_path: Path) -> None:
    bench, clock = new_bench(), Clock()
    fail(bench, clock)
    (file,) = log_files(tmp_path)
    with file.open("ab") as opened:
        opened.write(b'{"ts": "2027-0')
    file.chmod(0o644)
    fail(bench, clock)
    first, cut, last = file.read_text().splitlines()
    assert json.loads(first) == json.loads(last)
    assert cut == '{"ts": "2027-0'
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def _link(file: Path) -> None:
    (file.parent / "elsewhere").write_text("")
    file.symlink_to(file.parent / "elsewhere")


def _full(file: Path) -> None:
    file.symlink_to("/dev/full")


@pytest.mark.parametrize("make", [_link, _full, os.mkfifo, Path.mkdir])
def test_a_log_that_cannot_be_written_stops_nothing(
    new_bench: NewBench,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    listener: GateListener,
    make: Callable[[Path], None],
) -> None:
    bench, clock = new_bench(alert_webhook_url=listener.url), Clock()
    (tmp_path / "logs").mkdir()
    file = file_of(tmp_path / "logs" / "failures.jsonl", clock.at)
    make(file)
    fail(bench, clock)
    assert "A failure could not be written" in caplog.text
    assert "b1: The partition of 2026-11" in caplog.text, "it is lost"
    assert len(listener.heard) == 1
    assert not (tmp_path / "logs" / "elsewhere").exists() or not (tmp_path / "logs" / "elsewhere").read_text()


def test_a_disk_that_is_full(
    tmp_path: Path, new_bench: NewBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench, clock = new_bench(), Clock()
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:20]))
    fail(bench, clock)
    monkeypatch.undo()
    assert "Only 20 of" in caplog.text
    fail(bench, clock)
    (file,) = log_files(tmp_path)
    cut, whole = file.read_text().splitlines()
    assert (len(cut), json.loads(whole)["batch_tag"]) == (20, "b1")


@both
def test_people_are_told_once_until_the_cause_ends(new_bench: NewBench, listener: GateListener) -> None:
    bench, clock = new_bench(alert_webhook_url=listener.url), Clock()
    for _ in range(3):
        fail(bench, clock)
        clock.pass_s(1_000)
    (told,) = listener.heard
    assert told.body == {
        "batch_tag": "b1",
        "reason": "healed_partition",
        "healed": True,
        "message": "The partition of 2026-11 was missing, and was made.",
        "since": "2027-01-15T08:00:00+00:00",
    }
    assert "Authorization" not in told.headers
    (row,) = alert_rows(bench)
    assert (row.times, row.seen_at - row.since, row.sent_at) == (3, 2_000, row.since)
    fail(bench, clock, cause="another", healed=False)
    assert [each.body["healed"] for each in listener.heard] == [True, False]
    end_cause(bench, CAUSE)
    end_cause(bench, CAUSE)
    fail(bench, clock, batch_tag="b2")
    assert [each.body["batch_tag"] for each in listener.heard] == ["b1", "b1", "b2"]


@both
def test_people_who_could_not_be_told_are_told_later(
    new_bench: NewBench, caplog: pytest.LogCaptureFixture
) -> None:
    port = unused_port()
    bench, clock = new_bench(alert_webhook_url=f"http://127.0.0.1:{port}/hook?key=very-secret-9"), Clock()
    began = time.monotonic()
    for number in range(200):
        fail(bench, clock, cause=f"cause {number}")
    assert time.monotonic() - began < 20
    assert caplog.text.count("The webhook at ALERT_WEBHOOK_URL could not be reached.") == 1, (
        "each failure waited for it"
    )
    assert "very-secret-9" not in caplog.text
    with listening(port=port) as listener:
        deliver(bench, budget_s=1, now=clock)
        assert listener.heard == [], "it is asked once a minute"
        clock.pass_s(60)
        deliver(bench, budget_s=1, now=clock)
        assert len(listener.heard) == 200
        assert {each.path for each in listener.heard} == {"/hook?key=very-secret-9"}
        fail(bench, clock, cause="cause 0")
        assert len(listener.heard) == 200


def test_one_that_is_always_refused_keeps_no_other(new_bench: NewBench, listener: GateListener) -> None:
    bench, clock = new_bench(alert_webhook_url=listener.url), Clock()
    listener.usual = lambda heard: Answer(400 if heard.body["batch_tag"] == "bad" else 200)
    fail(bench, clock, cause="a", batch_tag="bad")
    for cause in "bc":
        fail(bench, clock, cause=cause)
    for _ in range(3):
        clock.pass_s(61)
        deliver(bench, budget_s=1, now=clock)
    assert [row.cause for row in alert_rows(bench) if row.sent_at is not None] == ["b", "c"]


@pytest.mark.parametrize("answer", [Answer(500), Answer(302, {"Location": "/"}), Answer(breaks=True)])
def test_a_webhook_that_refuses_was_not_told(
    new_bench: NewBench, listener: GateListener, answer: Answer
) -> None:
    bench, clock = new_bench(alert_webhook_url=listener.url), Clock()
    listener.then(answer)
    fail(bench, clock)
    clock.pass_s(61)
    fail(bench, clock)
    assert len(listener.heard) == 2
    assert [row.sent_at for row in alert_rows(bench)] == [clock.at]


def test_a_webhook_that_hangs_costs_bounded_time(
    new_bench: NewBench, listener: GateListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "TIMEOUT_S", 0.3)
    bench, clock = new_bench(alert_webhook_url=listener.url), Clock()
    listener.usual = lambda _heard: Answer(drips="head")
    began = time.monotonic()
    for number in range(50):
        fail(bench, clock, cause=f"cause {number}")
    assert time.monotonic() - began < 5


def test_a_ledger_that_others_hold_stops_nothing(
    new_bench: NewBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(alerts, "LEDGER_S", 0.05)
    bench, clock = new_bench(alert_webhook_url="http://127.0.0.1:9/"), Clock()
    other = new_bench()
    with other.ledger.transaction():
        fail(bench, clock)
        end_cause(bench, CAUSE)
    assert "People could not be alerted of partitions" in caplog.text
    assert len(lines(log_files(tmp_path)[0])) == 1


# --- Mail and chat ------------------------------------------------------------------------------------------


@contextmanager
def mail_server() -> Iterator[tuple[int, list[str]]]:
    """Takes mail: its port, and the messages that it got."""
    got: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 mail\r\n")
            while line := self.rfile.readline():
                verb = line[:4].upper()
                if verb == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    text = b""
                    while (part := self.rfile.readline()) != b".\r\n":
                        text += part
                    got.append(text.decode())
                self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1], got
        server.shutdown()


def test_mail_and_chat(
    new_bench: NewBench,
    listener: GateListener,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    chat = listener.url.replace("http://", "json://").removesuffix("gate") + "secrettoken1234567?method=POST"
    with mail_server() as (port, mails):
        mail = f"mailto://127.0.0.1:{port}/?mode=insecure&from=spool@example.com&to=ops@example.com,dev@example.com"
        bench, clock = new_bench(alert_urls=f"{mail}, {chat}"), Clock()
        fail(bench, clock)
        fail(bench, clock)
    (told,) = listener.heard
    assert told.path.startswith("/secrettoken1234567")
    assert told.body["title"] == "Spool: healed_partition, healed"
    assert "batch_tag: b1" in told.body["message"]
    assert "The partition of 2026-11 was missing" in told.body["message"]
    assert len(mails) == 2
    assert {line for mail in mails for line in mail.splitlines() if line.startswith("To:")} == {
        "To: ops@example.com",
        "To: dev@example.com",
    }
    assert all("Spool: healed_partition, healed" in mail and "b1" in mail for mail in mails)
    shown = caplog.text + "".join(capfd.readouterr())
    assert "secrettoken1234567" not in shown
    assert not [record for record in caplog.records if record.name.startswith("apprise")]


def test_one_of_several_is_enough(new_bench: NewBench, listener: GateListener) -> None:
    dead = f"json://127.0.0.1:{unused_port()}/x"
    good = listener.url.replace("http://", "json://")
    bench, clock = new_bench(alert_urls=f"{dead} {good}", alert_webhook_url="http://127.0.0.1:9/"), Clock()
    fail(bench, clock)
    clock.pass_s(100)
    fail(bench, clock)
    assert len(listener.heard) == 1


def test_a_service_that_is_unknown_or_hangs(
    new_bench: NewBench,
    listener: GateListener,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(alerts, "TIMEOUT_S", 0.5)
    slow = listener.url.replace("http://", "json://user:hidden-word-7@")
    bench, clock = new_bench(alert_urls=f"nonsense://secret-path-123456/,{slow}"), Clock()
    listener.usual = lambda _heard: Answer(hangs=True)
    began = time.monotonic()
    fail(bench, clock)
    assert time.monotonic() - began < 4
    assert [row.sent_at for row in alert_rows(bench)] == [None]
    assert "(nonsense)" in caplog.text
    assert "(json)" in caplog.text
    assert "secret-path" not in caplog.text
    assert "hidden-word-7" not in caplog.text
