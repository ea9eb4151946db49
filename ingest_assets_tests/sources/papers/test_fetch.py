"""Fetching over real HTTP and HTTPS on loopback: good servers, bad ones, and those that lead elsewhere."""

from __future__ import annotations

import gzip
import itertools
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme
from pydantic import SecretStr

from ingest_assets.jobs.errors import JobTargetError
from ingest_assets.model import ConfigurationError, ContentError, IngestError, UnavailableError
from ingest_assets.sources.addresses import NotAllowedError
from ingest_assets.sources.papers.fetching import fetch
from ingest_assets.sources.papers.fetching.fetch import FetchLimits, fetch_paper
from ingest_assets.sources.papers.fetching.hosts import PaperHosts
from ingest_assets.sources.papers.fetching.locations import Location, parse_location
from ingest_assets.sources.papers.fetching.rate import wait_for_turn
from ingest_assets_tests.sources.papers.paper_server import XML, PaperServer, Sent, serving_papers

PMC7 = parse_location("PMC7")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PaperServer]:
    monkeypatch.setattr(fetch, "BACKOFF_S", 0.01)
    monkeypatch.setattr(fetch, "INTERVAL_S", 0.0)
    with serving_papers() as running:
        yield running


class _Fetching:
    def __init__(self, server: PaperServer, folder: Path) -> None:
        self.server = server
        self.into = folder / "into"
        self.into.mkdir()
        self.rates = folder / "rates"

    def __call__(
        self, location: Location | str = PMC7, *, limits: FetchLimits | None = None, **changes: Any
    ) -> Path:
        if isinstance(location, str):
            location = parse_location(f"{self.server.base}{location}")
        policy: dict[str, Any] = {
            "hosts": frozenset({f"127.0.0.1:{self.server.port}"}),
            "schemes": frozenset({"http", "https"}),
            "allow_private_addresses": True,
            "efetch": f"{self.server.base}/efetch.fcgi",
        }
        interrupt = changes.pop("interrupt", None)
        hosts = PaperHosts(**(policy | changes))
        limits = limits or FetchLimits(seconds=10)
        return fetch_paper(location, hosts, limits, self.into, interrupt, rates=self.rates)


@pytest.fixture
def fetching(server: PaperServer, tmp_path: Path) -> _Fetching:
    return _Fetching(server, tmp_path)


def test_a_pmcid_is_fetched_from_efetch(fetching: _Fetching) -> None:
    found = fetching(email="me@example.org", api_key=SecretStr("ncbi-key-0815"))
    assert (found.name, found.read_bytes()) == ("PMC7.xml", XML)
    assert list(fetching.into.iterdir()) == [found]
    [path] = fetching.server.paths
    assert parse_qs(urlsplit(path).query) == {
        "db": ["pmc"], "id": ["7"], "retmode": ["xml"], "tool": ["ingest-assets"],
        "email": ["me@example.org"], "api_key": ["ncbi-key-0815"],
    }  # fmt: skip
    assert fetching.server.headers[0]["host"] == f"127.0.0.1:{fetching.server.port}"


@pytest.mark.parametrize(
    ("path", "sent", "name"),
    [
        ("/x/My%20paper.pdf?v=1", Sent(b"%PDF-1.7\n%%EOF"), "My-20paper.pdf"),
        ("/PMC8.nxml", Sent(b"\xef\xbb\xbf<!-- a --><article><p/></article>\n<!-- b -->\n"), "PMC8.xml"),
        (
            "/",
            Sent(b"# A paper\n", headers={"Content-Type": "text/markdown; charset=utf-8"}),
            "paper.md",
        ),
        ("/..%2f..%2fetc", Sent(b"Text.", headers={"Content-Type": "text/plain"}), "2f.txt"),
        ("/a.xml", Sent(gzip.compress(XML), headers={"Content-Encoding": "gzip"}), "a.xml"),
        ("/a.xml", Sent(zlib.compress(XML), headers={"Content-Encoding": "deflate"}), "a.xml"),
    ],
)
def test_what_a_url_leads_to(fetching: _Fetching, path: str, sent: Sent, name: str) -> None:
    fetching.server.then(sent)
    found = fetching(path)
    assert found.parent == fetching.into
    assert found.name == name


