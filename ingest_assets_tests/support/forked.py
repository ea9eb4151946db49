"""Confined processes whose modules are imported already: forks of one that has done nothing else.

Importing what a parser needs takes ten times longer than most of what tests ask of it, and they start
thousands. So each test process has a first one, started like all others, with nothing of ours. It imports
the parsers, and forks itself for each that is asked for, which then does what all do, from reading its setup
and giving up its rights to its end. Tests of the confinement itself, and commands in processes of their own,
start theirs as ever.

What belongs here: where confined processes come from. What does not: anything that they do.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait  # takes descriptors above 1,023, as `select` does not
from pathlib import Path
from typing import IO, Any

import pytest

from ingest_assets.sandbox import process
from ingest_assets_tests.support.forking import NUMBER

_FIRST = """
import sys
sys.path[:] = {path!r}
from ingest_assets_tests.support.forking import serve
serve({door})
"""
Start = Callable[[Path, IO[bytes]], Any]
start_anew: Start = process._started


class Forks:
    """A process that forks, started when it is first needed, and its forks."""

    def __init__(self) -> None:
        self._first: subprocess.Popen[bytes] | None = None
        self._door, self._inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def start(self, scratch: Path, errors: IO[bytes]) -> Forked:
        """In place of `start_anew`."""
        environment = process._environment(scratch)
        if self._first is None:
            code = _FIRST.format(path=sys.path, door=self._inside.fileno()) + process._COMMAND
            self._first = subprocess.Popen(
                [sys.executable, "-I", "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[self._inside.fileno()],
                env=environment,
                cwd="/",
            )
            self._inside.close()
        (stdin, questions), (answers, stdout), (reports, report) = os.pipe(), os.pipe(), os.pipe()
        given = [stdin, stdout, errors.fileno(), report]
        socket.send_fds(self._door, [pickle.dumps((scratch, environment))], given)
        for file in (stdin, stdout, report):
            os.close(file)
        return Forked(os.fdopen(questions, "wb"), os.fdopen(answers, "rb"), os.fdopen(reports, "rb", 0))

    def close(self) -> None:
        if self._first is not None:
            self._door.shutdown(socket.SHUT_RDWR)  # whoever else may hold it open
            self._first.wait()
        self._door.close()
        self._inside.close()


class Forked:
    """As much of `subprocess.Popen` as is used of a confined process."""

    def __init__(self, stdin: IO[bytes], stdout: IO[bytes], reports: IO[bytes]) -> None:
        self.stdin, self.stdout, self._reports = stdin, stdout, reports
        self.returncode: int | None = None
        self.pid: int = NUMBER.unpack(reports.read(NUMBER.size))[0]

    def poll(self) -> int | None:
        if self.returncode is None and wait([self._reports.fileno()], 0):
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not wait([self._reports.fileno()], timeout):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.returncode = NUMBER.unpack(self._reports.read(NUMBER.size))[0]
            self._reports.close()
        return self.returncode

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


@contextmanager
def forked(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """For the duration of the block, confined processes that this process starts are forks."""
    forks = Forks()
    patch.setattr(process, "_started", forks.start)
    try:
        yield
    finally:
        forks.close()
