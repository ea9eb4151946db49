"""Child processes that embed: starting one, asking it, and its main loop.

They are plain child processes rather than a `multiprocessing` pool, because a pool's processes import the
program's main module again (the orchestrator's takes seconds), cannot be started from daemonic processes, and
outlive a parent that is killed. These end when their standard input does.

What belongs here: the pipe and what goes over it. What does not: what is asked (see `bm25` and `preload`).
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import IO, Any, cast

# What `ask` may raise if the process was killed, for example for lack of memory.
GONE = (OSError, EOFError, pickle.UnpicklingError)


def available_cores() -> int:
    """The number of cores this process may use; in a container it can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def start_worker(main: Callable[[], None]) -> subprocess.Popen[bytes]:
    """Start a process that runs `main`, a module-level function that calls `serve`."""
    return subprocess.Popen(  # noqa: S603  # the command is made of our own names
        [sys.executable, "-P", "-c", f"from {main.__module__} import {main.__name__}; {main.__name__}()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )


def ask(process: subprocess.Popen[bytes], question: object) -> Any:
    """The worker's answer. Raises one of GONE if the process has ended."""
    sink, source = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    pickle.dump(question, sink, protocol=5)
    sink.flush()
    return pickle.load(source)  # noqa: S301  # our own child's, over a pipe that only it holds


def end_worker(process: subprocess.Popen[bytes]) -> None:
    """End the process at once: it holds nothing that could be lost."""
    process.kill()
    process.communicate()


def serve(answer: Callable[[Any], object]) -> None:
    """A worker's main loop: reads questions from standard input and writes answers to standard output."""
    # Ctrl-C goes to the whole process group; the parent decides, and closes our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # Whatever a library prints goes to standard error, so that it cannot get between the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    while True:
        try:
            question = pickle.load(source)  # noqa: S301  # our own parent's
        except EOFError:
            return
        pickle.dump(answer(question), sink, protocol=5)
        sink.flush()
