"""The property that everything rests on: a refresh after any history gives what a build from nothing gives.

A history is a list of operations on a source, with crashes, partial runs, refusals and losses in between.
`World.check` compares everything that is recorded, and everything that the store holds, with a fresh build.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import strategies as st

from ingest_assets.ledger import Ledger, tables
from ingest_assets.model import Document, Identity, SourceUnavailableError
from ingest_assets.queries.search import Searcher
from ingest_assets.reconcile import Stage, content_of
from ingest_assets.sources.crm.definition import SOURCE as CRM
from ingest_assets.stages import chunks, collection, entities, records, vectors
from ingest_assets.stages.adoption import adopt
from ingest_assets.stages.audit import accept_observed, audit
from ingest_assets.stages.collection import IncompleteError
from ingest_assets.stages.vectors import model_key
from ingest_assets_tests.support.comparing import assert_same_contents, named_contents, recorded
from ingest_assets_tests.support.crashes import Crash, Fuse, FusedStage, FusedStore
from ingest_assets_tests.support.engines import Engines
from ingest_assets_tests.support.small_parts import (
    COLLECTION,
    Stored,
    ToyBench,
    ToyModel,
    ToySource,
    document,
    dump,
)

# Documents. Few and small, from few words, so that they collide: equal texts, shared identifiers, reverts.
KEYS = ["people/1", "people/2", "people/3", "notes/1", "notes/2", "notes/\"é'/\u202e3", "notes/4"]
_sentences = st.sampled_from(
    [
        "The invoice went out on Monday morning.",
        "Nobody has answered the letter about the crane yet!",
        "We met in Utrecht, and talked of prices.",
        "Poison.",
        "the and of",
        "Ваше предложение действует до пятницы.",
        "أرسلنا العقد أمس 📎.",
    ]
)
_paragraphs = st.lists(_sentences, max_size=4).map(" ".join)
_bodies = st.lists(_paragraphs, max_size=4).map("\n\n".join)
_identities = st.none() | st.builds(
    Identity,
    kind=st.sampled_from(["person", "organisation"]),
    name=st.sampled_from(["Ada Lovelace", "A. Lovelace", "Lovelace, Ada", "Grace Hopper", "Somebody"]),
    emails=st.lists(st.sampled_from(["a@acme.org", "b@acme.org", "c@beta.net"]), max_size=2).map(tuple),
    phones=st.lists(st.sampled_from(["+31 30 123 4567", "0031301234567"]), max_size=1).map(tuple),
    domains=st.lists(st.sampled_from(["acme.org", "www.beta.net"]), max_size=1).map(tuple),
)
keys = st.sampled_from(KEYS)
documents = st.builds(
    document,
    keys,
    _bodies,
    title=st.sampled_from(["", "A title", "Another title"]),
    kind=st.sampled_from(["person", "note"]),
    time=st.sampled_from([None, "2024-02-29T12:00:00Z"]),
    context=st.sampled_from([(), (("From", "Ada"),)]),
    refs=st.lists(keys, max_size=2),
    identity=_identities,
)

Operation = tuple[Any, ...]
_points = st.integers(0, 50)
_edits: st.SearchStrategy[Operation] = st.one_of(
    st.tuples(st.just("put"), documents),
    st.tuples(st.just("put"), documents),
    st.tuples(st.just("delete"), keys),
    st.tuples(st.just("revert")),
)
_runs: st.SearchStrategy[Operation] = st.one_of(
    st.tuples(st.just("refresh")),
    st.tuples(st.just("crash"), _points, st.booleans()),
    st.tuples(st.just("crash"), _points, st.just(value=False)),
    st.tuples(st.just("one_stage"), st.sampled_from(CRM.stage_names), st.none() | _points),
)
_mishaps: st.SearchStrategy[Operation] = st.one_of(
    st.tuples(st.just("break_off"), st.integers(0, 8)),
    st.tuples(st.just("refuse"), keys),
    st.tuples(st.just("refuse_texts")),
    st.tuples(st.just("switch_model")),
    st.tuples(st.just("clear")),
    st.tuples(st.just("lose_store")),
    st.tuples(st.just("lose_ledger")),
    st.tuples(st.just("repair")),
    st.tuples(st.just("check")),
)
_rounds = st.builds(
    lambda edits, mishap, run, undone: [*edits, *mishap, run, *undone],
    st.lists(_edits, min_size=1, max_size=3),
    st.lists(_mishaps, max_size=1),
    _runs,
    st.lists(st.just(("revert",)), max_size=1),
)
histories = st.lists(_rounds, min_size=1, max_size=4).map(
    lambda rounds: [step for each in rounds for step in each]
)


class FusedBench(ToyBench):
    """A bench that can crash at every point at which something is done or recorded."""

    fuse: Fuse

    def stage(self, source: str, name: str, *, part: str = "", retrain: bool = False) -> Stage:
        return FusedStage(super().stage(source, name, part=part, retrain=retrain), self.fuse)


@dataclass(frozen=True)
class FromNothing:
    """What a build from nothing records, embeds, holds and finds."""

    recorded: dict[str, list[tuple[Any, ...]]]
    vectors: dict[str, list[tuple[Any, ...]]]
    contents: Stored
    found: dict[str, list[tuple[float, str]]]


@dataclass
class World:
    """A source with its index, and the past that a history gives it."""

    engines: Engines
    toy: ToySource = field(default_factory=ToySource)
    model: ToyModel = field(default_factory=ToyModel)
    fuse: Fuse = field(default_factory=Fuse)
    reverts: list[dict[str, Document]] = field(default_factory=list)
    # By what they were built from. Worlds on the same engines may share them.
    builds: dict[str, FromNothing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.toy.before = self.model.before = self.fuse.point
        self.home = self.engines.folder()
        self.store, self.ledger = self.engines.lend_store(), self.engines.lend_ledger()
        self._reopen()

    def _reopen(self) -> None:
        fused = FusedStore(self.store, self.fuse)
        self.bench = FusedBench(self.home, source=self.toy, model=self.model, ledger=self.ledger, store=fused)
        self.bench.fuse = self.fuse

    def close(self) -> None:
        self.engines.take_store(self.store)
        self.engines.take_ledger(self.ledger)

    # Operations

    def put(self, each: Document) -> None:
        self.reverts.append(dict(self.toy.documents))
        self.toy.put(each)

    def delete(self, key: str) -> None:
        self.reverts.append(dict(self.toy.documents))
        self.toy.documents.pop(key, None)

    def clear(self) -> None:
        self.reverts.append(dict(self.toy.documents))
        self.toy.documents.clear()

    def revert(self) -> None:
        """Undo the last edit; a digest that was recorded before comes back with it."""
        if self.reverts:
            self.toy.documents = self.reverts.pop()

    def refuse(self, key: str) -> None:
        """A document cannot be rendered until the next check."""
        self.toy.refused[key] = "cannot be rendered"

    def refuse_texts(self) -> None:
        """Some texts cannot be embedded until the next check."""
        self.model.refuses = lambda text: "Poison" in text

    def switch_model(self) -> None:
        self.model.revision = "2" if self.model.revision == "1" else "1"
        self._reopen()

    def refresh(self) -> None:
        self.bench.refresh()

    def crash(self, points: int, rebuild: bool, unharmed: Sequence[str] = ()) -> bool:
        """A run that crashes at one of the points. False if it completed before."""
        for name in unharmed:
            self.bench.do(name, rebuild=rebuild)
        self.fuse.light(points)
        with suppress(Crash):
            self.bench.refresh(rebuild=rebuild)
        crashed = self.fuse.burnt
        self.fuse.light(None)
        self._reopen()
        return crashed

    def one_stage(self, name: str, points: int | None) -> None:
        self.fuse.light(points)
        with suppress(Crash, IncompleteError):
            self.bench.do(name)
        self.fuse.light(None)

    def break_off(self, after: int) -> None:
        """The source breaks while it is read."""
        self.toy.fails_after = after
        before = recorded(self.ledger)["document"]
        with suppress(SourceUnavailableError):
            self.bench.refresh(rebuild=True)
        self.toy.fails_after = None
        held = {row[0] for row in recorded(self.ledger)["document"]}
        if after <= len(self.toy.documents):
            assert held >= {row[0] for row in before}

    def lose_store(self) -> None:
        self.engines.take_store(self.store)
        self.store = self.engines.lend_store()
        self._reopen()

    def lose_ledger(self) -> None:
        self.engines.take_ledger(self.ledger)
        self.ledger = self.engines.lend_ledger()
        self._reopen()
        adopt(self.bench, "crm")

    def repair(self) -> None:
        accept_observed(self.bench.collection("crm"), self.ledger, 5)

    # The check

    def check(self) -> None:
        self.toy.refused.clear()
        self.model.refuses = lambda _text: False
        retry = any(row for row in dump(self.ledger)["parked"] if row[1] == "dense_vectors")
        outcomes = self.bench.refresh(retry_parked=retry)
        assert sum(o.parked for o in outcomes.values()) == 0
        self._compare_with_a_build_from_nothing()
        self._compare_sums_with_a_scan()
        found = audit(self.bench.collection("crm"), self.ledger)
        assert found.agrees, found
        assert found.expected == found.present
        self._again()
        self._nothing_is_left_over()

    def _again(self) -> None:
        """With nothing changed, nothing is done.

        After a loss was repaired, or another model's vectors were deleted, one more run has to look first.
        """
        if any(row[-1] is None for row in dump(self.ledger)["stage"]):
            assert [o.moved for o in self.bench.refresh().values()] == [0] * len(CRM.stage_names)
        before, embedded, rendered = dump(self.ledger), self.model.calls, len(self.toy.rendered)
        outcomes = self.bench.refresh()
        assert [o.moved for o in outcomes.values()] == [0] * len(CRM.stage_names)
        assert (self.model.calls, len(self.toy.rendered)) == (embedded, rendered)
        after = dump(self.ledger)
        for table, rows in before.items():
            assert after[table] == rows, table

    def _nothing_is_left_over(self) -> None:
        """A generation that a crash left behind goes with the next run that has something to do."""
        self.repair()
        assert self.bench.do("collection").moved == 0
        assert sorted(self.store.generations(COLLECTION)) == _known_generations(self.ledger)

    def _compare_with_a_build_from_nothing(self) -> None:
        documents = list(self.toy.documents.values())
        key = repr((self.model.revision, documents))
        if key not in self.builds:
            self.builds[key] = self._build_from_nothing(documents)
        fresh = self.builds[key]
        ours = recorded(self.ledger)
        for table, rows in fresh.recorded.items():
            assert ours[table] == rows, table
        self._compare_vectors(fresh.vectors)
        assert_same_contents(named_contents(self.store, self.ledger), fresh.contents)
        for query, found in fresh.found.items():
            assert _found(self.bench, query) == found

    def _build_from_nothing(self, documents: Sequence[Document]) -> FromNothing:
        store, ledger = self.engines.lend_store(), self.engines.lend_ledger()
        model = ToyModel(self.model.revision)
        fresh = ToyBench(self.home, source=ToySource(documents), model=model, ledger=ledger, store=store)
        fresh.refresh()
        made = FromNothing(
            recorded=recorded(ledger),
            vectors=dump(ledger),
            contents=named_contents(store, ledger),
            found={query: _found(fresh, query) for query in ("invoice", "crane letter")},
        )
        self.engines.take_store(store)
        self.engines.take_ledger(ledger)
        return made

    def _compare_vectors(self, theirs: dict[str, list[tuple[Any, ...]]]) -> None:
        mine, ours = model_key(self.model.identity), dump(self.ledger)
        assert [r for r in ours["dense_vector"] if r[0] == mine] == theirs["dense_vector"]
        assert ours["sparse_vector"] == theirs["sparse_vector"]

    def _compare_sums_with_a_scan(self) -> None:
        with self.ledger.reading() as connection:
            sums = {
                "records": _sum(connection, tables.document, "document_id"),
                "entities": _sum(connection, tables.document_entities, "document_id"),
                "chunks": _sum(connection, tables.chunk, "chunk_id"),
            }
            rows = {r.stage: r.content for r in connection.execute(sa.select(tables.stage))}
        assert {name: rows[name] for name in sums} == sums


def _sum(connection: sa.Connection, table: sa.Table, key: str) -> str:
    rows = connection.execute(sa.select(table.c[key], table.c.digest)).all()
    return f"{sum(content_of(*row) for row in rows) % (1 << 128):032x}"


def _found(bench: ToyBench, query: str) -> list[tuple[float, str]]:
    # Scores of equal hits depend on the engine's order of addition in their last bits.
    hits = Searcher(bench, "crm").search(query, limit=100).hits
    return sorted((round(hit.score, 4), hit.chunk_id) for hit in hits)


def _known_generations(ledger: Ledger) -> list[int]:
    return sorted(row[1] for row in dump(ledger)["generation"])


def run_history(engines: Engines, history: Sequence[Operation]) -> None:
    """The operations in order, then a check."""
    world = World(engines)
    for name, *arguments in history:
        getattr(world, name)(*arguments)
    world.check()
    world.close()


@contextmanager
def small_batches() -> Iterator[None]:
    """Batches of two and three, so that a few documents make many steps."""
    with pytest.MonkeyPatch.context() as patch:
        for module, size in ((records, 3), (entities, 2), (chunks, 2), (vectors, 3), (collection, 3)):
            patch.setattr(module, "BATCH", size)
        patch.setattr(vectors, "REMOVAL_BATCH", 2)
        yield
