"""Keys and certificates on the way to a server."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import pytest
import trustme

from ingest_assets.collection.server import Connection, Endpoint
from ingest_assets.collection.server.tls import Tls
from ingest_assets.model import ConfigurationError, IngestError
from ingest_assets_tests.collection.faulty_store import NAME, store_at
from ingest_assets_tests.support.faulty_server import faulty_server


@pytest.mark.parametrize("url", ["http://qdrant.example:6333", "http://10.0.0.7:6333"])
def test_a_key_is_not_sent_unencrypted_to_other_machines(url: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"unencrypted to {url}.*QDRANT_KEY_OVER_HTTP") as caught:
        store_at("http://localhost:6333", url, api_key="k3y-of-qdrant")
    assert "k3y" not in str(caught.value)
    store_at(url, api_key="k3y-of-qdrant", key_over_http=True)
    store_at(url)
    store_at(url.replace("http:", "https:"), api_key="k3y-of-qdrant")


class Certificates:
    """An authority, and the files that it issued."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        issued = self.authority.issue_cert("client.example")
        self.client, self.key = folder / "client.pem", folder / "client.key"
        issued.cert_chain_pems[0].write_to_path(str(self.client))
        issued.private_key_pem.write_to_path(str(self.key))

    def serving(self, name: str = "127.0.0.1", not_after: datetime | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(name, not_after=not_after).configure_cert(context)
        return context


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def test_an_authority_of_ones_own(certificates: Certificates, tmp_path: Path) -> None:
    with faulty_server(certificates.serving()) as server:
        with pytest.raises(ConfigurationError, match=r"the TLS connection was refused.*QDRANT_CA_FILE"):
            store_at(server.url).live(NAME)
        assert store_at(server.url, tls=Tls(ca_file=certificates.ca)).live(NAME) is None
        assert store_at(server.url, tls=Tls(verify=False)).live(NAME) is None
        other = tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(str(other))
        with pytest.raises(ConfigurationError, match="the TLS connection was refused"):
            store_at(server.url, tls=Tls(ca_file=other)).live(NAME)


def test_a_server_that_uses_tls_is_not_asked_without() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def alert() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4_096)
                connection.sendall(b"\x15\x03\x03\x00\x02\x02\x46\r\n")  # as a server answers in TLS

        Thread(target=alert, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=rf"Qdrant at {url} .*has to begin with https://"):
            store_at(url).live(NAME)


def test_a_certificate_for_another_host(certificates: Certificates) -> None:
    with (
        faulty_server(certificates.serving("elsewhere.example")) as server,
        pytest.raises(ConfigurationError, match="valid and for this host"),
    ):
        store_at(server.url, tls=Tls(ca_file=certificates.ca)).live(NAME)


def test_a_certificate_that_ran_out(certificates: Certificates) -> None:
    context = certificates.serving(not_after=datetime(2020, 1, 1, tzinfo=UTC))
    with (
        faulty_server(context) as server,
        pytest.raises(ConfigurationError, match=r": its certificate ran out on 2020-01-01\. Renew it\.$"),
    ):
        store_at(server.url, tls=Tls(ca_file=certificates.ca)).live(NAME)


def test_a_client_certificate(certificates: Certificates) -> None:
    context = certificates.serving()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates.ca)
    with faulty_server(context) as server:
        own = Tls(ca_file=certificates.ca, cert_file=certificates.client, key_file=certificates.key)
        assert store_at(server.url, tls=own).live(NAME) is None
        with pytest.raises(IngestError, match=rf"Qdrant at {server.url}"):
            store_at(server.url, tls=Tls(ca_file=certificates.ca)).live(NAME)


def test_files_that_are_no_certificates(certificates: Certificates, tmp_path: Path) -> None:
    empty, gone = tmp_path / "empty.pem", tmp_path / "gone.pem"
    empty.touch()
    for tls, expected in (
        (Tls(ca_file=gone), "QDRANT_CA_FILE names"),
        (Tls(cert_file=gone), "QDRANT_CLIENT_CERT_FILE names"),
        (Tls(cert_file=certificates.client, key_file=gone), "QDRANT_CLIENT_KEY_FILE names"),
        (Tls(cert_file=empty, key_file=certificates.key), "not a PEM certificate"),
        (Tls(key_file=certificates.key), "without QDRANT_CLIENT_CERT_FILE"),
        (Tls(ca_file=empty), "empty.pem"),
    ):
        with pytest.raises(ConfigurationError, match=expected):
            store_at("https://localhost", tls=tls)


ASKING = """
import sys
from ingest_assets.collection.server import Connection, Endpoint
try:
    endpoint = Endpoint(urls=["https://127.0.0.1:9"], grpc_port=int(sys.argv[1]))
    Connection(endpoint).ask("search", "", lambda client: client.get_aliases())
except Exception as error:
    print(error)
"""


def test_certificates_over_grpc(certificates: Certificates) -> None:
    """What answers has the certificate and none of the methods: it says so if the connection is secured."""
    import grpc

    issued = certificates.authority.issue_cert("127.0.0.1")
    pair = (issued.private_key_pem.bytes(), b"".join(each.bytes() for each in issued.cert_chain_pems))
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    for tls, expected in (
        (Tls(ca_file=certificates.ca), "answered 501"),
        (Tls(verify=False), "answered 501"),
        (Tls(), "the TLS connection was refused.*QDRANT_CA_FILE"),
    ):
        connection = Connection(Endpoint(urls=["https://127.0.0.1:9"], grpc_port=port, tls=tls))
        with pytest.raises(ConfigurationError, match=expected) as caught:
            connection.ask("admin", NAME, lambda client: client.get_aliases())
        assert "\n" not in str(caught.value)
        connection.close()
    elsewhere = certificates.authority.issue_cert("elsewhere.example")
    pair = (elsewhere.private_key_pem.bytes(), elsewhere.cert_chain_pems[0].bytes())
    another = grpc.server(ThreadPoolExecutor(1))
    at = another.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    another.start()
    tls = Tls(ca_file=certificates.ca)
    connection = Connection(Endpoint(urls=["https://127.0.0.1:9"], grpc_port=at, tls=tls))
    with pytest.raises(ConfigurationError, match=r"the TLS connection was refused.*for this host"):
        connection.ask("admin", NAME, lambda client: client.get_aliases())
    connection.close()
    another.stop(None)
    # The library prints lines of its own, unless it was told before it was loaded.
    ran = subprocess.run(
        [sys.executable, "-c", ASKING, str(port)], capture_output=True, text=True, timeout=60, check=True
    )
    server.stop(None)
    assert (ran.stderr, len(ran.stdout.splitlines())) == ("", 1)
