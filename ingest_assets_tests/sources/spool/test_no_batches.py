"""An outcome with its reason for what is no batch, which shows nothing of what is in it."""

from __future__ import annotations

import math
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import msgpack
import pytest

from ingest_assets.sandbox import Sandbox
from ingest_assets.sources.spool.intake.errors import BatchError
from ingest_assets.sources.spool.intake.reading import BatchReader
from ingest_assets_tests.sources.spool.batch_reader import (
    SECRET,
    reader,
    records_in_file,
    sandbox,
    scanned,
    spool_settings,
)
from ingest_assets_tests.sources.spool.intake_bench import batch

__all__ = ["reader", "sandbox"]  # fixtures

NAMED = [{"text": SECRET, "metadata": {"who": SECRET}}]


def _packed(value: Any) -> bytes:
    return msgpack.packb(value)  # type: ignore[no-any-return]


def _nested(depth: int) -> Any:
    value: Any = SECRET
    for _ in range(depth):
        value = {"in": value}
    return value


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "truncated": (batch(NAMED)[:-9], "ends before"),
    "truncated in a head": (b"\x82\xa7version\x01\xa7records\xdd\x00\x00", "ends before"),
    "trailing bytes": (batch(NAMED) + b"\xc0", "follows"),
    "two batches": (batch(NAMED) * 2, "follows"),
    "no MessagePack": (b"\xc1" + batch(NAMED), "no value"),
    "no MessagePack inside": (b"\x81\xa7records\x91\x81\xa4text\xc1", "MessagePack"),
    "text": (SECRET.encode(), "a number"),
    "JSON": (b'{"version": 1, "records": []}', "a number"),
    "a list": (_packed(NAMED), "a list"),
    "another version": (batch(NAMED, version=2), "version is 2"),
    "a version that is text": (batch(NAMED, version=SECRET), "version is not a whole number"),
    "a version that is a flag": (batch(NAMED, version=True), "version is not a whole number"),
    "a version with a fraction": (batch(NAMED, version=1.0), "version is not a whole number"),
    "no records": (_packed({"version": 1, "source": SECRET}), "no records"),
    "records that are nothing": (_packed({"records": None}), "no records"),
    "records that are a map": (batch({"0": {"text": SECRET}}), "are a map"),
    "two lists": (_packed({"records": NAMED, "examples": NAMED}), "more than one list"),
    "a list twice": (b"\x82\xa7records\x90\xa7records\x90", "more than one list"),
    "a field twice": (b"\x83\xa6source\xa1a\xa6source\xa1b\xa7records\x90", "source twice"),
    "a text twice": (b"\x81\xa7records\x91\x82\xa4text\xa1a\xa4text\xa1b", "Record 0: It has the field text"),
    "a record that is a list": (batch([*NAMED, [SECRET]]), "Record 1: It is a list"),
    "a record that is text": (batch([*NAMED, SECRET]), "Record 1: It is text"),
    "a record that is nothing": (batch([None]), "Record 0: It is nothing"),
    "text that is a number": (batch([*NAMED, {"text": 5}]), "Record 1: Its text is a number"),
    "text that is bytes": (batch([{"text": SECRET.encode()}]), "Record 0: Its text is bytes"),
    "text that is a list": (batch([{"text": [SECRET]}]), "Record 0: Its text is a list"),
    "text that is no UTF-8": (b"\x81\xa7records\x91\x81\xa4text\xa3a\xffb", "Record 0: It holds text that"),
    "half a character": (b"\x81\xa7records\x91\x81\xa4text\xa3\xed\xa0\x80", "UTF-8"),
    "metadata that is a list": (batch([{"text": "x", "metadata": [SECRET]}]), "metadata is a list"),
    "metadata that is no UTF-8": (
        b"\x81\xa7records\x91\x82\xa4text\xa1x\xa8metadata\x81\xa1a\xa1\xff",
        "UTF-8",
    ),
    "metadata that is deep": (batch([{"text": "x", "metadata": _nested(17)}]), "nested"),
    "metadata of lists that is deep": (
        b"\x81\xa7records\x91\x82\xa4text\xa1x\xa8metadata\x81\xa1a" + b"\x91" * 40 + b"\x01",
        "nested",
    ),
    "a tower of lists": (b"\x82\xa1x" + b"\x91" * 5_000 + b"\x01\xa7records\x90", "nested"),
    "a source that is a list": (batch(NAMED, source=[SECRET]), "source is a list"),
    "a source that is long": (batch(NAMED, source="s" * 201), "source has more than"),
    "a record's source that is long": (batch([{"text": "x", "source": SECRET * 99}]), "Record 0: Its source"),
    "a count that lies": (batch(NAMED, count=2), "count is 2, and it has 1"),
    "a count that is huge": (batch(NAMED, count=1 << 60), "count is"),
    "a count that is text": (batch(NAMED, count=SECRET), "not a whole number"),
    "more records than there are": (b"\x81\xa7records\xdd\x00\x00\x00\x09\x81\xa4text\xa1x", "ends before"),
    "far more records": (b"\x81\xa7records\xdd\xff\xff\xff\xff\x81\xa4text\xa1x", "SPOOL_MAX_RECORDS"),
    "a map bomb": (b"\xdf\xff\xff\xff\xff\xa7records\x90", "fields"),
    "a map bomb in a record": (b"\x81\xa7records\x91\xdf\x7f\xff\xff\xff\xa4text\xa1x", "ends before"),
    "a text that says it is huge": (b"\x81\xa7records\x91\x81\xa4text\xdb\xff\xff\xff\xff", "ends before"),
    "many fields": (batch([dict.fromkeys(map(str, range(300)), 1)]), "Record 0: It has 300 fields"),
    "a time that is none": (batch(NAMED, created_at=SECRET), "not a time"),
    "a time that is a list": (batch(NAMED, created_at=[1]), "not a time"),
    "a time that is no number": (batch(NAMED, created_at=math.nan), "not a time"),
    "a time long ago": (batch(NAMED, created_at="1999-01-01"), "in the past"),
    "a time before the calendar": (batch(NAMED, created_at=-9e10), "no calendar"),
    "a time to come": (batch(NAMED, created_at=time.time() + 3 * 86_400), "in the future"),
    "a time of another kind": (
        b"\x82\xaacreated_at\xd7\xff" + b"\xff" * 8 + b"\xa7records\x90",
        "not MessagePack",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_reason_for_what_is_no_batch(reader: BatchReader, tmp_path: Path, name: str) -> None:
    data, why = BAD[name]
    with pytest.raises(BatchError, match=why) as refused:
        scanned(reader, tmp_path / "b", data)
    assert "Ada" not in str(refused.value)
    assert "7946" not in repr(refused.value.__cause__) + repr(refused.value.__context__)
    with pytest.raises(BatchError):
        records_in_file(reader, tmp_path / "b", data)
    assert scanned(reader, tmp_path / "b", batch()).records == 1  # the process goes on


def test_a_text_of_ten_megabytes(reader: BatchReader, tmp_path: Path) -> None:
    with pytest.raises(BatchError, match=r"Record 1: Its text has 10,000,000 characters; 5,000,000 are"):
        scanned(reader, tmp_path / "b", batch([{"text": "x"}, {"text": "y" * 10_000_000}]))
    text = "é" * 5_000_000
    (record,) = records_in_file(reader, tmp_path / "b", batch([{"text": text}]))
    assert record.text == text


def test_a_value_above_the_unpacker_s_buffer(sandbox: Sandbox, tmp_path: Path) -> None:
    """It must not look like the end of the batch."""
    with closing(BatchReader(sandbox, spool_settings(spool_max_text_chars=1_000))) as reader:
        large = {"text": "x", "metadata": {"a": "y" * (8 << 20)}}
        for data in (
            batch([{"text": "x"}, large]),
            batch(other="y" * (8 << 20)),
            batch([{"text": b"y" * (8 << 20)}]),
        ):
            with pytest.raises(BatchError, match="larger than"):
                scanned(reader, tmp_path / "b", data)


def test_too_many_records_and_too_large_files(sandbox: Sandbox, tmp_path: Path) -> None:
    with closing(BatchReader(sandbox, spool_settings(spool_max_records=3, spool_max_file_mib=1))) as reader:
        assert scanned(reader, tmp_path / "b", batch([{"text": "x"}] * 3)).records == 3
        with pytest.raises(BatchError, match="SPOOL_MAX_RECORDS"):
            scanned(reader, tmp_path / "b", batch([{"text": "x"}] * 4))
        with pytest.raises(BatchError, match="SPOOL_MAX_FILE_MIB"):
            scanned(reader, tmp_path / "b", batch([{"text": "x" * (1 << 20)}]))
