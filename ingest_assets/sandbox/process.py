"""A confined process from the outside: started with nothing of ours, asked, and ended when it is too much.

The parent trusts nothing that it gets back: an answer is bytes of bounded length, which whoever asked
validates; an error is one sentence of bounded length.

What belongs here: one process and its pipe. What does not: its temporary folder (`folder`), and what it is
asked.
"""

from __future__ import annotations

import logging
import os
import pickle
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from ingest_assets.model import (
    ConfigurationError,
    ContentError,
    DamagedError,
    IngestError,
    ItemError,
    SourceUnavailableError,
    UnavailableError,
)
from ingest_assets.sandbox import child
from ingest_assets.sandbox.child import FRAME, Setup
from ingest_assets.sandbox.limits import MIB, Grants, Limits
from ingest_assets.stopping import go_on

log = logging.getLogger(__name__)

MAX_SENTENCE = 2_000  # characters of an error that a child reports
MAX_TRACE = 20_000
_POLL_S = 0.5  # how often the CPU time of a busy child is looked at
_READ = 1 << 20
_CAN_WAIT = os.name != "nt"  # whether the system can wait for a pipe
_COMMAND = (
    "import sys, pickle; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from ingest_assets.sandbox.child import main; main()"
)
_KINDS: dict[bytes, type[IngestError]] = {
    child.ITEM: ItemError,
    child.CONFIGURATION: ConfigurationError,
    child.CONTENT: ContentError,
    child.DAMAGED: DamagedError,
    child.SOURCE: SourceUnavailableError,
    child.UNAVAILABLE: UnavailableError,
}


class ConfinedError(IngestError):
    """A confined process died, or was ended because it exceeded a bound. The message says which."""


class Confined:
    """One child process with a task: an object whose methods return bytes. To be used by one thread.

    `what` is what it does, as a noun: "the parser of source files". Raises UnavailableError when no process
    can be started.
    """

    def __init__(self, task: object, what: str, scratch: Path, grants: Grants, limits: Limits) -> None:
        self._what, self._limits = what, limits
        self._is_late = False  # as a thread found that ends it
        self._errors = (scratch / "errors").open("w+b")
        try:
            self._process = _started(scratch, self._errors)
            setup = Setup(limits, grants, _code_of(task), scratch)
            pipe = cast("IO[bytes]", self._process.stdin)
            for part in ([path for path in sys.path if path], setup, task):
                pickle.dump(part, pipe, protocol=5)
            pipe.flush()
        except BrokenPipeError:
            pass  # it died: the first answer says how
        except OSError as error:
            self._errors.close()
            raise UnavailableError(f"No process could be started for {what}: {error.strerror}.") from error

    def ask(self, method: str, *arguments: Any, check: Callable[[], None] | None = None) -> bytes:
        """The answer. Raises what the method raises, and ConfinedError if the process is at its end.

        `check` is called now and then while it works, and ends the wait by raising.
        """
        self.send(method, *arguments)
        return self.receive(check)

    def send(self, method: str, *arguments: Any) -> None:
        """Ask without waiting. Answers come in the order of the questions."""
        pipe = cast("IO[bytes]", self._process.stdin)
        try:
            pickle.dump((method, arguments), pipe, protocol=5)
            pipe.flush()
        except (BrokenPipeError, ValueError):
            pass  # it died: the answer says how

    def receive(self, check: Callable[[], None] | None = None) -> bytes:
        """The next answer. Raises as `ask` does."""
        if self._errors.closed:
            raise ConfinedError(f"{self._what[0].upper()}{self._what[1:]} has ended.")
        kind, length = FRAME.unpack(self._read(FRAME.size, check))
        if length > self._limits.answer_bytes:
            raise self._end(f"sent more than {self._limits.answer_bytes // MIB:,} MiB")
        answer = self._read(length, check)
        if kind == child.ANSWER:
            return answer
        if kind == child.MEMORY:
            raise self._end(self._out_of_memory)
        said = answer[: 4 * MAX_TRACE].decode("utf-8", "replace")
        if kind in _KINDS:
            raise _KINDS[kind](said[:MAX_SENTENCE])
        log.error("A fault in %s:\n%s", self._what, said[:MAX_TRACE])
        raise ConfinedError(f"There is a fault in {self._what}; the log has the details.")

    @property
    def is_running(self) -> bool:
        """Whether it has neither been closed nor ended by itself."""
        return not self._errors.closed and self._process.poll() is None

    def close(self) -> None:
        """End it at once: it holds nothing that could be lost."""
        if not self._errors.closed:
            self._process.kill()
            self._process.wait()
            # Not waiting for the end of its answers: where it can start processes, they may hold the pipe.
            for pipe in (self._process.stdin, self._process.stdout):
                with suppress(OSError):
                    cast("IO[bytes]", pipe).close()
            self._errors.close()

    @property
    def _too_long(self) -> str:
        return f"took more than {self._limits.cpu_s:g} s of CPU time (INGEST_PARSER_CPU_S)"

    @property
    def _out_of_memory(self) -> str:
        return (
            f"needed more than {self._limits.memory_bytes // MIB:,} MiB of memory (INGEST_PARSER_MEMORY_MIB)"
        )

    def _read(self, size: int, check: Callable[[], None] | None) -> bytes:
        """Exactly `size` bytes of the answer, within the CPU time for one."""
        pipe = cast("IO[bytes]", self._process.stdout)
        parts: list[bytes] = []
        clock = _CpuClock(self._process.pid, self._limits.cpu_s)
        with self._ended_in_time():
            while size:
                go_on()
                if check is not None:
                    check()
                ready = _ready(pipe)
                if clock.is_over():  # also of one that answers byte by byte
                    raise self._end(self._too_long)
                if not ready:
                    continue
                part = os.read(pipe.fileno(), min(size, _READ))
                if not part:
                    raise self._end(self._too_long if self._is_late else None)
                parts.append(part)
                size -= len(part)
        return b"".join(parts)

    @contextmanager
    def _ended_in_time(self) -> Iterator[None]:
        """Where a pipe cannot be waited for, a thread ends the process; by the wall clock, to be simple."""
        if _CAN_WAIT:
            yield
            return
        timer = threading.Timer(self._limits.cpu_s, self._end_late)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end_late(self) -> None:
        self._is_late = True
        self._process.kill()

    def _end(self, why: str | None) -> ConfinedError:
        """End it, and say why: by its own end if there is no other reason."""
        if why is None:
            self._process.wait()
            why = self._death()
        self.close()
        return ConfinedError(f"{self._what[0].upper()}{self._what[1:]} {why}.")

    def _death(self) -> str:
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - MAX_TRACE))
        said = self._errors.read().decode("utf-8", "replace").strip()
        code = self._process.returncode
        if said:
            log.warning("%s ended with %s:\n%s", self._what, code, said)
        if "MemoryError" in said or "memory allocation" in said or "bad_alloc" in said:
            return self._out_of_memory
        if code == -getattr(signal, "SIGXFSZ", 0):
            return f"wrote a file of more than {self._limits.file_bytes // MIB:,} MiB"
        if code < 0:
            return f"crashed ({signal.Signals(-code).name})"
        return f"ended early (status {code})"


