"""The log of calls: it only grows, its chain shows whatever was changed, and it holds no secrets."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets import audit_log
from ingest_assets.audit_log import verification
from ingest_assets.audit_log.hiding import without_credentials
from ingest_assets.ledger import Ledger, store, tables

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)


def append(ledger: Ledger, **more: Any) -> None:
    call = {"who": "ada", "transport": "http", "tool": "search", "arguments": {"query": "é"}, "message": ""}
    with ledger.transaction() as connection:
        audit_log.append(connection, **{**call, "outcome": "ok", **more})


def filled(ledger: Ledger, rows: int = 5) -> audit_log.Verification:
    for number in range(rows):
        append(ledger, tool=f"tool {number}")
    return audit_log.verify(ledger)


def tamper(ledger: Ledger, *statements: str) -> None:
    """As someone who owns the database: without the guards, which are put back."""
    with ledger.transaction() as connection:
        if not ledger.is_sqlite:
            for table in ("audit_log", "audit_log_head"):
                connection.execute(sa.text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
            _run(connection, statements)
            for table in ("audit_log", "audit_log_head"):
                connection.execute(sa.text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))
            return
        triggers = connection.execute(
            sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        ).all()
        _run(connection, [f"DROP TRIGGER {each.name}" for each in triggers])
        _run(connection, statements)
        _run(connection, [each.sql for each in triggers])


def _run(connection: sa.Connection, statements: Any) -> None:
    for statement in statements:
        connection.execute(sa.text(statement))


def kinds(found: audit_log.Verification) -> list[tuple[str, int | None]]:
    return [(fault.kind, fault.number) for fault in found.faults]


ROW = "'x', 'http', 'x', '{}', 'ok', ''"
COLUMNS = "number, at, who, transport, tool, arguments, outcome, message"
REFUSED = [
    "UPDATE audit_log SET who = 'nobody'",
    "DELETE FROM audit_log WHERE number = 3",
    f"INSERT INTO audit_log ({COLUMNS}) VALUES (3, 1.0, {ROW})",
    f"INSERT INTO audit_log ({COLUMNS}) VALUES (7, 1.0, {ROW})",
    f"INSERT INTO audit_log ({COLUMNS}) VALUES (0, 1.0, {ROW})",
    f"INSERT INTO audit_log ({COLUMNS}) VALUES (3, 1.0, {ROW}) ON CONFLICT (number) DO UPDATE SET who = 'x'",
    f"INSERT INTO audit_log ({COLUMNS}) VALUES (3, 1.0, {ROW}) ON CONFLICT (number) DO NOTHING",
    "DELETE FROM audit_log_head",
    "UPDATE audit_log_head SET number = 2",
    "UPDATE audit_log_head SET number = 7",
    "INSERT INTO audit_log_head (id, number, digest) VALUES (2, 1, '')",
    "INSERT INTO audit_log_head (id, number, digest) VALUES (1, 1, '') ON CONFLICT (id) DO NOTHING",
]
BY_SQLITE = [
    f"INSERT OR REPLACE INTO audit_log ({COLUMNS}) VALUES (3, 1.0, {ROW})",
    f"REPLACE INTO audit_log ({COLUMNS}) VALUES (5, 1.0, {ROW})",
    f"INSERT OR IGNORE INTO audit_log ({COLUMNS}) VALUES (3, 1.0, {ROW})",
    f"INSERT INTO audit_log (at, who, transport, tool, arguments, outcome, message) VALUES (1.0, {ROW})",
    "UPDATE OR REPLACE audit_log SET number = 1 WHERE number = 2",
    "INSERT OR REPLACE INTO audit_log_head (id, number, digest) VALUES (1, 1, '')",
]
BY_POSTGRES = ["TRUNCATE audit_log", "TRUNCATE audit_log_head", "TRUNCATE audit_log, audit_log_head CASCADE"]


@both
def test_the_log_only_grows(ledger: Ledger) -> None:
    before = filled(ledger)
    for statement in REFUSED + (BY_SQLITE if ledger.is_sqlite else BY_POSTGRES):
        with pytest.raises(sa.exc.DatabaseError, match="can only grow"), ledger.transaction() as connection:
            connection.execute(sa.text(statement))
    assert audit_log.verify(ledger) == before
    assert before.is_intact
    append(ledger)
    assert audit_log.verify(ledger, before.digest).is_intact


# What is done to five rows, and where it shows.
TAMPERED: list[tuple[str, list[str], list[tuple[str, int | None]]]] = [
    ("content", ["UPDATE audit_log SET outcome = 'refused' WHERE number = 2"], [("changed", 2)]),
    ("time", ["UPDATE audit_log SET at = at + 0.001 WHERE number = 1"], [("changed", 1)]),
    ("digest", ["UPDATE audit_log SET digest = '' WHERE number = 2"], [("changed", 2), ("changed", 3)]),
    ("newest", ["UPDATE audit_log SET who = 'x' WHERE number = 5"], [("changed", 5)]),
    ("swapped", [
        "UPDATE audit_log SET number = -1 WHERE number = 2",
        "UPDATE audit_log SET number = 2 WHERE number = 3",
        "UPDATE audit_log SET number = 3 WHERE number = -1",
    ], [("changed", 2), ("changed", 3), ("changed", 4)]),
    ("first gone", ["DELETE FROM audit_log WHERE number <= 2"], [("missing", 1)]),
    ("middle gone", ["DELETE FROM audit_log WHERE number = 3"], [("missing", 3)]),
    ("renumbered", [
        "DELETE FROM audit_log WHERE number = 3", "UPDATE audit_log SET number = 3 WHERE number = 4",
        "UPDATE audit_log SET number = 4 WHERE number = 5",
    ], [("changed", 3), ("changed", 4), ("cut off", 5)]),
    ("end gone", ["DELETE FROM audit_log WHERE number >= 4"], [("cut off", 4)]),
    ("all gone", ["DELETE FROM audit_log"], [("cut off", 1)]),
    ("head gone", ["DELETE FROM audit_log_head"], [("cut off", None)]),
    ("head back", [
        "UPDATE audit_log_head SET number = 3, digest = (SELECT digest FROM audit_log WHERE number = 3)",
    ], [("beyond the head", 4)]),
    ("head changed", ["UPDATE audit_log_head SET digest = 'x'"], [("changed", 5)]),
    ("added", [f"INSERT INTO audit_log ({COLUMNS}) VALUES (6, 1.0, {ROW})"], [("beyond the head", 6)]),
]  # fmt: skip


@both
@pytest.mark.parametrize(("statements", "faults"), [t[1:] for t in TAMPERED], ids=[t[0] for t in TAMPERED])
def test_what_was_changed_shows_and_where(ledger: Ledger, statements: list[str], faults: Any) -> None:
    filled(ledger)
    tamper(ledger, *statements)
    found = audit_log.verify(ledger)
    assert kinds(found) == faults
    assert not found.is_intact
    assert all(fault.message.endswith(".") for fault in found.faults)


# Values that nobody can store through the log, and SQLite takes.
OF_OTHER_TYPES = [
    ("bytes", ["UPDATE audit_log SET who = x'616461' WHERE number = 2"], [("changed", 2)]),
    (
        "a text of bytes",
        ["UPDATE audit_log SET tool = CAST(x'ff' AS TEXT) WHERE number = 3"],
        [("changed", 3)],
    ),
    ("a time in words", ["UPDATE audit_log SET at = 'soon' WHERE number = 1"], [("changed", 1)]),
    ("a digest of bytes", ["UPDATE audit_log SET digest = x'ff' WHERE number = 5"], [("changed", 5)] * 2),
    ("a head in words", ["UPDATE audit_log_head SET number = 'x'"], [("changed", None), ("cut off", None)]),
    ("a head of bytes", ["UPDATE audit_log_head SET digest = x'00'"], [("changed", None), ("cut off", None)]),
    ("a head's text of bytes", ["UPDATE audit_log_head SET digest = CAST(x'ff' AS TEXT)"], [("changed", 5)]),
]


@pytest.mark.parametrize(
    ("statements", "faults"), [t[1:] for t in OF_OTHER_TYPES], ids=[t[0] for t in OF_OTHER_TYPES]
)
def test_values_of_other_types_show_too(ledger: Ledger, statements: list[str], faults: Any) -> None:
    filled(ledger)
    tamper(ledger, *statements)
    assert kinds(audit_log.verify(ledger)) == faults


@both
def test_an_end_that_was_cut_off_with_its_head_shows_by_a_digest_kept_elsewhere(ledger: Ledger) -> None:
    kept = filled(ledger).digest
    cut = "(SELECT digest FROM audit_log WHERE number = 3)"
    tamper(
        ledger,
        "DELETE FROM audit_log WHERE number > 3",
        f"UPDATE audit_log_head SET number = 3, digest = {cut}",
    )
    assert audit_log.verify(ledger).is_intact
    assert kinds(audit_log.verify(ledger, kept)) == [("not expected", None)]


NEW_INSERT = "CREATE TRIGGER audit_log_only_next BEFORE INSERT ON audit_log WHEN 0 BEGIN SELECT 1; END"
NEW_CHANGE = "CREATE TRIGGER audit_log_no_change BEFORE DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION "
NEW_FUNCTION = "CREATE OR REPLACE FUNCTION audit_log_follows() RETURNS trigger LANGUAGE plpgsql AS "
GUARDS_OFF = {
    "sqlite": [
        ["DROP TRIGGER audit_log_no_update"],
        ["DROP TRIGGER audit_log_only_next", NEW_INSERT],
        ["CREATE TRIGGER more BEFORE INSERT ON audit_log BEGIN SELECT RAISE(IGNORE); END"],
    ],
    "postgres": [
        ["ALTER TABLE audit_log DISABLE TRIGGER audit_log_no_change"],
        ["DROP TRIGGER audit_log_only_next ON audit_log"],
        [f"{NEW_FUNCTION}$$ BEGIN RETURN NEW; END $$"],
        ["DROP TRIGGER audit_log_no_change ON audit_log", f"{NEW_CHANGE}audit_log_only_grows()"],
        [f"{NEW_CHANGE.replace('audit_log_no_change', 'more')}audit_log_only_grows()"],
    ],
}


@pytest.mark.parametrize(
    ("ledger_url", "statements"),
    [(kind, statements) for kind, each in GUARDS_OFF.items() for statements in each],
    indirect=["ledger_url"],
)
def test_guards_that_are_gone_or_have_company_show(ledger: Ledger, statements: list[str]) -> None:
    filled(ledger)
    with ledger.transaction() as connection:
        _run(connection, statements)
    assert kinds(audit_log.verify(ledger)) == [("unguarded", None)]


@both
def test_a_table_that_was_dropped_or_altered_shows(ledger: Ledger) -> None:
    filled(ledger)
    with ledger.transaction() as connection:
        _run(connection, ["ALTER TABLE audit_log ADD COLUMN more text"])
    assert [fault.kind for fault in audit_log.verify(ledger).faults] == ["missing"]
    with ledger.transaction() as connection:
        _run(connection, ["DROP TABLE audit_log"])
    assert "is gone" in audit_log.verify(ledger).faults[0].message


APPEND = """
import sys
from ingest_assets import audit_log
from ingest_assets.ledger import Ledger
ledger = Ledger(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for n in range(40):
    try:
        with ledger.transaction() as connection:
            audit_log.append(connection, who=sys.argv[2], transport="http", tool=str(n), arguments={},
                             outcome="ok", message="")
            if n % 5 == 0:
                raise RuntimeError  # a call that is rolled back
    except RuntimeError:
        pass
"""


@both
def test_several_processes_make_one_chain(ledger_url: str, ledger: Ledger) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", APPEND, ledger_url, str(n)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for n in range(3)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.communicate("\n", timeout=120)
    assert [process.returncode for process in processes] == [0] * 3
    found = audit_log.verify(ledger)
    assert found.is_intact
    assert (found.rows, found.number) == (96, 96)
    with ledger.reading() as connection:
        assert list(connection.scalars(sa.select(tables.audit_log.c.number))) == list(range(1, 97))


def _migrate(ledger: Ledger, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(store.__file__).parent / "migrations"))
    with ledger.transaction() as connection:
        config.attributes["connection"] = connection
        (command.upgrade if revision == store.HEAD else command.downgrade)(config, revision)


@both
def test_rows_that_are_older_than_the_chain_are_chained(ledger: Ledger) -> None:
    _migrate(ledger, "0007")
    # More than a page, and with a gap, as a call that was rolled back left on Postgres.
    numbers = [n for n in range(1, 2_503) if n != 1_500]
    insert = f"INSERT INTO audit_log ({COLUMNS}) VALUES (:number, :at, {ROW})"
    with ledger.transaction() as connection:
        connection.execute(sa.text(insert), [{"number": n, "at": 1.7e9 + n / 3} for n in numbers])
    _migrate(ledger, store.HEAD)
    found = audit_log.verify(ledger)
    assert found.is_intact, found.faults
    assert (found.rows, found.number) == (2_501, 2_502)
    append(ledger)
    assert audit_log.verify(ledger, found.digest).number == 2_503
    tamper(ledger, "DELETE FROM audit_log WHERE number = 1499")
    assert kinds(audit_log.verify(ledger)) == [("missing", 1_499)]


def test_verifying_needs_no_more_memory_for_more_rows(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "PAGE", 100)

    def peak() -> int:
        tracemalloc.start()
        assert audit_log.verify(ledger).is_intact
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    with ledger.transaction() as connection:
        for n in range(200):
            audit_log.append(connection, who="ada", transport="http", tool=str(n), arguments={},
                             outcome="ok", message="m" * 400)  # fmt: skip
    peak()
    small = peak()
    with ledger.transaction() as connection:
        for n in range(1_800):
            audit_log.append(connection, who="ada", transport="http", tool=str(n), arguments={},
                             outcome="ok", message="m" * 400)  # fmt: skip
    assert peak() < 1.2 * small


SECRET = "hUnter2pAss"
LEAKS = [
    f"https://ada:{SECRET}@host/x",
    f"https://{SECRET}@github.com/owner/name",
    f"https:/{SECRET}@github.com/owner/name",
    f"https:{SECRET}@github.com/owner/name",
    f"//{SECRET}@github.com/owner/name",
    f"{SECRET}@github.com/owner/name",
    f"ada:{SECRET}@github.com:owner/name",
    f"ssh://{SECRET}@host:22/x",
    f"https://ada:p/{SECRET}@host/x",
    f"https://ada:p?{SECRET}@host/x",
    f"https://ada:p {SECRET}@host/x",
    f"https://a@b:{SECRET}@host/x",
    f"https://ada:{SECRET}%40host/x",
    f"https://host/x?token={SECRET}",
    f"https://host/x#{SECRET}",
    f"https://host/x?{SECRET}",
    f"https://host/x%3F{SECRET}",
    f"host.example/x?{SECRET}",
    f"see (https://ada:{SECRET}@host/x), then go on",
    f"Cannot fetch 'https://{SECRET}@host/x': refused",
    f"postgresql://ada:{SECRET}@host/db?sslmode=on",
    f"Authorization: Bearer {SECRET}",
    f"api_key={SECRET}",
    f"QDRANT_API_KEY: {SECRET}",
    f'{{"password": "{SECRET}"}}',
    f"ghp_{SECRET}12345",
    f"sk-{SECRET}-12345",
    f"{SECRET}{'0a1B' * 6}",
    f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
]
KEPT = [
    "who may cancel because of the price?",
    "mail ada@example.com about C# and and/or, see #12",
    "https://github.com/owner/name",
    "people/42",
    "github.com/owner/name/src/keyboard.py",
    "6a3c2f9e-0000-4000-8000-000000000000",
    "There is no document 'people/999' in crm. Use search or list_documents to find ids.",
]


@pytest.mark.parametrize("text", LEAKS)
def test_secrets_are_not_logged(ledger: Ledger, text: str) -> None:
    append(ledger, arguments={"repo_path": text, "deep": [{"x": text}], text: 1}, message=text)
    append(ledger, arguments={"repo_path": f"{text} {'x' * 5_000}"}, message=f"It said {text}")
    with ledger.reading() as connection:
        rows = connection.execute(sa.select(tables.audit_log)).all()
    assert SECRET not in repr(rows)


@both
def test_nothing_in_the_log_can_steer_a_terminal_or_fail_a_database(ledger: Ledger) -> None:
    odd = "a\x1b[2J\u202eb\0c\ud800\nd\x9b"
    append(ledger, who=odd, tool=odd * 100, message=odd * 100, arguments={odd: odd})
    (call,) = audit_log.read(ledger)
    assert all(text.isprintable() for text in (call.who, call.tool, call.message))
    assert (len(call.tool), len(call.message)) == (200, 500)
    assert audit_log.verify(ledger).is_intact


@pytest.mark.parametrize("text", KEPT)
def test_what_is_no_secret_is_logged(text: str) -> None:
    assert without_credentials(text) == text


@pytest.mark.parametrize(
    "name", ["key", "apiKey", "PASS", "db_passwd", "auth", "Authorization", "x-token", "pwd"]
)
def test_arguments_with_names_of_secrets_are_hidden(name: str) -> None:
    shown = audit_log.arguments_text({name: "short", "deep": {name: ["short"]}})
    assert "short" not in shown


@given(
    st.text(), st.sampled_from(["https://{}@host/x", "see https://host/x?{}", "{}://ada:pw-Secret-9@host"])
)
def test_hiding_takes_any_text(text: str, form: str) -> None:
    shown = without_credentials(form.format(text))
    assert "pw-Secret-9" not in shown
    audit_log.arguments_text({text: form.format(text)})
