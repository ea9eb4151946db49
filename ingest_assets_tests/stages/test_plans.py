"""A page of a growing table costs the same however large the table is, with and without statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.model import digest_of
from ingest_assets.queries import entity_export
from ingest_assets.queries.entity_export import entity_members, exported
from ingest_assets.reconcile import Run
from ingest_assets.stages import chunks, collection, entities, vectors
from ingest_assets.stages.ahead import Shard
from ingest_assets.stages.chunks import Chunks, recorded_chunks
from ingest_assets.stages.collection import Collection
from ingest_assets.stages.vectors import DenseVectors, SparseVectorsStage
from ingest_assets_tests.support.plans import costs_of_pages
from ingest_assets_tests.support.small_parts import ToyBench

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
PAGE = 50
SMALL, LARGE = 400, 1_600
READ = 3  # pages, of which the first may have to pass what is done
OURS, OTHERS = "crm", "others"  # sources


@pytest.fixture(autouse=True)
def _pages_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (chunks, collection, entities, vectors):
        monkeypatch.setattr(module, "BATCH", PAGE)
    monkeypatch.setattr(chunks, "READ_BACK", PAGE)
    monkeypatch.setattr(vectors, "READ_AGAIN", PAGE)
    monkeypatch.setattr(entity_export, "PAGE", PAGE)


def _texts(bench: ToyBench, stage: str) -> Iterable[object]:
    made = bench.stage(OURS, stage)
    assert isinstance(made, DenseVectors | SparseVectorsStage)
    return made.texts(bench.ledger, Run())


def _texts_again(bench: ToyBench) -> Iterable[object]:
    made = bench.stage(OURS, "dense_vectors")
    assert isinstance(made, DenseVectors)
    return made.texts(bench.ledger, Run(again=tables.document.c.part == "half"))


def _of_shard(bench: ToyBench) -> Iterable[object]:
    made = bench.stage(OURS, "dense_vectors")
    assert isinstance(made, DenseVectors)
    return made.without(bench.ledger, within=Shard(1, 2).bounds)


def _documents(bench: ToyBench) -> Iterable[object]:
    made = bench.stage(OURS, "chunks")
    assert isinstance(made, Chunks)
    return made._pages(bench.ledger, Run())


def _points(bench: ToyBench) -> Iterable[object]:
    made = bench.stage(OURS, "collection")
    assert isinstance(made, Collection)
    return made._pages(bench.ledger, 1)


def _orphans(bench: ToyBench) -> Iterable[object]:
    made = bench.stage(OURS, "collection")
    assert isinstance(made, Collection)
    return made._removals(bench.ledger, 2, waiting=False)  # no chunk has the ids of generation 2


def _about(bench: ToyBench) -> Iterable[object]:
    made = bench.stage(OURS, "entities")
    return made.steps(bench.ledger, None, Run())  # type: ignore[arg-type]  # it needs no session


def _chunks(bench: ToyBench) -> Iterable[object]:
    return recorded_chunks(bench.ledger, OURS, "half")


def page_by_page(rows: Iterable[object]) -> Iterable[object]:
    """One of each page's rows: to ask for the next is to read the next page."""
    return islice(rows, 0, None, PAGE)


READS: dict[str, tuple[sa.TableClause, Callable[[ToyBench], Iterable[object]]]] = {
    "documents to chunk": (tables.document, _documents),
    "texts without a dense vector": (tables.chunk, lambda bench: _texts(bench, "dense_vectors")),
    "texts without a sparse vector": (tables.chunk, lambda bench: _texts(bench, "sparse_vectors")),
    "texts to embed again": (tables.document, _texts_again),
    "texts of a shard without a dense vector": (tables.chunk, _of_shard),
    "chunks without a point": (tables.chunk, _points),
    "points without a chunk": (tables.point, _orphans),
    "documents and their entities": (tables.document, _about),
    "chunks for events": (tables.document, _chunks),
    "members of entities": (entity_members, lambda bench: page_by_page(exported(bench.ledger, OURS))),
}


