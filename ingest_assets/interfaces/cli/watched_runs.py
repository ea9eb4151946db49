"""The runs of `ingest watch`: in a thread, tried again when they fail, and told of.

What belongs here: what watching a source and watching a folder have in common. What does not: when to run
(`watch`, `watch_folder`), and running (`runs`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

from ingest_assets.settings import Settings
from ingest_assets.terminal import complain, print_json, say

if TYPE_CHECKING:
    from ingest_assets.interfaces.cli.runs import RunReport, Runs

SHORTEST_WAIT_S, LONGEST_WAIT_S = 5.0, 300.0  # before a run that failed is tried again


class WatchedRuns:
    """The runs of one source. They share what takes long to open."""

    def __init__(self, settings: Settings, source: str) -> None:
        self._settings, self._source = settings, source
        self._runs: Runs | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def run(self, **asked: Any) -> RunReport:
        """A run, in a thread: a signal ends runs of the main one, and ours should come to their end."""
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(self._run, **asked).result()

    def _run(self, **asked: Any) -> RunReport:
        from ingest_assets.interfaces.cli.runs import Runs

        if self._runs is None:
            self._runs = Runs(self._settings, [self._source])
        try:
            return self._runs.run(**asked)
        except Exception:
            self._close()  # what is open may be the reason; the next run opens it again
            raise

    def _close(self) -> None:
        runs, self._runs = self._runs, None
        if runs is not None:
            runs.close()


class Pause:
    """How long to wait before a run that failed is tried again: longer each time."""

    def __init__(self) -> None:
        self._failures = 0  # in a row
        self._ends = 0.0  # by `time.monotonic()`

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._ends

    def begin(self) -> float:
        """After a failure. Returns its seconds."""
        pause_s = min(LONGEST_WAIT_S, SHORTEST_WAIT_S * 2.0 ** min(self._failures, 16))
        self._failures += 1
        self._ends = time.monotonic() + pause_s
        return pause_s

    def shorten(self) -> None:
        """Something has changed, so that trying soon may help."""
        self._ends = min(self._ends, time.monotonic() + SHORTEST_WAIT_S)


class Printed:
    """What is printed: for machines one JSON object a line."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def watching(self, what: str) -> None:
        if not self._as_json:
            say(f"Watching {what}. Ctrl-C ends it.")

    def ran(self, reason: str, report: RunReport, seconds: float) -> None:
        """`reason` is a clause, without a full stop."""
        facts: dict[str, Any] = {
            "run_id": report.run_id,
            "because": reason,
            "seconds": round(seconds, 3),
            "parked": report.parked,
            "failed_checks": report.failed_checks,
            "assets": report.assets,
        }
        if self._as_json:
            return print_json(facts, on_one_line=True)
        first = next(iter(report.assets.values()), {})
        moved = ", ".join(f"{first.get(what, 0):,} {what}" for what in ("added", "changed", "removed"))
        checks = f" These checks failed: {', '.join(report.failed_checks)}." if report.failed_checks else ""
        return say(f"{reason[:1].upper()}{reason[1:]}: {moved} in {seconds:.2f} s.{checks}")

    def failed(self, errors: Sequence[str], pause_s: float) -> None:
        said = " ".join(errors) or "The run failed."
        if self._as_json:
            return print_json({"error": said, "again_in_s": pause_s}, on_one_line=True)
        return complain(f"ingest: {said} Trying again in {pause_s:.0f} s.")

    def waiting(self, why: str) -> None:
        """`why` is a sentence."""
        if self._as_json:
            return print_json({"waiting": why}, on_one_line=True)
        return complain(f"ingest: {why}")

    def stopped(self) -> None:
        if not self._as_json:
            say("Stopped.")
