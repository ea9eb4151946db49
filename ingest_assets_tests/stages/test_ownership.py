"""Whose index it is: two installations on one store, and taking over on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.collection import owned
from ingest_assets.collection.base import Store
from ingest_assets.collection.marks import NAME, Mark
from ingest_assets.collection.owned import NotOursError
from ingest_assets.ledger.installation import Installation
from ingest_assets.queries.doctor import _store as look_at_store
from ingest_assets.queries.search import Searcher
from ingest_assets.queries.status import source_status
from ingest_assets.stages.adoption import adopt, takeovers
from ingest_assets.stages.audit import accept_observed, audit
from ingest_assets.stages.checks import COLLECTION_CHECKS
from ingest_assets_tests.support.comparing import assert_same_contents
from ingest_assets_tests.support.crashes import Fuse, FusedStore
from ingest_assets_tests.support.engines import STORES, new_store
from ingest_assets_tests.support.ownership import remove_marks, spoil_mark
from ingest_assets_tests.support.small_parts import COLLECTION, ToyBench, contents, document

Bench = Callable[..., ToyBench]


@pytest.fixture(params=STORES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    store = new_store(request.param, tmp_path)
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "postgres"])
def bench(
    request: pytest.FixtureRequest, tmp_path: Path, engine: Store, ledger_url_of: Callable[[str], str]
) -> Iterator[Bench]:
    """Gives benches on the same store, each with a folder, a ledger and a source of its own."""
    opened: list[ToyBench] = []

    def one(name: str, **parts: Any) -> ToyBench:
        home = tmp_path / name
        home.mkdir(exist_ok=True)
        sqlite = f"sqlite:///{home / 'ledger.sqlite'}"
        url = sqlite if request.param == "sqlite" else ledger_url_of("postgres")
        opened.append(ToyBench(home, **{"ledger_url": url, "store": engine, **parts}))
        return opened[-1]

    yield one
    for each in opened:
        each.close()


def _fill(bench: ToyBench, count: int, word: str) -> None:
    bench.toy.put(*(document(f"notes/{n}", f"{word} number {n}.") for n in range(count)))


def _run(bench: ToyBench, **options: bool) -> None:
    bench.refresh(**options)


def _everything(engine: Store) -> dict[int, Any]:
    return {number: contents(engine, COLLECTION, number) for number in engine.generations(COLLECTION)}


@pytest.fixture
def first(bench: Bench) -> ToyBench:
    """An installation with an index on the store."""
    one = bench("first", ingest_installation_name="The first")
    _fill(one, 30, "Whale")
    one.refresh()
    return one


@pytest.fixture
def second(bench: Bench) -> ToyBench:
    """Another one, which has not built anything yet."""
    one = bench("second", ingest_installation_name="The second")
    _fill(one, 3, "Heron")
    return one


REFUSED = r'belongs to the installation "The first" \(.{8}\); this is the installation "The second" \(.{8}\)'


def test_the_first_build_of_another_installation_destroys_nothing(
    first: ToyBench, second: ToyBench, engine: Store
) -> None:
    before = _everything(engine)
    for rebuild in (False, True):
        with pytest.raises(NotOursError, match=REFUSED):
            second.refresh(rebuild=rebuild)
    assert engine.live(COLLECTION) == 1
    assert _everything(engine) == before
    assert source_status(first, "crm").points == len(before[1])
    assert source_status(first, "crm").problem is None
    assert first.do("collection").moved == 0
    assert audit(first.collection("crm"), first.ledger).agrees
    first.toy.put(document("notes/new", "The first goes on."))
    assert first.refresh()["collection"].added == 1


def test_what_is_anothers_is_neither_searched_nor_counted_nor_repaired(
    first: ToyBench, second: ToyBench, engine: Store
) -> None:
    before = _everything(engine)
    with pytest.raises(NotOursError, match=REFUSED):
        Searcher(second, "crm").search("whale", mode="sparse")
    with pytest.raises(NotOursError):
        audit(second.published("crm"), second.ledger)
    with pytest.raises(NotOursError):
        accept_observed(second.published("crm"), second.ledger, 5)
    for check in COLLECTION_CHECKS:
        if check.name not in {"nothing_parked", "no_removal_held"}:
            with pytest.raises(NotOursError):
                check.run(second, "crm")
    status = source_status(second, "crm")
    assert (status.points, status.generation) == (0, None)
    assert "The first" in str(status.problem)
    assert "ingest adopt" in str(status.problem)
    assert [found.state for found in look_at_store(second)] == ["wrong", "ok"]
    assert [found.state for found in look_at_store(first)] == ["ok"]
    assert _everything(engine) == before


def test_the_owner_whose_name_points_to_anothers_points_is_told(
    first: ToyBench, second: ToyBench, engine: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same generation number in the ledger of each, so that nothing but the mark tells them apart."""
    find = Searcher(first, "crm").search
    assert find("whale", mode="sparse").hits
    engine.set_mark(COLLECTION, 1, second.store.own_mark(COLLECTION))
    monkeypatch.setattr(owned, "SEARCHED_S", -1)
    with pytest.raises(NotOursError, match=r"Generation 1 of crm_chunks .* belongs to .*The second"):
        find("whale", mode="sparse")
    with pytest.raises(NotOursError):
        first.refresh()
    with pytest.raises(NotOursError):
        first.store.drop(COLLECTION, 1)
    assert source_status(first, "crm").points == 0
    assert "The second" in str(source_status(first, "crm").problem)


