"""From files in the spool to points, and back out of the index: what a run leaves behind."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.spool_tables import alert
from ingest_assets.model import UnavailableError
from ingest_assets.sources.spool import partitions
from ingest_assets.sources.spool.doctor import findings
from ingest_assets.sources.spool.intake import reading
from ingest_assets.sources.spool.intake.errors import BatchError
from ingest_assets.sources.spool.intake.facts import Known, Record
from ingest_assets.sources.spool.intake.reading import BatchReader
from ingest_assets_tests.sources.spool.intake_bench import batch
from ingest_assets_tests.sources.spool.spool_bench import SpoolBench
from ingest_assets_tests.support.small_parts import ToyModel

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def bench(tmp_path: Path, ledger: Ledger) -> Iterator[SpoolBench]:
    with SpoolBench(tmp_path, ledger=ledger) as bench:
        yield bench


def test_a_batch_goes_to_the_archive_when_its_records_are_in_the_index(bench: SpoolBench) -> None:
    path = bench.write(["one swift fox", "two slow dogs"])
    outcomes = bench.run_all()

    batch = bench.only()
    assert (batch.status, batch.reason, batch.processed) == ("success", "success", 2) or (
        batch.reason == "healed_partition"
    )
    assert bench.texts() == {
        f"{batch.batch_tag}/0": "one swift fox",
        f"{batch.batch_tag}/1": "two slow dogs",
    }
    assert bench.files() == {"incoming": [], "processing": [], "archive": [path.name], "failed": []}
    assert outcomes["batches"].added == 2
    assert [each.moved for each in bench.run_all().values()] == [0] * 5


def test_records_without_text_shift_nothing(bench: SpoolBench) -> None:
    bench.write([{"text": "first"}, {"text": "  "}, {"metadata": {"a": 1}}, {"text": "fourth"}])
    bench.run_all()

    batch = bench.only()
    assert (batch.total_records, batch.skipped, batch.processed) == (4, 2, 2)
    assert bench.texts() == {f"{batch.batch_tag}/0": "first", f"{batch.batch_tag}/3": "fourth"}


def test_a_batch_that_is_delivered_twice_changes_nothing(bench: SpoolBench) -> None:
    path = bench.write(["only once"])
    bench.run_all()
    shutil.copy(bench.spool.archive / path.name, bench.spool.incoming / "again.msgpack")
    outcomes = bench.run_all()

    assert [each.moved for each in outcomes.values()] == [0] * 5
    assert json.loads(bench.only().extra)["redelivered"] == 1
    assert bench.files()["incoming"] == bench.files()["processing"] == []


def test_a_broken_batch_fails_alone(bench: SpoolBench) -> None:
    bench.write(["a good one"])
    (bench.spool.incoming / "broken.msgpack").write_bytes(b"\x82\xa7version\x01\xa7rec")
    bench.run_all()

    states = {batch.status for batch in bench.batches().values()}
    assert states == {"success", "failed"}
    assert list(bench.texts().values()) == ["a good one"]
    failed = bench.files()["failed"]
    assert "broken.msgpack" in failed
    assert len(failed) == 2  # and its note


def test_the_index_built_from_the_archive_is_the_same(bench: SpoolBench, tmp_path: Path) -> None:
    for texts in (["alpha beta", "gamma"], ["delta"], ["gamma"]):
        bench.write(texts)
        bench.run_all()
    with SpoolBench(tmp_path / "other") as other:
        for file in bench.spool.archive.iterdir():
            shutil.copy(file, other.spool.incoming / file.name)
        other.run_all()
        assert other.points() == bench.points()


def test_two_batches_with_one_tag_stay_apart_and_keep_their_tags(bench: SpoolBench, tmp_path: Path) -> None:
    bench.write(["first"], batch_tag="nightly", created_at="2026-11-01T00:00:00Z")
    bench.run_all()
    bench.write(["second"], batch_tag="nightly", created_at="2026-11-01T00:00:00Z")
    bench.run_all()

    tags = sorted(bench.batches())
    assert len(tags) == 2
    assert tags[0] == "nightly"
    assert tags[1].startswith("nightly-")
    with SpoolBench(tmp_path / "other") as other:
        for file in sorted(bench.spool.archive.iterdir(), reverse=True):
            shutil.copy(file, other.spool.incoming / file.name)
        other.run_all()
        assert other.points() == bench.points()


def test_a_build_looks_at_the_archive_again(bench: SpoolBench) -> None:
    bench.write(["kept text"])
    bench.run_all()
    before = bench.points()
    with bench.ledger.transaction() as connection:
        connection.execute(sa.text("update spool_record set text = 'changed by hand'"))
    bench.run_all(rebuild=True)
    assert bench.points() == before


def test_a_partition_that_somebody_dropped_is_healed(bench: SpoolBench) -> None:
    if bench.ledger.is_sqlite:
        with bench.ledger.reading() as connection:
            assert partitions.lost(connection) == set()
        return
    bench.write(["of this month"])
    bench.run_all()
    before = bench.points()
    records = bench.records()
    with bench.ledger.transaction() as connection:
        for month in partitions.present(connection):
            connection.execute(sa.text(f"drop table spool_record_{month.replace('-', '_')}"))
    assert bench.records() == set()
    bench.run_all()
    assert bench.records() == records
    assert bench.points() == before


def test_a_partition_that_somebody_made_is_missed_too(bench: SpoolBench) -> None:
    bench.write(["from the past"], created_at="2024-02-29T12:00:00Z")
    if not bench.ledger.is_sqlite:
        with bench.ledger.transaction() as connection:
            made = partitions.make(connection, ["2024-02"])
            partitions.forget(connection, made)  # as if by hand
    bench.run_all()
    records = bench.records()
    assert len(records) == 1
    if not bench.ledger.is_sqlite:
        with bench.ledger.transaction() as connection:
            connection.execute(sa.text("drop table spool_record_2024_02"))
        bench.run_all()
    assert bench.records() == records


def test_a_batch_of_a_month_without_partition_makes_one_and_says_so(bench: SpoolBench) -> None:
    bench.write(["from the past"], created_at="2024-02-29T12:00:00Z")
    bench.run_all()

    batch = bench.only()
    assert batch.status == "success"
    if bench.ledger.is_sqlite:
        assert batch.reason == "success"
    else:
        assert batch.reason == "healed_partition"
        assert json.loads(batch.extra)["healed"] == ["2024-02"]


def test_batches_of_old_months_expire(bench: SpoolBench, tmp_path: Path) -> None:
    old = bench.write(["long ago"], created_at="2024-02-29T12:00:00Z")
    new = bench.write(["today"])
    bench.run_all()
    content = (bench.spool.archive / old.name).read_bytes()
    with SpoolBench(tmp_path, ledger=bench.ledger, store=bench.engine, spool_retention_days=300) as later:
        later.run_all()
        assert list(later.texts().values()) == ["today"]
        assert later.files()["archive"] == [new.name]
        gone = {batch.gone for batch in later.batches().values()}
        assert gone == {None, "expired"}
        assert {text for _, _, text in later.records()} == {"today"}
        (later.spool.incoming / "again.msgpack").write_bytes(content)
        later.run_all()
        assert list(later.texts().values()) == ["today"]
        if not later.ledger.is_sqlite:
            with later.ledger.reading() as connection:
                assert "2024-02" not in partitions.present(connection)


@pytest.mark.parametrize("model", ["its own", "another"])
def test_vectors_that_come_along_are_used_if_they_are_the_models_own(
    tmp_path: Path, ledger: Ledger, model: str
) -> None:
    own = ToyModel()
    vector = [0.0] * (own.dimension - 1) + [1.0]
    named = own.identity if model == "its own" else "another"
    with SpoolBench(tmp_path, ledger=ledger, spool_vectors_model=named) as bench:
        records: list[dict[str, Any]] = [{"text": "with a vector", "embedding": vector}]
        records.append({"text": "without one"})
        bench.write(records, embedding_dim=own.dimension)
        bench.run_all()
        stored = {payload["text"]: dense for payload, dense, _ in bench.points().values()}
        ((extra, doctor),) = [
            (json.loads(row.extra), [each for each in findings(bench) if each.name == "spool: vectors"])
            for row in bench.batches().values()
        ]
    counts = {"vectors_used": 1} if model == "its own" else {"vectors_of_another_model": 1}
    assert counts.items() <= extra.items()
    assert [each.state for each in doctor] == ["ok" if model == "its own" else "wrong"]
    assert model == "its own" or own.identity in doctor[0].message
    assert (stored["with a vector"] == vector) is (model == "its own")
    assert stored["without one"] != vector


def test_vectors_that_cannot_be_used_are_counted_named_and_told_once(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PAGE", 2)  # so that a batch is recorded in several parts
    own = ToyModel()
    unit = [0.0] * (own.dimension - 1) + [1.0]
    came: dict[str, Any] = {
        "NaN": [math.nan, *unit[1:]], "infinite": [*unit[:-1], math.inf], "zeros": [0.0] * own.dimension,
        "no list": "text", "short": unit[1:], "long": [*unit, 0.0], "half": [each / 2 for each in unit],
        "good": unit, "none": None,
    }  # fmt: skip
    records = [{"text": name, "embedding": each} for name, each in came.items()]
    with SpoolBench(tmp_path, ledger=ledger, spool_vectors_model=own.identity) as bench:
        for tag in ("first", "second"):
            content = batch(records, source="desk", batch_tag=tag, embedding_dim=own.dimension)
            (bench.spool.incoming / f"{tag}.msgpack").write_bytes(content)
        bench.run_all()
        stored = {payload["text"]: dense for payload, dense, _ in bench.points().values()}
        assert stored.pop("good") == unit
        assert unit not in stored.values()
        wrong = {"vectors_of_another_dimension": 2, "vectors_not_finite": 4, "vectors_not_of_length_1": 1}
        for row in bench.batches().values():
            assert (row.status, row.reason, row.processed) == ("success", "success", len(records))
            extra = json.loads(row.extra)
            assert {name: extra[name] for name in wrong} == wrong
            assert extra["vectors_used"] == 1
        lines = [json.loads(line) for path in (tmp_path / "logs").glob("failures*") for line in path.open()]
        assert sorted(line["batch_tag"] for line in lines) == ["first", "second"]
        for line in lines:
            assert (line["reason"], line["healed"]) == ("success", True)
            assert "7 of 8 vectors" in line["message"]
            assert "2 of another dimension" in line["message"]
        assert _causes(bench) == {"spool vectors desk"}
        bench.write([{"text": "mended", "embedding": unit}], embedding_dim=own.dimension)
        bench.run_all()
        assert _causes(bench) == set()


def _causes(bench: SpoolBench) -> set[str]:
    """What people were alerted of and has not ended."""
    with bench.ledger.reading() as connection:
        return set(connection.scalars(sa.select(alert.c.cause)))


def test_metadata_that_settings_name_can_be_filtered_by(tmp_path: Path, ledger: Ledger) -> None:
    with SpoolBench(tmp_path, ledger=ledger, spool_metadata_fields="topic,score:number") as bench:
        bench.write([{"text": "good", "metadata": {"topic": "a", "score": 4.5, "other": {"deep": [1]}}}])
        bench.run_all()
        ((payload, _, _),) = bench.points().values()
        assert (payload["topic"], payload["score"]) == (["a"], 4.5)
        assert "other" not in payload


def test_the_spellings_of_the_old_replayer_are_read(bench: SpoolBench) -> None:
    envelope = {
        "version": 1,
        "created_at": "2026-11-01T00:00:00Z",
        "source": "old",
        "batch_tag": "old-1",
        "count": 4,
        "examples": [
            {"instruction": "do this"},
            {"chunk": "a chunk"},
            {"source_text": "its source"},
            {"text": "plain"},
        ],
    }
    (bench.spool.incoming / "old.msgpack").write_bytes(msgpack.packb(envelope))
    bench.run_all()
    assert sorted(bench.texts().values()) == ["a chunk", "do this", "its source", "plain"]


@pytest.mark.parametrize("named", ["desk", "chat"])
def test_batches_of_a_source_that_is_personal_by_now_are_locked(
    tmp_path: Path, ledger: Ledger, named: str
) -> None:
    """By their own source, or by that of a record."""
    with SpoolBench(tmp_path, ledger=ledger) as bench:
        bench.write([{"text": "from a chat", "source": "chat"}, {"text": "from the desk"}])
        bench.write(["from the web"], source="web")
        bench.run_all()
        assert len(bench.texts()) == 3
        with SpoolBench(tmp_path, ledger=ledger, store=bench.engine, spool_pii_sources=named) as later:
            later.write([{"text": "a later chat", "source": "chat"}], source="desk")
            later.run_all()
            assert list(later.texts().values()) == ["from the web"]
            assert sorted(batch.gate for batch in later.batches().values()) == ["locked", "locked", "none"]
            assert [text for _, _, text in later.records()] == ["from the web"]
            assert not any(batch.purge for batch in later.batches().values())


@pytest.mark.parametrize("rebuild", [False, True])
def test_a_failed_batch_that_cannot_be_put_aside_keeps_nobody_waiting(
    bench: SpoolBench, monkeypatch: pytest.MonkeyPatch, rebuild: bool
) -> None:
    """As on a full disk. The next run does it, or says why not."""
    records = BatchReader.records

    def refusing(self: BatchReader, path: Path, known: Known | None = None) -> Iterator[list[Record]]:
        if path.name.startswith("bad"):
            raise BatchError("It cannot be read again.")
        return records(self, path, known)

    name = bench.write(["one"], batch_tag="bad").name
    if rebuild:  # from the archive
        bench.run_all()
    in_the_way = bench.spool.failed / f"{name}.txt"
    in_the_way.mkdir()
    other = bench.write(["other"], batch_tag="other").name
    with monkeypatch.context() as patch:
        patch.setattr(BatchReader, "records", refusing)
        bench.run_all(rebuild=rebuild)
    assert "other" in bench.texts().values()
    assert bench.batches()["bad"].status == "failed"
    with pytest.raises(UnavailableError, match="bad"):
        bench.run_all()
    in_the_way.rmdir()
    bench.run_all()
    assert bench.files()["processing"] == []
    assert bench.files()["failed"] == [name, f"{name}.txt"]
    assert bench.files()["archive"] == [other]
    assert list(bench.texts().values()) == ["other"]
