"""Any batch, whole and damaged, in any pieces: the same facts and records, or an outcome."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import msgpack
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ingest_assets.sources.spool.intake.envelope import Bounds
from ingest_assets.sources.spool.intake.errors import BatchError, UnfinishedError
from ingest_assets.sources.spool.intake.parsing import Parsing, facts_in, records_in

_BOUNDS = Bounds(1_000, 1_000, frozenset(("hr",)), vectors=True, wanted=False)


def _parsed(data: bytes, *, wanted: bool, piece: int = 1 << 20) -> Any:
    """What the process would answer, in this one."""
    parser = Parsing()
    answers = []
    for at in range(0, max(1, len(data)), piece):
        begin = _BOUNDS._replace(wanted=wanted) if at == 0 else None
        answers.append(parser.feed(begin, data[at : at + piece], at + piece >= len(data)))
    if answers[-1] == b"t":
        raise UnfinishedError("It ends too early.")
    if not wanted:
        return facts_in(answers[-1])
    return [record for answer in answers for record in records_in(answer)]


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
_record = st.fixed_dictionaries(
    {},
    optional={
        "text": st.none() | st.text(max_size=30),
        "source": st.text(max_size=9),
        "metadata": st.none() | st.dictionaries(st.text(max_size=5), _json, max_size=3),
        "embedding": st.none() | st.lists(st.floats(-9, 9, width=32), max_size=5),
        "batch_tag": st.text(max_size=3),
        "other": _json,
    },
)
_batches = st.fixed_dictionaries(
    {"records": st.lists(_record, max_size=8)},
    optional={
        "version": st.just(1),
        "source": st.text(max_size=9),
        "batch_tag": st.text(max_size=9),
        "created_at": st.sampled_from(["2026-01-01", 1_767_323_045, None]),
        "embedding_dim": st.integers(0, 5),
        "pii": st.booleans(),
        "other": _json,
    },
)


@given(fields=_batches, piece=st.integers(1, 60), order=st.randoms(use_true_random=False))
def test_pieces_and_order_change_nothing(fields: dict[str, Any], piece: int, order: Any) -> None:
    names = list(fields)
    order.shuffle(names)
    data = msgpack.packb({name: fields[name] for name in names})
    whole = _parsed(data, wanted=True)
    assert _parsed(data, wanted=True, piece=piece) == whole
    facts = _parsed(data, wanted=False, piece=piece)
    assert facts == _parsed(msgpack.packb(fields), wanted=False)
    assert facts.records == len(fields["records"])
    assert facts.records - facts.skipped == len(whole)
    given = sum(record.get("embedding") is not None for record in fields["records"])
    assert facts.vectors + facts.vectors_ignored == given
    for record in whole:
        text = fields["records"][record.number]["text"]
        assert record.text in (text, text.replace("\r\n", "\n").replace("\r", "\n")) or facts.repaired


@given(
    fields=_batches,
    damage=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4),
    cut=st.none() | st.integers(0, 10_000),
    tail=st.binary(max_size=3),
    piece=st.integers(1, 200),
)
@example(fields={"records": []}, damage=[(0, 0xDF)], cut=None, tail=b"", piece=1)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_damage_has_an_outcome_and_never_half_a_batch(
    fields: dict[str, Any], damage: list[tuple[int, int]], cut: int | None, tail: bytes, piece: int
) -> None:
    original = msgpack.packb(fields)
    data = bytearray(original)
    for at, byte in damage:
        data[at % len(data)] = byte
    if cut is not None:
        del data[cut % len(data) :]
    data += tail
    outcomes = []
    for wanted in (False, True):
        try:
            outcomes.append(_parsed(bytes(data), wanted=wanted, piece=piece))
        except BatchError as error:
            outcomes.append(str(error))
    facts, records = outcomes
    if isinstance(records, str):
        assert isinstance(facts, str)
    elif not isinstance(facts, str):  # what only the facts say may be wrong: a version, a count, a time
        assert facts.records - facts.skipped == len(records)
    if len(data) < len(original) and original.startswith(bytes(data)):
        assert isinstance(records, str)


def test_memory_does_not_grow_with_the_number_of_records() -> None:
    record = msgpack.packb({"text": "some text", "metadata": {"a": 1}})
    bounds = Bounds(1 << 30, 1_000, frozenset(), vectors=True, wanted=False)

    def peak(count: int) -> int:
        parser = Parsing()
        parser.feed(bounds, b"\x81\xa7records\xdd" + count.to_bytes(4, "big"), False)
        piece = record * 1_000
        tracemalloc.start()
        for _ in range(count // 1_000 - 1):
            parser.feed(None, piece, False)
        assert facts_in(parser.feed(None, piece, True)).records == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(40_000) < 1.2 * peak(4_000) + 100_000


@given(
    numbers=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40),
    single=st.booleans(),
)
def test_numbers_are_those_that_were_written(numbers: list[float], single: bool) -> None:
    raw = msgpack.packb({"records": [{"text": "x", "embedding": numbers}]}, use_single_float=single)
    (record,) = _parsed(raw, wanted=True)
    assert record.vector == (struct.pack(f"<{len(numbers)}f", *numbers) if any(numbers) else None)
