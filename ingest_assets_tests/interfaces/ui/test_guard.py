"""The Dagster UI behind its guard: the real one, in a process of its own, over sockets and in a browser."""

from __future__ import annotations

import itertools
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from ingest_assets.interfaces.tokens import Tokens
from ingest_assets.interfaces.ui.login import COOKIE, SECONDS, Login
from ingest_assets.interfaces.ui.server import listen
from ingest_assets.model import ConfigurationError
from ingest_assets_tests.interfaces.http.browser import browser
from ingest_assets_tests.support.built_index import Home, ingest
from ingest_assets_tests.support.fixtures import built, built_once, empty, ingest_here
from ingest_assets_tests.support.processes import start_server

__all__ = ["built", "built_once", "empty", "ingest_here"]

ANN = "ann-" + "0123456789" * 3
BEARER = {"Authorization": f"Bearer {ANN}"}
QUERY = {"query": "{ version }"}
MUTATION = "mutation { setAutoMaterializePaused(paused: false) }"
ADDRESSES = itertools.cycle(range(2, 255))
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"}


@contextmanager
def running(home: Home, *options: str, **settings: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    said = (home.path / "ui.log").open("ab")
    process, url = start_server(home.with_settings(**settings), said, "ui", *options)
    try:
        yield process, url
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=40)
        assert not psutil.wait_procs(children, timeout=10)[1]  # it leaves no process behind
        said.close()


@pytest.fixture(scope="module")
def local(built_once: Home) -> Iterator[str]:
    """The URL of one without tokens."""
    with running(built_once) as (_, url):
        yield url


@pytest.fixture(scope="module")
def guarded(built_once: Home) -> Iterator[str]:
    """The URL of one with tokens."""
    with running(built_once, ingest_ui_tokens=f"ann:{ANN}, bob:{'b' * 20}") as (_, url):
        yield url


def client(url: str, **options: Any) -> httpx.Client:
    """From an address of its own, because requests without a token are limited for each address."""
    if sys.platform == "linux":
        options["transport"] = httpx.HTTPTransport(local_address=f"127.0.0.{next(ADDRESSES)}")
    else:
        time.sleep(1)  # there is only one such address: wait until it may ask again
    return httpx.Client(base_url=url, trust_env=False, timeout=30, **options)


def address_of(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


def test_it_works_for_programs_of_this_machine(local: str) -> None:
    with client(local) as program:
        assert program.post("/graphql", json=QUERY).json()["data"]["version"]
        assert "<title" in program.get("/").text
        assert program.post("/graphql", json={"query": MUTATION}).status_code == 200


CROSS_SITE: list[tuple[dict[str, str], int]] = [
    ({"Host": "evil.example"}, 421),
    ({"Host": "127.0.0.1.evil.example:3000"}, 421),
    ({"Host": "["}, 421),
    ({"Origin": "https://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://localhost:1"}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"User-Agent": "Mozilla/5.0 (old)"}, 403),
]


@pytest.mark.parametrize(("headers", "status"), CROSS_SITE)
def test_other_sites_cannot_change_anything(local: str, headers: dict[str, str], status: int) -> None:
    with client(local) as attacker:
        for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
            answer = attacker.post(
                "/graphql",
                params={"query": MUTATION},
                content=json.dumps({"query": MUTATION}),
                headers=headers | {"Content-Type": kind},
            )
            assert answer.status_code == status, (headers, answer.text)
        assert (
            attacker.post("/report_asset_materialization/crm/chunks", headers=headers).status_code == status
        )


@pytest.mark.parametrize("headers", [{}, {"Accept": "text/html"}, BEARER, {"Sec-Fetch-Site": "same-origin"}])
def test_graphql_is_never_run_by_get(local: str, guarded: str, headers: dict[str, str]) -> None:
    for url in (local, guarded):
        with client(url) as anyone:
            for path in ("/graphql", "/graphql/", f"{url}//graphql", "/%67raphql"):
                for query in (MUTATION, f"query A {{ version }} {MUTATION}", "{ version }"):
                    for method in ("GET", "HEAD"):
                        parameters = {"query": query, "operationName": "A"}
                        answer = anyone.request(method, path, params=parameters, headers=headers)
                        assert answer.status_code == 405