class _CpuClock:
    """Whether a process has used up its CPU time for one answer; by the wall clock where that is unknown."""

    def __init__(self, pid: int, seconds: float) -> None:
        self._pid, self._seconds = pid, seconds
        self._began, self._used = time.monotonic(), self._cpu_s()
        # A process cannot use more CPU time than its threads together, so this is rarely asked.
        self._next = self._began + seconds / (os.cpu_count() or 1)

    def is_over(self) -> bool:
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + _POLL_S
        now = self._cpu_s()
        if now is None or self._used is None:
            return time.monotonic() - self._began > self._seconds
        # A process that waits uses none: an hour is for one that was stopped.
        return now - self._used > self._seconds or time.monotonic() - self._began > 3_600 + self._seconds

    def _cpu_s(self) -> float | None:
        import psutil

        try:
            times = psutil.Process(self._pid).cpu_times()
        except psutil.Error:
            return None
        return float(times.user + times.system)


def _ready(pipe: IO[bytes]) -> bool:
    """Whether there is something to read, or the end, within a moment."""
    if not _CAN_WAIT:  # then a thread ends a process that takes too long
        return True
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return bool(selector.select(_POLL_S))


def _started(scratch: Path, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - the command is a constant
        [sys.executable, "-I", "-c", _COMMAND],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        cwd=scratch,
        env=_environment(scratch),
    )


def _environment(scratch: Path) -> dict[str, str]:
    """Nothing of the parent's, which holds secrets, but what Windows needs to start a process."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    return kept | {
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "SQLITE_TMPDIR": str(scratch),
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        # Threads and arenas of their own count as memory, and are of no use to a parser.
        "MALLOC_ARENA_MAX": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "RAYON_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _code_of(task: object) -> tuple[Path, ...]:
    """Folders of installed modules, and the packages of ours and the task's. Never the folder above one.

    That may be a checkout, which also holds state and a `.env`.
    """
    installed = [Path(path) for path in sys.path if path and _is_installed(Path(path))]
    names = {"ingest_assets", type(task).__module__.partition(".")[0]}
    packages = [Path(found) for name in names for found in getattr(sys.modules.get(name), "__path__", ())]
    return (*installed, Path(sys.base_prefix) / "lib", *packages)


def _is_installed(path: Path) -> bool:
    prefixes = {Path(sys.prefix), Path(sys.base_prefix)}
    return (
        path.suffix == ".zip"
        or any(path.is_relative_to(prefix / "lib") for prefix in prefixes)
        or (path.name in {"site-packages", "dist-packages", "lib-dynload"})
    )
