"""A stage asks whether it must stop after little work, whatever it is at; what it did until then stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.collection.base import Points, Writer
from ingest_assets.collection.owned import OwnedStore
from ingest_assets.reconcile import Run, reconcile
from ingest_assets.sources.crm.definition import SOURCE
from ingest_assets.stages import chunks, collection, records, vectors
from ingest_assets.stages.document_rows import document_of
from ingest_assets.stopping import stopped_by
from ingest_assets_tests.support.engines import local_store
from ingest_assets_tests.support.small_parts import ToyBench, contents, document, dump

BATCH = 5
DOCUMENTS = 60
STAGES = ("records", "chunks", "dense_vectors", "sparse_vectors", "collection")


class Stopped(Exception):  # noqa: N818 - it stands for a cancelled job
    """Somebody asked the work to stop."""


class Watch:
    """Counts what is done between two questions whether to stop, and answers one of them with yes."""

    def __init__(self, stops_at: int | None = None) -> None:
        self.stops_at = stops_at
        self.asked = self.most = self._since = 0

    def work(self, items: int = 1) -> None:
        self._since += items
        self.most = max(self.most, self._since)

    def ask(self, *_: object) -> None:
        self._since = 0
        self.asked += 1
        if self.asked == self.stops_at:
            raise Stopped


@pytest.fixture(autouse=True)
def _batches_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (chunks, collection, records, vectors):
        monkeypatch.setattr(module, "BATCH", BATCH)


@pytest.fixture
def bench(tmp_path: Path, ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ToyBench]:
    store = local_store()
    monkeypatch.setattr(
        store, "commit_every", None
    )  # as the embedded engine: nothing is recorded until its end
    with ToyBench(tmp_path, ledger_url=ledger_url, store=store) as bench:
        bench.toy.signed = False  # it is read each time
        bench.toy.put(*(document(f"notes/{n}", f"About number {n}.") for n in range(DOCUMENTS)))
        yield bench
    store.close()


@contextmanager
def watched(bench: ToyBench, watch: Watch) -> Iterator[None]:
    """Each document that is read or cut, each text that is embedded and each point is work."""
    with pytest.MonkeyPatch.context() as patch, stopped_by(watch.ask):
        patch.setattr(bench.toy, "before", watch.work)
        embed, writer = bench.model.embed, OwnedStore.writer

        def counted(texts: Sequence[str]) -> Any:
            watch.work(len(texts))
            return embed(texts)

        patch.setattr(bench.model, "embed", counted)
        patch.setattr(chunks, "document_of", _also(document_of, watch.work))

        @contextmanager
        def writing(store: OwnedStore, name: str, number: int) -> Iterator[Writer]:
            with writer(store, name, number) as inner:
                yield _Writer(inner, watch)

        patch.setattr(OwnedStore, "writer", writing)
        yield


class _Writer:
    def __init__(self, inner: Writer, watch: Watch) -> None:
        self._inner, self._watch, self.commit = inner, watch, inner.commit

    def upsert(self, points: Points) -> None:
        self._watch.work(len(points.ids))
        self._inner.upsert(points)

    def delete(self, ids: Sequence[str]) -> None:
        self._watch.work(len(ids))
        self._inner.delete(ids)


def _also(call: Callable[[Any], Any], work: Callable[[], None]) -> Callable[[Any], Any]:
    def both(argument: Any) -> Any:
        work()
        return call(argument)

    return both


def do(bench: ToyBench, stage: str, watch: Watch, *, rebuild: bool = False) -> None:
    run = Run(rebuild, progress=watch.ask, read=watch.ask, reached=watch.ask, allow_removals=True)
    with watched(bench, watch):
        reconcile(bench.stage("crm", stage), bench.ledger, run)


def refresh(bench: ToyBench, *, rebuild: bool = False) -> Counter[str]:
    """A refresh; the most work between two questions, by stage."""
    most: Counter[str] = Counter()
    for stage in SOURCE.stage_names:
        watch = Watch()
        do(bench, stage, watch, rebuild=rebuild)
        most[stage] = watch.most
    return most


def test_little_work_is_done_between_two_questions(bench: ToyBench) -> None:
    for rebuild in (False, True, False):  # from scratch; all again; a read that finds nothing
        most = refresh(bench, rebuild=rebuild)
        assert max(most.values()) <= 2 * BATCH, most
        assert most["records"] >= BATCH
    bench.toy.documents = dict([*bench.toy.documents.items()][: DOCUMENTS // 2])
    assert max(refresh(bench).values()) <= 2 * BATCH


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("stops_at", [1, 2, 7])
def test_a_stage_that_is_stopped_is_gone_on_with(bench: ToyBench, stage: str, stops_at: int) -> None:
    for name in SOURCE.stage_names:
        if name == stage:
            with pytest.raises(Stopped):
                do(bench, name, Watch(stops_at))
        do(bench, name, Watch())
    with ToyBench(bench.settings.ingest_home / "other", source=bench.toy, store=local_store()) as fresh:
        fresh.refresh()
        # Its vectors may differ in their last digit, because the engine normalises them once more.
        assert _payloads(bench) == _payloads(fresh)
        assert _digests(bench) == _digests(fresh)


def _payloads(bench: ToyBench) -> dict[str, Any]:
    return {key: payload for key, (payload, *_) in contents(bench.engine).items()}


def _digests(bench: ToyBench) -> dict[str, Any]:
    there = dump(bench.ledger, but=("last_success", "input_digest_at_success", "seen", "at", "number"))
    return {name: there[name] for name in ("document", "chunk", "dense_vector", "sparse_vector")}
