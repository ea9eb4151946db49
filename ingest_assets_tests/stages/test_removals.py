"""A run that would remove more than may go unasked is stopped, changes nothing, and goes on when allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.ledger import tables
from ingest_assets.model import Document, SourceUnavailableError
from ingest_assets.queries.status import source_status
from ingest_assets.reconcile import reconcile
from ingest_assets.setting_forms import RemovalLimit
from ingest_assets.stages import records
from ingest_assets.stages.checks import COLLECTION_CHECKS, HELD
from ingest_assets.stages.purging import purge
from ingest_assets.stages.removals import Guard, Loss, RemovalsHeldError
from ingest_assets_tests.support.engines import local_store
from ingest_assets_tests.support.small_parts import ToyBench, contents, document, dump

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)


def letter(number: int, body: str = "About oats.") -> Document:
    return document(f"letters/{number}", f"{body} {number}", kind="letter")


def invoice(number: int) -> Document:
    return document(f"invoices/{number}", "So much for oats.", kind="invoice")


def filled(bench: ToyBench, letters: int = 60, invoices: int = 30) -> None:
    bench.toy.put(*map(letter, range(letters)), *map(invoice, range(invoices)))
    bench.refresh()


def lose(bench: ToyBench, prefix: str, count: int) -> None:
    for key in [key for key in bench.toy.documents if key.startswith(prefix)][:count]:
        del bench.toy.documents[key]


def allow(bench: ToyBench, *, rebuild: bool = False) -> dict[str, int]:
    run = bench.run(rebuild=rebuild, allow_removals=True)
    names = bench.sources["crm"].stage_names
    return {name: reconcile(bench.stage("crm", name), bench.ledger, run).removed for name in names}


def ids(bench: ToyBench) -> set[str]:
    with bench.ledger.reading() as connection:
        return set(connection.scalars(sa.select(tables.document.c.document_id)))


def state(bench: ToyBench) -> object:
    """All but what says that a run was stopped."""
    rows = dump(bench.ledger, but=("last_success", "input_digest_at_success", "at"))
    return {name: rows for name, rows in rows.items() if name != "held_removal"}, contents(bench.store)


@both
def test_a_run_that_would_remove_too_much_changes_nothing_and_says_what(bench: ToyBench) -> None:
    filled(bench)
    before = state(bench)
    lose(bench, "letters/", 40)
    bench.toy.put(document("invoices/3", "Changed.", kind="invoice"), letter(700))
    for _ in range(2):
        with pytest.raises(RemovalsHeldError) as caught:
            bench.refresh()
        said = str(caught.value)
        assert "remove 40 of 90 documents of crm (40 of 60 letter)" in said
        assert "For example: letters/0, letters/1, letters/10" in said
        assert "--allow-removals" in said
        assert caught.value.metadata["letter"]["would_be_removed"] == 40
        assert state(bench) == before
    assert source_status(bench, "crm").problem == said
    (check,) = [each for each in COLLECTION_CHECKS if each.name == HELD]
    assert not check.run(bench, "crm").passed

    removed = allow(bench)
    assert removed["records"] == 40
    assert ids(bench) == set(bench.toy.documents)
    assert source_status(bench, "crm").problem is None
    assert check.run(bench, "crm").passed
    assert bench.refresh()["records"].moved == 0


@both
def test_it_goes_on_by_itself_when_the_source_is_mended(bench: ToyBench) -> None:
    filled(bench)
    there = dict(bench.toy.documents)
    bench.toy.documents = {f"other/{n}": document(f"other/{n}") for n in range(100)}
    with pytest.raises(RemovalsHeldError):
        bench.refresh()
    bench.toy.documents = there | {"letters/0": letter(0, "New.")}
    outcomes = bench.refresh()["records"]
    assert (outcomes.added, outcomes.changed, outcomes.removed) == (0, 1, 0)
    assert source_status(bench, "crm").problem is None


@both
@pytest.mark.parametrize("what", ["few of many", "most of few", "all of very few"])
def test_what_is_below_either_limit_goes_unasked(bench: ToyBench, what: str) -> None:
    letters, invoices, gone = {
        "few of many": (200, 0, 40),
        "most of few": (20, 100, 20),
        "all of very few": (3, 0, 3),
    }[what]
    filled(bench, letters, invoices)
    lose(bench, "letters/", gone)
    assert bench.refresh()["records"].removed == gone


@both
def test_many_kinds_that_each_lose_little_are_too_much_together(bench: ToyBench) -> None:
    bench.toy.put(*(document(f"k{n % 10}/{n}", kind=f"k{n % 10}") for n in range(200)))
    bench.refresh()
    for kind in range(10):
        lose(bench, f"k{kind}/", 19)
    with pytest.raises(RemovalsHeldError, match="190 of 200"):
        bench.refresh()


@both
def test_a_build_is_stopped_too(bench: ToyBench) -> None:
    filled(bench)
    lose(bench, "letters/", 40)
    with pytest.raises(RemovalsHeldError):
        bench.refresh(rebuild=True)
    assert source_status(bench, "crm").generation == 1
    allow(bench, rebuild=True)
    assert source_status(bench, "crm").generation == 2
    assert ids(bench) == set(bench.toy.documents)


@both
@pytest.mark.parametrize("lost", [0, 25])
def test_a_build_of_more_than_memory_should_hold_is_stopped_before_it_changes_anything(
    bench: ToyBench, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    monkeypatch.setattr(records, "HELD_CHARS", 50)
    monkeypatch.setattr(records, "BATCH", 4)
    filled(bench)
    before = state(bench)
    lose(bench, "invoices/", lost)
    bench.toy.put(letter(7, "Another text."), letter(800))
    if lost:
        with pytest.raises(RemovalsHeldError, match="25 of 30 invoice"):
            bench.refresh(rebuild=True)
        assert state(bench) == before
        bench.toy.put(*map(invoice, range(30)))
    assert bench.refresh(rebuild=True)["records"].removed == 0
    assert ids(bench) == set(bench.toy.documents)


@both
def test_more_than_memory_should_hold_is_read_again_and_nothing_is_recorded_before(
    bench: ToyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(bench)
    before = state(bench)
    monkeypatch.setattr(records, "HELD_CHARS", 50)
    monkeypatch.setattr(records, "BATCH", 4)
    bench.toy.put(*(letter(n, "Another text.") for n in range(60)))
    lose(bench, "invoices/", 25)
    with pytest.raises(RemovalsHeldError, match="25 of 30 invoice"):
        bench.refresh()
    assert state(bench) == before
    bench.toy.put(*map(invoice, range(20)))
    outcomes = bench.refresh()["records"]
    assert (outcomes.changed, outcomes.removed) == (60, 5)


@both
@pytest.mark.parametrize("after", [1, 50, 91])
def test_a_source_that_breaks_off_changes_nothing(bench: ToyBench, after: int) -> None:
    """How much is gone is not known then: it may be another system, with other documents under these ids."""
    filled(bench)
    before = state(bench)
    there = dict(bench.toy.documents)
    bench.toy.put(letter(0, "New."), letter(700))
    bench.toy.fails_after = after
    with pytest.raises(SourceUnavailableError):
        bench.refresh()
    assert state(bench) == before
    bench.toy.documents, bench.toy.fails_after = there | {"letters/0": letter(0, "New.")}, None
    assert bench.refresh()["records"].changed == 1


@both
def test_what_appears_after_the_look_is_not_removed_unasked(
    bench: ToyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documents that vanish between two reads of one run are held too."""
    filled(bench)
    lose(bench, "letters/", 1)  # makes a second read necessary
    reads = []
    read = bench.toy.read

    def vanishing():  # type: ignore[no-untyped-def]  # noqa: ANN202 - it only wraps a method
        reads.append(1)
        if len(reads) == 2:
            lose(bench, "letters/", 50)
        return read()

    monkeypatch.setattr(bench.toy, "read", vanishing)
    with pytest.raises(RemovalsHeldError):
        bench.do("records")
    assert len(ids(bench)) == 90


