"""A listener that refuses the token: events wait until it is corrected, and people are told once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.sources.spool.notifier import delivery
from ingest_assets.sources.spool.notifier.delivery import MAX_WAIT_S, deliver
from ingest_assets.sources.spool.notifier.outbox import DONE, state_of
from ingest_assets_tests.sources.spool.gate_listener import (
    TOKEN,
    Answer,
    Clock,
    GateListener,
    NewBench,
    announce,
    listener,
    listening,
    new_bench,
)
from ingest_assets_tests.sources.spool.test_delivery import both, causes, clock, failure_lines, rows, send

__all__ = ["clock", "listener", "new_bench"]  # fixtures


@both
def test_a_refused_token_is_an_alert_and_ends_the_call(
    new_bench: NewBench,
    listener: GateListener,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    def guard(heard: Any) -> Answer:
        said = heard.headers.get("Authorization")
        return Answer() if said == "Bearer the-right-token-9876" else Answer(401, body=str(said).encode())

    caplog.set_level(logging.DEBUG)
    listener.usual = guard
    bench = new_bench(gate_url=listener.url)
    for number in range(3):
        announce(bench, f"b{number}")
    assert send(bench, clock) == (0, 3, 0)
    assert len(listener.heard) == 1
    assert causes(bench) == [delivery.REFUSED]
    shown = caplog.text + str(rows(bench)) + "".join(f.read_text() for f in (tmp_path / "logs").glob("*"))
    assert TOKEN not in shown
    corrected = new_bench(gate_url=listener.url, gate_token="the-right-token-9876")
    clock.pass_s(2)
    assert send(corrected, clock) == (3, 0, 0)
    assert causes(bench) == []


@both
@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("attempts", [1, 3])
def test_a_refused_token_delays_and_loses_nothing(
    new_bench: NewBench,
    listener: GateListener,
    clock: Clock,
    status: int,
    attempts: int,
    tmp_path: Path,
) -> None:
    """However long nobody corrects it, as with a listener that is down; people are told once."""
    with listening() as people:
        bench = new_bench(
            gate_url=listener.url,
            gate_max_attempts=attempts,
            alert_webhook_url=people.url.removesuffix("gate"),
        )
        listener.usual = lambda _heard: Answer(status)
        for tag in "abc":
            announce(bench, tag)
            announce(bench, tag, DONE)
        for _ in range(30):
            assert send(bench, clock) == (0, 6, 0)
            clock.pass_s(MAX_WAIT_S)
        assert len(listener.heard) == 30, "each call was to stop at the first refusal"
        assert causes(bench) == [delivery.REFUSED]
        said = f"The listener at GATE_URL refused GATE_TOKEN ({status}): correct the token."
        assert [told.body["message"] for told in people.heard] == [said]
        assert state_of(bench.ledger).error == said
        assert failure_lines(tmp_path) == []
        listener.usual = lambda _heard: Answer()
        assert send(bench, clock) == (6, 0, 0)
        assert causes(bench) == []
        for tag in "abc":
            mine = [heard.key for heard in listener.accepted if heard.body["batch_tag"] == tag]
            assert mine == [f"gate.open:{tag}", f"gate.done:{tag}"]


@both
def test_an_event_that_alone_is_forbidden_is_put_aside(
    new_bench: NewBench, listener: GateListener, clock: Clock
) -> None:
    """As a filter before a listener does it, while the token is accepted for others."""
    bench = new_bench(gate_url=listener.url, gate_max_attempts=3)
    listener.usual = lambda heard: Answer(403 if heard.body["batch_tag"] == "bad" else 200)
    announce(bench, "bad")
    announce(bench, "bad", DONE)
    for number in range(12):
        announce(bench, f"good{number}")
        send(bench, clock)
        clock.pass_s(MAX_WAIT_S)
    assert send(bench, clock) == (0, 0, 2)
    assert {f"gate.open:good{number}" for number in range(12)} <= {each.key for each in listener.accepted}
    assert listener.keys.count("gate.open:bad") == 4, "the first refusal may be the token's fault"


@both
def test_who_has_mended_the_listener_need_not_wait(
    new_bench: NewBench, listener: GateListener, clock: Clock
) -> None:
    bench = new_bench(gate_url=listener.url)
    for tag, answer in (("a", 500), ("b", 401), ("c", 429)):
        announce(bench, tag)
        listener.then(Answer(answer, {"Retry-After": "600"}))
        send(bench, clock)
    assert send(bench, clock) == (0, 3, 0)
    assert deliver(bench, budget_s=20, at_once=True, now=clock) == (3, 0, 0)
