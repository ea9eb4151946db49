"""Refused requests are logged too, and cannot fill the log."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections import Counter

import httpx
from starlette.types import Receive, Scope, Send

from ingest_assets.interfaces.http import Mounted
from ingest_assets.interfaces.mcp import WorkbenchPool
from ingest_assets.interfaces.mcp.refusals import RefusedRequests
from ingest_assets_tests.interfaces.http.served import TOKENS, WRITER, served
from ingest_assets_tests.interfaces.mcp.agents import log_of
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.processes import start_server

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "index_status"}}


def refused(home: Home) -> Counter[tuple[str, str]]:
    """How many requests were refused according to the log, by caller and reason."""
    found: Counter[tuple[str, str]] = Counter()
    for call in log_of(home):
        if call.who == "writer":  # it is let in, and told which scope the tool needs
            continue
        assert (call.transport, call.tool, call.outcome) == ("http", "(not read)", "refused")
        assert call.arguments["last_from"] == "127.0.0.1"
        why = next(word for word in ("Send a token", "not known", "scope read") if word in call.message)
        found[call.who, why] += call.arguments["requests"]
    return found


def test_all_refusals_are_logged_in_a_few_rows(built: Home) -> None:
    guarded = built.with_settings(ingest_api_tokens=TOKENS, ingest_http_search_workers=0)
    process, url = start_server(guarded, subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=url, trust_env=False, timeout=20) as client:

            def post(token: str | None) -> int:
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                return client.post("/mcp", json=CALL, headers=headers).status_code

            assert post(None) == 401
            assert refused(built) == {("(nobody)", "Send a token"): 1}  # logged before the response
            assert [post(token) for token in [None, "guess", WRITER] * 50] == [401, 401, 200] * 50
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=15)
    finally:
        process.kill()
    assert refused(built) == {
        ("(nobody)", "Send a token"): 51,
        ("(nobody)", "not known"): 50,
    }
    calls = [call for call in log_of(built) if call.who == "writer"]
    assert len(calls) == 50  # of a tool that its token does not allow
    assert all("needs the scope read" in call.message for call in calls)
    assert len(log_of(built)) == 3 + len(calls)
    assert not any(secret in repr(log_of(built)) for secret in (WRITER, "guess"))


def test_the_number_of_rows_does_not_depend_on_the_number_of_refusals(built: Home) -> None:
    pool = WorkbenchPool(built.load())
    strangers = RefusedRequests(pool.borrow, every_s=0.3)

    async def attack() -> None:
        for _ in range(10):
            for _ in range(100):
                await strangers.refused("(nobody)", "Send a token", "127.0.0.1")
            await asyncio.sleep(0.1)  # ten of these are about three intervals
        await asyncio.sleep(1)  # until everything is logged

    began = time.monotonic()
    asyncio.run(attack())
    seconds = time.monotonic() - began
    pool.close()
    assert refused(built) == {("(nobody)", "Send a token"): 1_000}
    assert len(log_of(built)) <= 2 + seconds / 0.3


def _told(home: Home, headers: dict[str, str], times: int, **settings: object) -> Counter[tuple[int, str]]:
    """The responses, compared with what the mounted application was told about them."""
    told: list[str] = []

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise AssertionError("a request was let in")

    async def note(_scope: object, why: str) -> None:
        told.append(why)

    mounted = Mounted("/mcp", app, refused=note)
    with served(home.with_settings(**settings), mounted=[mounted]) as server, server.client() as client:
        answers = [client.post("/mcp", json=CALL, headers=headers) for _ in range(times)]
    assert [answer.json()["error"]["message"] for answer in answers] == told
    return Counter((answer.status_code, why) for answer, why in zip(answers, told, strict=True))


def test_too_many_requests_are_logged_too(built: Home) -> None:
    found = _told(built, {}, 30, ingest_api_tokens=TOKENS, ingest_http_rate_per_s=2)
    assert {status for status, _ in found} == {401, 429}
    assert len(found) == 2  # as many rows a minute
    assert found[429, "You are sending too many requests. Wait a moment."] > 20


def test_requests_from_other_sites_are_logged_too(built: Home) -> None:
    [(status, why)] = _told(built, {"Host": "evil.example"}, 3)
    assert status == 421
    assert "Host header" in why
    [(status, why)] = _told(built, {"Origin": "https://evil.example"}, 3)
    assert status == 403
    assert "other sites' pages" in why
