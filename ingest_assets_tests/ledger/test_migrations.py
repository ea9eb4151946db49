"""The ledger as a database: created, migrated, and refused when it is not one."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from ingest_assets.ledger import Ledger, store, tables
from ingest_assets.model import ConfigurationError, UnavailableError

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
MIGRATIONS = Path(store.__file__).parent / "migrations"


def _config(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _differences(ledger: Ledger) -> list[Any]:
    with ledger.reading() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, tables.metadata))


def _set_revision(ledger: Ledger, revision: str) -> None:
    with ledger.transaction() as connection:
        connection.execute(sa.text("update alembic_version set version_num = :r"), {"r": revision})
    ledger.close()


@both
def test_migrations_create_the_defined_tables(ledger: Ledger) -> None:
    assert _differences(ledger) == []


@both
def test_downgrading_and_upgrading_again(ledger: Ledger) -> None:
    with ledger.transaction() as connection:
        command.downgrade(_config(connection), "base")
    with ledger.reading() as connection:
        assert sa.inspect(connection).get_table_names() == ["alembic_version"]
    with ledger.transaction() as connection:
        command.upgrade(_config(connection), store.HEAD)
    assert _differences(ledger) == []


def test_head_is_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(_config()).get_heads() == [store.HEAD]


@both
def test_opening_again_changes_nothing(open_ledger: Callable[[], Ledger]) -> None:
    first = open_ledger()
    with first.transaction() as connection:
        row = {"source": "crm", "document_id": "1", "digest": "0" * 32, "fingerprint": "1" * 32}
        connection.execute(tables.chunked.insert(), [row])
    with open_ledger().reading() as connection:
        assert connection.execute(sa.select(tables.chunked)).one().document_id == "1"


@both
def test_a_newer_ledger_is_refused(open_ledger: Callable[[], Ledger]) -> None:
    _set_revision(open_ledger(), "9999")
    with pytest.raises(ConfigurationError, match=r"newer version \(revision 9999"):
        open_ledger()


@pytest.mark.parametrize("ledger_url", ["postgres"], indirect=True)
def test_an_old_postgres_is_refused_before_anything_is_changed(
    ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "OLDEST_POSTGRES", 99)
    with pytest.raises(ConfigurationError, match=r"on Postgres \d+.*99 or newer is needed"):
        Ledger(ledger_url)
    engine = sa.create_engine(ledger_url.replace("postgresql:", "postgresql+psycopg2:"))
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()


@both
def test_an_earlier_versions_ledger_is_upgraded_and_can_go_back(open_ledger: Callable[[], Ledger]) -> None:
    """Of before vectors could be made by many workers: rows stay, the new table comes and goes."""
    earlier = "0019"
    row = {"source": "crm", "document_id": "1", "digest": "0" * 32, "fingerprint": "1" * 32}
    before = open_ledger()
    with before.transaction() as connection:
        command.downgrade(_config(connection), earlier)
        connection.execute(tables.chunked.insert(), [row])
        assert "model_ahead" not in sa.inspect(connection).get_table_names()
    before.close()
    upgraded = open_ledger()
    assert _differences(upgraded) == []
    with upgraded.transaction() as connection:
        assert dict(connection.execute(sa.select(tables.chunked)).one()._mapping).items() >= row.items()
        command.downgrade(_config(connection), earlier)
        assert dict(connection.execute(sa.select(tables.chunked)).one()._mapping).items() >= row.items()


@both
def test_revisions_of_another_program_are_refused(open_ledger: Callable[[], Ledger]) -> None:
    _set_revision(open_ledger(), "29b539ebc72a")
    with pytest.raises(ConfigurationError, match="not an ingest ledger's"):
        open_ledger()


def test_another_programs_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "crm.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("create table people (id integer primary key, name text)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=r"not an ingest ledger's \(people\).*INGEST_LEDGER_URL"):
        Ledger(f"sqlite:///{path}")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["crm.sqlite"]


@pytest.mark.parametrize(("table", "refused"), [("document", True), ("invoices", False)])
def test_a_postgres_may_be_shared_if_the_names_are_free(
    ledger_url_of: Callable[[str], str], *, table: str, refused: bool
) -> None:
    url = ledger_url_of("postgres")
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg2:"))
    with engine.begin() as connection:
        connection.execute(sa.text(f"create table {table} (id integer)"))
    engine.dispose()
    if refused:
        with pytest.raises(ConfigurationError, match="not an ingest ledger's"):
            Ledger(url)
    else:
        Ledger(url).close()


@pytest.mark.parametrize(
    "content", [b"this is not a database, " * 100, b"SQLite format 3\0" + b"\xff" * 4000]
)
def test_a_broken_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"cannot be read: .* move the file away"):
        Ledger(f"sqlite:///{path}")
    assert path.read_bytes() == content


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_ledger_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="names no file"):
        Ledger(url)


def test_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match="cannot be created"):
        Ledger(f"sqlite:///{tmp_path}/file/ledger.sqlite")


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("postgresql://ada:s3cret@127.0.0.1:1/ledger", UnavailableError),
        ("postgresql://ada:s3cret@127.0.0.1:port/ledger", ConfigurationError),
        ("postgresql//ada:s3cret@host", ConfigurationError),
    ],
)
def test_passwords_are_never_shown(url: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        Ledger(url)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_the_name_hides_the_password(ledger_url_of: Callable[[str], str]) -> None:
    url = ledger_url_of("postgres").replace("postgres:@", "postgres:s3cret@")
    ledger = Ledger(url)
    assert "s3cret" not in ledger.name
    assert "***" in ledger.name
    ledger.close()


@both
def test_values_of_rows_are_not_in_errors(ledger: Ledger) -> None:
    row = {"source": "crm", "document_id": "1", "digest": None, "fingerprint": "a person's text"}
    with pytest.raises(sa.exc.IntegrityError) as caught, ledger.transaction() as connection:
        connection.execute(tables.chunked.insert(), [row])
    assert "parameters hidden" in str(caught.value)


OPEN = """
import sys
from ingest_assets.ledger import Ledger
print("ready", flush=True)
sys.stdin.readline()
ledger = Ledger(sys.argv[1])
with ledger.transaction() as connection:
    connection.exec_driver_sql("insert into stage (source, stage, content, items) values "
                               f"('{sys.argv[2]}', 's', '', 0)")
"""


@both
def test_several_processes_open_a_new_ledger_at_once(ledger_url: str) -> None:
    command_line = [sys.executable, "-c", OPEN, ledger_url]
    processes = [
        subprocess.Popen([*command_line, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0] * 4
    ledger = Ledger(ledger_url)
    with ledger.reading() as connection:
        assert sorted(connection.scalars(sa.select(tables.stage.c.source))) == ["0", "1", "2", "3"]
        assert connection.scalar(sa.text("select count(*) from alembic_version")) == 1
    ledger.close()


@pytest.mark.parametrize("ledger_url", ["postgres"], indirect=True)
def test_tables_are_not_changed_while_another_version_is_at_work_on_them(
    open_ledger: Callable[[], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger()
    with ledger.transaction() as connection:
        command.downgrade(_config(connection), "-1")
    missing = repr(_differences(ledger))
    assert missing != "[]"
    monkeypatch.setattr(store, "MIGRATION_WAIT_S", 0.3)
    with ledger.lock("run-crm", 0), ledger.lock("run-papers", 0):  # locks of two sources exclude nobody
        with pytest.raises(UnavailableError, match=f"another version are at work .* to {store.HEAD}"):
            open_ledger()
        assert repr(_differences(ledger)) == missing
    assert _differences(open_ledger()) == []
