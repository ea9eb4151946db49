"""Events reach the listener at least once, in order, whatever it does, and nothing waits for it for long."""

from __future__ import annotations

import json
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import trustme

from ingest_assets.ledger.spool_tables import alert as alert_table
from ingest_assets.ledger.spool_tables import spool_event
from ingest_assets.model import ConfigurationError
from ingest_assets.sources.spool.notifier import delivery
from ingest_assets.sources.spool.notifier.delivery import MAX_WAIT_S, Delivered, deliver, redeliver
from ingest_assets.sources.spool.notifier.outbox import DONE, state_of
from ingest_assets.sources.spool.notifier.templates import SHIPPED
from ingest_assets.workbench import Workbench
from ingest_assets_tests.sources.spool.gate_listener import (
    BY,
    TOKEN,
    Answer,
    Clock,
    GateListener,
    NewBench,
    announce,
    listener,
    listening,
    new_bench,
    unused_port,
)

__all__ = ["listener", "new_bench"]  # fixtures

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.at = time.time() + 1_000  # after what is written meanwhile
    return clock


def send(bench: Workbench, clock: Clock, budget_s: float = 20) -> Delivered:
    return deliver(bench, budget_s=budget_s, now=clock)


def rows(bench: Workbench) -> list[Any]:
    query = sa.select(spool_event).order_by(spool_event.c.batch_tag, spool_event.c.number)
    with bench.ledger.reading() as connection:
        return list(connection.execute(query))


def causes(bench: Workbench) -> list[str]:
    with bench.ledger.reading() as connection:
        return sorted(connection.scalars(sa.select(alert_table.c.cause)))


def failure_lines(tmp_path: Path) -> list[dict[str, Any]]:
    files = sorted((tmp_path / "logs").glob("failures-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


@both
def test_what_a_listener_hears(new_bench: NewBench, listener: GateListener, clock: Clock) -> None:
    bench = new_bench(gate_url=listener.url)
    announce(bench, "b:1", pii=True)
    announce(bench, "b:1", DONE, reason="healed_partition")
    announce(bench, "b:1", DONE, reason="failed")
    assert send(bench, clock) == (3, 0, 0)
    first, second, third = listener.heard
    assert [each.key for each in listener.heard] == [
        "gate.open:b%3A1",
        "gate.done:b%3A1",
        "gate.done:b%3A1:2",
    ]
    assert first.headers["Authorization"] == f"Bearer {TOKEN}"
    assert first.headers["Content-Type"] == "application/json"
    assert first.headers["Host"] == listener.url.split("/")[2]
    assert (first.path, first.headers.get("Cookie")) == ("/gate", None)
    known = {
        "event": "gate.open",
        "batch_tag": "b:1",
        "spool": "spool",
        "bytes": 100,
        "count": 3,
        "pii": True,
    }
    assert {**first.body, "ts": ""} == {**known, "ts": ""}
    assert (second.body["status"], second.body["reason"]) == ("success", "healed_partition")
    assert (third.body["status"], third.body["reason"]) == ("failed", "failed")
    assert listener.connections == 1
    assert send(bench, clock) == (0, 0, 0)
    assert len(listener.heard) == 3


@both
@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 409, 410, 413, 422, 500, 501])
def test_a_refused_event_is_tried_again_and_others_do_not_wait(
    new_bench: NewBench, listener: GateListener, clock: Clock, status: int
) -> None:
    bench = new_bench(gate_url=listener.url)
    refused = Answer(status, {"Location": listener.url + "/elsewhere"})
    listener.usual = lambda heard: refused if heard.body["batch_tag"] == "bad" else Answer()
    announce(bench, "bad")
    announce(bench, "bad", DONE)
    announce(bench, "good")
    announce(bench, "good", DONE)
    assert send(bench, clock) == (2, 2, 0)
    assert {each.path for each in listener.heard} == {"/gate"}, "a redirect was followed"
    assert sorted(listener.keys) == ["gate.done:good", "gate.open:bad", "gate.open:good"]
    assert send(bench, clock).sent == 0
    assert len(listener.heard) == 3, "it was tried again at once"
    error = f"The listener at GATE_URL answered {status}."
    assert state_of(bench.ledger).error == error
    listener.usual = lambda _heard: Answer()
    clock.pass_s(1.01)
    assert send(bench, clock) == (2, 0, 0)
    assert listener.keys[3:] == ["gate.open:bad", "gate.done:bad"]
    assert causes(bench) == []


