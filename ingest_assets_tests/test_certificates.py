"""Certificates that ran out, of every server that is reached by TLS: the day is said."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from ingest_assets.certificates import in_files, shown_by
from ingest_assets.model import UnavailableError
from ingest_assets.orchestration.celery_runs.launcher import asking_the_broker, require_broker
from ingest_assets_tests.support.built_index import Home, new_home
from ingest_assets_tests.support.fixtures import IngestHere, ingest_here

__all__ = ["ingest_here"]
RAN_OUT = datetime(2024, 2, 29, 12, tzinfo=UTC)
SAID = "its certificate ran out on 2024-02-29. Renew it."
# MariaDB's greeting: it speaks the protocol of 4.1, knows TLS, and a way of logging in.
_GREETING = (
    b"\n5.5.5-10.11.6-MariaDB\0" + struct.pack("<I", 7) + b"12345678\0" + struct.pack("<H", 0xFFFF)
    + bytes([33]) + struct.pack("<HHB10x", 2, 0x81FF, 21) + b"123456789012\0mysql_native_password\0"
)  # fmt: skip


def _postgres(connection: socket.socket) -> None:
    connection.recv(8, socket.MSG_WAITALL)
    connection.sendall(b"S")


def _mysql(connection: socket.socket) -> None:
    connection.sendall(struct.pack("<I", len(_GREETING)) + _GREETING)
    connection.recv(36, socket.MSG_WAITALL)


class Certificates:
    """An authority, and servers that show what it issued."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))

    @contextmanager
    def shown(
        self,
        begin: Callable[[socket.socket], None] = lambda _: None,
        *,
        until: datetime = RAN_OUT,
        since: datetime | None = None,
    ) -> Iterator[int]:
        """The port of a server that shows a certificate, after what its protocol exchanges before."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("127.0.0.1", not_after=until, not_before=since).configure_cert(context)
        listening = socket.create_server(("127.0.0.1", 0))

        def serve(connection: socket.socket) -> None:
            with suppress(OSError), closing(connection):
                begin(connection)
                with context.wrap_socket(connection, server_side=True) as secured:
                    secured.recv(1)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=listening.accept()[:1], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listening.getsockname()[1]
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def _embedding(home: Home, port: int, ca: Path) -> Home:
    return home.with_settings(spark_control_url=f"https://127.0.0.1:{port}", spark_control_ca_file=ca)


def _qdrant(home: Home, port: int, ca: Path) -> Home:
    return home.with_settings(qdrant_url=f"https://127.0.0.1:{port}", qdrant_ca_file=ca)


def _qdrant_over_grpc(home: Home, port: int, ca: Path) -> Home:
    there = {"qdrant_url": "https://127.0.0.1:9", "qdrant_grpc_port": port, "qdrant_ca_file": ca}
    return home.with_settings(**there)


def _redis(home: Home, port: int, ca: Path) -> Home:
    return home.with_settings(redis_host="127.0.0.1", redis_port=port, redis_ssl=True, redis_ca_file=ca)


def _url(kind: str, port: int, options: str) -> str:
    return f"{kind}://reader:secret-of-it@127.0.0.1:{port}/base?{options}"


def _ledger(home: Home, port: int, ca: Path) -> Home:
    options = f"sslmode=verify-full&sslrootcert={ca}"
    return home.with_settings(ingest_ledger_url=_url("postgresql", port, options))


def _crm_on_postgres(home: Home, port: int, ca: Path) -> Home:
    options = f"sslmode=verify-full&sslrootcert={ca}"
    return home.with_settings(crm_db_path=None, crm_db_url=_url("postgresql", port, options))


def _crm_on_mysql(home: Home, port: int, ca: Path) -> Home:
    return home.with_settings(crm_db_path=None, crm_db_url=_url("mysql", port, f"ssl_ca={ca}"))


REACHED = {
    "embedding": (_embedding, None, "refresh"),
    "qdrant": (_qdrant, None, "refresh"),
    "qdrant over grpc": (_qdrant_over_grpc, None, None),
    "redis": (_redis, None, None),
    "ledger": (_ledger, _postgres, "refresh"),
    "crm on postgres": (_crm_on_postgres, _postgres, "refresh"),
    "crm on mysql": (_crm_on_mysql, _mysql, "refresh"),
}


@pytest.mark.parametrize("reached", REACHED)
def test_the_day_is_said(
    reached: str, tmp_path: Path, certificates: Certificates, ingest_here: IngestHere
) -> None:
    placed, begin, command = REACHED[reached]
    with certificates.shown(begin or (lambda _: None)) as port:
        home = placed(new_home(tmp_path / "home", 20), port, certificates.ca)
        doctor = ingest_here(home, "doctor", "--json")
        assert doctor.status == 1
        assert any(SAID in line and "127.0.0.1" in line for line in doctor.out.splitlines()), doctor.out
        assert "secret-of-it" not in doctor.everything
        if command is not None:
            said = ingest_here(home, command)
            assert said.status in (1, 2)
            assert SAID.rstrip(".") in said.everything
            assert "Traceback" not in said.everything


def test_the_day_is_said_of_dagsters_own_storage(
    tmp_path: Path, certificates: Certificates, ingest_here: IngestHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dagster_postgres.utils.time.sleep", lambda _: None)  # between its attempts
    home = new_home(tmp_path / "home", 20)
    with certificates.shown(_postgres) as port:
        url = _url("postgresql", port, f"sslmode=verify-full&sslrootcert={certificates.ca}")
        storage = f"storage:\n  postgres:\n    postgres_url: {url}\n"
        (home.dagster / "dagster.yaml").write_text(storage, "utf-8")
        said = ingest_here(home, "refresh")
    assert said.status == 1
    assert f"under storage, cannot be used: {SAID.rstrip('.')}. Nothing was changed." in said.everything
    assert "secret-of-it" not in said.everything
    assert "Traceback" not in said.everything


def test_the_day_is_said_of_a_broker(certificates: Certificates) -> None:
    from celery import Celery

    with certificates.shown() as port:
        url = (
            f"rediss://:secret-of-it@127.0.0.1:{port}/0?ssl_cert_reqs=required&ssl_ca_certs={certificates.ca}"
        )
        app = Celery(broker=url)
        with pytest.raises(UnavailableError) as caught, asking_the_broker(app):
            require_broker(app)
    said = f"The broker does not answer (at 127.0.0.1:{port}, {SAID.rstrip('.')}). Start it"
    assert str(caught.value).startswith(said)


def test_one_that_is_not_valid_yet_tells_of_clocks(certificates: Certificates) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with certificates.shown(until=tomorrow + timedelta(days=9), since=tomorrow) as port:
        assert f"is valid from {tomorrow:%Y-%m-%d} on, and here it is " in shown_by("127.0.0.1", port)


def test_nothing_is_said_of_what_is_valid_or_unknown(certificates: Certificates, tmp_path: Path) -> None:
    with certificates.shown(until=datetime.now(UTC) + timedelta(days=9)) as port:
        assert shown_by("127.0.0.1", port) == ""
    assert shown_by("127.0.0.1", port) == "", "nobody listens any more"
    assert in_files([None, tmp_path / "none.pem", certificates.ca]) == ""


def test_a_file_of_ours_that_ran_out(certificates: Certificates, tmp_path: Path) -> None:
    mine = tmp_path / "mine.pem"
    certificates.authority.issue_cert("me", not_after=RAN_OUT).cert_chain_pems[0].write_to_path(str(mine))
    assert in_files([certificates.ca, mine]) == f"a certificate in {mine} ran out on 2024-02-29. Renew it"
