"""Entities for other systems: exports that follow one another keep a copy in step; the view says the same."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import upsert
from ingest_assets.model import RequestError
from ingest_assets.queries import entity_export
from ingest_assets.queries.entity_export import entity_members, exported, latest_revision
from ingest_assets_tests.stages.test_entities import ADA, ADA_TOO, ADAM, _record, decide, entities, resolve
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import IngestHere, ingest_here
from ingest_assets_tests.support.small_parts import ToyBench

__all__ = ["ingest_here"]
both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def bench(tmp_path: Path, ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ToyBench]:
    monkeypatch.setattr(entity_export, "PAGE", 2)
    with ToyBench(tmp_path, ledger_url=ledger_url) as bench:
        yield bench


class Copy:
    """What another system keeps: the entity of each record, and what ids lead to."""

    def __init__(self) -> None:
        self.entity_of: dict[str, str] = {}
        self.leads_to: dict[str, str] = {}
        self.revision: int | None = None

    def follow(self, ledger: Ledger) -> int:
        """Take over one export; returns how many rows it had."""
        rows = list(exported(ledger, "crm", self.revision))
        for row in rows:
            if row.canonical_id:
                self.entity_of[row.document_id] = row.canonical_id
                self.leads_to |= dict.fromkeys(row.retired_ids, row.canonical_id)
            elif row.document_id:
                self.entity_of.pop(row.document_id, None)
            else:
                gone = set(row.retired_ids)
                self.entity_of = {r: e for r, e in self.entity_of.items() if e not in gone}
        self.revision = max([self.revision or 0, *(row.revision for row in rows)])
        return len(rows)


@both
def test_a_copy_that_follows_is_in_step_after_any_history(bench: ToyBench) -> None:
    chosen = random.Random(3)
    copy = Copy()
    people = [
        _record(n, f"{given} {family}", f"{family.lower()}{n % 3}@x{n % 4}.example")
        for n, (given, family) in enumerate(
            (given, family) for given in ("Ada", "Grace", "Bob") for family in ("Berg", "Lund")
        )
    ]
    for step in range(8):
        for each in people:
            if chosen.random() < 0.6:
                bench.toy.put(each)
            else:
                bench.toy.documents.pop(each.id, None)
        decide(bench, *(["people/0,people/1,same,ada,"] if step % 2 else []))
        resolve(bench)
        copy.follow(bench.ledger)
        now = entities(bench)
        assert copy.entity_of == now
        assert {row.document_id for row in exported(bench.ledger, "crm")} == set(now)
        assert copy.follow(bench.ledger) == 0


@both
def test_retired_ids_come_with_their_successor(bench: ToyBench) -> None:
    apart = _record(3, "A. Lovelace", "al@home.net")
    bench.toy.put(ADA, ADAM, apart)
    resolve(bench)
    before = entities(bench)
    since = latest_revision(bench.ledger, "crm")
    bench.toy.put(ADA_TOO)
    resolve(bench)
    rows = {row.document_id: row for row in exported(bench.ledger, "crm", since)}
    assert set(rows) == {"people/1", "people/3"}
    assert rows["people/3"].canonical_id == before["people/1"]
    assert rows["people/3"].retired_ids == (before["people/3"],)
    assert rows["people/3"].revision > since
    bench.toy.documents.clear()
    resolve(bench)
    [ended] = [
        row for row in exported(bench.ledger, "crm", rows["people/3"].revision) if len(row.retired_ids) > 1
    ]
    assert (ended.document_id, ended.canonical_id) == ("", "")
    assert ended.retired_ids == (before["people/1"], before["people/3"])
    assert list(exported(bench.ledger, "crm")) == []


@both
def test_what_changes_during_an_export_is_in_the_next_one(bench: ToyBench) -> None:
    bench.toy.put(*(_record(n, f"Ann Person{n}", f"a{n}@x{n}.example") for n in range(5)))
    resolve(bench)
    rows = exported(bench.ledger, "crm")
    seen = [next(rows)]
    bench.toy.put(_record(0, "Ann Person4", "a4@x4.example"))
    resolve(bench)
    seen += rows
    copy = Copy()
    copy.entity_of = {row.document_id: row.canonical_id for row in seen}
    copy.revision = max(row.revision for row in seen)
    copy.follow(bench.ledger)
    assert copy.entity_of == entities(bench)


@both
def test_a_revision_that_is_yet_to_come_is_refused(bench: ToyBench) -> None:
    with pytest.raises(RequestError, match="There is no revision 7 of crm yet: the last one is 0"):
        exported(bench.ledger, "crm", 7)


@both
def test_the_view_is_looked_up_and_pages_of_it_are_not_sorted(ledger: Ledger) -> None:
    members = [
        {
            "source": "crm", "document_id": f"people/{n}", "document_digest": "", "identity_digest": "",
            "entity_id": f"e{n // 2}", "kind": "person", "seen": n,
        }
        for n in range(4_000)
    ]  # fmt: skip
    events = [
        {"source": "crm", "number": n, "at": 0, "kind": "join", "entity_id": f"e{n // 2}", "reason": "{}"}
        for n in range(4_000)
    ]
    with ledger.transaction() as connection:
        upsert(connection, tables.entity_member, members)
        connection.execute(tables.entity_event.insert(), events)
    v = entity_members
    one = sa.select(v).where(v.c.source == "crm")
    queries = (
        one.where(v.c.document_id == "people/7"),
        one.where(v.c.canonical_id == "e7"),
        one.where(v.c.document_id > "people/7").order_by(v.c.document_id).limit(10),
    )
    explain = "EXPLAIN QUERY PLAN " if ledger.is_sqlite else "EXPLAIN "
    with ledger.transaction() as connection:
        if not ledger.is_sqlite:
            connection.exec_driver_sql("ANALYZE entity_member, entity_event")
        assert connection.execute(queries[0]).one().revision == 7
        for query in queries:
            literal = str(query.compile(ledger.engine, compile_kwargs={"literal_binds": True}))
            plan = "\n".join(str(row) for row in connection.exec_driver_sql(explain + literal))
            assert not [word for word in ("SCAN", "Seq Scan", "Sort", "TEMP B-TREE") if word in plan], plan


def test_the_command_writes_both_forms(built_once: Home, ingest_here: IngestHere) -> None:
    said = ingest_here(built_once, "entity", "export")
    rows = list(csv.DictReader(io.StringIO(said.out)))
    lines = ingest_here(built_once, "entity", "export", "--format", "jsonl").out.splitlines()
    assert len(rows) == len(lines) > 10
    first = json.loads(lines[0])
    assert rows[0] == {
        **{name: str(first[name]) for name in ("document_id", "canonical_id", "kind", "revision")},
        "retired_ids": " ".join(first["retired_ids"]),
    }
    greatest = max(int(row["revision"]) for row in rows)
    later = ingest_here(built_once, "entity", "export", "--since", str(greatest), "--json")
    assert (later.status, later.out) == (0, "")
    assert ingest_here(built_once, "entity", "export", "--since", str(greatest + 1)).status == 2