@both
def test_waits_grow_to_an_hour(new_bench: NewBench, listener: GateListener, clock: Clock) -> None:
    bench = new_bench(gate_url=listener.url, gate_max_attempts=100)
    listener.usual = lambda _heard: Answer(500)
    announce(bench, "b")
    waits = []
    for attempt in range(1, 15):
        assert send(bench, clock) == (0, 1, 0)
        (row,) = rows(bench)
        assert row.attempts == row.refused == attempt
        waits.append(row.next_at - clock.at)
        clock.at = row.next_at
    for attempt, wait in enumerate(waits):
        longest = min(3_600, 2**attempt)
        assert max(1, 0.7 * longest) <= wait <= longest
    assert len(listener.heard) == 14


@both
def test_an_event_that_is_refused_too_often_is_put_aside(
    new_bench: NewBench, listener: GateListener, clock: Clock, tmp_path: Path
) -> None:
    bench = new_bench(gate_url=listener.url, gate_max_attempts=3)
    listener.usual = lambda heard: Answer(500 if heard.body["batch_tag"] == "bad" else 200)
    announce(bench, "bad")
    announce(bench, "bad", DONE)
    for attempt in range(3):
        assert send(bench, clock) == ((0, 2, 0) if attempt < 2 else (0, 0, 2))
        clock.pass_s(MAX_WAIT_S)
    assert send(bench, clock) == (0, 0, 2)
    announce(bench, "bad", DONE)  # settled again
    announce(bench, "good")
    assert send(bench, clock) == (1, 0, 3)
    assert listener.keys == ["gate.open:bad"] * 3 + ["gate.open:good"]
    (line,) = failure_lines(tmp_path)
    assert (line["batch_tag"], line["reason"], line["healed"]) == ("bad", "other_error", False)
    assert line["message"] == (
        "gate.open was put aside after 3 refusals. The listener at GATE_URL answered 500."
    )
    assert state_of(bench.ledger).error == "The listener at GATE_URL answered 500."
    assert causes(bench) == [delivery.PUT_ASIDE]

    listener.usual = lambda _heard: Answer()
    assert redeliver(bench, BY, "another", now=clock) == 0
    assert redeliver(bench, BY, now=clock) == 3
    assert send(bench, clock) == (3, 0, 0)
    assert listener.keys[4:] == ["gate.open:bad", "gate.done:bad", "gate.done:bad:2"]
    assert causes(bench) == []


@both
def test_a_listener_that_is_down_delays_and_loses_nothing(
    new_bench: NewBench, clock: Clock, tmp_path: Path
) -> None:
    port = unused_port()
    bench = new_bench(gate_url=f"http://127.0.0.1:{port}/gate", gate_max_attempts=3)
    for number in range(20):
        announce(bench, f"b{number}")
        announce(bench, f"b{number}", DONE)
    began = time.monotonic()
    for _ in range(30):
        assert send(bench, clock) == (0, 40, 0)
        clock.pass_s(MAX_WAIT_S)
    assert time.monotonic() - began < 10, "each call was to stop at the first failure"
    assert sum(row.attempts for row in rows(bench)) == 30, "one attempt a call"
    assert causes(bench) == [], "no event has had three"
    for _ in range(30):
        send(bench, clock)
        clock.pass_s(MAX_WAIT_S)
    assert causes(bench) == [delivery.UNREACHABLE]
    assert failure_lines(tmp_path) == []
    assert state_of(bench.ledger).error == "The listener at GATE_URL could not be reached."
    with listening(port=port) as listener:
        assert send(bench, clock) == (40, 0, 0)
    for number in range(20):
        mine = [key for key in listener.keys if key.endswith(f":b{number}")]
        assert mine == [f"gate.open:b{number}", f"gate.done:b{number}"]
    assert causes(bench) == []


