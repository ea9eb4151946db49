"""Files that are not whole, full disks, other processes, kills: nothing is lost, and others are taken."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ingest_assets.ledger import Ledger
from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.sources.spool import write_batch
from ingest_assets.sources.spool.intake import take as taking
from ingest_assets.sources.spool.intake.reading import BatchReader
from ingest_assets.sources.spool.intake.take import Taken
from ingest_assets.sources.spool.waiting import waiting
from ingest_assets_tests.sources.spool.intake_bench import IntakeBench, batch

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
SECRET = "Ada Lovelace"


@pytest.fixture
def bench(tmp_path: Path, ledger: Ledger) -> Iterator[IntakeBench]:
    with closing(IntakeBench(tmp_path, ledger=ledger)) as made:
        yield made


# --- Whole files only ---------------------------------------------------------------------------------------


def test_a_slow_producer_s_file_is_never_read_in_part(tmp_path: Path) -> None:
    data = batch([{"text": "x" * 100}] * 50, batch_tag="slow")
    with closing(IntakeBench(tmp_path, spool_quiet_s=60)) as bench:
        path = bench.put("slow.msgpack", data[:1_000])
        assert bench.take() == Taken()
        path.chmod(0o600)  # a change of the inode after the last write, as a rename is
        time.sleep(0.05)  # more than a tick of the clock that stamps files, also on a busy machine
        path.chmod(0o640)
        assert bench.take() == Taken(unfinished=1)
        assert bench.rows() == {}
        assert bench.files() == {"incoming/slow.msgpack": data[:1_000]}
        with path.open("ab") as file:
            file.write(data[1_000:])
        os.utime(path, (time.time() - 61,) * 2)
        assert bench.take() == Taken(claimed=1)
        assert bench.rows()["slow"].total_records == 50


def test_a_file_that_goes_on_growing_after_it_was_claimed(tmp_path: Path) -> None:
    """The producer still has it open, wherever it is."""
    data = batch([{"text": "x"}] * 9, batch_tag="slow")
    with closing(IntakeBench(tmp_path, spool_quiet_s=60)) as bench:
        path = bench.put("slow.msgpack", data[:20], age_s=61)
        with path.open("ab", buffering=0) as file:

            def grow(_self: BatchReader, claimed: Path) -> Any:
                file.write(data[20:40])
                return scan(_self, claimed)

            scan = BatchReader.scan
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(BatchReader, "scan", grow)
                assert bench.take() == Taken(unfinished=1)
            file.write(data[40:])
        os.utime(bench.spool.incoming / "slow.msgpack", (time.time() - 61,) * 2)
        assert bench.take() == Taken(claimed=1)


def test_what_came_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    with closing(IntakeBench(tmp_path, spool_quiet_s=60)) as bench:
        bench.put("a.msgpack", batch()[:5], age_s=61)
        scan = BatchReader.scan

        def scanned(self: BatchReader, path: Path) -> Any:
            bench.put("a.msgpack", batch(batch_tag="new"))
            os.utime(path)
            return scan(self, path)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BatchReader, "scan", scanned)
            assert bench.take() == Taken(unfinished=1)
        assert bench.files() == {
            "incoming/a.msgpack": batch(batch_tag="new"),
            "processing/a.msgpack": batch()[:5],
        }
        os.utime(bench.spool.processing / "a.msgpack", (time.time() - 61,) * 2)
        assert bench.take() == Taken(failed=1)  # left over, quiet by now, and still too short


def test_a_clock_that_was_wrong(tmp_path: Path) -> None:
    """Files of a future that was set back are not waited for."""
    with closing(IntakeBench(tmp_path, spool_quiet_s=60)) as bench:
        bench.put("a.msgpack", batch(batch_tag="t", created_at="2026-01-01"), age_s=-86_400)
        assert waiting(bench.spool).whole == 1
        assert bench.take() == Taken(claimed=1)
        bench.put("b.msgpack", batch([{"text": "b"}], created_at=None), age_s=-9 * 86_400)
        assert bench.take() == Taken(failed=1)
        assert "in the future" in next(row.error for row in bench.rows().values() if row.error)


# --- Things that go wrong -----------------------------------------------------------------------------------


def test_a_full_disk_leaves_everything_where_it_can_be_found(
    bench: IntakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.put("a.msgpack", batch(batch_tag="a"))
    bench.put("b.msgpack", b"\xc1")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", _full)
        with pytest.raises(UnavailableError, match="No space left on device"):
            bench.take()
    assert len(bench.files(bench.spool.incoming)) == 2
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", _full)
        with pytest.raises(UnavailableError, match="No space left on device"):
            bench.take()
    bench.take()
    assert sorted(row.status for row in bench.rows().values()) == ["failed", "queued"]
    assert sorted(bench.files()) == ["failed/b.msgpack", "failed/b.msgpack.txt", "processing/a.msgpack"]


def _full(*_: object, **__: object) -> Any:
    raise OSError(28, "No space left on device")


def test_one_file_that_cannot_be_moved_does_not_keep_the_others(
    bench: IntakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.put("a.msgpack", batch(batch_tag="a"))
    bench.put("b.msgpack", batch(batch_tag="b"))
    rename = Path.rename

    def renamed(self: Path, target: Path) -> Path:
        if self.name == "a.msgpack":
            raise PermissionError(1, "Operation not permitted")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", renamed)
    with pytest.raises(UnavailableError, match=r"'a\.msgpack' cannot be moved"):
        bench.take()
    assert list(bench.rows()) == ["b"]


def test_an_attack_does_not_begin_again_with_each_run(
    bench: IntakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingest_assets.sources.spool.intake import reading

    monkeypatch.setattr(reading, "MAX_DEATHS", 1)
    for number in range(3):
        bench.put(f"{number}.msgpack", batch([{"text": f"{number}"}]), age_s=9 - number)
    ask = reading.BatchReader._ask

    def killed(self: BatchReader, *asked: Any) -> bytes:
        self._started().process._process.kill()
        return ask(self, *asked)

    monkeypatch.setattr(reading.BatchReader, "_ask", killed)
    for number in range(3):
        with pytest.raises(UnavailableError) if number < 2 else _nothing():
            bench.take()
        assert len(bench.rows()) == number + 1


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def test_the_check_ends_it_between_files(bench: IntakeBench) -> None:
    for number in range(5):
        bench.put(f"{number}.msgpack", batch([{"text": f"{number}"}]))
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 4:
            raise UnavailableError("Cancelled.")

    with pytest.raises(UnavailableError, match="Cancelled"):
        bench.take(check)
    assert bench.take() == Taken(claimed=5)


def test_folders_that_others_can_write_are_refused(bench: IntakeBench) -> None:
    bench.put("a.msgpack", batch())
    bench.spool.processing.chmod(0o770)
    with pytest.raises(ConfigurationError, match="chmod go-w"):
        bench.take()
    assert bench.rows() == {}


@both
def test_two_daemons_at_once_take_each_file_once(bench: IntakeBench, ledger_url: str, tmp_path: Path) -> None:
    for number in range(60):
        write_batch(bench.spool.root, [{"text": f"{number}"}], source="s")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_take_all, args=(tmp_path, ledger_url)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    rows = bench.rows()
    assert len(rows) == 60
    assert {row.file for row in rows.values()} == {path.name for path in bench.spool.processing.iterdir()}
    assert not any("redelivered" in row.extra for row in rows.values())


def _take_all(home: Path, ledger_url: str) -> None:
    with closing(Ledger(ledger_url)) as ledger, closing(IntakeBench(home, ledger=ledger)) as bench:
        for _ in range(5):
            bench.take()


def test_many_small_batches_share_processes_and_transactions(
    bench: IntakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingest_assets.sandbox import Sandbox

    started: list[object] = []
    start = Sandbox.start

    def counted(self: Sandbox, *args: Any, **kwargs: Any) -> Any:
        started.append(self)
        return start(self, *args, **kwargs)

    monkeypatch.setattr(Sandbox, "start", counted)
    monkeypatch.setattr(taking, "GROUP", 40)
    for number in range(100):
        bench.put(f"{number}.msgpack", batch([{"text": f"{number}"}]))
    assert bench.take() == Taken(claimed=100)
    assert len(started) == 1
    assert len(bench.rows()) == 100


@both
@pytest.mark.thorough
def test_killed_processes_lose_nothing(bench: IntakeBench, ledger_url: str, tmp_path: Path) -> None:
    context, rng, delivered = multiprocessing.get_context("spawn"), Random(1), 0
    for _ in range(8):
        for _ in range(40):
            write_batch(bench.spool.root, [{"text": f"{delivered}"}], source="s")
            delivered += 1
        worker = context.Process(target=_take_all, args=(tmp_path, ledger_url))
        worker.start()
        time.sleep(rng.uniform(0.5, 2.5))
        worker.kill()
        worker.join()
    bench.take()
    rows = bench.rows()
    assert len(rows) == delivered
    assert {row.status for row in rows.values()} == {"queued"}
    assert sorted(row.file for row in rows.values()) == sorted(
        p.name for p in bench.spool.processing.iterdir()
    )
    assert not any(bench.spool.incoming.iterdir())
    assert all(bench.events(tag) == ["gate.open"] for tag in rows)


@both
def test_a_file_that_cannot_be_put_aside_keeps_nobody_waiting(bench: IntakeBench) -> None:
    """As on a full disk. It stays where the next run finds it."""
    in_the_way = bench.spool.failed / "bad.msgpack.txt"
    in_the_way.mkdir()
    bench.put("bad.msgpack", batch()[:-1], age_s=9)
    bench.put("worse.msgpack", b"", age_s=8)
    bench.put("good.msgpack", batch(batch_tag="good"), age_s=7)
    with pytest.raises(UnavailableError, match="bad"):
        bench.take()
    assert bench.rows()["good"].status == "queued"
    lying = [
        "failed/worse.msgpack",
        "failed/worse.msgpack.txt",
        "processing/bad.msgpack",
        "processing/good.msgpack",
    ]
    assert sorted(bench.files()) == lying
    bench.put("later.msgpack", batch([{"text": "later"}], batch_tag="later"))
    with pytest.raises(UnavailableError, match="bad"):
        bench.take()
    assert bench.rows()["later"].status == "queued"
    in_the_way.rmdir()
    assert bench.take() == Taken()
    assert {"failed/bad.msgpack", "failed/bad.msgpack.txt"} < {*bench.files()}
    assert "batch.not_moved" in (bench.folder / "logs" / "spool.log").read_text()
