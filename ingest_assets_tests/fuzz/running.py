"""Giving a target inputs within bounds of time and memory, and keeping what is found.

What belongs here: cases, bounds, findings. What does not: how inputs are made (`mutation`), and the command.
"""

from __future__ import annotations

import hashlib
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from ingest_assets_tests.fuzz.mutation import mutated
from ingest_assets_tests.fuzz.target import Parse, Place, Target

CPU_S, WALL_S = 5.0, 60.0  # of one input
MEMORY = 1 << 30  # bytes beyond what the process has when the target is open
_MOST_FINDINGS = 10  # of one target: there is a fault, and more inputs say nothing new


class HangError(BaseException):
    """One input took too long. No code that catches every Exception catches it."""


@dataclass(frozen=True)
class Finding:
    """An input that a target should have coped with."""

    target: str
    file: Path  # the input
    error: str  # what it led to, with the trace

    def __str__(self) -> str:
        repeat = f"python -m ingest_assets_tests.fuzz {self.target} --input {self.file}"
        return f"{self.target}: {self.error}\nTo repeat it: {repeat}\n"


@dataclass
class Outcome:
    """What came of a target: inputs tried, those that were taken without an error, and findings."""

    tried: int = 0
    taken: int = 0
    findings: list[Finding] = field(default_factory=list)


def run(target: Target, place: Place, findings: Path, seed: int, go_on: Callable[[int], bool]) -> Outcome:
    """Try the target's own inputs, then damaged ones, while `go_on(number of those)` says so."""
    inputs = target.inputs()

    def cases() -> Iterator[bytes]:
        yield from inputs
        number = 0
        while go_on(number):
            yield mutated(inputs, target.tokens, Random(f"{target.name} {seed} {number}"), target.max_bytes)
            number += 1

    return try_all(target, place, findings, cases())


def try_all(target: Target, place: Place, findings: Path, cases: Iterator[bytes]) -> Outcome:
    """Give each input to the target. The input in work lies in `findings`, should the process die of it."""
    outcome, seen = Outcome(), set[str]()
    findings.mkdir(parents=True, exist_ok=True)
    running = findings / f"{target.name}.running"
    with target.open(place) as parse, _bounded_memory(), running.open("wb", buffering=0) as file:
        for data in cases:
            file.seek(0)
            file.truncate()
            file.write(data)
            outcome.tried += 1
            error = _error_of(parse, data)
            if error is None:
                outcome.taken += 1
            elif not isinstance(error, target.allowed) and (where := _where(error)) not in seen:
                seen.add(where)
                outcome.findings.append(_kept(target, findings, data, error))
                if len(outcome.findings) == _MOST_FINDINGS:
                    break
    running.unlink(missing_ok=True)
    return outcome


def _error_of(parse: Parse, data: bytes) -> BaseException | None:
    try:
        with _bounded_time():
            parse(data)
    except (Exception, HangError) as error:  # noqa: BLE001 - any exception may be a finding
        return error
    return None


def _kept(target: Target, findings: Path, data: bytes, error: BaseException) -> Finding:
    file = findings / f"{target.name}-{hashlib.sha256(data).hexdigest()[:12]}"
    file.write_bytes(data)
    return Finding(target.name, file, "".join(traceback.format_exception(error)).rstrip())


def _where(error: BaseException) -> str:
    """Faults of one kind at one place are found once."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    # A hang is seen anywhere in its loop.
    at = "" if isinstance(error, HangError) or last is None else f"{last.filename}:{last.lineno}"
    return f"{type(error).__name__} {at}"


@contextmanager
def _bounded_time() -> Iterator[None]:
    """CPU time, because machines may be busy; and at last time that passes, because a wait is a hang too."""
    if not hasattr(signal, "setitimer"):  # Windows
        yield
        return

    def too_long(_number: int, _frame: object) -> None:
        raise HangError(f"It took more than {CPU_S:g} s of CPU time, or {WALL_S:g} s.")

    bounds = ((signal.SIGPROF, signal.ITIMER_PROF, CPU_S), (signal.SIGALRM, signal.ITIMER_REAL, WALL_S))
    before = [signal.signal(number, too_long) for number, _, _ in bounds]
    for _, timer, seconds in bounds:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for (number, timer, _), handler in zip(bounds, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


@contextmanager
def _bounded_memory() -> Iterator[None]:
    """Beyond the bound an allocation fails: a MemoryError is a finding. On Linux only."""
    if sys.platform != "linux":
        yield
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    bound = pages * resource.getpagesize() + MEMORY
    if hard == resource.RLIM_INFINITY or bound < hard:
        resource.setrlimit(resource.RLIMIT_AS, (bound, hard))
    try:
        yield
    finally:
        with suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
