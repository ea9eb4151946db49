"""A disk that fills while a stage records what it did: a failure that says so, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.model import UnavailableError
from ingest_assets.sources.crm.definition import SOURCE
from ingest_assets.stages import chunks, records, vectors
from ingest_assets_tests.support.small_parts import ToyBench, contents, document, dump

STAGES = ("records", "chunks", "dense_vectors", "sparse_vectors", "collection")
KEPT = ("document", "chunk", "dense_vector", "sparse_vector", "point", "parked")


@pytest.fixture(autouse=True)
def _batches_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (chunks, records, vectors):
        monkeypatch.setattr(module, "BATCH", 20)


@contextmanager
def full_after(ledger: Ledger, pages: int) -> Iterator[None]:
    """SQLite may grow its file by so many pages, and then finds the disk full."""

    def limit(driver: Any, _record: object) -> None:
        there = driver.execute("PRAGMA page_count").fetchone()[0]
        driver.execute(f"PRAGMA max_page_count = {there + pages}")

    sa.event.listen(ledger.engine, "connect", limit)
    ledger.engine.dispose()
    try:
        yield
    finally:
        sa.event.remove(ledger.engine, "connect", limit)
        ledger.engine.dispose()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("pages", [0, 3])
def test_a_stage_that_finds_the_disk_full_is_gone_on_with(bench: ToyBench, stage: str, pages: int) -> None:
    with ToyBench(bench.settings.ingest_home / "other", source=bench.toy) as fresh:
        bench.toy.put(*(document(f"notes/{n}", f"About number {n}. " * 9) for n in range(120)))
        fresh.refresh()
        for name in SOURCE.stage_names:
            if name == stage:
                before = _rows(bench.ledger)
                with full_after(bench.ledger, pages), pytest.raises(UnavailableError, match="full"):
                    bench.do(name)
                after = _rows(bench.ledger)
                assert all(after[table] >= before[table] for table in before)
            bench.do(name)
        wanted, found = dump(fresh.ledger), dump(bench.ledger)
        assert [len(found[name]) for name in KEPT] == [len(wanted[name]) for name in KEPT]
        assert {key: payload for key, (payload, *_) in contents(bench.engine).items()} == {
            key: payload for key, (payload, *_) in contents(fresh.engine).items()
        }


def _rows(ledger: Ledger) -> dict[str, int]:
    with ledger.reading() as connection:
        return {
            name: connection.scalar(sa.select(sa.func.count()).select_from(tables.metadata.tables[name])) or 0
            for name in ("document", "chunk", "dense_vector", "sparse_vector")
        }
