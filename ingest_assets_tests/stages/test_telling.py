"""A run says what is recorded while it goes on: each item once, in order, and never before it is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets.jobs.errors import JobCancelledError
from ingest_assets.ledger import tables
from ingest_assets.model import SkippedItem, SourceUnavailableError
from ingest_assets.reconcile import Run, reconcile
from ingest_assets.stages import chunks, records
from ingest_assets.stages.vectors import DenseVectors
from ingest_assets_tests.embedding.endpoint_server import Reply, good_answer, model_at, serving
from ingest_assets_tests.support.small_parts import ToyBench, document

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
KEYS = [f"notes/{n:02}" for n in range(40)]


class Heard:
    """What a run says, checked against the ledger at that moment."""

    def __init__(self, bench: ToyBench) -> None:
        self.bench = bench
        self.ids: list[str] = []
        self.skipped: list[str] = []
        self.calls = 0
        self.reached: list[str] = []

    def read(self, ids: Sequence[str], skipped: Sequence[SkippedItem]) -> None:
        self.calls += 1
        self.ids += ids
        self.skipped += [each.id for each in skipped]
        d, p = tables.document, tables.parked
        with self.bench.ledger.reading() as connection:
            there = {*connection.scalars(sa.select(d.c.document_id))}
            there |= {*connection.scalars(sa.select(p.c.item_id))}
        assert there >= set(ids)

    def reach(self, document_id: str) -> None:
        self.reached.append(document_id)
        done = tables.chunked.c.document_id
        with self.bench.ledger.reading() as connection:
            there = {*connection.scalars(sa.select(done))}
        assert there >= {key for key in KEYS if key <= document_id}

    def run(self, stage: str, **options: bool) -> None:
        run: Run = replace(self.bench.run(**options), read=self.read, reached=self.reach)
        reconcile(self.bench.stage("crm", stage), self.bench.ledger, run)


@pytest.fixture(autouse=True)
def _steps_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "BATCH", 4)
    monkeypatch.setattr(chunks, "BATCH", 7)
    monkeypatch.setattr(chunks, "BATCH_CHARS", 40)


def fill(bench: ToyBench) -> None:
    bench.toy.put(*(document(key, f"The note {key}.") for key in KEYS))


@both
def test_items_are_told_as_they_are_recorded(bench: ToyBench) -> None:
    fill(bench)
    bench.toy.refused = {"notes/07": "no"}
    bench.toy.skipped = [SkippedItem("notes/logo", "binary", 3, "")]
    heard = Heard(bench)
    heard.run("records")
    assert (heard.ids, heard.skipped) == (KEYS, ["notes/logo"])
    assert heard.calls > 3
    # Also those that are known, and whatever has changed among them; a rebuild tells the same.
    bench.toy.put(document("notes/20", "Changed."), document("notes/40", "New."))
    for options in ({}, {"rebuild": True}):
        again = Heard(bench)
        again.run("records", **options)
        assert again.ids == ([*KEYS, "notes/40"] if again.calls else [])
    del bench.toy.documents["notes/40"]
    # Something that is gone has the source read twice, and told once.
    del bench.toy.documents["notes/03"]
    less = Heard(bench)
    less.run("records")
    assert less.ids == [key for key in KEYS if key != "notes/03"]


@both
def test_a_read_that_breaks_has_told_what_is_recorded(bench: ToyBench) -> None:
    fill(bench)
    bench.toy.fails_after = 25
    heard = Heard(bench)
    with pytest.raises(SourceUnavailableError):
        heard.run("records")
    assert heard.ids == KEYS[: len(heard.ids)]
    assert heard.ids


@both
def test_a_read_that_finds_nothing_can_be_stopped(bench: ToyBench) -> None:
    fill(bench)
    bench.toy.signed = False  # so that it is read, though nothing has changed
    bench.do("records")
    given: list[int] = []
    bench.toy.before = lambda: given.append(1)

    def stop(_ids: Sequence[str], _skipped: Sequence[SkippedItem]) -> None:
        if len(given) > len(KEYS) // 2:
            raise JobCancelledError("stop")

    with pytest.raises(JobCancelledError):
        reconcile(bench.stage("crm", "records"), bench.ledger, replace(bench.run(), read=stop))
    assert len(given) < len(KEYS)


@both
def test_chunks_are_told_up_to_a_document(bench: ToyBench) -> None:
    fill(bench)
    bench.do("records")
    heard = Heard(bench)
    heard.run("chunks")
    assert heard.reached == sorted(set(heard.reached))
    assert len(heard.reached) > 7
    assert heard.reached[-1] == KEYS[-1]


@both
def test_texts_are_told_while_a_slow_model_is_still_at_their_page(bench: ToyBench) -> None:
    refused = "number 17"
    for key in KEYS:
        bench.toy.put(document(key, f"The note number {key[-2:]}."))
    for stage in ("records", "chunks"):
        bench.do(stage)
    told: list[str] = []
    recorded: set[int] = set()

    def worked(ids: Iterable[str]) -> None:
        told.extend(ids)
        with bench.ledger.reading() as connection:
            recorded.add(connection.scalar(sa.select(sa.func.count()).select_from(tables.dense_vector)) or 0)

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        if any(refused in text for text in body["input"]):
            return {"data": []}  # fewer vectors than texts
        return good_answer(body)

    with serving() as endpoint:
        endpoint.usual = Reply(body=answer)
        model = model_at(endpoint, batch_count=3, concurrency=4)
        outcomes = reconcile(DenseVectors("crm", model), bench.ledger, replace(bench.run(), worked=worked))
    assert (outcomes.added, outcomes.parked) == (len(KEYS) - 1, 1)
    # Each once, though those beside the refused one were embedded again; all before the page was recorded,
    # but for the one that was refused, which is worked off with its page.
    assert sorted(told) == KEYS
    assert told[-1] == "notes/17"
    assert recorded == {0, len(KEYS) - 1}
