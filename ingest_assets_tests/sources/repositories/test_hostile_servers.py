"""Servers that are slow, hang up, lie, redirect or send too much: an error in time, and nothing is kept."""

from __future__ import annotations

import hashlib
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.sources.repositories import packfile
from ingest_assets.sources.repositories.fetch import FetchLimits
from ingest_assets.sources.repositories.mirror import Mirror, remote_heads
from ingest_assets.sources.repositories.origin import Origin, parse_origin
from ingest_assets.sources.repositories.policy import Policy
from ingest_assets.sources.repositories.source import RepositorySource
from ingest_assets_tests.sources.repositories.conftest import MakeMirror
from ingest_assets_tests.sources.repositories.git_server import LOOPBACK, GitServer, redirect, status
from ingest_assets_tests.sources.repositories.packs import entry, pack
from ingest_assets_tests.sources.repositories.repos import TestRepo, bodies
from ingest_assets_tests.support.raw_server import byte_by_byte, raw_server

FILES = {f"f{i}.py": b"value = 1\n" * i for i in range(200)}
KEPT = {"kept.py": b"kept = 1\n"}
Start = Callable[..., Any]


@pytest.fixture
def fetched(repo: TestRepo, mirror: MakeMirror) -> Iterator[Mirror]:
    """A mirror with an older state, which must survive whatever the server does."""
    repo.commit(KEPT)
    one = mirror()
    one.fetch()
    repo.commit(FILES)
    yield one
    assert bodies(RepositorySource("repositories", one)) == KEPT


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda connection: time.sleep(5), id="silent"),
        pytest.param(byte_by_byte(b"HTTP/1.1 200 OK\r\nX-A: b\r\n"), id="headers byte by byte"),
        pytest.param(byte_by_byte(b"x"), id="one endless line"),
    ],
)
def test_a_slow_server_is_abandoned_in_time(answer: Callable[[socket.socket], None]) -> None:
    with raw_server(answer) as port:
        origin = parse_origin(f"http://127.0.0.1:{port}/repo", LOOPBACK)
        began = time.monotonic()
        with pytest.raises(UnavailableError, match=r"longer than 0\.5 s"):
            remote_heads(origin, LOOPBACK, 0.5)
        assert time.monotonic() - began < 1.5


def test_a_slow_tls_handshake_is_abandoned_in_time() -> None:
    policy = Policy(allow_private_addresses=True)
    with raw_server(lambda connection: time.sleep(5)) as port:
        origin = parse_origin(f"https://127.0.0.1:{port}/repo", policy)
        with pytest.raises(UnavailableError, match=r"longer than 0\.5 s"):
            remote_heads(origin, policy, 0.5)


