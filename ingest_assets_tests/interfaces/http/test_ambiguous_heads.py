"""Heads that two servers could read differently, and heads that are too large."""

from __future__ import annotations

import json
from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.interfaces.http.strict import MAX_HEAD_BYTES, StrictConnection
from ingest_assets_tests.interfaces.http.served import Served

START = b"POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = b'{"query":"contract"}'
AMBIGUOUS = {
    "length and coding": START + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": START + b"transfer-encoding: chunked\r\nCONTENT-LENGTH: 5\r\n\r\n0\r\n\r\n",
    "two lengths": START + b"Content-Length: 20\r\nContent-Length: 0\r\n\r\n" + BODY,
    "the same length twice": START + b"Content-Length: 20\r\ncontent-length: 20\r\n\r\n" + BODY,
    "a list of lengths": START + b"Content-Length: 20, 20\r\n\r\n" + BODY,
    "a length with a sign": START + b"Content-Length: +20\r\n\r\n" + BODY,
    "a negative length": START + b"Content-Length: -1\r\n\r\n",
    "a hexadecimal length": START + b"Content-Length: 0x14\r\n\r\n" + BODY,
    "no length": START + b"Content-Length:\r\n\r\n" + BODY,
    "a length of many digits": START + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
    "a folded header": START + b"X-A: b\r\n c\r\nContent-Length: 20\r\n\r\n" + BODY,
    "a header folded with a tab": START + b"Transfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n",
    "line feeds alone": START.replace(b"\r\n", b"\n") + b"Content-Length: 20\n\n" + BODY,
    "one line feed alone": START + b"X-A: b\nContent-Length: 20\r\n\r\n" + BODY,
    "an early end": START + b"X-A: b\n\nContent-Length: 20\r\n\r\n" + BODY,
    "a carriage return alone": START + b"X-A: b\rContent-Length: 20\r\n\r\n" + BODY,
    "a space before the colon": START + b"Content-Length : 20\r\n\r\n" + BODY,
    "a header without a colon": START + b"Content-Length 20\r\n\r\n" + BODY,
    "chunked before 1.1": b"POST /search HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "NUL": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: \0\r\n\r\n",
}
CODINGS = (b"gzip, chunked", b"chunked, identity", b"xchunked", b"identity", b"chunked\x0b")


def answers(server: Served, request: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """Every response to these bytes: status, headers and body."""
    client = h11.Connection(h11.CLIENT)
    found: list[tuple[int, dict[str, str], bytes]] = []
    with server.connect() as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(65_536):
            received += part
    while received:
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
        client.send(h11.EndOfMessage())
        client.receive_data(received)
        client.receive_data(b"")
        head = client.next_event()
        assert isinstance(head, h11.Response)
        body = b""
        while isinstance(event := client.next_event(), h11.Data):
            body += event.data
        found.append((head.status_code, {k.decode(): v.decode() for k, v in head.headers}, body))
        received = client.trailing_data[0]
    return found


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_ambiguous_head_is_refused_and_nothing_after_it_is_read(open_server: Served, name: str) -> None:
    smuggled = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ((status, headers, body),) = answers(open_server, AMBIGUOUS[name] + smuggled)
    assert status == 400
    assert json.loads(body)["error"]["code"] == "invalid_http"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


@pytest.mark.parametrize("coding", CODINGS)
def test_codings_other_than_chunked_are_refused(open_server: Served, coding: bytes) -> None:
    request = START + b"Transfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n"
    ((status, _, _),) = answers(open_server, request)
    assert status in {400, 501}


@pytest.mark.parametrize("size", [MAX_HEAD_BYTES + 1, 70_000, 1_000_000])
def test_a_head_that_is_too_large_is_refused_however_it_arrives(open_server: Served, size: int) -> None:
    ends = (b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"")
    for start in (b"GET /health?a=", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: "):
        for end in ends:
            ((status, _, body),) = answers(open_server, start + b"x" * size + end)
            assert status == 431
            assert str(MAX_HEAD_BYTES) in json.loads(body)["error"]["message"]


def test_large_heads_within_the_bound_and_pipelined_requests_are_answered(open_server: Served) -> None:
    padding = b"X-A: " + b"x" * (MAX_HEAD_BYTES - 1_000)
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + padding + b"\r\n\r\n"
    post = START + b"Content-Length: 20\r\n\r\n" + BODY
    chunked = START + b"Transfer-Encoding: chunked\r\n\r\n14\r\n" + BODY + b"\r\n0\r\n\r\n"
    last = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    found = answers(open_server, request + post + chunked + request + last)
    assert [status for status, _, _ in found] == [200] * 5
    assert found[1][2].startswith(b'{"')


@given(
    st.lists(
        st.sampled_from(
            [
                b"Content-Length: 3",
                b"content-length:3",
                b"Content-Length: 03",
                b"Transfer-Encoding: chunked",
                b"X-Content-Length: 9",
                b"X: Content-Length: 9",
                b"X: y",
            ]
        ),
        max_size=5,
    ),
    st.sampled_from([b"\r\n", b"\n"]),
    st.sampled_from([b"", b" ", b"\t"]),
    st.lists(st.integers(1, 40), max_size=10),
)
def test_what_is_accepted_has_one_reading(
    headers: list[bytes], line_end: bytes, before: bytes, cuts: list[int]
) -> None:
    """However a head is cut into packets, it is accepted only with one length and plain lines."""
    lines = [b"POST / HTTP/1.1", b"Host: a", *(before + header for header in headers), b"", b""]
    raw = line_end.join(lines)
    lengths = sum(header.lower().startswith(b"content-length") for header in headers)
    codings = headers.count(b"Transfer-Encoding: chunked")
    plain = line_end == b"\r\n" and not (before and headers)
    expected = plain and lengths + codings <= 1
    connection, accepted = StrictConnection(h11.SERVER), False
    places = [0, *sorted({sum(cuts[: i + 1]) for i in range(len(cuts))}), len(raw)]
    try:
        for start, end in pairwise(places):
            if part := raw[start:end]:
                connection.receive_data(part)
                if isinstance(connection.next_event(), h11.Request):
                    accepted = True
                    break
    except h11.RemoteProtocolError:
        accepted = False
    assert accepted == expected