@both
def test_one_that_cannot_take_anything_now_is_like_one_that_is_down(
    new_bench: NewBench, listener: GateListener, clock: Clock, tmp_path: Path
) -> None:
    """What a proxy says before a listener that is not there, and a listener that is asked too much."""
    bench = new_bench(gate_url=listener.url, gate_max_attempts=3)
    statuses = [408, 425, 429, 502, 503, 504, 521]
    for tag in "ab":
        announce(bench, tag)
        announce(bench, tag, DONE)
    for status in statuses:
        listener.then(Answer(status))
        assert send(bench, clock) == (0, 4, 0)
        assert f"The listener at GATE_URL answered {status}." in {row.error for row in rows(bench)}
        clock.pass_s(MAX_WAIT_S)
    assert len(listener.heard) == len(statuses), "each call was to stop at the first of them"
    assert {row.refused for row in rows(bench)} == {0}
    assert causes(bench) == [delivery.UNREACHABLE]
    assert failure_lines(tmp_path) == []
    assert send(bench, clock) == (4, 0, 0)
    assert causes(bench) == []


@both
@pytest.mark.parametrize("given", ["120", "Fri, 01 Jan 2200 00:00:00 GMT", "9" * 400, "soon", "-5"])
def test_a_listener_that_asks_to_be_left_alone(
    new_bench: NewBench, listener: GateListener, clock: Clock, given: str
) -> None:
    asked = {"120": 120.0, "soon": 1.0, "-5": 1.0}.get(given, MAX_WAIT_S)
    bench = new_bench(gate_url=listener.url)
    announce(bench, "a")
    announce(bench, "b")
    listener.then(Answer(429, {"Retry-After": given}))
    assert send(bench, clock) == (0, 2, 0)
    if asked > 1:
        clock.pass_s(asked - 0.1)
        assert send(bench, clock) == (0, 2, 0)
        assert len(listener.heard) == 1, "another event was sent meanwhile"
    clock.pass_s(1.1)
    assert send(bench, clock) == (2, 0, 0)


@pytest.mark.parametrize("answer", [Answer(hangs=True), Answer(drips="head"), Answer(breaks=True)])
def test_a_listener_that_never_answers_costs_bounded_time(
    new_bench: NewBench, listener: GateListener, clock: Clock, answer: Answer
) -> None:
    bench = new_bench(gate_url=listener.url, gate_timeout_s=0.3)
    announce(bench, "a")
    announce(bench, "b")
    listener.then(answer)
    began = time.monotonic()
    assert send(bench, clock) == (0, 2, 0)
    assert time.monotonic() - began < 2
    assert len(listener.heard) == 1, "it went on"
    clock.pass_s(2)
    assert send(bench, clock) == (2, 0, 0)


@pytest.mark.parametrize(
    "answer", [Answer(drips="body"), Answer(204), Answer(202, body=b"x" * 1_000_000), Answer(body=b"{" * 9)]
)
def test_what_follows_the_status_does_not_matter(
    new_bench: NewBench, listener: GateListener, clock: Clock, answer: Answer
) -> None:
    bench = new_bench(gate_url=listener.url, gate_timeout_s=0.3)
    announce(bench, "b")
    announce(bench, "b", DONE)
    listener.then(answer)
    assert send(bench, clock) == (2, 0, 0)
    assert listener.keys == ["gate.open:b", "gate.done:b"]


def test_a_connection_that_was_closed_while_it_was_kept(
    new_bench: NewBench, listener: GateListener, clock: Clock
) -> None:
    bench = new_bench(gate_url=listener.url)
    announce(bench, "b")
    announce(bench, "b", DONE)
    listener.then(Answer(), Answer(breaks=True))
    assert send(bench, clock) == (2, 0, 0)
    assert listener.keys == ["gate.open:b", "gate.done:b", "gate.done:b"]


def test_no_request_is_begun_when_the_time_is_up(
    new_bench: NewBench, listener: GateListener, clock: Clock
) -> None:
    bench = new_bench(gate_url=listener.url)
    for number in range(5):
        announce(bench, f"b{number}")
    assert send(bench, clock, budget_s=0) == (0, 5, 0)

    def slow(_heard: object) -> Answer:
        time.sleep(0.2)  # the listener's own time, which the budget is measured against
        return Answer()

    listener.usual = slow
    assert 1 <= send(bench, clock, budget_s=0.3).sent <= 3


