"""A source that is read in a confined process is what it would be here, whatever happens to the process."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest_assets.model import Document, ItemError, SkippedItem, SourceItem, SourceUnavailableError
from ingest_assets.sandbox import Sandbox, answers, chunking
from ingest_assets.sandbox import reading as module
from ingest_assets.sandbox.reading import ConfinedSource
from ingest_assets_tests.sandbox.tasks import Liar, Records

WEIGHTY = 3 << 20  # characters: a batch is full after three items of this size


@dataclass
class Seen:
    """What a reader saw of a source."""

    items: list[tuple[str, str]] = field(default_factory=list)
    documents: dict[str, Document] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    skipped_when: list[int] = field(default_factory=list)
    skipped: Sequence[SkippedItem] = ()
    repaired: int = 0


def _seen(source: ConfinedSource | Records, wanted: set[int] | None, window: int) -> Seen:
    """Read a source as the stages do: items are collected, and some of them rendered a little later."""
    seen = Seen()

    def render(items: list[SourceItem]) -> None:
        for item in items:
            if wanted is None or int(item.id.partition("/")[2]) in wanted:
                try:
                    seen.documents[item.id] = item.render()
                except ItemError as error:
                    seen.refused[item.id] = str(error)

    with source.read() as items:
        waiting: list[SourceItem] = []
        for item in items:
            seen.items.append((item.id, item.digest))
            seen.skipped_when.append(len(source.skipped))
            waiting.append(item)
            if len(waiting) == window:
                render(waiting)
                waiting = []
        render(waiting)
    seen.skipped, seen.repaired = list(source.skipped), source.repaired
    return seen


numbers = st.sets(st.integers(0, 59), max_size=20)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(0, 60),
    refused=numbers,
    left_out=numbers,
    wanted=st.none() | numbers,
    window=st.integers(1, 70),
    size=st.sampled_from([0, WEIGHTY]),
    batch=st.integers(1, 40),
)
def test_it_gives_what_the_source_gives(
    tmp_path_factory: pytest.TempPathFactory,
    count: int,
    refused: set[int],
    left_out: set[int],
    wanted: set[int] | None,
    window: int,
    size: int,
    batch: int,
) -> None:
    def source() -> Records:
        return Records(count, refused=frozenset(refused), left_out=frozenset(left_out), size=size)

    box = Sandbox(tmp_path_factory.mktemp("box"))
    confined = ConfinedSource(source(), box, batch)
    here, there = _seen(source(), wanted, window), _seen(confined, wanted, window)
    assert there == here
    assert confined.origin.noted == {"skipped": len(here.skipped)}  # type: ignore[attr-defined]
    box.close()


@pytest.mark.parametrize("count", [1, 2, 1_000, 1_001, 2_500])
def test_batches_end_where_they_must(box: Sandbox, count: int) -> None:
    wanted = {0, 1, 998, 999, 1_000, 1_001, 1_999, 2_000, 2_499}
    assert _seen(ConfinedSource(Records(count), box), wanted, 1_999) == _seen(Records(count), wanted, 1_999)


@pytest.mark.parametrize("deadly", [{0}, {5}, {5, 6, 7}, {999, 1_000}, {1_499}, {3, 700, 1_200}])
@pytest.mark.parametrize("window", [40, *(pytest.param(n, marks=pytest.mark.thorough) for n in (1, 1_100))])
def test_an_item_that_kills_the_process_is_refused_and_all_others_are_there(
    box: Sandbox, deadly: set[int], window: int
) -> None:
    confined = ConfinedSource(Records(1_500, deadly=frozenset(deadly)), box)
    there = _seen(confined, None, window)
    assert confined.origin.noted == {"skipped": 0}  # type: ignore[attr-defined]
    here = _seen(Records(1_500), None, window)
    dead = {f"items/{number}" for number in deadly}
    assert there.items == here.items
    assert set(there.refused) == dead
    assert all("ended early (status 7)" in why for why in there.refused.values())
    assert there.documents == {key: value for key, value in here.documents.items() if key not in dead}


def test_too_many_deaths_end_the_read(box: Sandbox) -> None:
    with pytest.raises(SourceUnavailableError, match="died 21 times in one read"):
        _seen(ConfinedSource(Records(40, deadly=frozenset(range(40))), box), None, 1)


def test_a_source_that_changed_before_it_was_read_again_is_read_anew(box: Sandbox, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text("one")
    source = ConfinedSource(Records(30, deadly=frozenset({4}), moving=state), box)

    def read() -> None:
        with source.read() as items:
            for item in items:
                state.write_text("two")
                item.render()

    with pytest.raises(SourceUnavailableError, match="has changed since"):
        read()


def test_an_error_in_the_middle_of_a_read_is_the_sources(box: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailableError):
        _seen(ConfinedSource(Records(3, moving=tmp_path / "not there"), box), None, 1)


def _head(**changes: object) -> bytes:
    head = {"items": 1, "size": 0, "skipped": [], "skipped_before": [], "done": True} | changes
    return b"{}\0" + json.dumps(head).encode()


LIES = {
    "nothing": b"",
    "no parts": b"{}",
    "not JSON": b"{}\0\xff\xfe\0" + b"0" * 32 + b"\0items/1",
    "fewer digests": _head() + b"\0" + b"0" * 31 + b"\0items/1",
    "more ids": _head() + b"\0" + b"0" * 32 + b"\0items/1\0items/2",
    "another count": _head(items=2) + b"\0" + b"0" * 32 + b"\0items/1",
    "an endless number of empty batches": _head(items=0, done=False) + b"\0\0",
    "a skip without a place": _head(skipped=[["a", "b", 1, "c"]]) + b"\0" + b"0" * 32 + b"\0items/1",
    "skips that come again": _head(items=3, skipped=[["a", "b", 1, "c"]] * 2, skipped_before=[2, 0, 2])
    + b"\0"
    + b"0" * 96
    + b"\0a\0b\0c",
    "facts of another form": b"[]\0" + _head()[3:] + b"\0" + b"0" * 32 + b"\0items/1",
    "endless facts": b'{"a": ['
    + b"[]," * answers.MAX_FACTS
    + b"0]}\0"
    + _head()[3:]
    + b"\0"
    + b"0" * 32
    + b"\0items/1",
    "a skip of another form": _head(skipped=[[1]], skipped_before=[0]) + b"\0" + b"0" * 32 + b"\0items/1",
}


@pytest.mark.parametrize("answer", LIES.values(), ids=LIES.keys())
def test_an_answer_of_another_form_is_refused(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(module, "Reading", lambda _source, _most: Liar({"batch": answer}))
    with pytest.raises(SourceUnavailableError, match="another form"):
        _seen(ConfinedSource(Records(1), box), None, 1)


FULL = (
    b'{"title":"t","uri":"u","kind":"k","time":null,"id":"items/1","context":[],"body":"","refs":[],'
    b'"identity":null,"attributes":{}}'
)


def test_a_document_of_the_right_form_is_one() -> None:
    assert answers.checked_document(b"d", FULL)[0].id == "items/1"


@pytest.mark.parametrize(
    "answer",
    [
        *(
            b"d\xff\xff\xff\xff" + FULL.replace(good, bad)
            for good, bad in (
                (b'"k"', b"1"),
                (b'"refs":[]', b'"refs":[[]]'),
                (b'"context":[]', b'"context":[["a"]]'),
                (b'"attributes":{}', b'"attributes":{"a":[1]}'),
                (b'"attributes":{}', b'"attributes":[]'),
                (b'"identity":null', b'"identity":{"kind":"person"}'),
                (b'"identity":null', b'"identity":{"kind":"person","name":"a","more":"b"}'),
                (b'"time":null', b'"time":1'),
                (b'"body":""', b'"body":"","more":""'),
            )
        ),
        *(b"", b"d", b"d\0\0\0\x02{}", b'd\xff\xff\xff\xff{"id": 1}', b"?\0\0\0\x02[]"),
    ],
)
def test_a_document_of_another_form_is_refused(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    batch = _head() + b"\0" + b"0" * 32 + b"\0items/1"
    monkeypatch.setattr(module, "Reading", lambda _source, _most: Liar({"batch": batch, "render": answer}))
    seen = _seen(ConfinedSource(Records(1), box), None, 1)
    assert not seen.documents
    assert "another form" in seen.refused["items/1"]


def test_a_document_with_the_id_of_another_item_is_refused(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = _head() + b"\0" + b"0" * 32 + b"\0items/1"
    with Records(3).read() as items:
        other = answers.documents().dump_json(list(items)[2].render())
    answer = answers.PART.pack(answers.RENDERED, len(other)) + other
    monkeypatch.setattr(module, "Reading", lambda _source, _most: Liar({"batch": batch, "render": answer}))
    assert "another document" in _seen(ConfinedSource(Records(1), box), None, 1).refused["items/1"]


def test_more_documents_than_were_asked_for_are_not_looked_at(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = _head() + b"\0" + b"0" * 32 + b"\0items/1"
    answer = answers.PART.pack(answers.REFUSED, 0) * 1_000_000
    monkeypatch.setattr(module, "Reading", lambda _source, _most: Liar({"batch": batch, "render": answer}))
    tracemalloc.start()
    try:
        _seen(ConfinedSource(Records(1), box), None, 1)
        assert tracemalloc.get_traced_memory()[1] < 50 << 20
    finally:
        tracemalloc.stop()


def test_a_list_of_nonsense_is_not_explained(document: Document) -> None:
    nonsense = b"[" + b"0," * (1 << 20) + b"0]"
    head = b'{"items": 0, "size": 0, "skipped": %b, "skipped_before": [], "done": true}' % nonsense
    before = psutil.Process().memory_info().rss
    with pytest.raises(SourceUnavailableError):
        answers.checked_batch(b"{}\0" + head + b"\0\0")
    with pytest.raises(ItemError):
        chunking._checked(nonsense, document)
    assert psutil.Process().memory_info().rss - before < 100 << 20


@pytest.fixture
def document() -> Document:
    with Records(1).read() as items:
        return next(items).render()


def test_items_of_another_part_are_refused(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    class Part(ConfinedSource):
        prefix = "mine/"

    batch = _head() + b"\0" + b"0" * 32 + b"\0yours/1"
    monkeypatch.setattr(module, "Reading", lambda _source, _most: Liar({"batch": batch}))
    with pytest.raises(SourceUnavailableError, match="another form"):
        _seen(Part(Records(1), box), None, 1)


def test_facts_that_the_source_cannot_take_are_refused(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    class Counted(Records):
        def note(self, facts: Mapping[str, Any]) -> None:
            self.counted = int(facts["detected"])

    batch = _head() + b"\0" + b"0" * 32 + b"\0items/1"
    monkeypatch.setattr(module, "Reading", lambda _source, _most: Liar({"batch": batch}))
    with pytest.raises(SourceUnavailableError, match="another form"):
        _seen(ConfinedSource(Counted(1), box), None, 1)