NOT_FOUND = (
    b'<pmc-articleset><Reply Id="7" error="The following PMCID is not available: 7"/></pmc-articleset>'
)
BAD: dict[str, tuple[Sent, type[IngestError], str]] = {
    "not there": (Sent(b"", 404), JobTargetError, "no paper at PMC7"),
    "not open": (Sent(b"", 403), JobTargetError, "not open"),
    "an id that efetch does not know": (Sent(NOT_FOUND), JobTargetError, "PMCID is not available: 7"),
    "an empty set": (Sent(b"<pmc-articleset></pmc-articleset>"), JobTargetError, "no article PMC7"),
    "an error document": (
        Sent(b"<?xml version='1.0'?><eFetchResult><ERROR>ID list is empty!</ERROR></eFetchResult>"),
        JobTargetError,
        "ID list is empty",
    ),
    "a bad request": (Sent(b"<x/>", 400), JobTargetError, "check the PMCID"),
    "a bad key": (Sent(b'{"error":"API key invalid"}', 400), ConfigurationError, "NCBI_API_KEY"),
    "a web page": (Sent(b"<!DOCTYPE html>\n<html><body>Blocked</body></html>"), UnavailableError, "web page"),
    "prose": (Sent(b"Error occurred: unable to obtain query"), UnavailableError, "did not send XML"),
    "nothing": (Sent(b""), UnavailableError, "sent nothing"),
    "a part": (Sent(XML[:-30]), UnavailableError, "only a part"),
    "less than it said": (Sent(XML, headers={"Content-Length": "9999"}), UnavailableError, "could not be"),
    "a part of gzip": (
        Sent(gzip.compress(XML)[:-9], headers={"Content-Encoding": "gzip"}),
        UnavailableError,
        "only a part",
    ),
    "no gzip": (Sent(XML, headers={"Content-Encoding": "gzip"}), UnavailableError, "damaged"),
    "another compression": (Sent(XML, headers={"Content-Encoding": "br"}), UnavailableError, "not asked for"),
    "a claim of much": (Sent(XML, headers={"Content-Length": str(1 << 40)}), ContentError, "MAX_MIB"),
    "down": (Sent(b"", 503), UnavailableError, "HTTP 503"),
    "an odd status": (Sent(b"", 206), JobTargetError, "HTTP 206"),
    "a wait of a day": (Sent(b"", 429, {"Retry-After": "86400"}), UnavailableError, "wait 86400 s"),
    "headers that are none": (Sent(b"", headers={"X": "a\r\n\x00b"}), UnavailableError, "could not be"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_paper_is_a_clear_error_and_leaves_nothing(fetching: _Fetching, case: str) -> None:
    sent, error, message = BAD[case]
    fetching.server.then(sent)
    with pytest.raises(error, match=message):
        fetching(api_key=SecretStr("ncbi-key-0815"))
    assert list(fetching.into.iterdir()) == []
    assert len(fetching.server.paths) <= 3


def test_a_page_of_a_listed_host_is_no_paper(fetching: _Fetching) -> None:
    fetching.server.then(Sent(b"\n<html lang='en'><p>Buy</p></html>", headers={"Content-Type": "text/html"}))
    with pytest.raises(JobTargetError, match="web page: give the URL of the paper's XML or PDF"):
        fetching("/a")
    fetching.server.then(Sent(b"\x7fELF\0\0"))
    with pytest.raises(JobTargetError, match="not a paper"):
        fetching("/a")


def test_an_overloaded_server_is_asked_again(fetching: _Fetching) -> None:
    fetching.server.then(Sent(b"", 429, {"Retry-After": "1"}), Sent(b"", 500), Sent())
    assert fetching().read_bytes() == XML
    first, second, _ = fetching.server.times
    assert second - first >= 1


# --- Bounds -------------------------------------------------------------------------------------------------


def test_a_paper_that_is_too_large(fetching: _Fetching) -> None:
    fetching.server.then(Sent(b"<a>" + b" " * 100_000, headers={"Content-Length": "", "Connection": "close"}))
    with pytest.raises(ContentError, match="more than 50,000 bytes"):
        fetching(limits=FetchLimits(max_bytes=50_000))
    assert list(fetching.into.iterdir()) == []


def test_a_bomb_is_left_before_it_goes_off(fetching: _Fetching) -> None:
    fetching.server.then(Sent(gzip.compress(bytes(200 << 20), 1), headers={"Content-Encoding": "gzip"}))
    fetching.server.answer("/")  # made before it is measured
    tracemalloc.start()
    try:
        with pytest.raises(ContentError, match="limit for a paper"):
            fetching(limits=FetchLimits(max_bytes=1 << 20))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_server_that_drips_is_left(fetching: _Fetching) -> None:
    fetching.server.then(Sent(XML, drip_s=0.05))
    started = time.monotonic()
    with pytest.raises(UnavailableError, match=r"Fetching PMC7 took longer than 0\.4 s"):
        fetching(limits=FetchLimits(seconds=0.4))
    assert time.monotonic() - started < 2


def test_a_server_that_drips_headers_is_left(fetching: _Fetching) -> None:
    """A header a moment, for ever: no read takes long, and none returns a response."""
    over = threading.Event()

    def drip(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not over.wait(0.05):
                connection.sendall(b"X: y\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        thread = threading.Thread(target=drip, args=(listening,))
        thread.start()
        started = time.monotonic()
        try:
            with pytest.raises(UnavailableError, match=r"took longer than 0\.4 s"):
                fetching(
                    parse_location(f"http://127.0.0.1:{port}/a"),
                    hosts=frozenset({f"127.0.0.1:{port}"}),
                    limits=FetchLimits(seconds=0.4),
                )
            assert time.monotonic() - started < 2
        finally:
            over.set()
            thread.join()


def test_a_fetch_can_be_interrupted(fetching: _Fetching) -> None:
    fetching.server.then(Sent(XML, drip_s=0.2))
    started = time.monotonic()

    def interrupt() -> None:
        if time.monotonic() - started > 0.1:
            raise UnavailableError("The job was cancelled.")

    with pytest.raises(UnavailableError, match="was cancelled"):
        fetching(interrupt=interrupt)
    assert time.monotonic() - started < 3


# --- Where it may lead --------------------------------------------------------------------------------------


def test_a_redirect_to_the_same_host_is_followed(fetching: _Fetching) -> None:
    fetching.server.then(Sent(b"", 302, {"Location": "/other.xml"}), Sent())
    assert fetching("/a.xml").name == "a.xml"
    assert fetching.server.paths == ["/a.xml", "/other.xml"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("http://example.org/a", "add it to INGEST_PAPER_HOSTS"),
        ("http://127.0.0.1:1/a", "port 1"),
        ("http://user:pw@127.0.0.1/a", "user name"),
        ("https://127.0.0.1/a", "another protocol"),
        ("file:///etc/passwd", "another protocol"),
        ("//[::1]/a", "add it to"),
        ("http://2130706433/a", "is a number"),
        ("http://[bad/a", "not a URL"),
    ],
)
def test_a_redirect_elsewhere_is_refused(fetching: _Fetching, target: str, message: str) -> None:
    fetching.server.then(Sent(b"", 301, {"Location": target}))
    with pytest.raises(JobTargetError, match=message):
        fetching("/a.xml")
    assert len(fetching.server.paths) == 1


def test_a_circle_of_redirects_ends(fetching: _Fetching) -> None:
    fetching.server.then(Sent(b"", 302, {"Location": "/a"}))
    with pytest.raises(UnavailableError, match="more than 3 times"):
        fetching("/a")
    assert len(fetching.server.paths) == 4


def test_private_addresses_are_refused_whatever_their_name(
    fetching: _Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(_host: str, port: int, **_: Any) -> list[Any]:
        return [(0, 0, 0, "", (address, port)) for address in ("8.8.8.8", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", look)
    location = parse_location("https://papers.example.org/a.xml")
    with pytest.raises(NotAllowedError, match="private or reserved"):
        fetching(location, hosts=frozenset({"papers.example.org"}), allow_private_addresses=False)
    assert fetching.server.paths == []


def test_the_address_that_was_checked_is_the_one_that_is_used(
    fetching: _Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads elsewhere at a second look is not looked up a second time."""
    real, asked = socket.getaddrinfo, []

    def look(host: Any, port: Any, *more: Any, **named: Any) -> list[Any]:
        asked.append(host)
        return real("127.0.0.1" if host == "papers.example.org" else host, port, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look)
    port = fetching.server.port
    location = parse_location(f"http://papers.example.org:{port}/a.xml")
    fetching(location, hosts=frozenset({f"papers.example.org:{port}"}))
    assert asked.count("papers.example.org") == 1
    assert fetching.server.headers[0]["host"] == f"papers.example.org:{port}"


def test_a_proxy_of_the_environment_is_not_used(fetching: _Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert fetching().exists()


# --- HTTPS --------------------------------------------------------------------------------------------------


def _secure(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.mark.parametrize(("name", "is_trusted"), [("papers.example.org", True), ("evil.example.org", False)])
def test_a_certificate_must_be_for_the_name_not_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, is_trusted: bool
) -> None:
    authority, ca_file = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *more, **named: real("127.0.0.1" if "example" in host else host, *more, **named),
    )
    with serving_papers(_secure(authority, name)) as server:
        fetching = _Fetching(server, tmp_path)
        location = parse_location(f"https://papers.example.org:{server.port}/a.xml")
        hosts = frozenset({f"papers.example.org:{server.port}"})
        if is_trusted:
            assert fetching(location, hosts=hosts, ca_file=ca_file).read_bytes() == XML
        for wrong in ({"ca_file": None}, {} if is_trusted else {"ca_file": ca_file}):
            if wrong:
                with pytest.raises(UnavailableError, match="INGEST_PAPER_CA_FILE"):
                    fetching(location, hosts=hosts, **wrong)


def test_http_is_not_used_where_it_is_not_allowed(fetching: _Fetching) -> None:
    with pytest.raises(NotAllowedError, match="by https"):
        fetching(schemes=frozenset({"https"}))
    assert fetching.server.paths == []


# --- The rate -----------------------------------------------------------------------------------------------


def test_efetch_is_asked_no_faster_than_it_allows(
    fetching: _Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "INTERVAL_S", 0.15)
    threads = [threading.Thread(target=fetching) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = sorted(fetching.server.times)
    assert len(times) == 4
    assert times[-1] - times[0] >= 3 * 0.15 - 0.05


@pytest.mark.parametrize("kept", ["", "soon", "1e400", "nan", "99999999999"])
def test_a_time_that_cannot_be_stops_nobody(tmp_path: Path, kept: str) -> None:
    (tmp_path / "rate-h").write_text(kept)
    started = time.monotonic()
    wait_for_turn(tmp_path, "h", 0.1, lambda: None)
    assert time.monotonic() - started < 1
    assert float((tmp_path / "rate-h").read_text()) == pytest.approx(time.time(), abs=5)


def test_who_waits_for_a_turn_can_be_interrupted(tmp_path: Path) -> None:
    wait_for_turn(tmp_path, "h", 9, lambda: None)

    def interrupt() -> None:
        raise UnavailableError("stop")

    with pytest.raises(UnavailableError, match="stop"):
        wait_for_turn(tmp_path, "h", 9, interrupt)


_TURNS = """
import sys, time
from pathlib import Path
from ingest_assets.sources.papers.fetching.rate import wait_for_turn
for _ in range(3):
    wait_for_turn(Path(sys.argv[1]), "h", 0.1, lambda: None)
    print(time.time(), flush=True)
"""


def test_processes_take_turns(tmp_path: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", _TURNS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    times = sorted(float(line) for each in running for line in each.communicate(timeout=30)[0].split())
    assert len(times) == 6
    assert all(later - earlier > 0.08 for earlier, later in itertools.pairwise(times))
