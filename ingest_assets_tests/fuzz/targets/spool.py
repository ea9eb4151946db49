"""Batches of the spool, in this process and confined; and what the confined one answers.

What belongs here: bytes of batches.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import msgpack

from ingest_assets.sandbox import Sandbox
from ingest_assets.sources.spool.intake.envelope import Bounds
from ingest_assets.sources.spool.intake.errors import BatchError
from ingest_assets.sources.spool.intake.parsing import (
    FACTS,
    RECORDS,
    TRUNCATED,
    Parsing,
    facts_in,
    records_in,
)
from ingest_assets.sources.spool.intake.reading import BatchReader
from ingest_assets.sources.spool.settings import SpoolSettings
from ingest_assets_tests.fuzz.target import Parse, Place, Target, plain

_BOUNDS = Bounds(1_000, 5_000, frozenset(("hr",)), vectors=True, wanted=False)


def _answers(data: bytes, *, wanted: bool, piece: int) -> list[bytes]:
    parser = Parsing()
    answers = []
    for at in range(0, max(1, len(data)), piece):
        begin = _BOUNDS._replace(wanted=wanted) if at == 0 else None
        answers.append(parser.feed(begin, data[at : at + piece], at + piece >= len(data)))
    if answers[-1] == TRUNCATED:
        raise BatchError("It ends too early.")
    return answers


def _batch(data: bytes) -> None:
    facts = facts_in(_answers(data, wanted=False, piece=1 << 20)[-1])
    assert facts == facts_in(_answers(data, wanted=False, piece=7)[-1])
    found = [one for answer in _answers(data, wanted=True, piece=11) for one in records_in(answer)]
    assert len(found) == facts.records - facts.skipped
    assert [one.number for one in found] == sorted({one.number for one in found})
    for one in found:
        assert one.text.strip()
        assert "\0" not in one.text + one.source
        assert isinstance(json.loads(one.metadata), dict)
        assert one.vector is None or len(one.vector) % 4 == 0


@contextmanager
def _confined(place: Place) -> Iterator[Parse]:
    file = place.folder / "batch"
    settings = SpoolSettings(_env_file=None, spool_quiet_s=0)
    with closing(Sandbox(place.folder / "tmp")) as box, closing(BatchReader(box, settings)) as reader:

        def parse(data: bytes) -> None:
            file.write_bytes(data)
            scan = reader.scan(file)
            assert (scan.facts is None) == (scan.error is not None)
            if scan.error is not None:
                raise scan.error
            for _ in reader.records(file):
                pass

        yield parse


def _answer(data: bytes) -> None:
    if data[:1] == FACTS:
        facts_in(data)
    else:
        list(records_in(data))


def _batches() -> list[bytes]:
    record = {"source": "a", "text": "one two", "metadata": {"a": [1, {"b": None}], "c": 2.5}, "pii": False}
    vectors = [{"text": f"{n}", "embedding": [0.5, n, -1.0]} for n in range(3)]
    old = [{"instruction": "i", "chunk": 3}, {"source_text": "s"}, {"text": None}]
    at = msgpack.Timestamp(1_767_323_045, 5)
    envelope = {
        "version": 1,
        "created_at": "2026-01-01T00:00:00Z",
        "source": "s",
        "batch_tag": "t",
        "count": 1,
    }
    batches: list[dict[str, Any]] = [
        envelope | {"records": [record]},
        {"records": vectors, "embedding_dim": 3, "created_at": at, "pii": "no"},
        {"examples": old, "other": [[{}], b"x"]},
        {"records": []},
    ]
    return [msgpack.packb(each) for each in batches]


_TOKENS = (
    b"\xa7records", b"\xa8examples", b"\xa4text", b"\xa8metadata", b"\xa9embedding", b"\xa7version\x01",
    b"\xa3pii\xc3", b"\xa5count", b"\xacbatch_tag", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x05", b"\xc1", b"\xc0", b"\x90",
    b"\x80", b"\x91" * 40, b"\x81\xa1a" * 40, b"\xcb\x7f\xf8\0\0\0\0\0\0", b"\xca\x7f\x80\0\0",
    b"\xd7\xff" + b"\xff" * 8, b"\xd6\xff\0\0\0\1", b"\xa3\xed\xa0\x80", b"\xa2\xff\xfe", b"\xd9\x04text",
    b"\x81\x91\x01\x01",
)  # fmt: skip


def _answers_of_the_process() -> list[bytes]:
    whole = _batches()[0]
    return [_answers(whole, wanted=wanted, piece=1 << 20)[-1] for wanted in (False, True)]


TARGETS = (
    Target(name="spool_batches", open=plain(_batch), seeds=_batches, tokens=_TOKENS, brief=400),
    Target(name="spool_confined", open=_confined, seeds=lambda: _batches()[:2], tokens=_TOKENS, brief=20),
    Target(
        name="spool_answers",
        open=plain(_answer),
        seeds=_answers_of_the_process,
        tokens=(FACTS, RECORDS, b"\xff\xff\xff\xff", b"\0\0\0\0", b'"records": -1', b"null", b"1e999", b"[]"),
        brief=200,
    ),
)