@pytest.mark.parametrize("statistics", [False, True])
@pytest.mark.parametrize("done", ["nothing", "half", "outdated"])
def test_a_page_costs_the_same_however_many_there_are(bench: ToyBench, done: str, statistics: bool) -> None:
    costs: dict[str, list[int]] = {}
    for numbers in (range(SMALL), range(SMALL, LARGE)):
        _fill(bench, numbers, done)
        if statistics:
            _gather_statistics(bench.ledger)
        for name, (table, read) in READS.items():
            pages = costs_of_pages(bench.ledger, islice(read(bench), READ), table)
            costs.setdefault(name, []).append(max(pages))
    for name, (small, large) in costs.items():
        said = f"{name}: a page looks at {small} rows of {SMALL}, and at {large} of {LARGE}"
        assert PAGE / 10 <= large <= 1.3 * small + PAGE / 2, said


def _fill(bench: ToyBench, numbers: range, done: str) -> None:
    """Documents of a chunk each, for two sources."""
    with bench.ledger.transaction() as connection:
        for source in (OURS, OTHERS):
            rows = _rows(bench, source, numbers, done)
            for table, of_table in rows.items():
                connection.execute(table.insert(), of_table)


def _rows(bench: ToyBench, source: str, numbers: range, done: str) -> dict[sa.Table, list[dict[str, Any]]]:
    made = bench.stage(OURS, "chunks")
    same = done == "half"
    found: dict[sa.Table, list[dict[str, Any]]] = {}
    for n in numbers:
        key, text = digest_of(source, str(n)), f"{source} {n} " + "word " * 40
        of_document = {"source": source, "document_id": key}
        common = {"kind": "note", "title": key, "uri": key}
        document = of_document | common | {"part": "half" if n % 2 else "", "digest": key, "body": text}
        chunk = of_document | common | {"chunk_id": key, "digest": key, "text_digest": digest_of(text)}
        point = {"collection": f"{source}_chunks", "chunk_id": key, "document_id": key, "entities_digest": ""}
        lost = point | {"generation": 2, "chunk_id": digest_of(key), "chunk_digest": key}
        _add(found, tables.document, document | {"context": "[]", "refs": "[]"})
        _add(found, tables.chunk, chunk | {"position": 0, "start": 0, "end": 1, "text": text})
        _add(found, tables.point, lost)
        entity = {"source": source, "entity_id": key, "kind": "person"}
        member = entity | {"document_id": key, "document_digest": key, "identity_digest": key, "seen": n}
        _add(found, tables.entity_member, member)
        _add(found, tables.entity_event, entity | {"number": n, "at": 0.0, "reason": "{}"})
        if done == "nothing" or (done == "half" and n % 2):
            continue
        state = made.fingerprint if same else digest_of("before")
        _add(found, tables.chunked, of_document | {"digest": key, "fingerprint": state})
        _add(found, tables.point, point | {"generation": 1, "chunk_digest": key if same else ""})
        about = {"document_digest": key, "digest": "", "entity_ids": "[]"}
        _add(found, tables.document_entities, of_document | about)
        for table, stage, values in VECTORS:
            model = bench.stage(OURS, stage).fingerprint if same else digest_of("before")
            _add(found, table, {"model": model, "text_digest": chunk["text_digest"]} | values)
    return found


VECTORS: list[tuple[sa.Table, str, dict[str, bytes]]] = [
    (tables.dense_vector, "dense_vectors", {"vector": b"v" * 64}),
    (tables.sparse_vector, "sparse_vectors", {"indices": b"i" * 64, "weights": b"w" * 64}),
]


def _add(rows: dict[sa.Table, list[dict[str, Any]]], table: sa.Table, row: dict[str, Any]) -> None:
    rows.setdefault(table, []).append(row)


def _gather_statistics(ledger: Ledger) -> None:
    with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in tables.metadata.sorted_tables:  # a database of tests holds many schemas
            connection.exec_driver_sql(f"ANALYZE {table.name}")
    ledger.engine.dispose()  # SQLite reads them when it opens the file
