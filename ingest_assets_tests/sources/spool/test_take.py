"""Files become rows of the manifest: new batches, deliveries of the same, and what is no batch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.spool_tables import manifest_event
from ingest_assets.sources.spool import manifest
from ingest_assets.sources.spool.decisions import Decider
from ingest_assets.sources.spool.intake.facts import Known
from ingest_assets.sources.spool.intake.reading import BatchReader
from ingest_assets.sources.spool.intake.take import Taken
from ingest_assets.sources.spool.removing import retry
from ingest_assets.sources.spool.sample import write_samples
from ingest_assets.sources.spool.waiting import Waiting, waiting
from ingest_assets_tests.sources.spool.intake_bench import IntakeBench, batch

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
SECRET = "Ada Lovelace"


@pytest.fixture
def bench(tmp_path: Path, ledger: Ledger) -> Iterator[IntakeBench]:
    with closing(IntakeBench(tmp_path, ledger=ledger)) as made:
        yield made


def _settle(bench: IntakeBench, batch_tag: str, *, status: str = "success") -> None:
    """What the last stage does."""
    row = bench.rows()[batch_tag]
    folder = bench.spool.archive if status == "success" else bench.spool.failed
    name = bench.spool.move(row.file, bench.spool.processing, folder)
    with bench.ledger.transaction() as connection:
        manifest.change(connection, batch_tag, status=status, file=name, reason="success")


@both
def test_a_new_batch(bench: IntakeBench) -> None:
    rows = [{"text": SECRET}, {"text": None}, {"text": "b", "embedding": [1.0]}]
    data = batch(rows, batch_tag="t1", source="crm", created_at="2026-01-01", embedding_dim=1)
    bench.put("some file.msgpack", data)
    assert bench.take() == Taken(claimed=1)
    (row,) = bench.rows().values()
    assert (row.batch_tag, row.status, row.reason, row.source) == ("t1", "queued", None, "crm")
    assert (row.total_files, row.total_bytes, row.total_records, row.skipped) == (1, len(data), 3, 1)
    assert (row.gate, row.wanted, row.pii, row.loaded, row.error) == ("none", True, False, False, None)
    assert row.created_at == 1_767_225_600
    assert json.loads(row.files) == ["some file.msgpack"]
    assert json.loads(row.extra) == {"dimension": 1, "vectors_ignored": 1}
    assert bench.files() == {f"processing/{row.file}": data}
    assert bench.events("t1") == ["gate.open"]
    with bench.ledger.reading() as connection:
        (said,) = connection.scalars(sa.select(manifest_event.c.body)).all()
    assert json.loads(said)["batch_tag"] == "t1"
    assert SECRET not in bench.written()
    with closing(BatchReader.of(bench)) as reader:
        pages = list(reader.records(bench.spool.processing / row.file, Known.of_row(row)))
    assert [(each.number, each.text, each.source) for each in pages[0]] == [
        (0, SECRET, "crm"),
        (2, "b", "crm"),
    ]
    assert bench.take() == Taken()


@both
def test_a_personal_batch_is_locked(bench: IntakeBench) -> None:
    bench.put("a.msgpack", batch(pii=True, batch_tag="p"))
    assert bench.take() == Taken(claimed=1)
    row = bench.rows()["p"]
    assert (row.status, row.gate, row.wanted, row.pii) == ("queued", "locked", False, True)
    assert list(bench.files()) == [f"processing/{row.file}"]
    assert bench.take() == Taken()


@both
def test_what_cannot_be_read_fails_with_a_note_and_all_others_are_taken(bench: IntakeBench) -> None:
    bench.put("bad.msgpack", batch([{"text": SECRET}, [SECRET]]))
    bench.put("short.msgpack", batch([{"text": SECRET}])[:-3])
    os.mkfifo(bench.spool.incoming / "pipe.msgpack")
    (bench.spool.incoming / "link.msgpack").symlink_to("/etc/passwd")
    (bench.spool.incoming / "folder.msgpack").mkdir()
    bench.put("good.msgpack", batch(batch_tag="good"))
    assert bench.take() == Taken(claimed=1, failed=5)
    rows = bench.rows()
    assert rows.pop("good").status == "queued"
    why = {json.loads(row.files)[0]: row.error for row in rows.values()}
    assert why == {
        "bad.msgpack": "Record 1: It is a list, and not a map.",
        "short.msgpack": "It ends before the batch does.",
        "pipe.msgpack": "It is not a file.",
        "link.msgpack": "It is a link. Put the file itself into the spool.",
        "folder.msgpack": "It is not a file.",
    }
    for tag, row in rows.items():
        assert tag == f"{row.file.removesuffix('.msgpack')}-{row.digest[:8]}"
        assert (row.status, row.reason, row.wanted) == ("failed", "failed", False)
        assert row.finished_at is not None
        assert bench.events(tag) == ["gate.open", "gate.done"]
        assert os.path.lexists(bench.spool.failed / row.file)
        note = bench.spool.failed / f"{row.file}.txt"
        assert row.error in note.read_text()
        assert tag in note.read_text()
        assert note.stat().st_mode & 0o777 == 0o600
    lines = "".join(path.read_text() for path in (bench.folder / "logs").glob("failures*"))
    assert sorted(json.loads(line)["batch_tag"] for line in lines.splitlines()) == sorted(rows)
    assert SECRET not in bench.written()
    assert not any(bench.spool.incoming.iterdir())
    assert bench.take() == Taken()


# --- The same batch again -----------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("state", ["queued", "success"])
def test_a_batch_that_is_delivered_again_changes_nothing(bench: IntakeBench, state: str) -> None:
    data = batch(batch_tag="t")
    bench.put("one.msgpack", data)
    bench.put("two.msgpack", data)  # at the same time
    assert bench.take() == Taken(claimed=1, redelivered=1)
    if state == "success":
        _settle(bench, "t")
    before = bench.files()
    bench.put("three.msgpack", data)
    assert bench.take() == Taken(redelivered=1)
    row = bench.rows()["t"]
    assert json.loads(row.extra)["redelivered"] == 2
    assert (row.status, bench.files()) == (state, before)
    assert bench.events("t") == ["gate.open"]


@both
def test_a_batch_whose_gate_was_closed_again_is_delivered_again(bench: IntakeBench) -> None:
    """Its file lies in the archive, though it waits."""
    data = batch(batch_tag="t", pii=True)
    bench.put("one.msgpack", data)
    bench.take()
    _settle(bench, "t")
    with bench.ledger.transaction() as connection:
        manifest.change(connection, "t", status="queued", gate="locked", wanted=False)
    bench.put("two.msgpack", data)
    assert bench.take() == Taken(redelivered=1)
    assert bench.files() == {f"archive/{bench.rows()['t'].file}": data}


@both
def test_a_tombstone_is_not_revived(bench: IntakeBench) -> None:
    bench.put("one.msgpack", batch(batch_tag="t"))
    bench.take()
    (bench.spool.processing / bench.rows()["t"].file).unlink()
    with bench.ledger.transaction() as connection:
        manifest.change(connection, "t", gone="removed", wanted=False, file="")
    bench.put("two.msgpack", batch(batch_tag="t"))
    assert bench.take() == Taken(redelivered=1)
    assert bench.rows()["t"].gone == "removed"
    assert bench.files() == {}


@both
@pytest.mark.parametrize("pii", [False, True])
def test_a_failed_batch_is_tried_again_when_it_is_delivered_again(bench: IntakeBench, pii: bool) -> None:
    data = batch(batch_tag="t", pii=pii)
    bench.put("one.msgpack", data)
    bench.take()
    _settle(bench, "t", status="failed")
    (bench.spool.failed / "one.msgpack.txt").write_text("why")
    bench.put("one.msgpack", data)
    assert bench.take() == Taken(claimed=1)
    row = bench.rows()["t"]
    assert (row.status, row.error, row.wanted) == ("queued", None, not pii)
    assert row.gate == ("locked" if pii else "none")
    assert bench.files() == {f"processing/{row.file}": data}


@both
def test_a_file_that_could_not_be_read_is_read_again_when_it_is_tried_again(
    bench: IntakeBench, tmp_path: Path, ledger: Ledger
) -> None:
    data = batch([{"text": "x" * 50}], batch_tag="t", pii=True)
    bench.put("one.msgpack", data)
    with closing(IntakeBench(tmp_path, ledger=ledger, spool_max_text_chars=9)) as strict:
        assert strict.take() == Taken(failed=1)
    ((tag, row),) = bench.rows().items()
    assert row.attempts == 1
    with bench.ledger.transaction() as connection:
        bench.spool.move(row.file, bench.spool.failed, bench.spool.processing)
        manifest.change(connection, tag, status="queued", wanted=True, error=None, reason=None)
    assert bench.take() == Taken(claimed=1)
    row = bench.rows()[tag]
    assert (row.status, row.total_records, row.gate, row.wanted) == ("queued", 1, "locked", False)
    assert row.attempts == 1, "the second one begins when its records are read"
    assert bench.take() == Taken()


@both
@pytest.mark.parametrize("state", ["queued", "success"])
def test_a_batch_whose_file_was_lost_gets_it_back(bench: IntakeBench, state: str) -> None:
    data = batch(batch_tag="t")
    bench.put("one.msgpack", data)
    bench.take()
    if state == "success":
        _settle(bench, "t")
    for path in (*bench.spool.processing.iterdir(), *bench.spool.archive.iterdir()):
        path.unlink()
    bench.put("two.msgpack", data)
    bench.take()
    row = bench.rows()["t"]
    folder = "archive" if state == "success" else "processing"
    assert bench.files() == {f"{folder}/{row.file}": data}
    assert row.status == state


# --- Tags and names -----------------------------------------------------------------------------------------


@both
def test_tags_are_unique_and_the_same_in_any_order(bench: IntakeBench) -> None:
    for number in range(4):
        bench.put(f"{number}.msgpack", batch([{"text": f"{number}"}], batch_tag="same"), age_s=9 - number)
    bench.put("none.msgpack", batch(source="Help desk", created_at="2026-01-01T02:03:04Z"))
    assert bench.take() == Taken(claimed=5)
    rows = bench.rows()
    assert rows["same"].file == "0.msgpack"  # the oldest
    (untagged,) = (row for row in rows.values() if row.source == "Help desk")
    assert untagged.batch_tag == f"Help-desk-20260101T020304Z-{untagged.digest[:8]}"
    others = [
        f"same-{row.digest[:8]}" for row in rows.values() if row.batch_tag not in ("same", untagged.batch_tag)
    ]
    assert sorted(rows) == sorted(["same", *others, untagged.batch_tag])
    # As they lie in the archive, in another order, into an empty ledger.
    contents = {tag: (bench.spool.processing / row.file).read_bytes() for tag, row in rows.items()}
    bench.forget_all()
    for age, (tag, data) in enumerate(contents.items()):
        bench.put(f"{tag}.msgpack", data, age_s=age)
    bench.take()
    assert {tag: row.digest for tag, row in bench.rows().items()} == {tag: rows[tag].digest for tag in rows}


@pytest.mark.parametrize(
    ("tag", "becomes"),
    [("../../etc/passwd", "etc-passwd"), ("..", None), ("/a/b", "a-b"), (".hid", "hid"), ("a..b", "a.b"),
     ("a b\x00\n\u202ec", "a-b-c"), ("über", "über"), (7, "7"), ([1], None), ("", None), ("-" * 9, None),
     ("x" * 999, "x" * 200), ("語" * 200, "語" * 66)],
)  # fmt: skip
def test_tags_are_harmless(bench: IntakeBench, tag: Any, becomes: str | None) -> None:
    bench.put("a.msgpack", batch(batch_tag=tag, created_at="2026-01-01"))
    bench.take()
    ((made, row),) = bench.rows().items()
    assert made == (becomes or f"tests-20260101T000000Z-{row.digest[:8]}")


def test_names_are_harmless(bench: IntakeBench) -> None:
    names = [
        b"a\nb\x1b[1m.msgpack", b"caf\xe9.msgpack", b"x" * 247 + b".msgpack",
        b"-rf *.msgpack",
        "ü".encode() * 120 + b".msgpack", b"%2e%2e%2f.msgpack", b"~.msgpack", b"a.msgpack.msgpack",
    ]  # fmt: skip
    for number, name in enumerate(names):
        path = bench.spool.incoming / os.fsdecode(name)
        path.write_bytes(batch([{"text": f"{number}"}], batch_tag=f"t{number}"))
    assert bench.take() == Taken(claimed=len(names))
    assert not any(bench.spool.incoming.iterdir())
    for row in bench.rows().values():
        assert (bench.spool.processing / row.file).is_file()
        assert row.file.isprintable()
        assert len(row.file.encode()) < 225
        assert row.files.isprintable()
        row.files.encode()


@pytest.mark.parametrize("name", ["..evil.msgpack", "...msgpack", "a..b.msgpack", "..%2f..%2fpasswd.msgpack"])
def test_a_name_that_looks_like_a_path_fails_and_can_be_tried_again(bench: IntakeBench, name: str) -> None:
    bench.put("good.msgpack", batch([{"text": "good"}], batch_tag="good"))
    bench.put(name, batch([{"text": SECRET}], batch_tag="mine"))
    assert waiting(bench.spool).files == 2
    assert bench.take() == Taken(claimed=1, failed=1)
    ((tag, row),) = [(tag, row) for tag, row in bench.rows().items() if tag != "good"]
    assert (row.status, row.reason) == ("failed", "failed")
    assert "two dots" in row.error
    assert json.loads(row.files) == [name]
    note = bench.spool.failed / f"{row.file}.txt"
    assert row.error in note.read_text()
    assert f"Delivered as: {name}" in note.read_text()
    assert tag in "".join(path.read_text() for path in (bench.folder / "logs").glob("failures*"))
    assert not any(bench.spool.incoming.iterdir())
    retry(bench, tag, Decider("ada", "it is harmless", "cli"))
    assert bench.take() == Taken(claimed=1)
    assert bench.rows()[tag].status == "queued"
    assert ".." not in bench.rows()[tag].file


def test_other_files_are_left_alone(bench: IntakeBench) -> None:
    for name in (".a.msgpack.tmp", ".b.msgpack", "c.json", "d.msgpack.part", "e.MSGPACK"):
        bench.put(name, batch())
    before = bench.files()
    assert bench.take() == Taken()
    assert bench.files() == before
    assert waiting(bench.spool) == Waiting(0, 0, 0.0, 0, 5)


@both
def test_any_of_the_samples(bench: IntakeBench) -> None:
    written = write_samples(bench.spool.root)
    assert bench.take() == Taken(claimed=4, failed=1)
    rows = {json.loads(row.files)[0]: row for row in bench.rows().values()}
    states = [(rows[each.path.name].status, rows[each.path.name].gate) for each in written]
    plain = ("queued", "none")
    assert states == [plain, plain, ("queued", "locked"), plain, ("failed", "none")]
