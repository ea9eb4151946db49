"""Which callers are let in, and what they may do."""

from __future__ import annotations

import logging

import pytest

from ingest_assets.interfaces.http.server import listen
from ingest_assets.interfaces.tokens import Tokens
from ingest_assets.model import ConfigurationError
from ingest_assets.queries.reach import Reach
from ingest_assets_tests.interfaces.http.memory_jobs import MemoryJobs
from ingest_assets_tests.interfaces.http.served import AGENT, READER, TOKENS, WRITER, Served
from ingest_assets_tests.support.built_index import Home, ingest

READS = ["/search?query=contract", "/status", "/jobs", "/metrics", "/jobs/none", "/jobs/none/events"]


def test_without_a_token(guarded: Served) -> None:
    with guarded.client() as client:
        for path in ("/health", "/ready", "/openapi.json", "/", "/page/page.js"):
            assert client.get(path).status_code == 200
        for path in [*READS, "/ingest?repo_url=/srv"]:
            answer = client.get(path)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == 'Bearer realm="ingest"'
        assert client.post("/jobs", json={"repo_url": "/srv"}).status_code == 401


@pytest.mark.parametrize(
    "header",
    ["Bearer", f"Bearer {READER}x", f"Bearer {READER[:-1]}", f"Basic {READER}", READER, "Bearer \xff"],
)
def test_a_wrong_token(guarded: Served, header: str) -> None:
    with guarded.client() as client:
        answer = client.get("/status", headers={b"Authorization": header.encode("latin-1")})
        assert answer.status_code == 401
        assert "invalid_token" in answer.headers["www-authenticate"]


def test_scopes(guarded: Served) -> None:
    with guarded.client(READER) as reader, guarded.client(AGENT) as agent, guarded.client(WRITER) as writer:
        assert reader.get("/search?query=contract").status_code == 200
        answer = reader.post("/jobs", json={"repo_url": "/srv"})
        assert answer.status_code == 403
        assert answer.json()["error"]["message"] == "The token of reader lacks the scope ingest."
        assert 'scope="ingest"' in answer.headers["www-authenticate"]
        assert reader.get("/ingest", params={"repo_url": "/srv"}).status_code == 403
        job = agent.post("/jobs", json={"repo_url": "/srv"}).raise_for_status().json()["job_id"]
        assert reader.delete(f"/jobs/{job}").status_code == 403
        assert reader.get(f"/jobs/{job}").status_code == 200
        assert agent.delete(f"/jobs/{job}").status_code == 202
        assert writer.get("/status").status_code == 403


def test_a_token_is_never_shown(guarded: Served, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), guarded.client(READER) as client:
        answers = [client.get(path) for path in [*READS, "/nothing"]]
    shown = caplog.text + "".join(f"{answer.headers} {answer.text}" for answer in answers)
    assert READER not in shown
    assert READER not in f"{guarded.service.settings!r} {vars(guarded.service.tokens)}"


def test_other_sites_and_other_names_are_refused_where_there_are_no_tokens(open_server: Served) -> None:
    port = open_server.url.rpartition(":")[2]
    with open_server.client() as client:
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "[", "10.0.0.1"):
            assert client.get("/status", headers={"Host": host}).status_code == 421
        for host in ("localhost", f"localhost:{port}", f"127.0.0.1:{port}", "[::1]", "LOCALHOST"):
            assert client.get("/status", headers={"Host": host}).status_code == 200
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            assert client.get("/status", headers=headers).status_code == 403
            assert client.get("/ingest", params={"repo_url": "/srv"}, headers=headers).status_code == 403
        ours = {"Origin": open_server.url, "Sec-Fetch-Site": "same-origin"}
        assert client.get("/status", headers=ours).status_code == 200
        assert client.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_other_sites_are_refused_where_there_are_tokens_too(guarded: Served) -> None:
    with guarded.client(AGENT) as client:
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": f"https://{guarded.url.removeprefix('http://')}.evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site", "Origin": guarded.url},
        ):
            for method, path in (("GET", "/status"), ("GET", "/ingest?repo_url=x"), ("POST", "/jobs")):
                answer = client.request(method, path, headers=headers)
                assert (answer.status_code, answer.json()["error"]["code"]) == (403, "cross_origin")
        ours = {"Origin": guarded.url, "Sec-Fetch-Site": "same-origin"}
        assert client.get("/status", headers=ours).status_code == 200
        assert client.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_a_browser_that_does_not_say_who_asks_starts_nothing_without_a_token(
    open_server: Served, guarded: Served, jobs: MemoryJobs
) -> None:
    """An image of another site, in an old browser, would be such a request."""
    old = {"User-Agent": "Mozilla/5.0 (old)"}
    before = len(jobs.list())
    with open_server.client() as client, guarded.client(AGENT) as agent:
        refused = client.get("/ingest", params={"repo_url": "/srv"}, headers=old)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "cross_origin")
        assert client.post("/jobs", json={"repo_url": "/srv"}, headers=old).status_code == 403
        assert len(jobs.list()) == before
        assert client.get("/status", headers=old).status_code == 200  # it could not see the answer
        own = old | {"Sec-Fetch-Site": "same-origin"}
        assert client.post("/jobs", json={"repo_url": "/srv"}, headers=own).status_code == 202
        with_origin = old | {"Origin": open_server.url}
        assert client.post("/jobs", json={"repo_url": "/srv"}, headers=with_origin).status_code == 202
        assert client.post("/jobs", json={"repo_url": "/srv"}).status_code == 202
        assert agent.post("/jobs", json={"repo_url": "/srv"}, headers=old).status_code == 202


