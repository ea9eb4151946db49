"""Where a document is, and why it, or a part of it, is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import upsert
from ingest_assets.model import Identity, SkippedItem
from ingest_assets.queries.whereabouts import Whereabouts, kinds, near, whereabouts
from ingest_assets.stages.document_rows import document_row
from ingest_assets.stages.removals import RemovalsHeldError
from ingest_assets_tests.support.built_index import DOCUMENTS, Home
from ingest_assets_tests.support.engines import local_store
from ingest_assets_tests.support.fixtures import IngestHere, ingest_here
from ingest_assets_tests.support.small_parts import ToyBench, document

__all__ = ["ingest_here"]
both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
LONG = "The crane is by the water. " * 12


@pytest.fixture
def bench(tmp_path: Path, ledger_url: str) -> Iterator[ToyBench]:
    store = local_store()
    with ToyBench(tmp_path, ledger_url=ledger_url, store=store) as bench:
        bench.toy.put(
            document("notes/1", LONG, kind="letter"),
            document("people/42", identity=Identity("person", "Ada Lovelace", emails=("a@x.example",))),
        )
        yield bench
    store.close()


def states(found: Whereabouts) -> list[str]:
    return [each.state for each in found.passages]


@both
def test_what_is_in_the_index_lacks_nothing(bench: ToyBench) -> None:
    bench.refresh()
    found = whereabouts(bench, "notes/1")
    assert found.missing == ()
    assert set(states(found)) == {"indexed"}
    assert [each.position for each in found.passages] == list(range(len(found.passages)))
    assert sum(each.characters for each in found.passages) >= len(LONG) - 20
    person = whereabouts(bench, "people/42")
    assert person.found is not None
    assert [person.entity_id] == list(person.found.entity_ids)
    assert kinds(bench, "crm") == {"letter": 1, "note": 1}


@both
def test_each_stage_that_has_yet_to_come_is_named(bench: ToyBench) -> None:
    assert "was never read completely" in whereabouts(bench, "notes/1").missing[0]
    bench.do("records")
    found = whereabouts(bench, "notes/1")
    assert any("not cut into passages yet" in each for each in found.missing)
    for stage in ("match_models", "entities", "chunks", "dense_vectors", "sparse_vectors"):
        bench.do(stage)
    assert set(states(whereabouts(bench, "notes/1"))) == {"unknown"}  # nothing is published
    bench.do("collection")
    assert whereabouts(bench, "notes/1").missing == ()
    bench.toy.put(document("notes/1", LONG, title="Renamed"))
    for stage in ("records", "chunks"):
        bench.do(stage)
    found = whereabouts(bench, "notes/1")
    assert set(states(found)) == {"out of date"}
    assert f"{len(found.passages)} of {len(found.passages)} passages are not in the index" in found.missing[0]


@both
def test_what_was_refused(bench: ToyBench) -> None:
    bench.refresh()
    bench.toy.put(document("notes/1", "New."), document("notes/2", "Too much."))
    bench.toy.refused |= {"notes/1": "Broken.", "notes/2": "Too large."}
    bench.refresh()
    older = whereabouts(bench, "notes/1")
    assert older.missing == ("This is an older version: the newer one was refused (Broken).",)
    assert set(states(older)) == {"indexed"}
    absent = whereabouts(bench, "notes/2")
    assert absent.found is None
    assert absent.missing[0].startswith(
        "It was refused when it was read (once): Too large. It is tried again"
    )
    bench.toy.refused.clear()
    bench.model.refuses = lambda text: "Too much" in text
    bench.refresh()
    found = whereabouts(bench, "notes/2")
    assert states(found) == ["refused"]
    assert "The model refuses the text of 1 of 1 passages" in found.missing[0]


@both
def test_what_was_left_out_or_is_gone_or_held(bench: ToyBench) -> None:
    bench.toy.skipped = [SkippedItem("notes/9", "too large", 10, "It has 10 bytes.")]
    bench.toy.put(*(document(f"letters/{n}") for n in range(60)))
    bench.refresh()
    assert "leaves it out on purpose: too large" in whereabouts(bench, "notes/9").missing[0]
    gone = whereabouts(bench, "people/43")
    assert "had no such document when it was last read completely" in gone.missing[0]
    assert gone.near[0] == "people/42"
    bench.toy.documents = {"new/1": document("new/1")}
    with pytest.raises(RemovalsHeldError):
        bench.refresh()
    assert any("This run would remove" in each for each in whereabouts(bench, "new/1").missing)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [("peple/42", "people/42"), ("People/42", "people/42"), ("people/4", "people/42"), ("notes1", "notes/1")],
)
def test_ids_that_are_nearly_right(tmp_path: Path, asked: str, meant: str) -> None:
    with ToyBench(tmp_path) as bench:
        others = [document(f"{kind}/{n}") for kind in ("cases", "visits") for n in range(100)]
        bench.toy.put(document("notes/1"), document("people/42"), *others)
        bench.do("records")
        assert meant in near(bench, "crm", asked)


@both
def test_kinds_are_counted_by_an_index(ledger: Ledger) -> None:
    rows = [
        document_row("crm", "", "0" * 32, document(f"notes/{n}", "x" * 100, kind=f"k{n % 3}"))
        for n in range(3_000)
    ]
    with ledger.transaction() as connection:
        upsert(connection, tables.document, rows)
    d = tables.document
    query = sa.select(d.c.kind, sa.func.count()).where(d.c.source == "crm").group_by(d.c.kind)
    explain = "EXPLAIN QUERY PLAN " if ledger.is_sqlite else "EXPLAIN "
    literal = str(query.compile(ledger.engine, compile_kwargs={"literal_binds": True}))
    with ledger.transaction() as connection:
        if not ledger.is_sqlite:
            connection.exec_driver_sql("ANALYZE document")
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = "\n".join(str(row) for row in connection.exec_driver_sql(explain + literal))
    assert "ix_document_source_part_kind" in plan


def test_the_commands(built_once: Home, ingest_here: IngestHere) -> None:
    counted = json.loads(ingest_here(built_once, "document", "kinds", "--json").out)["sources"]
    assert sum(counted["crm"].values()) == DOCUMENTS
    assert "email" in ingest_here(built_once, "document", "kinds").out
    shown = ingest_here(built_once, "document", "show", "people/1", "--json")
    assert shown.status == 0
    found = json.loads(shown.out)
    assert found["document"]["document_id"] == "people/1"
    assert found["entity_id"] in found["entity_ids"]
    assert {each["state"] for each in found["passages"]} == {"indexed"}
    assert found["missing"] == []
    assert "All of it is in the index." in ingest_here(built_once, "document", "show", "people/1").out
    absent = ingest_here(built_once, "document", "show", "people/1x")
    assert absent.status == 1
    assert "Did you mean: people/1" in absent.out
