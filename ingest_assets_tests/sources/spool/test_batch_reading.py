"""What is read of batches: everything that a producer may rightly write."""

from __future__ import annotations

import math
import os
import struct
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgpack
import pytest

from ingest_assets.sandbox import Sandbox
from ingest_assets.sources.spool.intake.facts import NOT_FINITE, OTHER_DIMENSION, Facts, Record
from ingest_assets.sources.spool.intake.reading import BatchReader
from ingest_assets_tests.sources.spool.batch_reader import (
    reader,
    records_in_file,
    sandbox,
    scanned,
    spool_settings,
)
from ingest_assets_tests.sources.spool.intake_bench import batch

__all__ = ["reader", "sandbox"]  # fixtures
VECTOR = [0.5, -1.0, 0.25, 2.0]


def test_a_batch_as_the_contract_has_it(reader: BatchReader, tmp_path: Path) -> None:
    record = {"source": "crm", "text": "one", "metadata": {"a": [1, {"b": None}]}, "batch_tag": "t"}
    data = batch(
        [record | {"embedding": VECTOR}, {"text": "two"}],
        created_at="2026-03-01T10:00:00+02:00",
        batch_tag="t",
        embedding_dim=4,
        count=2,
    )
    facts = scanned(reader, tmp_path / "b", data)
    at = datetime(2026, 3, 1, 8, tzinfo=UTC).timestamp()
    assert facts == Facts("t", "tests", at, False, 2, 0, 4, 1, 0, 0, 0)
    one, two = records_in_file(reader, tmp_path / "b", data)
    vector = struct.pack("<4f", *VECTOR)
    assert one == Record(0, "crm", "one", {"a": [1, {"b": None}]}, vector, "")
    assert two == Record(1, "tests", "two", {}, None, "")


@pytest.mark.parametrize("name", ["text", "instruction", "chunk", "source_text"])
@pytest.mark.parametrize("records", ["records", "examples"])
def test_the_old_replayer_s_spellings(reader: BatchReader, tmp_path: Path, name: str, records: str) -> None:
    data = msgpack.packb({records: [{name: "said"}, {name: "more", "metadata": {"k": 1}}]})
    found = records_in_file(reader, tmp_path / "b", data)
    assert [(each.number, each.text) for each in found] == [(0, "said"), (1, "more")]


def test_other_uses_of_the_old_names_are_no_texts(reader: BatchReader, tmp_path: Path) -> None:
    rows = [{"text": "t", "chunk": 7}, {"chunk": 8}, {"text": " ", "instruction": "i", "chunk": "c"}]
    found = records_in_file(reader, tmp_path / "b", batch(rows))
    assert [(each.number, each.text) for each in found] == [(0, "t"), (2, "i")]


def test_fields_come_in_any_order_and_unknown_ones_mean_nothing(reader: BatchReader, tmp_path: Path) -> None:
    fields = {
        "records": [{"metadata": {}, "other": {"deep": [1] * 9}, "text": "x", 7: 8}],
        "other": {"records": [{"text": "not this"}]},
        9: "nine",
        "source": "late",
        "embedding_dim": None,
        "version": 1,
        "batch_tag": "late-tag",
    }
    facts = scanned(reader, tmp_path / "b", msgpack.packb(fields))
    assert (facts.batch_tag, facts.source, facts.records) == ("late-tag", "late", 1)
    (record,) = records_in_file(reader, tmp_path / "b", msgpack.packb(fields))
    assert (record.text, record.source, record.metadata) == ("x", "late", {})


def test_names_that_are_written_longer_than_needed(reader: BatchReader, tmp_path: Path) -> None:
    record = b"\x81\xda\x00\x04text\xd9\x01x"
    data = b"\x81\xdb\x00\x00\x00\x07records\xdd\x00\x00\x00\x01" + record
    assert [each.text for each in records_in_file(reader, tmp_path / "b", data)] == ["x"]


@pytest.mark.parametrize("blank", [None, "", "  \n\t", "\u200b\u00a0", "\x00\x07"])
def test_records_without_text_keep_their_numbers(reader: BatchReader, tmp_path: Path, blank: Any) -> None:
    rows = [{"text": blank}, {"text": "one", "embedding": VECTOR}, {}, {"text": "three"}, {"text": blank}]
    facts = scanned(reader, tmp_path / "b", batch(rows, count=5))
    assert (facts.records, facts.skipped) == (5, 3)
    found = records_in_file(reader, tmp_path / "b", batch(rows, count=5))
    assert [(each.number, each.text) for each in found] == [(1, "one"), (3, "three")]
    assert [each.vector is not None for each in found] == [True, False]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("2026-01-02T03:04:05Z", 1_767_323_045),
        ("2026-01-02 03:04:05", 1_767_323_045),
        ("2026-01-02", 1_767_312_000),
        (1_767_323_045, 1_767_323_045),
        (1_767_323_045.5, 1_767_323_045.5),
        (1_767_323_045_500, 1_767_323_045.5),
        (1_767_323_045_500_000, 1_767_323_045.5),
        (1_767_323_045_500_000_000, 1_767_323_045.5),
        (msgpack.Timestamp(1_767_323_045, 500_000_000), 1_767_323_045.5),
    ],
)
def test_times(reader: BatchReader, tmp_path: Path, written: Any, seconds: float) -> None:
    assert scanned(reader, tmp_path / "b", batch(created_at=written)).created_at == seconds


@pytest.mark.parametrize("written", [1.767e21, -1e30, 1.7e308])
def test_a_number_that_is_no_time_in_any_unit(reader: BatchReader, tmp_path: Path, written: float) -> None:
    path = tmp_path / "b"
    path.write_bytes(batch(created_at=written))
    assert str(reader.scan(path).error) == "The time of its created_at is in no calendar."


