"""What confined processes are asked to do in the tests: reach out, use too much, die, and lie."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ingest_assets.chunking.code import CodeChunker
from ingest_assets.model import Chunk, Document, IngestError, ItemError, SkippedItem, SourceItem, digest_of
from ingest_assets.sandbox import Grants, Limits
from ingest_assets.sandbox.child import ANSWER, FRAME


class Mortal(CodeChunker):
    """Cuts files, and dies of poison."""

    def chunks(self, document: Document) -> list[Chunk]:
        if "unspeakable" in document.body:
            os._exit(9)
        return super().chunks(document)


class Burglar:
    """Tries what it must not be able to do. Every method answers with what came of it."""

    def read(self, path: str) -> bytes:
        return self._tried(lambda: Path(path).read_text())

    def listed(self, path: str) -> bytes:
        return self._tried(lambda: sorted(each.name for each in Path(path).iterdir()))

    def write(self, path: str) -> bytes:
        return self._tried(lambda: Path(path).write_text("owned"))

    def remove(self, path: str) -> bytes:
        return self._tried(Path(path).unlink)

    def rename(self, path: str, target: str) -> bytes:
        return self._tried(lambda: str(Path(path).rename(target)))

    def link(self, path: str, target: str) -> bytes:
        return self._tried(lambda: os.link(path, target))

    def symlink_and_read(self, path: str, link: str) -> bytes:
        def through_link() -> str:
            Path(link).symlink_to(path)
            return Path(link).read_text()

        return self._tried(through_link)

    def connect(self, port: int) -> bytes:
        return self._tried(lambda: socket.create_connection(("127.0.0.1", port), 2).close())

    def send_datagram(self, port: int) -> bytes:
        def sent() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                out.sendto(b"secret", ("127.0.0.1", port))

        return self._tried(sent)

    def execute(self) -> bytes:
        return self._tried(lambda: subprocess.run(["/bin/true"], check=True).returncode)

    def kill(self, pid: int) -> bytes:
        return self._tried(lambda: os.kill(pid, signal.SIGKILL))

    def change_mode(self, path: str) -> bytes:
        return self._tried(lambda: Path(path).chmod(0o777))

    def change_time(self, path: str) -> bytes:
        return self._tried(lambda: os.utime(path, (0, 0)))

    def slow_down(self, pid: int) -> bytes:
        return self._tried(lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))

    def bound(self, pid: int) -> bytes:
        def bounded() -> None:
            library = ctypes.CDLL(None, use_errno=True)
            limits = (ctypes.c_ulong * 2)(10, 10)
            if library.prlimit(pid, resource.RLIMIT_NOFILE, limits, None):
                raise OSError(ctypes.get_errno(), "prlimit")

        import resource

        return self._tried(bounded)

    def fork(self) -> bytes:
        def forked() -> None:
            if os.fork() == 0:
                time.sleep(20)
                os._exit(0)

        return self._tried(forked)

    def memory_outside(self) -> bytes:
        return self._tried(lambda: os.memfd_create("outside"))

    def thread(self) -> bytes:
        done: list[int] = []
        thread = threading.Thread(target=done.append, args=(1,))
        thread.start()
        thread.join()
        return json.dumps(done).encode()

    def environment(self) -> bytes:
        return json.dumps(dict(os.environ)).encode()

    @staticmethod
    def _tried(action: Callable[[], Any]) -> bytes:
        try:
            return json.dumps({"done": action()}).encode()
        except OSError as error:
            return json.dumps({"refused": type(error).__name__}).encode()


class Glutton:
    """Uses more than it may, or ends."""

    def memory(self, mib: int) -> bytes:
        return str(len(bytearray(mib << 20))).encode()

    def cpu(self) -> bytes:
        while True:
            pass

    def file(self, mib: int) -> bytes:
        with Path("large").open("wb") as out:
            out.writelines(bytes(1 << 20) for _ in range(mib))
        return b"written"

    def answer(self, mib: int) -> bytes:
        return bytes(mib << 20)

    def files(self, count: int) -> bytes:
        kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
        for each in kept:
            os.close(each)
        return str(len(kept)).encode()

    def nest(self, levels: int) -> bytes:
        for _ in range(levels):
            Path("d").mkdir()
            os.chdir("d")
        Path("copy").write_text("a row")
        return b"nested"

    def drip(self, seconds: float) -> bytes:
        """An answer of which each byte comes soon, and takes CPU time."""
        (pipe,) = (fd for fd in range(3, 20) if _is_pipe(fd))
        os.write(pipe, FRAME.pack(ANSWER, 1_000_000))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            sum(range(100_000))
            os.write(pipe, b".")
        return b""

    def crash(self) -> bytes:
        ctypes.string_at(0)
        return b""

    def abort(self) -> bytes:
        os.abort()

    def leave(self, status: int) -> bytes:
        os._exit(status)

    def refuse(self, words: str) -> bytes:
        raise ItemError(words)

    def raised(self, error: IngestError) -> bytes:
        raise error

    def fault(self) -> bytes:
        raise RuntimeError("a fault with details")

    def chatter(self) -> bytes:
        sys.stdout.write("between the answers\n")
        sys.stderr.write("and beside them\n")
        return b"answer"

    def pid(self) -> bytes:
        return str(os.getpid()).encode()

    def wait(self, seconds: float) -> bytes:
        time.sleep(seconds)
        return b"waited"


def _is_pipe(fd: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False


class Records:
    """A source of `count` items, of which some kill the process, some are refused, and some are left out."""

    name = "records"
    noun = "the reader of records"
    repaired = 0

    def __init__(
        self,
        count: int,
        *,
        deadly: frozenset[int] = frozenset(),
        refused: frozenset[int] = frozenset(),
        left_out: frozenset[int] = frozenset(),
        size: int = 0,
        moving: Path | None = None,
    ) -> None:
        self.count, self.deadly, self.refused, self.left_out = count, deadly, refused, left_out
        self.size, self.moving = size, moving
        self.skipped: list[SkippedItem] = []
        self.noted: dict[str, Any] = {}

    def inside(self) -> Records:
        self.noted = {}  # as a repository, which begins to count anew
        return Records(
            self.count,
            deadly=self.deadly,
            refused=self.refused,
            left_out=self.left_out,
            size=self.size,
            moving=self.moving,
        )

    def grants(self) -> Grants:
        return Grants(read=(self.moving,) if self.moving else ())

    def bounds(self, given: Limits) -> Limits:
        return given

    def facts(self) -> Mapping[str, Any]:
        return {"skipped": len(self.skipped)}

    def damaged(self) -> None:
        raise AssertionError("nothing is kept")

    def note(self, facts: Mapping[str, Any]) -> None:
        self.noted = dict(facts)

    def signature(self) -> str:
        return digest_of(str(self.count))

    @contextmanager
    def read(self) -> Iterator[Iterator[SourceItem]]:
        self.skipped, self.repaired = [], 0
        yield self._items()

    def _items(self) -> Iterator[SourceItem]:
        # A source that changes: another reading of it gives other digests.
        state = self.moving.read_text() if self.moving else ""
        for number in range(self.count):
            if number in self.left_out:
                self.skipped.append(SkippedItem(f"items/{number}", "left_out", number, "because"))
                continue
            digest = digest_of(str(number), state)
            yield SourceItem(f"items/{number}", digest, partial(self._render, number), self.size)

    def _render(self, number: int) -> Document:
        if number in self.deadly:
            os._exit(7)
        if number in self.refused:
            raise ItemError(f"{number} is refused.")
        self.repaired += number % 3 == 0
        return Document(
            id=f"items/{number}",
            kind="item",
            title=f"Item {number}: ünïcode ☃ 你好",
            uri=f"https://example.test/{number}",
            time="2026-01-02T03:04:05+00:00" if number % 2 else None,
            context=(("Number", str(number)), ("Control", "\x1b[31m")),
            body=f"Body {number}\n" * (number % 5),
            refs=("items/0",),
            attributes={"number": number, "half": number / 2, "odd": bool(number % 2), "tags": ["a", "b"]},
        )


class Liar:
    """Gives answers that are none."""

    def __init__(self, answers: Mapping[str, bytes]) -> None:
        self.answers = dict(answers)

    def begin(self) -> bytes:
        return b""

    def batch(self, _needed: int) -> bytes:
        return self.answers["batch"]

    def render(self, _number: int, _at: int, _count: int) -> bytes:
        return self.answers["render"]