def test_prefixes_keep_installations_on_one_store_apart(first: ToyBench, bench: Bench, engine: Store) -> None:
    before = contents(engine)
    other = bench("other", ingest_collection_prefix="other-")
    _fill(other, 3, "Heron")
    other.refresh()
    assert len(contents(engine, f"other-{COLLECTION}")) == 3
    hits = Searcher(other, "crm").search("number", mode="sparse", limit=100)
    assert (len(hits.hits), hits.collection) == (3, f"other-{COLLECTION}")
    other.refresh(rebuild=True)
    assert audit(other.published("crm"), other.ledger).agrees
    assert contents(engine) == before
    assert len(Searcher(first, "crm").search("number", mode="sparse", limit=100).hits) == 30
    assert source_status(other, "crm").points == 3


def test_adopting_takes_the_index_and_the_next_run_replaces_it(
    first: ToyBench, second: ToyBench, engine: Store
) -> None:
    before = contents(engine)
    (found,) = takeovers(second, "crm")
    assert "crm_chunks (generations: 1; live: 1)" in found.what
    assert ("The first" in found.whose, "The second" in found.whose_then) == (True, True)
    adopt(second, "crm")
    assert takeovers(second, "crm") == []
    assert contents(second.store) == before
    second.refresh()
    assert engine.live(COLLECTION) == 2
    assert len(contents(second.store)) == 3
    assert audit(second.published("crm"), second.ledger).agrees
    # Now it is the first one that is refused, whatever its ledger remembers.
    for rebuild in (False, True):
        with pytest.raises(NotOursError, match="The second"):
            first.refresh(rebuild=rebuild)
    assert len(contents(engine)) == 3


def test_adopting_back_and_forth_ends_with_what_the_adopter_has(
    first: ToyBench, second: ToyBench, engine: Store
) -> None:
    wanted = contents(engine)
    second_had = None
    for _ in range(2):
        adopt(second, "crm")
        second.refresh()
        second_had = second_had or contents(second.store)
        assert_same_contents(contents(second.store), second_had)
        adopt(first, "crm")
        first.refresh()
        assert_same_contents(contents(first.store), wanted)
        assert audit(first.published("crm"), first.ledger).agrees