def test_without_a_time_the_file_s_counts(reader: BatchReader, tmp_path: Path) -> None:
    path = tmp_path / "b"
    path.write_bytes(batch())
    os.utime(path, (1_767_323_045, 1_767_323_045))
    facts = reader.scan(path).facts
    assert facts is not None
    assert facts.created_at == 1_767_323_045


@pytest.mark.parametrize(
    ("pii", "personal"),
    [(True, True), (False, False), (None, False), ("false", False), ("no", False), (0, False), ("", False),
     ("true", True), ("yes", True), (1, True), ("perhaps", True), ([], True), ({}, True), ("x" * 99, True)],
)  # fmt: skip
def test_what_is_not_clearly_impersonal_is_personal(
    reader: BatchReader, tmp_path: Path, pii: Any, personal: bool
) -> None:
    packed = batch() if pii is None else batch(pii=pii)
    assert scanned(reader, tmp_path / "b", packed).pii is personal


def test_a_record_makes_its_batch_personal(sandbox: Sandbox, tmp_path: Path) -> None:
    with closing(BatchReader(sandbox, spool_settings(spool_pii_sources="Calls, hr"))) as reader:
        for record in ({"text": "x", "pii": True}, {"text": "x", "source": "CALLS"}, {"source": "hr"}):
            assert scanned(reader, tmp_path / "b", batch([{"text": "y"}, record])).pii
        assert scanned(reader, tmp_path / "b", batch(source=" calls ")).pii
        assert not scanned(reader, tmp_path / "b", batch([{"text": "x", "source": "calls2"}])).pii


def test_metadata_is_what_json_can_have(reader: BatchReader, tmp_path: Path) -> None:
    given = {
        "bytes": b"\x00", "nan": math.nan, "inf": -math.inf, "ext": msgpack.ExtType(5, b"x"), 7: "seven",
        "time": msgpack.Timestamp(0), "null": None, "list": [1, b"", "\x07a"], "map": {"x": b"", "y": 2.5},
        "control\x00": "a\r\nb\x00",
    }  # fmt: skip
    data = batch([{"text": "x", "metadata": given}])
    (record,) = records_in_file(reader, tmp_path / "b", data)
    assert record.metadata == {
        "time": "1970-01-01T00:00:00+00:00", "null": None, "list": [1, None, "a"], "map": {"y": 2.5},
        "control": "a\nb",
    }  # fmt: skip
    assert scanned(reader, tmp_path / "b", data).metadata_dropped == 7


def test_control_characters_are_removed_and_counted(reader: BatchReader, tmp_path: Path) -> None:
    data = batch([{"text": "a\x00b\x1b[1m\r\nc\td"}, {"text": "clean"}])
    assert [each.text for each in records_in_file(reader, tmp_path / "b", data)] == ["ab[1m\nc\td", "clean"]
    assert scanned(reader, tmp_path / "b", data).repaired == 1


# --- Vectors ------------------------------------------------------------------------------------------------

BAD_VECTORS: list[Any] = [
    [1.0, 2.0, 3.0], [1.0] * 5, [], [math.nan, 1.0, 1.0, 1.0], [math.inf, 1.0, 1.0, 1.0],
    [1e300, 1.0, 1.0, 1.0], [0.0] * 4, ["1", 2, 3, 4], [[1.0], 2, 3, 4], [None] * 4, "text", b"\x00" * 16,
    {"0": 1.0}, 4.0, True, [b"", 1, 2, 3],
]  # fmt: skip


def test_vectors_that_cannot_be_used_are_ignored(reader: BatchReader, tmp_path: Path) -> None:
    rows = [{"text": f"{n}", "embedding": bad} for n, bad in enumerate(BAD_VECTORS)]
    rows.append({"text": "good", "embedding": [1, 2.0, -3, 0]})
    rows.append({"text": "none", "embedding": None})
    found = records_in_file(reader, tmp_path / "b", batch(rows, embedding_dim=4))
    assert [each.text for each in found if each.vector] == ["good"]
    assert found[-2].vector == struct.pack("<4f", 1, 2, -3, 0)
    assert [each.wrong for each in found[:3]] == [OTHER_DIMENSION, OTHER_DIMENSION, NOT_FINITE]
    assert {each.wrong for each in found[3:-2]} == {NOT_FINITE}
    assert [each.wrong for each in found[-2:]] == ["", ""]
    facts = scanned(reader, tmp_path / "b", batch(rows, embedding_dim=4))
    assert facts.vectors + facts.vectors_ignored == len(BAD_VECTORS) + 1


@pytest.mark.parametrize("dimension", [0, -4, "4", 4.0, True, 1 << 40, [4]])
def test_a_dimension_that_is_nonsense_is_that_of_no_vector(
    reader: BatchReader, tmp_path: Path, dimension: Any
) -> None:
    data = batch([{"text": "x", "embedding": VECTOR}], embedding_dim=dimension)
    facts = scanned(reader, tmp_path / "b", data)
    assert (facts.vectors, facts.vectors_ignored) == (0, 1)
    assert [each.vector for each in records_in_file(reader, tmp_path / "b", data)] == [None]


def test_vectors_are_not_read_if_the_settings_do_not_name_their_model(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    data = batch([{"text": "x", "embedding": VECTOR}], embedding_dim=4)
    with closing(BatchReader(sandbox, spool_settings(spool_vectors_model=""))) as reader:
        facts = scanned(reader, tmp_path / "b", data)
        assert (facts.vectors, facts.vectors_ignored) == (0, 1)
        (record,) = records_in_file(reader, tmp_path / "b", data)
    assert (record.vector, record.wrong) == (None, "")
