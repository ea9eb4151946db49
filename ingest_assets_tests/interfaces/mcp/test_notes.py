"""Notes, which are kept in the ledger, found by search and never written to the CRM; and the log of calls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets import audit_log, notes
from ingest_assets.ledger import Ledger, tables
from ingest_assets.notes import Subject
from ingest_assets.reconcile import is_up_to_date
from ingest_assets_tests.interfaces.mcp.agents import Served, log_of, over_stdio, plain, said
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import IngestHere

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)


def fingerprint(home: Home) -> str:
    return hashlib.sha256(home.crm.read_bytes()).hexdigest()


def moved(home: Home) -> dict[str, tuple[int, int, int]]:
    report = home.refresh()
    assert report.success, report.errors
    return {
        name.removeprefix("crm/"): (counts["added"], counts["changed"], counts["removed"])
        for name, counts in report.assets.items()
    }


def test_a_note_is_found_after_a_refresh_until_it_is_removed(served: Served, ingest_here: IngestHere) -> None:
    home, before = served.home, fingerprint(served.home)
    entity = served.call("get_entity", entity_id="people/1").ok()["entity_id"]
    added = served.call("add_note", about="people/1", text="Collects zebra stamps.", why="She said so.").ok()
    on_entity = served.call("add_note", about=entity, text="Prefers okapis.", why="She said so.").ok()
    flag = served.call("flag_record", document_id="people/2", reason="A wombat, not a person.").ok()
    ids = {answer["document_id"] for answer in (added, on_entity, flag)}
    assert added["note"]["author"] == "ada"
    shown = served.call("get_document", document_id="people/1").ok()["notes"]
    assert [(plain(n["text"]), plain(n["why"])) for n in shown] == [
        ("Collects zebra stamps.", "She said so.")
    ]
    both_notes = served.call("get_entity", entity_id=entity).ok()["notes"]
    assert {plain(n["text"]) for n in both_notes} == {"Collects zebra stamps.", "Prefers okapis."}

    assert moved(home)["records"] == moved_only(added=3)
    found = served.call("search", query="zebra stamps", mode="sparse", filters={"kind": ["note"]}).ok()[
        "hits"
    ]
    assert found[0]["document_id"] == added["document_id"]
    assert entity in found[0]["entity_ids"]
    of_entity = served.call("search", query="okapis", filters={"entity_ids": [entity]}).ok()["hits"]
    assert on_entity["document_id"] in {hit["document_id"] for hit in of_entity}
    wombat = served.call("search", query="wombat", filters={"kind": ["flag"]}).ok()["hits"]
    assert [hit["document_id"] for hit in wombat] == [flag["document_id"]]
    document = served.call("get_document", document_id=added["document_id"]).ok()
    assert {label: plain(value) for label, value in document["header"].items()} == {
        "About": "people/1",
        "By": "ada",
        "Why": "She said so.",
    }
    assert document["refs"][0] == "people/1"
    listed = served.call("list_documents", prefix="notes/").ok()["documents"]
    assert {row["document_id"] for row in listed} == ids

    with home.bench() as bench, bench.ledger.reading() as connection:
        records = bench.stage("crm", "records")
        assert is_up_to_date(connection, records, records.input_digest(connection) or ""), (
            "an untouched CRM is read again"
        )
    assert ingest_here(home, "note", "remove", added["note"]["id"]).status == 0
    assert moved(home)["records"] == moved_only(removed=1)
    assert served.call("search", query="zebra", mode="sparse").ok()["hits"] == []
    assert served.log()[1].tool == "note remove"
    assert ingest_here(home, "note", "remove", added["note"]["id"]).status == 2
    assert fingerprint(home) == before


def moved_only(*, added: int = 0, removed: int = 0) -> tuple[int, int, int]:
    return added, 0, removed


def test_an_unreadable_crm_is_an_error_even_if_there_are_notes(served: Served) -> None:
    served.call("add_note", about="people/1", text="Still here.", why="A test.").ok()
    served.home.crm.write_bytes(b"this is no database" * 1_000)
    assert not served.home.refresh().success
    assert served.call("index_status").ok()["sources"]["crm"]["documents"] == 60


def test_the_caller_over_stdio_and_nothing_but_the_protocol_on_stdout(built: Home) -> None:
    async def talk(client: Any) -> Any:
        note = said(
            await client.call_tool("add_note", {"about": "people/1", "text": "By stdio.", "why": "A test."})
        )
        found = said(await client.call_tool("search", {"query": "contract", "limit": 1}))
        wrong = said(await client.call_tool("search", {"query": "a" * 1_000_000}))
        return note.ok(), found.ok(), wrong.refused()

    note, found, _ = over_stdio(built, talk, INGEST_MCP_USER="grace")
    assert note["note"]["author"] == "grace"
    assert found["hits"]
    log = [(call.who, call.transport, call.tool, call.outcome) for call in reversed(log_of(built))]
    assert log == [
        ("grace", "stdio", "add_note", "ok"),
        ("grace", "stdio", "search", "ok"),
        ("grace", "stdio", "search", "refused"),
    ]
    assert log_of(built)[-1].message == note["document_id"]


def test_the_log_on_the_command_line(served: Served, ingest_here: IngestHere) -> None:
    served.call("index_status").ok()
    served.call("index_status", token="reads").ok()
    printed = json.loads(ingest_here(served.home, "audit-log", "--json").out)["calls"]
    assert [call["who"] for call in printed] == ["reader", "ada"]
    assert set(printed[0]) == {
        *("number", "at", "who", "transport", "tool", "arguments", "outcome", "message", "digest"),
    }
    page = json.loads(
        ingest_here(served.home, "audit-log", "--json", "--before", str(printed[0]["number"])).out
    )
    assert page["calls"] == printed[1:]
    assert "index_status" in ingest_here(served.home, "audit-log", "--who", "ada").out
    assert ingest_here(served.home, "audit-log", "--before", str(1 << 63)).status == 2
    assert ingest_here(served.home, "audit-log", "--before", str((1 << 63) - 1)).status == 0


def test_the_log_is_verified_on_the_command_line(served: Served, ingest_here: IngestHere) -> None:
    served.call("index_status").ok()
    first = json.loads(ingest_here(served.home, "audit-log", "verify", "--json").out)
    assert (first["intact"], first["rows"], first["number"], first["faults"]) == (True, 1, 1, [])
    served.call("index_status").ok()
    assert ingest_here(served.home, "audit-log", "verify", "--expect", first["digest"]).status == 0
    unexpected = ingest_here(served.home, "audit-log", "verify", "--expect", "0" * 63 + "1")
    assert unexpected.status == 1
    assert "not expected: No row has the digest" in unexpected.out
    assert ingest_here(served.home, "audit-log", "verify", "--expect", "short").status == 2
    with served.home.bench() as bench, bench.ledger.transaction() as connection:
        connection.execute(sa.text("DROP TRIGGER audit_log_no_update"))
        connection.execute(sa.text("UPDATE audit_log SET who = 'nobody' WHERE number = 2"))
    broken = ingest_here(served.home, "audit-log", "verify", "--json")
    assert broken.status == 1
    assert [fault["kind"] for fault in json.loads(broken.out)["faults"]] == ["unguarded", "changed"]


def _append(ledger: Ledger, **more: Any) -> None:
    call = {"who": "ada", "transport": "http", "tool": "search", "arguments": {}, "message": ""}
    with ledger.transaction() as connection:
        audit_log.append(connection, **{**call, "outcome": "ok", **more})


@both
def test_logged_arguments_are_bounded_and_hold_no_secrets(ledger: Ledger) -> None:
    _append(
        ledger,
        who="a\0b\ud800",
        arguments={
            "token": "s3cret",
            "deep": {"api_key": "s3cret", "list": ["https://ada:s3cret@host/x"] * 1_000},
            "long": "x" * 100_000,
            "\0": "\ud800\0",
            "big": 10**400,
        },
        message="https://ada:s3cret@host",
    )
    (call,) = audit_log.read(ledger)
    with ledger.reading() as connection:
        stored = connection.scalar(sa.select(tables.audit_log.c.arguments)) or ""
    assert len(stored) <= audit_log.MAX_ARGUMENTS
    assert "s3cret" not in repr(call)


@both
def test_the_same_note_twice_is_two_notes_and_ids_are_derived(
    ledger: Ledger, open_ledger: Callable[[], Ledger]
) -> None:
    subject = Subject("people/1", "Ada", ["people/1"])

    def write(where: Ledger, author: str = "ada") -> str:
        return notes.add(where, subject, kind="note", author=author, why="w", text="t", at=1.0).id

    first, second = write(ledger), write(open_ledger())
    assert first != second
    assert write(ledger, "grace") not in {first, second}
    notes.remove(ledger, f"notes/{first}")
    assert write(ledger) == first


@both
def test_a_note_and_its_log_are_written_together_or_not_at_all(ledger: Ledger) -> None:
    def fail(_connection: sa.Connection, _note: notes.Note) -> None:
        raise RuntimeError("no log")

    with pytest.raises(RuntimeError, match="no log"):
        notes.add(
            ledger,
            Subject("people/1", "Ada"),
            kind="note",
            author="ada",
            why="w",
            text="t",
            at=1.0,
            in_transaction=fail,
        )
    assert notes.newest(ledger, 10) == []