def test_web_sockets_of_other_sites_are_refused(local: str, guarded: str) -> None:
    protocols = [Subprotocol("graphql-ws")]

    def status(url: str, **headers: str) -> int:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        there = url.replace("http", "ws") + "/graphql"
        try:
            with connect(there, subprotocols=protocols, additional_headers=given, proxy=None) as socket:
                socket.send(json.dumps({"type": "connection_init"}))
                assert json.loads(socket.recv(10))["type"] == "connection_ack"
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    assert status(local) == 101
    assert status(local, Origin=local) == 101
    assert status(local, Origin="https://evil.example") == 403
    assert status(local, Sec_Fetch_Site="cross-site") == 403
    assert status(guarded) == 403
    assert status(guarded, Authorization="Bearer wrong") == 403
    assert status(guarded, Cookie=f"{COOKIE}=ann:9999999999:{'0' * 64}") == 403
    assert status(guarded, **BEARER) == 101
    assert status(guarded, Origin="https://evil.example", **BEARER) == 403


def test_links_to_the_ui_work(local: str) -> None:
    with client(local) as visitor:
        for path in ("/", "/runs", "/asset-groups?x=1"):
            answer = visitor.get(path, headers=NAVIGATION | {"Sec-Fetch-Site": "cross-site"})
            assert answer.status_code == 200
            framed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}
            assert visitor.get(path, headers=NAVIGATION | framed).status_code == 403


def test_without_a_token_there_is_only_the_login(guarded: str) -> None:
    with client(guarded) as nobody:
        page = nobody.get("/runs?a=b%20c", headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["location"]) == (303, "/login?next=/runs%3Fa%3Db%2520c")
        for method, path in (("POST", "/graphql"), ("GET", "/server_info"), ("GET", "/logs/a.out")):
            assert nobody.request(method, path).status_code == 401
    with client(guarded) as nobody:
        assert nobody.get("/graphql", headers={"Authorization": f"Bearer {ANN[:-1]}"}).status_code == 401
        login = nobody.get("/login")
        assert (login.status_code, login.headers["cache-control"]) == (200, "no-store")
        assert "unsafe" not in login.headers["content-security-policy"]
        assert nobody.get("/login.css").headers["content-type"].startswith("text/css")
    with client(guarded, headers=BEARER) as ann:
        assert ann.post("/graphql", json=QUERY).json()["data"]["version"]


