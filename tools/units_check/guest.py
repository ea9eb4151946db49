"""A container whose first process is systemd: started, asked, shut down.

What belongs here: `systemd-nspawn` and commands inside. What does not: what is tried (`trial`).
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from ingest_assets.model import IngestError

START_S, STOP_S = 60, 120
# nspawn's own filter forbids them to whatever runs inside; a machine's systemd has none. Our parsers confine
# themselves with them.
CALLS = "landlock_create_ruleset landlock_add_rule landlock_restrict_self seccomp"
_NAMESPACES = ("--mount", "--uts", "--ipc", "--pid", "--net", "--cgroup", "--root", "--wd")
_CLEAN = ("/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8")


class Guest:
    """A booted root file system, for as long as the context lasts."""

    def __init__(self, root: Path, console: Path) -> None:
        """`console`: where what systemd says at start and end is written."""
        self._root, self._console = root, console

    def __enter__(self) -> Self:
        alone = ["--register=no", "--keep-unit", "--settings=no", "--private-network"]
        command = ["systemd-nspawn", *alone, f"--system-call-filter={CALLS}", "-D", str(self._root), "--boot"]
        with self._console.open("wb") as console:
            self._nspawn = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT
            )
        try:
            self.wait("systemd is up", self._up, START_S)
        except BaseException:  # also Ctrl-C: nobody else would end the container
            self._nspawn.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.asked("systemctl", "poweroff", "--no-block")
        try:
            self._nspawn.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            raise IngestError(f"The container did not shut down: see {self._console}.") from None

    def asked(self, *command: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command as root beside systemd; its exit status may be anything."""
        enter = ["nsenter", f"--target={self._first()}", *_NAMESPACES, "--", *_CLEAN]
        return subprocess.run(
            [*enter, *command], check=False, capture_output=True, text=True, input=given, timeout=600
        )

    def run(self, *command: str, given: str = "") -> str:
        """What a command prints. Raises IngestError if it fails."""
        ended = self.asked(*command, given=given)
        if ended.returncode:
            raise IngestError(
                f"{' '.join(command)[:300]} ended with exit status {ended.returncode}:\n"
                f"{ended.stdout[-2_000:]}{ended.stderr[-2_000:]}"
            )
        return ended.stdout.strip()

    def wait(self, what: str, holds: Callable[[], object], seconds: float) -> float:
        """Until it holds, asked twice a second; how long it took. Raises IngestError after `seconds`."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > seconds:
                raise IngestError(f"After {seconds:.0f} s this does not hold: {what}.")
            time.sleep(0.5)
        return time.monotonic() - began

    def _up(self) -> bool:
        if self._nspawn.poll() is not None:
            raise IngestError(f"systemd-nspawn ended: {self._console.read_text('utf-8', 'replace')[-2_000:]}")
        if not self._first():
            return False
        # `degraded` would be a unit of the base system that failed: not ours to judge.
        return self.asked("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")

    def _first(self) -> str:
        """The number of its first process as seen from here, "" before there is one."""
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        return next(iter(children.read_text("utf-8").split()), "") if children.exists() else ""
