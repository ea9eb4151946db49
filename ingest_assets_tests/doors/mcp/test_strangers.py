"""Who is not let in is in the log too, and cannot fill it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections import Counter

import httpx
from starlette.types import Receive, Scope, Send

from ingest_assets.doors.http import Mounted
from ingest_assets.doors.mcp import Benches
from ingest_assets.doors.mcp.strangers import Strangers
from ingest_assets_tests.built import Home
from ingest_assets_tests.doors.http.served import TOKENS, WRITER, served
from ingest_assets_tests.doors.mcp.agents import log_of
from ingest_assets_tests.standing import start_server

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "index_status"}}


def refused(home: Home) -> Counter[tuple[str, str]]:
    """How many requests of whom the log says were refused, and why in a word."""
    found: Counter[tuple[str, str]] = Counter()
    for call in log_of(home):
        assert (call.transport, call.tool, call.outcome) == ("http", "(not read)", "refused")
        assert call.arguments["last_from"] == "127.0.0.1"
        why = next(word for word in ("Send a token", "not known", "scope read") if word in call.message)
        found[call.who, why] += call.arguments["requests"]
    return found


def test_all_who_are_refused_are_in_the_log_in_a_few_rows(built: Home) -> None:
    guarded = built.with_settings(ingest_api_tokens=TOKENS, ingest_http_search_workers=0)
    process, url = start_server(guarded, subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=url, trust_env=False, timeout=20) as client:

            def post(token: str | None) -> int:
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                return client.post("/mcp", json=CALL, headers=headers).status_code

            assert post(None) == 401
            assert refused(built) == {("(nobody)", "Send a token"): 1}  # logged before it was answered
            assert [post(token) for token in [None, "guess", WRITER] * 50] == [401, 401, 403] * 50
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=15)
    finally:
        process.kill()
    assert refused(built) == {
        ("(nobody)", "Send a token"): 51,
        ("(nobody)", "not known"): 50,
        ("writer", "scope read"): 50,
    }
    assert len(log_of(built)) == 4
    assert not any(secret in repr(log_of(built)) for secret in (WRITER, "guess"))


def test_rows_come_once_a_while_however_many_are_refused(built: Home) -> None:
    benches = Benches(built.load())
    strangers = Strangers(benches.lend, every_s=0.3)

    async def attack() -> None:
        for _ in range(10):
            for _ in range(100):
                await strangers.refused("(nobody)", "Send a token", "127.0.0.1")
            await asyncio.sleep(0.1)  # ten of these are three times `every_s`
        await asyncio.sleep(1)  # until none waits

    began = time.monotonic()
    asyncio.run(attack())
    seconds = time.monotonic() - began
    benches.close()
    assert refused(built) == {("(nobody)", "Send a token"): 1_000}
    assert len(log_of(built)) <= 2 + seconds / 0.3


def _told(home: Home, headers: dict[str, str], times: int, **settings: object) -> Counter[tuple[int, str]]:
    """What was answered, beside what the application behind the door was told of it."""
    told: list[str] = []

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise AssertionError("it was let in")

    async def note(_scope: object, why: str) -> None:
        told.append(why)

    mounted = Mounted("/mcp", app, refused=note)
    with served(home.with_settings(**settings), mounted=[mounted]) as server, server.client() as client:
        answers = [client.post("/mcp", json=CALL, headers=headers) for _ in range(times)]
    assert [answer.json()["error"]["message"] for answer in answers] == told
    return Counter((answer.status_code, why) for answer, why in zip(answers, told, strict=True))


def test_who_comes_too_often_is_logged_too(built: Home) -> None:
    found = _told(built, {}, 30, ingest_api_tokens=TOKENS, ingest_http_rate_per_s=2)
    assert {status for status, _ in found} == {401, 429}
    assert len(found) == 2  # so many rows a minute
    assert found[429, "Too many requests from you. Wait a little."] > 20


def test_what_another_site_sends_is_logged_too(built: Home) -> None:
    [(status, why)] = _told(built, {"Host": "evil.example"}, 3)
    assert status == 421
    assert "Host header" in why
    [(status, why)] = _told(built, {"Origin": "https://evil.example"}, 3)
    assert status == 403
    assert "other site's pages" in why