@pytest.mark.parametrize(
    ("next_", "leads"),
    [
        ("/runs?a=b%20c", "/runs?a=b%20c"), ("//evil.example", "/"), ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("", "/"), ("/a\r\nSet-Cookie: a=b", "/"), ("javascript:alert(1)", "/"), ("/ü", "/"),
    ],
)  # fmt: skip
def test_after_the_login_people_are_where_they_wanted_to_be(guarded: str, next_: str, leads: str) -> None:
    with client(guarded) as browser_:
        answer = browser_.post("/login", data={"token": ANN, "next": next_})
        assert (answer.status_code, answer.headers["location"]) == (303, leads)
        cookie = answer.headers["set-cookie"]
        assert re.match(rf"{COOKIE}=\"?ann:\d+:[0-9a-f]{{64}}\"?; HttpOnly; Max-Age={SECONDS}; ", cookie)
        assert "SameSite=strict" in cookie
        assert ANN not in cookie
        assert browser_.post("/graphql", json=QUERY).json()["data"]["version"]
        foreign = browser_.post("/graphql", json=QUERY, headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403


def test_a_wrong_token_and_a_login_from_elsewhere_are_refused(guarded: str) -> None:
    with client(guarded) as guesser:
        wrong = guesser.post("/login", data={"token": "<b>", "next": '"><script>'})
        assert wrong.status_code == 401
        assert "<script>" not in wrong.text
        assert "set-cookie" not in wrong.headers
        foreign = guesser.post("/login", data={"token": ANN}, headers={"Origin": "https://evil.example"})
        assert foreign.status_code == 403
        assert guesser.post("/login", content=b"x" * 100_000).status_code == 413
        tls = guesser.post("/login", data={"token": ANN}, headers={"X-Forwarded-Proto": "https"})
        assert "; Secure" in tls.headers["set-cookie"]
        statuses = {guesser.post("/login", data={"token": f"guess {i}"}).status_code for i in range(30)}
        assert statuses == {401, 429}


def test_cookies_are_valid_only_as_given() -> None:
    now = 1_000_000.0
    tokens = Tokens.of_people(secret(f"ann:{ANN},bob:{'b' * 20}"))
    login = Login(tokens, lambda: now)
    until = int(now) + 60

    def caller(value: str, login: Login = login) -> str | None:
        from starlette.datastructures import Headers

        found = login.caller(Headers({"cookie": f"{COOKIE}={value}"}))
        return found.name if found else None

    good = tokens.signature("ann", f"ann:{until}")
    assert caller(f"ann:{until}:{good}") == "ann"
    for wrong in (
        "", "ann", f"ann:{until}", f"ann:{until}:", f"ann:{until + 1}:{good}", f"bob:{until}:{good}",
        f"nobody:{until}:",
        f"ann:{until}:{good}0", f"ann:x:{tokens.signature('bob', 'ann:x')}", f"ann:{until}:\u00fc",
    ):  # fmt: skip
        assert caller(wrong) is None
    past = int(now) - 1
    assert caller(f"ann:{past}:{tokens.signature('ann', f'ann:{past}')}") is None
    # Another token for the same name: the cookies of the old one are no longer valid.
    assert (
        caller(f"ann:{until}:{good}", Login(Tokens.of_people(secret(f"ann:{'c' * 20}")), lambda: now)) is None
    )


def secret(text: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(text)


def test_every_response_has_its_headers(guarded: str) -> None:
    with client(guarded, headers=BEARER) as ann:
        scripts = re.findall(r'src="(/_next/[^"]+\.js)"', ann.get("/").text)
        for answer in (
            ann.get("/"), ann.get(scripts[0]), ann.post("/graphql", json=QUERY), ann.get("/server_info"),
            ann.get("/graphql?a"),
        ):  # fmt: skip
            headers = answer.headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "SAMEORIGIN"
            assert "content-security-policy" in headers
            assert "server" not in headers
            is_file = "javascript" in headers["content-type"]
            assert headers["cache-control"] == ("private, no-cache" if is_file else "no-store")


def test_ambiguous_requests_are_refused_here_too(local: str) -> None:
    with socket.create_connection(address_of(local), timeout=10) as connection:
        connection.sendall(
            b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_in_a_browser_people_log_in_and_see_live_data(guarded: str, tmp_path: Path) -> None:
    with browser(tmp_path / "profile") as page:
        page.go(f"{guarded}/assets")
        page.until("location.pathname === '/login' && !!document.getElementById('token')")
        page.js("document.getElementById('token').focus()")
        page.type(ANN)
        page.press("Enter")
        page.until("location.pathname === '/assets' && document.body?.innerText.includes('crm')")
        assert COOKIE not in page.js("document.cookie")
        page.until("performance.now() > 3000")
        assert page.js("fetch('/graphql?query={version}').then(answer => answer.status)") == 405
        page.js(
            """window.said = new Promise(resolve => {
                const socket = new WebSocket(`ws://${location.host}/graphql`, "graphql-ws");
                socket.onopen = () => socket.send('{"type": "connection_init"}');
                socket.onmessage = message => resolve(message.data);
                socket.onerror = () => resolve("refused");
            }), 1"""
        )
        assert "connection_ack" in page.js("window.said")
        assert not [each for each in page.complaints if "405" not in each], page.complaints


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_without_tokens_it_does_not_listen_for_other_machines(empty: Home, host: str) -> None:
    exposed = empty.with_settings(ingest_ui_host=host, ingest_ui_port=0)
    with pytest.raises(ConfigurationError, match="INGEST_UI_TOKENS is not set"):
        listen(exposed.load())
    said = ingest(exposed, "ui")
    assert (said.status, said.out) == (2, "")
    assert "INGEST_UI_TOKENS is not set" in said.err
    assert said.err.count("\n") == 1


def test_invalid_tokens_in_the_settings(empty: Home) -> None:
    good = "a" * 20
    for wrong in ("x", f"name:{good[1:]}", f":{good}", f"n:{good},", f"n:{good}:read", f"n:{good},m:{good}"):
        with pytest.raises(ConfigurationError, match="INGEST_UI_TOKENS") as caught:
            empty.with_settings(ingest_ui_tokens=wrong).load()
        assert good not in str(caught.value)


@pytest.mark.thorough
def test_with_the_daemon_both_end_together(built: Home) -> None:
    with running(built, "--daemon") as (process, url):
        children = psutil.Process(process.pid).children(recursive=True)
        daemon = next(child for child in children if "dagster._daemon" in child.cmdline())
        ports = {
            connection.laddr.port
            for each in (psutil.Process(process.pid), *children)
            for connection in each.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
        assert ports == {address_of(url)[1]}  # nothing else can be reached
        deadline = time.monotonic() + 60
        with client(url) as program:
            health = {"query": "{ instance { daemonHealth { allDaemonStatuses { healthy } } } }"}
            while "true" not in program.post("/graphql", json=health).text:
                assert time.monotonic() < deadline
                time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        process.wait(40)
        assert not daemon.is_running()
    with running(built, "--daemon") as (process, _):
        children = psutil.Process(process.pid).children(recursive=True)
        next(child for child in children if "dagster._daemon" in child.cmdline()).kill()
        assert process.wait(60) == 1
