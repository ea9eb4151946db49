"""A CRM on a server that is written to, killed, slow, or reached through TLS: never taken for empty."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import time
from pathlib import Path

import pytest
import trustme

from ingest_assets.model import SourceUnavailableError
from ingest_assets.sandbox import Sandbox
from ingest_assets.sandbox.reading import ConfinedSource
from ingest_assets_tests.sources.crm_databases import documents
from ingest_assets_tests.sources.crm_on_servers import notes, opened, source
from ingest_assets_tests.support.crm_servers import PASSWORD, CrmServer, MariadbServer, PostgresServer

pytest_plugins = ["ingest_assets_tests.sources.crm_on_servers"]


# --- One state, and nobody disturbed ------------------------------------------------------------------------


def test_one_state_is_read_while_others_write(tmp_path: Path, server: CrmServer) -> None:
    url = notes(server, 3_000)
    with source(url, tmp_path).read() as items:
        first = next(items)
        server.run(
            url, "UPDATE notes SET title = 'new'", "DELETE FROM notes WHERE id > 1500",
            "INSERT INTO notes VALUES (5000, 'more', 'x')",
        )  # fmt: skip
        found = {item.id: item.render().title for item in (first, *items)}
    assert found == {f"notes/{i}": f"title {i}" for i in range(3_000)}
    assert len(documents(source(url, tmp_path))) == 1_502


def test_it_is_read_in_confinement(tmp_path: Path, server: CrmServer) -> None:
    url = notes(server, 2_500)
    sandbox = Sandbox(tmp_path / "tmp")
    confined = ConfinedSource(source(url, tmp_path), sandbox)
    with confined.read() as items:
        assert {item.id: item.render().title for item in items} == {
            f"notes/{i}": f"title {i}" for i in range(2_500)
        }
    lost = ConfinedSource(source(url.replace("crm_reader", "nobody"), tmp_path), sandbox)
    with pytest.raises(SourceUnavailableError) as caught, lost.read():
        pass
    assert str(caught.value).startswith("CRM_DB_URL: ")
    assert PASSWORD not in str(caught.value)
    sandbox.close()


def test_a_server_that_is_killed_while_it_is_read_is_not_an_empty_crm(
    tmp_path: Path, server: CrmServer
) -> None:
    url = notes(server, 20_000)
    crm = source(url, tmp_path)
    before = crm.signature()
    with crm.read() as items:
        next(items)
        server.kill()
        with pytest.raises(SourceUnavailableError, match="cannot be read now"):
            list(items)
    try:
        assert crm.signature() is None
        with pytest.raises(SourceUnavailableError, match="Check that it runs"):
            documents(crm)
    finally:
        server.start()
    assert crm.signature() not in {before, None}
    assert len(documents(crm)) == 20_000


def test_a_query_that_takes_too_long_ends(server: CrmServer) -> None:
    url = notes(server)
    sleep = "pg_sleep" if server.name == "postgres" else "sleep"
    began = time.monotonic()
    with opened(url, timeout_s=1).snapshot() as snapshot:
        slow = snapshot.rows(f"SELECT {sleep}(60)")
        with pytest.raises(SourceUnavailableError, match="longer than CRM_QUERY_TIMEOUT_S"):
            next(slow)
    assert time.monotonic() - began < 30


@pytest.mark.services
def test_tls_is_checked_and_read_in_confinement(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp())  # which the server's own user may enter
    folder.chmod(0o755)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other.pem")
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = MariadbServer(
        f"--port={port}", "--bind-address=127.0.0.1", f"--ssl-cert={folder / 'cert.pem'}",
        f"--ssl-key={folder / 'key.pem'}",
    )  # fmt: skip
    try:
        url = notes(server, 500).partition("?")[0].replace("@localhost/", f"@localhost:{port}/")
        sandbox = Sandbox(tmp_path / "tmp")
        with ConfinedSource(source(f"{url}?ssl_ca={folder / 'ca.pem'}", tmp_path), sandbox).read() as items:
            assert sum(1 for _ in items) == 500
        sandbox.close()
        for wrong, expected in (
            (f"{url}?ssl_ca={folder / 'other.pem'}", "there is no TLS connection with it. Check ssl_ca"),
            (f"{url.replace('@localhost', '@127.0.0.1')}?ssl_ca={folder / 'ca.pem'}", "Check ssl_ca"),
            (f"{url}?ssl_ca={folder / 'none.pem'}", "a file that CRM_DB_URL names cannot be read"),
        ):
            with pytest.raises(SourceUnavailableError, match=expected), opened(wrong).snapshot():
                pass
    finally:
        server.close()
        shutil.rmtree(folder)


# --- Whether it has changed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["postgres"], indirect=True)
def test_every_commit_changes_the_signature_of_postgres(tmp_path: Path, server: PostgresServer) -> None:
    url = notes(server)
    crm = source(url, tmp_path)
    seen = [crm.signature()]
    for statement in (
        "UPDATE notes SET title = 'x' WHERE id = 1", "DELETE FROM notes WHERE id = 2", "TRUNCATE notes",
        "ALTER TABLE notes ADD COLUMN more text", "INSERT INTO notes VALUES (1, 'a', 'b')",
    ):  # fmt: skip
        server.run(url, statement)
        seen.append(crm.signature())
    documents(crm)  # which changes nothing
    assert crm.signature() == seen[-1]
    with server.transaction(url) as slow:
        slow.execute("INSERT INTO notes VALUES (2, 'a', 'b')")
        server.run(url, "INSERT INTO notes VALUES (3, 'a', 'b')")
        seen.append(crm.signature())
    seen.append(crm.signature())  # the older transaction has committed, after a younger one
    assert None not in seen
    assert len(set(seen)) == len(seen)


def test_where_there_is_no_count_of_changes_it_always_counts_as_changed(
    tmp_path: Path, server: CrmServer
) -> None:
    crm = source(notes(server), tmp_path)
    assert bool(crm.database.uncounted) == (server.name == "mariadb")
    assert (crm.signature() == crm.signature()) == (server.name == "postgres")


# --- What people see ----------------------------------------------------------------------------------------


def test_messages_name_the_database_and_never_the_password(server: CrmServer) -> None:
    url = notes(server)
    for wrong in (url.replace("crm_reader", "nobody"), url.replace("/crm", "/nowhere")):
        with pytest.raises(SourceUnavailableError) as caught, opened(wrong).snapshot():
            pass
        said = str(caught.value)
        assert said.startswith("CRM_DB_URL: ")
        assert "\n" not in said
        assert PASSWORD not in said
        assert json.dumps(opened(wrong).identity)[1:-1] in said
    assert opened(url).identity != opened(url.replace("/crm", "/nowhere")).identity
