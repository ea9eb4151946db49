"""Memoised vectors are shared by sources: one does not delete what another needs by now."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from ingest_assets.ledger import tables
from ingest_assets.reconcile import Run
from ingest_assets_tests.support.small_parts import ToyBench, document


def test_a_vector_that_another_source_needs_by_now_is_kept(tmp_path: Path) -> None:
    with ToyBench(tmp_path) as bench:
        bench.toy.put(document("people/1", "A text of two sources."))
        bench.refresh()
        with bench.ledger.reading() as connection:
            chunk = dict(connection.execute(sa.select(tables.chunk)).mappings().one())
        del bench.toy.documents["people/1"]
        bench.do("records")
        bench.do("chunks")
        stage = bench.stage("crm", "dense_vectors")
        with bench.ledger.session() as session:
            steps = list(stage.steps(bench.ledger, session, Run()))  # planned while nobody needs it
            with session.begin():
                session.execute(tables.chunk.insert(), [chunk | {"source": "repositories"}])
            removed = 0
            for step in steps:
                with session.begin():
                    removed += step.record(session).outcomes.removed
        assert removed == 0
        with bench.ledger.reading() as connection:
            assert connection.scalar(sa.select(tables.dense_vector.c.text_digest)) == chunk["text_digest"]
