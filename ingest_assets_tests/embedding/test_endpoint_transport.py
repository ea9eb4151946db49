"""The exchange with an endpoint: statuses, waits, broken connections and TLS."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest
import trustme

from ingest_assets import json_client
from ingest_assets.model import ConfigurationError, IngestError, ItemError, UnavailableError
from ingest_assets_tests.embedding.endpoint_server import (
    DIMENSION,
    Endpoint,
    Reply,
    model_at,
    serving,
    unit_of,
)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving() as running:
        yield running


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (400, ItemError, "refuses this text"),
        (413, ItemError, "refuses this text"),
        (422, ItemError, "refuses this text"),
        (401, ConfigurationError, "check the API key"),
        (403, ConfigurationError, "check the API key"),
        (404, ConfigurationError, "check the URL and the model's name"),
        (302, ConfigurationError, "redirect"),
    ],
)
def test_permanent_statuses_are_not_retried(
    endpoint: Endpoint, status: int, error: type[IngestError], message: str
) -> None:
    with serving() as other:
        reply = Reply(
            status, body=lambda _: {"error": {"message": "it is wrong"}}, headers={"Location": other.url}
        )
        with pytest.raises(error, match=message) as caught:
            model_at(endpoint.then(reply)).embed(["a"])
        assert other.paths == []
    assert f"{endpoint.url}/v1/embeddings answered {status} (it is wrong)" in str(caught.value)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b"\xff", b"null", b'{"error": [[]]}', b'{"error": {"message": 7}}']
)
def test_an_error_whose_body_says_nothing_is_still_that_error(endpoint: Endpoint, body: bytes) -> None:
    with pytest.raises(ItemError, match=r"answered 400: it refuses this text"):
        model_at(endpoint.then(Reply(400, body=lambda _: body))).embed(["a"])


@pytest.mark.parametrize(
    "after",
    ["soon", "Mon, 01 Jan 99999999999999999999 00:00:00", "Mon, 01 Jan 2024 00:00:00 +99999999999999", "-1"],
)
def test_a_wait_that_cannot_be_read_is_ours_to_choose(endpoint: Endpoint, after: str) -> None:
    model = model_at(endpoint.then(Reply(503, headers={"Retry-After": after})))
    assert len(model.embed(["a"])) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_transient_statuses_are_retried_a_limited_number_of_times(endpoint: Endpoint, status: int) -> None:
    endpoint.then(Reply(status), Reply(status))
    np.testing.assert_allclose(model_at(endpoint).embed(["a"]), [unit_of("a")], atol=1e-6)
    assert len(endpoint.requests) == 3
    endpoint.then(*[Reply(status)] * 4)
    with pytest.raises(UnavailableError, match=rf"answered {status}, 4 attempts"):
        model_at(endpoint, max_attempts=4).embed(["a"])
    assert len(endpoint.requests) == 7


def test_a_missing_answer_is_retried(endpoint: Endpoint) -> None:
    endpoint.then(Reply(delay_s=0.4))
    model_at(endpoint, timeout_s=0.15).embed(["a"])
    assert len(endpoint.requests) == 2
    endpoint.then(*[Reply(delay_s=0.4)] * 2)
    with pytest.raises(UnavailableError, match=r"did not answer within 0\.15 s, 2 attempts"):
        model_at(endpoint, timeout_s=0.15, max_attempts=2).embed(["a"])


def test_an_answer_that_drips_is_abandoned(endpoint: Endpoint) -> None:
    endpoint.then(Reply(drip_s=0.05))
    with pytest.raises(UnavailableError, match="did not finish its answer"):
        model_at(endpoint, timeout_s=0.2, max_attempts=1).embed(["a"])


def test_a_broken_connection_is_retried(endpoint: Endpoint) -> None:
    endpoint.then(Reply(headers={"Content-Length": "100000", "Connection": "close"}, body=lambda _: "{"))
    model_at(endpoint, timeout_s=0.3).embed(["a"])
    assert len(endpoint.requests) == 2


def test_an_unreachable_server_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://user:hidden-pw@127.0.0.1:{port}"
    with pytest.raises(
        UnavailableError, match=rf"http://127\.0\.0\.1:{port}/v1/embeddings could not"
    ) as caught:
        model_at(Endpoint(url), max_attempts=2).embed(["a"])
    assert "hidden-pw" not in str(caught.value)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[Endpoint]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with serving(context) as running:
        yield running


def _embed(endpoint: Endpoint, **changes: object) -> float:
    """The seconds that embedding one text took."""
    started = time.monotonic()
    assert model_at(endpoint, **changes).embed(["a"]).shape == (1, DIMENSION)
    return time.monotonic() - started


def test_an_unknown_certificate_is_refused(secure: Endpoint) -> None:
    with pytest.raises(ConfigurationError, match="name its CA file"):
        _embed(secure)
    assert secure.requests == []


def test_a_named_authority_is_trusted(secure: Endpoint, authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    _embed(secure, ca_file=tmp_path / "ca.pem")


def test_another_authority_is_not_trusted(secure: Endpoint, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with pytest.raises(ConfigurationError, match="name its CA file"):
        _embed(secure, ca_file=tmp_path / "ca.pem")


def test_the_servers_own_certificate_may_stand_for_its_authority(
    authority: trustme.CA, tmp_path: Path
) -> None:
    own = authority.issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.configure_cert(context)
    own.cert_chain_pems[0].write_to_path(str(tmp_path / "server.pem"))
    with serving(context) as running:
        _embed(running, ca_file=tmp_path / "server.pem")


def test_a_certificate_for_another_host_is_refused(authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    with serving(context) as running, pytest.raises(ConfigurationError, match="TLS"):
        _embed(running, ca_file=tmp_path / "ca.pem")


def test_verification_can_be_switched_off(secure: Endpoint) -> None:
    _embed(secure, verify_tls=False)


def test_https_to_a_plain_server_is_reported() -> None:
    with serving() as plain, pytest.raises(ConfigurationError, match="TLS"):
        _embed(Endpoint(plain.url.replace("http:", "https:")))


def test_ca_files_that_cannot_be_used(secure: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No certificate file"):
        _embed(secure, ca_file=tmp_path / "absent.pem")
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(ConfigurationError, match="no PEM certificates"):
        _embed(secure, ca_file=tmp_path / "empty.pem")


def test_retry_after_in_seconds_is_waited_for() -> None:
    with serving() as endpoint:
        endpoint.then(Reply(429, headers={"Retry-After": "1"}))
        assert 1 <= _embed(endpoint) < 2


def test_retry_after_as_a_date_is_waited_for() -> None:
    with serving() as endpoint:
        at = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        endpoint.then(Reply(503, headers={"Retry-After": at}))
        assert 0.8 < _embed(endpoint) < 2.5  # the date has whole seconds


@pytest.mark.parametrize("value", ["soon", "-5", "Wed, 21 Oct 2015 07:28:00 GMT", ""])
def test_an_odd_or_past_retry_after_is_not_waited_for(value: str) -> None:
    with serving() as endpoint:
        endpoint.then(Reply(429, headers={"Retry-After": value}))
        assert _embed(endpoint) < 1


def test_a_long_retry_after_is_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_client, "MAX_RETRY_AFTER_S", 0.2)
    with serving() as endpoint:
        endpoint.then(Reply(429, headers={"Retry-After": "86400"}))
        assert _embed(endpoint) < 1


def test_an_endless_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_client, "MAX_BODY", 1 << 20)
    with serving() as endpoint:
        endpoint.then(Reply(body=lambda _: b" " * (2 << 20)))
        with pytest.raises(ConfigurationError, match="more than 1 MiB"):
            _embed(endpoint)