@both
def test_limits_by_kind(tmp_path: Path, ledger_url: str) -> None:
    limits = "crm/letter=off, crm/invoice=0:0, papers=1:5"
    store = local_store()
    given = {"ledger_url": ledger_url, "store": store, "ingest_removal_guard_kinds": limits}
    with ToyBench(tmp_path, **given) as bench:  # type: ignore[arg-type]
        filled(bench)
        lose(bench, "letters/", 60)
        assert bench.refresh()["records"].removed == 60
        lose(bench, "invoices/", 1)
        with pytest.raises(RemovalsHeldError, match="1 of 30 invoice"):
            bench.refresh()
    store.close()


@both
def test_removed_notes_are_not_held(bench: ToyBench) -> None:
    bench.toy.put(*(document(f"notes/{n}") for n in range(50)))
    bench.refresh()
    bench.toy.documents = {}
    assert bench.refresh()["records"].removed == 50


@both
def test_a_generation_without_most_of_what_the_live_one_holds_is_not_published(bench: ToyBench) -> None:
    """Here because another model refuses most texts."""
    filled(bench)
    bench.model.revision = "2"
    bench.model.refuses = lambda text: "About oats" in text
    with pytest.raises(RemovalsHeldError, match="publish an index without 60 of 90 documents of crm"):
        bench.refresh()
    assert source_status(bench, "crm").generation == 1
    assert "60 of 60 letter" in (source_status(bench, "crm").problem or "")
    allow(bench)
    assert source_status(bench, "crm").generation == 2
    assert source_status(bench, "crm").problem is None


@both
def test_purging_is_not_held(bench: ToyBench) -> None:
    filled(bench)
    with bench.ledger.transaction() as connection:
        connection.execute(tables.chunk.delete().where(tables.chunk.c.kind == "letter"))
    purge(bench, "crm")
    assert len(contents(bench.store)) == 30


@given(
    st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(0, 60), st.integers(0, 60))),
    st.floats(0, 1),
    st.integers(0, 60),
)
def test_a_loss_is_too_much_exactly_when_it_is_above_share_and_number(
    kinds: dict[str, tuple[int, int]], share: float, count: int
) -> None:
    losses = [Loss(kind, min(pair), max(pair)) for kind, pair in kinds.items()]
    total = Loss("", sum(each.gone for each in losses), sum(each.of for each in losses))
    expected = any(each.gone > count and each.gone > share * each.of for each in (*losses, total))
    guard = Guard("crm", RemovalLimit(share, count))
    if expected:
        with pytest.raises(RemovalsHeldError):
            guard.require(losses)
    else:
        guard.require(losses)
