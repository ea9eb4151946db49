"""Files that cannot be read, or change meanwhile, and processes that die or lie."""

from __future__ import annotations

import hashlib
import math
import os
import signal
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import pytest

from ingest_assets.model import UnavailableError
from ingest_assets.sandbox import Limits, Sandbox
from ingest_assets.sandbox.folder import Child
from ingest_assets.sandbox.limits import MIB
from ingest_assets.sources.spool.intake import reading
from ingest_assets.sources.spool.intake.envelope import Bounds
from ingest_assets.sources.spool.intake.errors import BatchError, UnfinishedError
from ingest_assets.sources.spool.intake.facts import NOT_FINITE, Known, Scan
from ingest_assets.sources.spool.intake.parsing import facts_in
from ingest_assets.sources.spool.intake.reading import BatchReader
from ingest_assets_tests.sources.spool.batch_reader import (
    SECRET,
    reader,
    sandbox,
    scanned,
    spool_settings,
)
from ingest_assets_tests.sources.spool.intake_bench import batch
from ingest_assets_tests.sources.spool.spool_bench import SpoolBench

__all__ = ["reader", "sandbox"]  # fixtures
NAMED = [{"text": SECRET}]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to(os.devnull)])
def test_what_is_no_file_is_not_waited_for(reader: BatchReader, tmp_path: Path, make: Any) -> None:
    make(tmp_path / "b")
    scan = reader.scan(tmp_path / "b")
    assert "is not a file" in str(scan.error) or "is a link" in str(scan.error)
    with pytest.raises(BatchError):
        next(reader.records(tmp_path / "b"))


def test_a_device_is_not_opened(reader: BatchReader) -> None:
    assert "is not a file" in str(reader.scan(Path(os.devnull)).error)


def test_a_process_that_dies_is_the_failure_of_that_batch_alone(tmp_path: Path) -> None:
    limits = Limits(memory_bytes=64 * MIB)
    box = Sandbox(tmp_path / "tmp", limits)
    deadly, good = batch([{"text": "x" * 30_000_000}]), batch()
    settings_ = spool_settings(spool_max_text_chars=50_000_000)
    with closing(box), closing(BatchReader(box, settings_)) as reader:
        with pytest.raises(BatchError, match="INGEST_PARSER_MEMORY_MIB"):
            scanned(reader, tmp_path / "b", deadly)
        assert scanned(reader, tmp_path / "b", good).records == 1