@pytest.mark.usefixtures("first")
def test_a_ledger_that_knows_the_same_number_does_not_believe_its_records(
    bench: Bench, tmp_path: Path, engine: Store
) -> None:
    """It built generation 1 in another store; the generation 1 that it adopts is not that one."""
    elsewhere = new_store("embedded", tmp_path / "elsewhere")
    moved = bench("moved", store=elsewhere)
    _fill(moved, 30, "Heron")
    moved.refresh()
    here = ToyBench(tmp_path / "moved", source=moved.toy, ledger=moved.ledger, store=engine)
    with pytest.raises(NotOursError):
        here.refresh()
    adopt(here, "crm")
    here.refresh()
    assert_same_contents(contents(engine), contents(elsewhere))
    elsewhere.close()


# Races


class _Interrupted(FusedStore):
    """A store in which something else happens just before a step."""

    def __init__(self, inner: Store, step: str, meanwhile: Callable[[], None]) -> None:
        super().__init__(inner, Fuse())
        self._step, self._meanwhile = step, meanwhile

    def _reached(self, step: str) -> None:
        if step == self._step:
            self._step = ""
            self._meanwhile()

    def claim(self, collection: str, mark: Mark) -> Mark:
        self._reached("claim")
        return super().claim(collection, mark)

    def create(self, collection: str, generation: int, *rest: Any, **more: Any) -> None:
        self._reached("create")
        super().create(collection, generation, *rest, **more)

    def publish(self, collection: str, generation: int) -> None:
        self._reached("publish")
        super().publish(collection, generation)


def test_of_two_first_builds_at_once_one_is_refused(second: ToyBench, bench: Bench, engine: Store) -> None:
    """The other one builds its index between our look at the name and our claim of it."""
    late = bench("late", store=_Interrupted(engine, "claim", lambda: _run(second)))
    _fill(late, 5, "Egret")
    with pytest.raises(NotOursError, match="The second"):
        late.refresh()
    assert len(contents(engine)) == 3
    assert engine.generations(COLLECTION) == [1]
    assert len(Searcher(second, "crm").search("number", mode="sparse").hits) == 3


def test_an_adoption_between_check_and_switch_is_reported_and_never_searched(
    second: ToyBench, bench: Bench, engine: Store
) -> None:
    slow = bench("slow", store=_Interrupted(engine, "publish", lambda: adopt(second, "crm")))
    _fill(slow, 5, "Egret")
    with pytest.raises(NotOursError, match="The second"):
        slow.refresh()
    with pytest.raises(NotOursError, match="The second"):
        slow.refresh()
    second.refresh()
    assert {payload["title"] for payload, _, _ in contents(second.store).values()} == {
        f"notes/{n}" for n in range(3)
    }


def test_an_adoption_during_a_run_ends_its_writing(first: ToyBench, second: ToyBench, engine: Store) -> None:
    first.toy.put(document("notes/new", "Written late."))
    for stage in ("records", "entities", "chunks", "dense_vectors", "sparse_vectors"):
        first.do(stage)
    with first.store.writer(COLLECTION, 1) as writer:
        adopt(second, "crm")
        adopted = contents(engine)
        with pytest.raises(NotOursError, match="The second"):
            writer.delete([min(adopted)])
        with pytest.raises(NotOursError, match="The second"):
            writer.commit()
    with pytest.raises(NotOursError):
        first.do("collection")
    assert contents(engine) == adopted


# Marks that are not there, or are not what they were


def test_an_index_from_before_there_were_marks_is_recognised_and_marked(
    first: ToyBench, second: ToyBench, engine: Store
) -> None:
    remove_marks(engine, COLLECTION)
    again = ToyBench(first.settings.ingest_home, source=first.toy, ledger=first.ledger, store=engine)
    assert len(Searcher(again, "crm").search("number", mode="sparse", limit=100).hits) == 30
    assert engine.mark(COLLECTION, 1) is None  # a search writes nothing
    with pytest.raises(NotOursError, match="does not say whose it is, and the ledger did not make it"):
        second.refresh()
    again.toy.put(document("notes/new", "One more."))
    again.refresh()
    mark = engine.mark(COLLECTION, 1)
    assert mark is not None
    assert (mark.owner.id, mark.source) == (first.installation.id, "crm")
    assert mark.pipeline == first.collection("crm").fingerprint
    assert engine.mark(COLLECTION, NAME) is not None
    with pytest.raises(NotOursError, match=REFUSED):
        second.refresh()