def test_a_pack_that_arrives_too_slowly(server: GitServer, fetched: Mirror) -> None:
    def slow(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        whole = server.git(environ, start)
        for i in range(0, len(whole), 20):
            time.sleep(0.05)
            yield whole[i : i + 20]

    server.misbehave = slow
    fetched.limits = FetchLimits(seconds=0.7)
    began = time.monotonic()
    with pytest.raises(UnavailableError, match=r"longer than 0\.7 s"):
        fetched.fetch()
    assert time.monotonic() - began < 2


def test_a_server_that_hangs_up_in_the_middle(server: GitServer, fetched: Mirror) -> None:
    def cut(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        whole = server.git(environ, start)
        yield whole[: len(whole) * 2 // 3] if len(whole) > 1_000 else whole

    server.misbehave = cut
    with pytest.raises(UnavailableError):
        fetched.fetch()
    assert not list((fetched.folder / "objects" / "pack").glob("tmp*"))


def test_a_pack_with_a_flipped_bit(server: GitServer, fetched: Mirror) -> None:
    def flip(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        whole = bytearray(server.git(environ, start))
        if len(whole) > 1_000:  # the pack
            whole[len(whole) * 3 // 4] ^= 4
        yield bytes(whole)

    server.misbehave = flip
    with pytest.raises(UnavailableError):
        fetched.fetch()


def test_more_than_the_limit_is_stopped_during_the_transfer(server: GitServer, fetched: Mirror) -> None:
    sent = 0

    def endless(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        nonlocal sent
        if environ["REQUEST_METHOD"] == "GET":  # the refs
            yield server.git(environ, start)
            return
        start("200 OK", [("Content-Type", "application/x-git-upload-pack-result")])
        yield b"00000008NAK\n"  # no change to the shallow commits, nothing in common
        line = b"\x01" + b"x" * 60_000
        for _ in range(20_000):
            sent += len(line)
            yield b"%04x" % (len(line) + 4) + line

    server.misbehave = endless
    fetched.limits = FetchLimits(repository_bytes=1_000_000)
    with pytest.raises(ConfigurationError, match="limit for a repository"):
        fetched.fetch()
    assert sent < 50_000_000


def test_an_honest_repository_over_the_limit(repo: TestRepo, fetched: Mirror) -> None:
    repo.commit({"noise.bin": hashlib.shake_128(b"x").digest(5_000_000)})
    fetched.limits = FetchLimits(repository_bytes=1_000_000)
    with pytest.raises(ConfigurationError, match="1,000,000"):
        fetched.fetch()


def test_a_small_pack_that_inflates_to_a_lot(repo: TestRepo, fetched: Mirror) -> None:
    repo.commit({"zeros.bin": bytes(50_000_000)})
    fetched.limits = FetchLimits(repository_bytes=2_000_000)
    with pytest.raises(ConfigurationError, match="a file of 50,000,000 bytes"):
        fetched.fetch()


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"PACK", id="four bytes"),
        pytest.param(pack(entry(3, 3, b"abc"))[:-1], id="cut"),
        pytest.param(pack(entry(3, 3, b"abc"), count=4_000_000_000), id="a lying count"),
        pytest.param(pack(entry(3, 5, b"abc")), id="a size that is too large"),
        pytest.param(pack(entry(3, 1, b"abc")), id="a size that is too small"),
        pytest.param(pack(entry(5, 3, b"abc")), id="an unknown kind"),
        pytest.param(pack(b"\xbf" + b"\xff" * 50), id="an endless size"),
        pytest.param(pack(entry(7, 4, b"\3\3\3x", b"\1" * 20)), id="a missing base"),
        pytest.param(pack(entry(6, 4, b"\3\3\3x", b"\x7f")), id="a base before the pack"),
        pytest.param(pack(entry(6, 4, b"\3\3\3x", b"\0")), id="a delta of itself"),
        pytest.param(pack(b"\x33" + b"not zlib at all"), id="no zlib"),
        pytest.param(pack(entry(3, 3, b"abc")) + b"x", id="more than the pack"),
    ],
)
def test_invalid_packs(tmp_path: Path, sent: bytes) -> None:
    path = tmp_path / "tmp-1.pack"
    path.write_bytes(sent)
    if not sent:
        path.write_bytes(b"\0" * 40)
    with pytest.raises(UnavailableError):
        packfile.index_pack(path, 1_000_000, lambda: None)
    assert not list(tmp_path.glob("*.idx"))


def test_a_delta_that_claims_a_huge_result(tmp_path: Path) -> None:
    path = tmp_path / "tmp-1.pack"
    huge = b"\3" + b"\x80\x80\x80\x80\x10"  # from 3 bytes to 4 GiB
    path.write_bytes(pack(entry(3, 3, b"abc"), entry(6, len(huge), huge, b"\x0c")))
    with pytest.raises(ConfigurationError, match="4,294,967,296 bytes"):
        packfile.index_pack(path, 1_000_000, lambda: None)


@pytest.mark.parametrize("answer", ["404 Not Found", "401 Unauthorized", "403 Forbidden"])
def test_a_missing_repository(server: GitServer, fetched: Mirror, answer: str) -> None:
    server.misbehave = status(answer)
    with pytest.raises(ConfigurationError, match="no such repository, or it is private"):
        fetched.fetch()


@pytest.mark.parametrize("answer", ["500 Internal Server Error", "503 Service Unavailable", "429 Too Many"])
def test_a_server_in_trouble(server: GitServer, fetched: Mirror, answer: str) -> None:
    server.misbehave = status(answer)
    with pytest.raises(UnavailableError, match=f"HTTP {answer[:3]}"):
        fetched.fetch()


def test_a_page_is_not_a_repository(server: GitServer, fetched: Mirror) -> None:
    def page(_: dict[str, Any], start: Start) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "text/html")])
        return [b"<html>ref: refs/heads/main</html>"]

    server.misbehave = page
    with pytest.raises(ConfigurationError, match="no git repository at the URL"):
        fetched.fetch()