def test_a_process_that_is_killed_for_no_fault_of_a_batch(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the system that has run out of memory, or by hand: another process goes on where it was."""
    rows = [{"text": f"{number} " * 500} for number in range(5_000)]
    ask, calls = BatchReader._ask, 0

    def killed_once(self: BatchReader, *asked: Any) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 3:
            self._started().process._process.kill()
        return ask(self, *asked)

    monkeypatch.setattr(BatchReader, "_ask", killed_once)
    path = tmp_path / "b"
    path.write_bytes(batch(rows))
    with closing(BatchReader(sandbox, spool_settings())) as reader:
        scan = reader.scan(path)
        assert scan.error is None
        calls = 0
        known = Known(scan.digest, "", None, 5_000)
        numbers = [each.number for page in reader.records(path, known) for each in page]
    assert numbers == list(range(5_000))


def test_too_many_deaths_are_an_attack(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_DEATHS", 1)
    ask = BatchReader._ask

    def killed(self: BatchReader, *asked: Any) -> bytes:
        self._started().process._process.kill()
        return ask(self, *asked)

    monkeypatch.setattr(BatchReader, "_ask", killed)
    with closing(BatchReader(sandbox, spool_settings())) as reader:
        with pytest.raises(BatchError, match="SIGKILL"):
            scanned(reader, tmp_path / "b", batch())
        with pytest.raises(UnavailableError, match="killed"):
            scanned(reader, tmp_path / "b", batch())


# --- Files that change --------------------------------------------------------------------------------------


def test_a_file_that_was_just_written_and_ends_too_early_may_still_grow(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    path, data = tmp_path / "b", batch(NAMED)
    with closing(BatchReader(sandbox, spool_settings(spool_quiet_s=60))) as reader:
        for part in (b"", data[:20]):
            path.write_bytes(part)
            assert isinstance(reader.scan(path).error, UnfinishedError)
        assert scanned(reader, path, data).records == 1
        path.write_bytes(data[:20])
        os.utime(path, (time.time() - 61,) * 2)
        assert type(reader.scan(path).error) is BatchError


def test_a_file_that_grows_while_it_is_read(
    reader: BatchReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, data = tmp_path / "b", batch([{"text": "x" * 1_000}] * 5_000)
    ask = BatchReader._ask

    def asked(self: BatchReader, begin: Bounds | None, piece: bytes, last: bool) -> bytes:
        if begin is not None:
            with path.open("ab") as file:
                file.write(b"\xc0")
        return ask(self, begin, piece, last)

    path.write_bytes(data)
    known = Known(reader.scan(path).digest, "", None, 5_000)
    monkeypatch.setattr(BatchReader, "_ask", asked)
    assert isinstance(reader.scan(path).error, UnfinishedError)
    path.write_bytes(data)
    with pytest.raises(BatchError):
        list(reader.records(path, known))


def test_records_are_those_of_the_batch_that_was_scanned(reader: BatchReader, tmp_path: Path) -> None:
    path = tmp_path / "b"
    path.write_bytes(batch([{"text": "one"}]))
    scan = reader.scan(path)
    known = Known(scan.digest, "src", None, 1)
    assert [each.source for page in reader.records(path, known) for each in page] == ["src"]
    path.write_bytes(batch([{"text": "two"}]))
    with pytest.raises(BatchError, match="changed"):
        list(reader.records(path, known))


class _Counting(Sandbox):
    """Knows the processes that were started."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.started: list[Child] = []

    def start(self, *arguments: Any, **limits: Any) -> Child:
        self.started.append(super().start(*arguments, **limits))
        return self.started[-1]


@pytest.fixture
def ahead(tmp_path: Path) -> Iterator[SpoolBench]:
    with SpoolBench(tmp_path / "home") as bench, closing(_Counting(tmp_path / "tmp")) as box:
        bench.__dict__["sandbox"] = box
        yield bench


def test_a_file_that_is_scanned_ahead_is_read_by_that_process_and_scanned_once(
    ahead: SpoolBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    is_open = threading.Event()
    scanned = BatchReader._scanned

    def noted(self: BatchReader, file: IO[bytes]) -> Scan:
        opened.append(os.fstat(file.fileno()).st_ino)
        is_open.set()
        return scanned(self, file)

    monkeypatch.setattr(BatchReader, "_scanned", noted)
    path, moved, other = (tmp_path / name for name in ("incoming", "processing", "other"))
    path.write_bytes(batch(NAMED * 3))
    other.write_bytes(batch())
    BatchReader.of(ahead).start_ahead(path)
    assert is_open.wait(60)
    path.rename(moved)
    with closing(BatchReader.ready(ahead)) as reader:
        assert reader.scan(other).facts is not None  # after the first, which is still there
        scan = reader.scan(moved)
        assert scan.facts is not None
        assert scan.facts.records == 3
        assert opened == [moved.stat().st_ino, other.stat().st_ino]
        assert [len(page) for page in reader.records(moved, Known(scan.digest, "", None, 3))] == [3]
    assert [each.process.is_running for each in ahead.sandbox.started] == [False]  # type: ignore[attr-defined]
    with closing(BatchReader.ready(ahead)) as another:
        assert another is not reader  # it is given away once


@pytest.mark.parametrize("change", ["nothing", "other content", "gone and back", "broken", "killed"])
def test_what_was_scanned_ahead_counts_only_while_it_is_true(
    ahead: SpoolBench, tmp_path: Path, change: str
) -> None:
    path = tmp_path / "b"
    path.write_bytes(batch()[:-1] if change == "broken" else batch())
    BatchReader.of(ahead).start_ahead(path)
    (child,) = ahead.sandbox.started  # type: ignore[attr-defined]
    if change in {"other content", "broken"}:
        path.write_bytes(batch(NAMED * 2))
    elif change == "gone and back":
        path.unlink()
        (tmp_path / "new").write_bytes(batch(NAMED * 2))
        (tmp_path / "new").rename(path)
    elif change == "killed":
        path.write_bytes(batch(NAMED * 2))
        os.kill(child.process._process.pid, signal.SIGKILL)
    with closing(BatchReader.ready(ahead)) as reader:
        scan = reader.scan(path)
    assert scan.facts is not None
    assert scan.facts.records == (1 if change == "nothing" else 2)
    assert scan.digest == hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def test_nothing_is_said_where_nothing_can_be_started_or_read_ahead(
    ahead: SpoolBench, tmp_path: Path
) -> None:
    BatchReader.of(ahead).start_ahead(tmp_path / "none")
    (tmp_path / "file").touch()
    ahead.__dict__["sandbox"] = Sandbox(tmp_path / "file")
    BatchReader.of(ahead).start_ahead(tmp_path / "file")


# --- The process is not trusted -----------------------------------------------------------------------------

_RECORD = struct.Struct(">?5I")


def _answer(number: int = 0, text: bytes = b"x", metadata: bytes = b"{}", vector: bytes = b"") -> bytes:
    return (
        b"r"
        + _RECORD.pack(False, number, 0, len(text), len(metadata), len(vector))
        + text
        + metadata
        + vector
    )


@pytest.mark.parametrize(
    "answer",
    [b"", b"x", b"f{}", b"r\x00", _answer()[:-1], _answer(text=b""), _answer(text=b"\xff"),
     _answer(text=b"\0"), _answer(metadata=b"[]"), _answer(metadata=b"{"), _answer(metadata=b'{"a": NaN}'),
     _answer(vector=b"abc"), _answer(number=1 << 31), _answer(2) + _answer(1)[1:], _answer(text=b"x" * 99)],
)  # fmt: skip
def test_an_answer_of_another_form(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    path = tmp_path / "b"
    path.write_bytes(batch())
    with closing(BatchReader(sandbox, spool_settings(spool_max_text_chars=50))) as reader:
        known = Known(reader.scan(path).digest, "", None, 1)
        monkeypatch.setattr(BatchReader, "_ask", lambda *_: answer)
        with pytest.raises(BatchError, match="another form"):
            list(reader.records(path, known))


@pytest.mark.parametrize("text", ["{}", "[]", "", '{"batch_tag": 1}', "null"])
def test_facts_of_another_form(text: str) -> None:
    with pytest.raises(BatchError, match="another form"):
        facts_in(b"f" + text.encode())


def test_a_vector_that_is_not_finite_does_not_get_through(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "b"
    path.write_bytes(batch())
    with closing(BatchReader(sandbox, spool_settings())) as reader:
        known = Known(reader.scan(path).digest, "", None, 1)
        monkeypatch.setattr(BatchReader, "_ask", lambda *_: _answer(vector=struct.pack("<f", math.inf)))
        (page,) = reader.records(path, known)
    assert (page[0].vector, page[0].wrong) == (None, NOT_FINITE)


def test_pages_are_bounded_by_what_they_hold(reader: BatchReader, tmp_path: Path) -> None:
    def sizes(record: dict[str, Any], count: int) -> list[int]:
        (tmp_path / "b").write_bytes(batch([record] * count))
        return [len(page) for page in reader.records(tmp_path / "b")]

    assert sizes({"text": "x"}, 2_500) == [1_000, 1_000, 500]
    assert sizes({"text": "x" * 1_000_000}, 20) == [9, 9, 2]
    assert sizes({"text": "x", "metadata": {"many": [[]] * 500_000}}, 5) == [1, 1, 1, 1, 1]