@pytest.mark.usefixtures("first")
def test_a_generation_of_the_same_number_without_a_mark_is_not_taken_for_ones_own(
    bench: Bench, tmp_path: Path, engine: Store
) -> None:
    """Two ledgers from before there were marks: each knows a generation 1."""
    elsewhere = new_store("embedded", tmp_path / "elsewhere")
    moved = bench("moved", store=elsewhere)
    _fill(moved, 4, "Heron")
    moved.refresh()
    remove_marks(engine, COLLECTION)
    before = _everything(engine)
    here = ToyBench(tmp_path / "moved", source=moved.toy, ledger=moved.ledger, store=engine)
    with pytest.raises(NotOursError, match="does not say whose it is"):
        here.refresh()
    with pytest.raises(NotOursError):
        Searcher(here, "crm").search("heron", mode="sparse")
    assert _everything(engine) == before
    elsewhere.close()


@pytest.mark.parametrize("kept", ["name", "generations"])
def test_a_mark_that_was_removed_is_written_again(first: ToyBench, engine: Store, kept: str) -> None:
    remove_marks(engine, COLLECTION, of_name=kept != "name", of_generations=kept != "generations")
    again = ToyBench(first.settings.ingest_home, source=first.toy, ledger=first.ledger, store=engine)
    again.toy.put(document("notes/new", "One more."))
    assert again.refresh()["collection"].added == 1
    for number in (NAME, 1):
        mark = engine.mark(COLLECTION, number)
        assert mark is not None
        assert mark.owner.id == first.installation.id


def test_a_mark_that_cannot_be_read_refuses_everybody_until_it_is_adopted(
    first: ToyBench, engine: Store
) -> None:
    spoil_mark(engine, COLLECTION)
    before = _everything(engine)
    first.toy.put(document("notes/new", "One more."))
    with pytest.raises(NotOursError, match='belongs to the installation "unknown"'):
        first.refresh()
    assert _everything(engine) == before
    adopt(first, "crm")
    assert first.refresh()["collection"].added == 1
    assert engine.live(COLLECTION) == 1  # its points were ours all the time


def test_a_generation_of_another_under_our_own_name_is_left_alone(
    first: ToyBench, second: ToyBench, engine: Store
) -> None:
    """As after somebody restored a snapshot. A stray of our own, left by a crash, is dropped."""
    engine.create(COLLECTION, 7, 16, mark=second.store.own_mark(COLLECTION))
    engine.create(COLLECTION, 8, 16)
    engine.create(COLLECTION, 9, 16, mark=first.store.own_mark(COLLECTION))
    first.refresh(rebuild=True)
    assert engine.generations(COLLECTION) == [1, 7, 8, 9]
    assert len(contents(first.store)) == 30
    first.refresh(rebuild=True)
    assert engine.generations(COLLECTION) == [7, 8, 9, 10]


@pytest.mark.parametrize("name", ["日本 «Ä» 🦆", 'a "quoted" name', "x" * 200, "[red]markup[/red]", "%s {0}"])
def test_names_with_odd_characters(bench: Bench, engine: Store, name: str, second: ToyBench) -> None:
    odd = bench("odd", ingest_installation_name=name)
    _fill(odd, 2, "Whale")
    odd.refresh()
    mark = engine.mark(COLLECTION, 1)
    assert mark is not None
    assert mark.owner == odd.installation == Installation(odd.installation.id, name)
    with pytest.raises(NotOursError) as refused:
        second.refresh()
    assert f'"{name}"' in str(refused.value)