@pytest.mark.parametrize(
    "body", [b"", b"0000", b"zzzz", b"001e# service=git-upload-pack\n0000", b"ffff" + b"x" * 99]
)
def test_nonsense_is_not_an_empty_repository(server: GitServer, fetched: Mirror, body: bytes) -> None:
    def nonsense(_: dict[str, Any], start: Start) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "application/x-git-upload-pack-advertisement")])
        return [body]

    server.misbehave = nonsense
    with pytest.raises(UnavailableError):
        fetched.fetch()


def test_an_allowed_redirect_is_followed(repo: TestRepo, server: GitServer, tmp_path: Path) -> None:
    repo.commit(KEPT)

    def move(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/old"):
            target = server.url("repo") + "/info/refs?" + environ["QUERY_STRING"]
            return redirect(target)(environ, start)
        return [server.git(environ, start)]

    server.misbehave = move
    moved = Mirror(parse_origin(server.url("old"), LOOPBACK), tmp_path / "w", LOOPBACK)
    moved.fetch()
    assert bodies(RepositorySource("repositories", moved)) == KEPT


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://169.254.169.254/latest/meta-data/info/refs?service=git-upload-pack", "not an allowed host"),
        ("http://[::ffff:169.254.169.254]/repo/info/refs?service=git-upload-pack", "not an allowed host"),
        ("http://2130706433/repo/info/refs?service=git-upload-pack", "is a number"),
        ("file:///etc/passwd", "may not be fetched by file"),
        ("ftp://127.0.0.1/info/refs", "may not be fetched by ftp"),
        ("http://user:pw@127.0.0.1/info/refs", "credentials"),
    ],
)
def test_a_forbidden_redirect_is_refused(
    repo: TestRepo, server: GitServer, tmp_path: Path, location: str, words: str
) -> None:
    repo.commit(KEPT)
    policy = Policy(
        protocols=frozenset({"http"}), hosts=frozenset({"127.0.0.1"}), allow_private_addresses=True
    )
    server.misbehave = redirect(location)
    with pytest.raises(ConfigurationError, match=words) as caught:
        Mirror(parse_origin(server.url(), policy), tmp_path / "w", policy).fetch()
    assert "pw" not in str(caught.value)


def test_a_redirect_to_a_private_address_is_refused_by_its_address(server: GitServer) -> None:
    """The first host is allowed for this test; the second is checked like any other."""

    class OnlyTheFirst(Policy):
        def require_address(self, host: str, address: Any) -> None:
            if self is not address and server.requests:
                super().require_address(host, address)

        def require_host(self, host: str) -> None: ...

    policy = OnlyTheFirst(protocols=frozenset({"http"}))
    server.misbehave = redirect(f"http://localhost:{server.port}/repo/info/refs?service=git-upload-pack")
    origin = Origin(id="x", name="x", url=server.url(), web=server.url())
    with pytest.raises(ConfigurationError, match="private or reserved"):
        remote_heads(origin, policy)
    assert len(server.requests) == 1


def test_redirects_are_limited(server: GitServer, fetched: Mirror) -> None:
    server.misbehave = redirect("/again")
    with pytest.raises(UnavailableError, match="more than 3 times"):
        fetched.fetch()


def test_a_certificate_from_an_unknown_authority_is_refused(
    repo: TestRepo, server: GitServer, tmp_path: Path
) -> None:
    commit = repo.commit(KEPT)
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.secure(context)
    untrusting = Policy(allow_private_addresses=True, tokens={f"127.0.0.1:{server.port}": "s3cret"})
    origin = parse_origin(server.url(), untrusting)
    with pytest.raises(UnavailableError, match="certificate is not trusted"):
        Mirror(origin, tmp_path / "w", untrusting).fetch()
    assert not server.requests
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    trusting = Policy(allow_private_addresses=True, ca_file=ca_file, tokens=untrusting.tokens)
    assert Mirror(origin, tmp_path / "w", trusting).fetch().commit == commit
    assert all(headers["HTTP_AUTHORIZATION"].startswith("Basic ") for headers in server.headers)
    assert "s3cret" not in repr(trusting)


def test_a_token_is_never_sent_in_the_clear(repo: TestRepo, server: GitServer, tmp_path: Path) -> None:
    repo.commit(KEPT)
    policy = Policy(
        protocols=frozenset({"http"}),
        allow_private_addresses=True,
        tokens={f"127.0.0.1:{server.port}": "s3cret"},
    )
    Mirror(parse_origin(server.url(), policy), tmp_path / "w", policy).fetch()
    assert not any("HTTP_AUTHORIZATION" in headers for headers in server.headers)
