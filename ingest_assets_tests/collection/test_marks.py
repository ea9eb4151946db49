"""Marks on each engine, and the claim of a name, of which there is one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.collection.base import Store
from ingest_assets.collection.marks import NAME, Mark, mark_from
from ingest_assets.ledger.installation import Installation
from ingest_assets.model import ConfigurationError
from ingest_assets_tests.support.engines import STORES, client_of, local_store, new_store
from ingest_assets_tests.support.ownership import spoil_mark

COLLECTION = "test_chunks"


def _mark(n: int, name: str = "somebody", pipeline: str = "") -> Mark:
    return Mark(Installation(f"{n:032x}", name), "crm", pipeline)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    one = new_store(request.param, tmp_path)
    yield one
    one.close()


def test_a_generation_carries_the_mark_that_it_was_created_with(store: Store) -> None:
    store.create(COLLECTION, 1, 4, mark=_mark(1, pipeline="f" * 32))
    store.create(COLLECTION, 2, 4)
    assert store.mark(COLLECTION, 1) == _mark(1, pipeline="f" * 32)
    assert [store.mark(COLLECTION, number) for number in (2, 3, NAME)] == [None] * 3
    assert store.generations(COLLECTION) == [1, 2]


def test_a_mark_can_be_replaced_and_goes_with_its_generation(store: Store) -> None:
    store.create(COLLECTION, 1, 4, mark=_mark(1))
    store.set_mark(COLLECTION, 1, _mark(2))
    assert store.mark(COLLECTION, 1) == _mark(2)
    store.drop(COLLECTION, 1)
    assert store.mark(COLLECTION, 1) is None
    store.create(COLLECTION, 1, 4)
    assert store.mark(COLLECTION, 1) is None


def test_the_name_has_a_mark_of_its_own(store: Store) -> None:
    assert store.claim(COLLECTION, _mark(1)) == _mark(1)
    assert store.claim(COLLECTION, _mark(2)) == _mark(1)
    store.create(COLLECTION, 1, 4, mark=_mark(3))
    store.publish(COLLECTION, 1)
    assert (store.mark(COLLECTION, NAME), store.mark(COLLECTION, 1)) == (_mark(1), _mark(3))
    store.set_mark(COLLECTION, NAME, _mark(2))
    assert store.mark(COLLECTION, NAME) == _mark(2)
    assert store.mark(f"{COLLECTION}_2", NAME) is None
    store.drop(COLLECTION, 1)
    assert store.mark(COLLECTION, NAME) == _mark(2)
    assert store.generations(COLLECTION) == []
    assert store.live("test") is None


def test_of_several_who_claim_a_name_at_once_one_succeeds(store: Store) -> None:
    together = Barrier(8)

    def claim(n: int) -> Mark:
        together.wait()
        return store.claim(COLLECTION, _mark(n, f"installation {n}"))

    with ThreadPoolExecutor(8) as threads:
        held = set(threads.map(claim, range(8)))
    assert len(held) == 1
    assert held == {store.mark(COLLECTION, NAME)}


def test_a_mark_that_cannot_be_read_is_somebodys(store: Store) -> None:
    store.claim(COLLECTION, _mark(1))
    spoil_mark(store, COLLECTION)
    found = store.mark(COLLECTION, NAME)
    assert found is not None
    assert (found.owner.id, found.owner.name) == ("", "unknown")
    assert store.claim(COLLECTION, _mark(2)) == found
    store.set_mark(COLLECTION, NAME, _mark(2))
    assert store.mark(COLLECTION, NAME) == _mark(2)


def test_a_server_that_keeps_no_metadata_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    store = local_store()
    client = client_of(store)
    create = client.create_collection

    def forgetful(name: str, **rest: Any) -> bool:
        return create(name, **rest | {"metadata": None})

    monkeypatch.setattr(client, "create_collection", forgetful)
    with pytest.raises(ConfigurationError, match=r"older than 1\.16"):
        store.claim(COLLECTION, _mark(1))
    assert client.get_collections().collections == []


_odd = st.text() | st.sampled_from(["", "\x1b[31m", "a\nb", "é\u202e", "🦆" * 300, "\ud800"])


@given(
    st.dictionaries(
        st.sampled_from(["owner", "name", "source", "pipeline"]), _odd | st.integers() | st.none()
    )
)
def test_whatever_a_mark_says_can_be_printed_on_one_line(said: dict[str, Any]) -> None:
    mark = mark_from(said)
    shown = f"{mark.owner}{mark.source}{mark.pipeline}"
    assert shown.isprintable()
    assert len(shown) < 2_000
    assert mark_from(mark.to_json()) == mark
    shown.encode()


@pytest.mark.parametrize("said", [None, [], "text", 7, {}])
def test_what_is_no_mark_is_the_mark_of_somebody_unknown(said: Any) -> None:
    assert mark_from(said).owner == Installation("", "unknown")