def test_a_name_with_several_addresses(
    new_bench: NewBench, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo

    def two(host: Any, port: Any, *args: Any, **named: Any) -> list[Any]:
        hosts = ["127.0.0.2", "127.0.0.1"] if host == "gate.example.com" else [host]  # nobody is at the first
        return [found for each in hosts for found in look_up(each, port, *args, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("gate.example.com").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with listening(tls) as listener:
        url = listener.url.replace("127.0.0.1", "gate.example.com")
        bench = new_bench(gate_url=url, gate_ca_file=tmp_path / "ca.pem")
        announce(bench, "b")
        assert send(bench, clock) == (1, 0, 0)
        assert listener.heard[0].headers["Host"] == url.split("/")[2]
    unknown = new_bench(gate_url="http://nowhere.invalid/gate", gate_timeout_s=5)
    announce(unknown, "c")
    assert send(unknown, clock) == (0, 1, 0)
    assert state_of(unknown.ledger).error == "The listener at GATE_URL could not be reached."


def test_https_with_a_certificate_of_ones_own(new_bench: NewBench, clock: Clock, tmp_path: Path) -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    with listening(tls) as listener:
        untrusting = new_bench(gate_url=listener.url)
        announce(untrusting, "b")
        assert send(untrusting, clock) == (0, 1, 0)
        said = "The listener at GATE_URL has a certificate that is not trusted."
        assert state_of(untrusting.ledger).error == said
        clock.pass_s(2)
        trusting = new_bench(gate_url=listener.url, gate_ca_file=ca_file)
        announce(trusting, "b", DONE)
        assert send(trusting, clock) == (2, 0, 0)
        assert listener.connections
        ca_file.write_text("nothing")
        announce(trusting, "b", DONE)
        with pytest.raises(ConfigurationError, match="contains no PEM certificates"):
            send(trusting, clock)


def test_without_a_listener_nothing_waits(new_bench: NewBench, listener: GateListener, clock: Clock) -> None:
    bench = new_bench()
    announce(bench, "b")
    assert rows(bench) == []
    assert send(bench, clock) == (0, 0, 0)
    told = new_bench(gate_url=listener.url)
    announce(told, "b", DONE)
    assert send(bench, clock) == (0, 1, 0), "what was written for a listener waits for one"
    assert send(told, clock) == (1, 0, 0)
    assert listener.keys == ["gate.done:b"]


@both
def test_a_clock_that_was_wrong(new_bench: NewBench, listener: GateListener, clock: Clock) -> None:
    bench = new_bench(gate_url=listener.url)
    announce(bench, "b")
    listener.then(Answer(500))
    clock.pass_s(1e9)
    assert send(bench, clock) == (0, 1, 0)
    clock.pass_s(-1e9)
    assert send(bench, clock) == (1, 0, 0)


def test_a_wrong_template_sends_nothing_and_keeps_everything(
    new_bench: NewBench, listener: GateListener, clock: Clock, tmp_path: Path
) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    bench = new_bench(gate_url=listener.url, gate_templates=folder)
    assert send(bench, clock) == (0, 0, 0)
    announce(bench, "b")
    template = folder / "gate.open.json.j2"
    template.write_text('{"event": "{{ event }}"}')
    with pytest.raises(ConfigurationError, match="is a required property"):
        send(bench, clock)
    assert listener.heard == []
    template.unlink()
    assert send(bench, clock) == (1, 0, 0)


def test_an_event_whose_body_cannot_be_rendered_does_not_block_others(
    new_bench: NewBench, listener: GateListener, clock: Clock, tmp_path: Path
) -> None:
    folder = tmp_path / "templates"
    folder.mkdir()
    shipped = (SHIPPED / "gate.open.json.j2").read_text()
    # What no sample has.
    (folder / "gate.open.json.j2").write_text(shipped + "{% if count == 77 %}{{ 1 // 0 }}{% endif %}")
    bench = new_bench(gate_url=listener.url, gate_templates=folder)
    announce(bench, "bad", count=77)
    announce(bench, "good")
    assert send(bench, clock) == (1, 1, 0)
    assert listener.keys == ["gate.open:good"]
    assert "integer division" in str(state_of(bench.ledger).error)
