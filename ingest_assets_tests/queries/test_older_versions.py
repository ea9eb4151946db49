"""What is found in an older version, because the newer one was refused, is marked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from ingest_assets.interfaces.cli import output
from ingest_assets.interfaces.mcp.searching import _hit
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import upsert
from ingest_assets.model import ItemError
from ingest_assets.queries import documents
from ingest_assets.queries.older_versions import _refused, older_versions
from ingest_assets.queries.search import open_search
from ingest_assets.queries.whereabouts import whereabouts
from ingest_assets.stages.chunks import Chunks
from ingest_assets_tests.support.engines import local_store
from ingest_assets_tests.support.small_parts import ToyBench, document

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
LONG = "The crane is by the water. " * 12  # several chunks


@pytest.fixture
def bench(tmp_path: Path, ledger_url: str) -> Iterator[ToyBench]:
    store = local_store()
    with ToyBench(tmp_path, ledger_url=ledger_url, store=store) as bench:
        bench.toy.put(document("notes/1", "crane " + LONG), document("notes/2", "crane, and no more"))
        bench.refresh()
        yield bench
    store.close()


def marks(bench: ToyBench, query: str = "crane") -> dict[str, set[str | None]]:
    """What is said of the hits of each document."""
    found: dict[str, set[str | None]] = {}
    for hit in open_search(bench, "crm").search(query, limit=50).hits:
        found.setdefault(hit.document_id, set()).add(hit.stale)
    return found


def older(reason: str) -> set[str | None]:
    return {f"This is an older version: the newer one was refused ({reason})."}


def test_a_record_that_cannot_be_read_any_more(bench: ToyBench) -> None:
    bench.toy.put(document("notes/1", "heron"))
    bench.toy.refused["notes/1"] = "its size exceeds CRM_MAX_DOCUMENT_CHARS"
    bench.refresh()
    assert marks(bench) == {
        "notes/1": older("its size exceeds CRM_MAX_DOCUMENT_CHARS"),
        "notes/2": {None},
    }
    found = documents.find(bench, "crm", "notes/1")
    assert found is not None
    assert {found.stale} == marks(bench)["notes/1"]
    bench.toy.refused.clear()
    bench.refresh()
    assert marks(bench, "heron")["notes/1"] == {None}


def test_every_door_says_so(bench: ToyBench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.toy.put(document("notes/1", "heron"))
    bench.toy.refused["notes/1"] = "Broken."
    bench.refresh()
    hits = open_search(bench, "crm").search("crane", limit=50)
    (said,) = older("Broken")
    shown = {hit["document_id"]: hit.get("stale", "absent") for hit in hits.to_dict()["hits"]}
    assert shown == {"notes/1": said, "notes/2": "absent"}
    assert {_hit(hit).stale for hit in hits.hits if hit.document_id == "notes/1"} == {said}
    output.hits(hits, as_json=False)
    assert str(said) in capsys.readouterr().out
    assert said in whereabouts(bench, "notes/1").missing


def test_a_document_that_cannot_be_cut(bench: ToyBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.toy.put(document("notes/1", "heron"))
    bench.do("records")
    stage = bench.stage("crm", "chunks")
    assert isinstance(stage, Chunks)

    def refuse(_document: object) -> None:
        raise ItemError("the parser died.")

    monkeypatch.setattr(type(stage.chunker), "chunks", lambda _self, each: refuse(each))
    bench.refresh()
    assert marks(bench)["notes/1"] == older("the parser died")
    found = documents.find(bench, "crm", "notes/1")
    assert found is not None
    assert (found.document.body, found.stale) == ("heron", None)  # the ledger has the newer one


def test_of_a_text_that_the_model_refuses_only_older_chunks_are_marked(bench: ToyBench) -> None:
    end = "Here is a {0}, and a {0}, and a {0}, by the sea. " * 3
    bench.toy.put(document("notes/1", "crane " + LONG + end.format("heron")))
    bench.refresh()
    bench.model.refuses = lambda text: "stork" in text
    bench.toy.put(document("notes/1", "crane " + LONG + end.format("stork")))
    bench.refresh()
    said = marks(bench)["notes/1"]
    assert older("the model refuses a text of it") < said
    assert None in said
    # A new document with such a text has no older version.
    bench.toy.put(document("notes/3", LONG + end.format("stork")))
    bench.refresh()
    assert marks(bench)["notes/3"] == {None}


def test_the_plan_looks_up_and_does_not_scan(ledger: Ledger) -> None:
    rows = [
        {
            "source": "crm", "stage": "records", "part": "", "item_id": f"notes/{n}", "digest": "",
            "error": "", "fingerprint": "", "attempts": 1, "first_at": 0, "last_at": 0,
        }
        for n in range(5_000)
    ]  # fmt: skip
    with ledger.transaction() as connection:
        upsert(connection, tables.parked, rows)
    given = {"source": "crm", "ids": [f"notes/{n}" for n in range(100)]}
    query = _refused("records").params(**given)
    literal = query.compile(ledger.engine, compile_kwargs={"literal_binds": True})
    explain = "EXPLAIN QUERY PLAN " if ledger.is_sqlite else "EXPLAIN "
    with ledger.transaction() as connection:
        if not ledger.is_sqlite:
            connection.execute(sa.text("ANALYZE parked"))
        plan = "\n".join(str(row) for row in connection.exec_driver_sql(explain + str(literal)))
    assert "SCAN parked" not in plan
    assert "Seq Scan on parked" not in plan
    assert "SCAN document" not in plan
    assert "SCAN chunk" not in plan


def test_without_documents_there_is_nothing(bench: ToyBench) -> None:
    assert older_versions(bench, "crm", []) == {}
