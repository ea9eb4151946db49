"""The items of known batches are not looked up, and nothing is missed because of that."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.ledger import tables
from ingest_assets.model import ConfigurationError, SourceItem, SourceUnavailableError, digest_of
from ingest_assets.reconcile import reconcile
from ingest_assets.stages import records
from ingest_assets.stages.read_batches import batch_digest, batches
from ingest_assets_tests.support.small_parts import ToyBench, document

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
KEYS = [f"notes/{n}" for n in range(40)]


def _items(ids: Sequence[str]) -> list[SourceItem]:
    return [SourceItem(each, "0" * 32, partial(document, each)) for each in ids]


def _digests(ids: Sequence[str], longest: int = 1_000) -> set[str]:
    return {batch_digest("1", batch) for batch in batches(_items(ids), longest)}


def _bodies(bench: ToyBench) -> dict[str, str]:
    with bench.ledger.reading() as connection:
        rows = connection.execute(sa.select(tables.document.c.document_id, tables.document.c.body))
        return dict(rows.tuples().all())


def _looked_up(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The ids that the next runs look up in the ledger."""
    found: set[str] = set()
    mark = records.Records._mark_seen

    def marking(self, session, batch, number):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - it only wraps a method
        found.update(item.id for item in batch)
        return mark(self, session, batch, number)

    monkeypatch.setattr(records.Records, "_mark_seen", marking)
    return found


@given(st.lists(st.text(alphabet="ab/\ud800é", max_size=6), unique=True, max_size=60), st.integers(1, 9))
def test_batches_hold_every_item_once_and_in_order(ids: list[str], longest: int) -> None:
    found = list(batches(_items(ids), longest))
    assert [item.id for batch in found for item in batch] == ids
    assert all(1 <= len(batch) <= longest for batch in found)


@given(st.integers(0, 200), st.booleans())
def test_an_added_or_removed_item_changes_only_its_own_batch(place: int, comes: bool) -> None:
    ids = [f"notes/{n}" for n in range(200)]
    others = [*ids[:place], "notes/new", *ids[place:]] if comes else ids[:place] + ids[place + 1 :]
    before, after = _digests(ids), _digests(others)
    assert len(before - after) <= 2
    assert len(after - before) <= 2


@both
def test_only_the_batches_that_differ_are_looked_up(bench: ToyBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.toy.put(*(document(key, "Old.") for key in KEYS))
    bench.do("records")
    looked_up = _looked_up(monkeypatch)
    bench.toy.put(document("notes/20", "New."))
    outcomes = bench.do("records")
    assert (outcomes.changed, outcomes.unchanged) == (1, len(KEYS) - 1)
    assert "notes/20" in looked_up
    assert len(looked_up) < len(KEYS) / 2
    assert _bodies(bench) == {key: "New." if key == "notes/20" else "Old." for key in KEYS}


@both
def test_what_is_gone_from_a_batch_is_removed(bench: ToyBench) -> None:
    bench.toy.put(*(document(key, "Old.") for key in KEYS))
    bench.do("records")
    del bench.toy.documents["notes/7"]
    bench.toy.put(document("notes/20", "New."), document("notes/99", "More."))
    outcomes = bench.do("records")
    assert (outcomes.added, outcomes.changed, outcomes.removed) == (1, 1, 1)
    assert set(_bodies(bench)) == {*KEYS, "notes/99"} - {"notes/7"}


@both
def test_removed_items_are_found_when_as_many_are_added(bench: ToyBench) -> None:
    bench.toy.put(*(document(key, "Old.") for key in KEYS))
    bench.do("records")
    del bench.toy.documents["notes/7"]
    bench.toy.put(document("notes/99", "More."))
    outcomes = bench.do("records")
    assert (outcomes.added, outcomes.removed) == (1, 1)
    assert set(_bodies(bench)) == {*KEYS, "notes/99"} - {"notes/7"}


@both
def test_what_an_interrupted_run_recorded_is_looked_at_again(
    bench: ToyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the source has since been changed back, so that all its batches are known."""
    monkeypatch.setattr(records, "BATCH", 1)
    bench.toy.put(*(document(key, "Old.") for key in KEYS))
    bench.do("records")
    bench.toy.put(document("notes/3", "Brief."))
    bench.toy.fails_after = 30
    # A run that does not wait for how much is gone.
    with pytest.raises(SourceUnavailableError):
        reconcile(bench.stage("crm", "records"), bench.ledger, bench.run(allow_removals=True))
    assert _bodies(bench)["notes/3"] == "Brief."
    bench.toy.fails_after = None
    bench.toy.put(document("notes/3", "Old."))
    bench.do("records")
    assert set(_bodies(bench).values()) == {"Old."}


@both
def test_removed_items_are_found_when_as_many_new_ones_are_refused(bench: ToyBench) -> None:
    bench.toy.put(*(document(key, "Old.") for key in KEYS))
    bench.do("records")
    del bench.toy.documents["notes/7"]
    bench.toy.put(document("notes/99", "More."))
    bench.toy.refused["notes/99"] = "not now"
    outcomes = bench.do("records")
    assert (outcomes.removed, outcomes.parked) == (1, 1)
    assert set(_bodies(bench)) == set(KEYS) - {"notes/7"}
    assert bench.do("records").moved == 0


@both
def test_an_item_that_was_refused_is_looked_at_again(
    bench: ToyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if nothing changed but that it can be rendered now, so that its batch is the same."""
    monkeypatch.setattr(bench.toy, "_digest", lambda each: digest_of(repr(each)))
    bench.toy.put(*(document(key, "Old.") for key in KEYS))
    bench.do("records")
    bench.toy.put(document("notes/3", "New."))
    bench.toy.refused["notes/3"] = "not now"
    assert bench.do("records").parked == 1
    bench.toy.refused.clear()
    outcomes = bench.do("records", retry_parked=True)
    assert (outcomes.changed, outcomes.parked) == (1, 0)
    assert _bodies(bench)["notes/3"] == "New."


@both
def test_what_a_run_removed_before_it_died_comes_back_when_the_source_has_it_again(
    bench: ToyBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.toy.put(*(document(key, "Old.") for key in KEYS))
    bench.do("records")
    gone = bench.toy.documents.pop("notes/7")

    def dies(*_anything: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(records, "_remember", dies)
        with pytest.raises(KeyboardInterrupt):
            bench.do("records")
    assert set(_bodies(bench)) == set(KEYS) - {"notes/7"}
    bench.toy.documents = {key: bench.toy.documents.get(key, gone) for key in KEYS}
    bench.do("records")
    assert set(_bodies(bench)) == set(KEYS)


@both
def test_a_rebuild_renders_every_item(bench: ToyBench) -> None:
    bench.toy.put(*(document(key, "Old.") for key in KEYS))
    bench.do("records")
    bench.toy.rendered.clear()
    bench.do("records", rebuild=True)
    assert sorted(bench.toy.rendered) == sorted(KEYS)


@both
def test_a_repeated_id_is_refused_even_if_its_first_batch_is_known(
    bench: ToyBench,
) -> None:
    bench.toy.put(*(document(key, "Old.") for key in KEYS))
    bench.do("records")
    bench.toy.put(document("notes/39", "New."))
    bench.toy.twice = "notes/1"
    with pytest.raises(ConfigurationError, match="same id"):
        bench.do("records")