def test_a_server_with_tokens_answers_to_any_host_name(guarded: Served) -> None:
    with guarded.client(READER) as client:
        headers = {"Host": "search.example.org", "Origin": "https://search.example.org"}
        assert client.get("/status", headers=headers).status_code == 200
        assert "access-control-allow-origin" not in client.get("/status", headers=headers).headers


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_without_tokens_the_server_does_not_listen_for_other_machines(empty: Home, host: str) -> None:
    with pytest.raises(ConfigurationError, match="INGEST_API_TOKENS is not set"):
        listen(empty.with_settings(ingest_http_host=host, ingest_http_port=0).load())
    said = ingest(empty.with_settings(ingest_http_host=host, ingest_http_port=0), "serve")
    assert (said.status, said.out) == (2, "")
    assert said.err.count("\n") == 1
    listen(empty.with_settings(ingest_http_host="127.0.0.1", ingest_http_port=0).load()).close()


def test_an_address_that_cannot_be_bound(empty: Home) -> None:
    with listen(empty.with_settings(ingest_http_port=0).load()) as taken:
        port = taken.getsockname()[1]
        said = ingest(empty.with_settings(ingest_http_port=port), "serve")
    assert (said.status, said.out) == (2, "")
    assert (
        said.err
        == f"ingest: Port {port} on 127.0.0.1 is in use. Stop the other program, or set INGEST_HTTP_PORT.\n"
    )
    with pytest.raises(ConfigurationError, match="there is no such host"):
        listen(empty.with_settings(ingest_http_host="nobody.invalid").load())


def test_invalid_tokens_in_the_settings(empty: Home) -> None:
    good = "a" * 20
    for wrong in (
        "x", f"name:{good}", f"name:{good[1:]}:read", f"name:{good}:all", f":{good}:read", f"n:{good}:read,",
        f"n:{good}:read,n:{good}b:read", f"n:{good}:read,m:{good}:read", f"n:{good} :read", f"n:{good}:",
        f"n:{good}:read:", f"n:{good}:read::", f"n:{good}:read:a:", f"n:{good}:read:a+", f"n:{good}:read:a b",
        f"n:{good}:read:a:b:c", f"n:{good}:read:%", f"n:{good}:read:%4",
    ):  # fmt: skip
        with pytest.raises(ConfigurationError, match="INGEST_API_TOKENS") as caught:
            empty.with_settings(ingest_api_tokens=wrong).load()
        assert good not in str(caught.value)
    tokens = Tokens.of(
        empty.with_settings(ingest_api_tokens=f"{TOKENS}, n-1:{good}:write+read").load().ingest_api_tokens
    )
    caller = tokens.caller(f"bearer {good}")
    assert caller is not None
    assert (caller.name, caller.scopes) == ("n-1", frozenset(("read", "write")))


def test_what_a_token_is_bound_to(empty: Home) -> None:
    """Names may hold what has a meaning in the setting; a token without any is bound to nothing."""
    good = "a" * 20
    for bound, reach in {
        "": None,
        ":web": Reach(frozenset({"web"})),
        ":web+github.com/o/n": Reach(frozenset({"web", "github.com/o/n"})),
        ":a%2Cb%3Ac%2Bd%25%20e": Reach(frozenset({"a,b:c+d% e"})),
        "::crm": Reach(frozenset(), frozenset({"crm"})),
        ":web:crm+papers": Reach(frozenset({"web"}), frozenset({"crm", "papers"})),
    }.items():
        settings = empty.with_settings(ingest_api_tokens=f"n:{good}:read{bound},m:{good}b:read").load()
        tokens = Tokens.of(settings.ingest_api_tokens)
        caller, other = tokens.named("n"), tokens.named("m")
        assert caller is not None
        assert other is not None
        assert (caller.reach, other.reach) == (reach, None)


def test_without_tokens_everyone_is_the_local_caller_and_may_do_everything() -> None:
    caller = Tokens.of(None).caller(None)
    assert caller is not None
    assert caller.scopes == {"read", "ingest", "write", "gate"}


def test_the_scope_of_gates_is_given_by_itself_alone(empty: Home) -> None:
    names = {"officer": "gate", "both": "read+gate", "other": "read+ingest+write"}
    setting = ",".join(f"{name}:{name * 5:0<20}:{scopes}" for name, scopes in names.items())
    tokens = Tokens.of(empty.with_settings(ingest_api_tokens=setting).load().ingest_api_tokens)
    found = {name: tokens.named(name) for name in names}
    assert {name: caller and "gate" in caller.scopes for name, caller in found.items()} == {
        "officer": True,
        "both": True,
        "other": False,
    }
