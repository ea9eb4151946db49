"""What a confined process really cannot do on this machine: it tries.

What belongs here: the attempt. What does not: what is made of it (`queries.doctor`).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ingest_assets.model import IngestError
from ingest_assets.sandbox.folder import Sandbox

FILES, NETWORK, PROGRAMS, MEMORY = "files", "the network", "programs", "memory"


class _Probe:
    """The task: tries what should be impossible."""

    def possible(self) -> bytes:
        """What is possible, as JSON."""
        attempts: dict[str, Callable[[], object]] = {
            FILES: lambda: list(Path(os.sep).iterdir()),
            NETWORK: lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
            PROGRAMS: lambda: subprocess.run([sys.executable, "-c", ""], check=True),
            MEMORY: _require_no_limit,
        }
        return json.dumps([name for name, attempt in attempts.items() if _works(attempt)]).encode()


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _require_no_limit() -> None:
    """Raises OSError when memory is limited."""
    try:
        import resource
    except ImportError:  # Windows
        return
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        raise OSError("limited")


def out_of_reach(box: Sandbox) -> dict[str, bool]:
    """For files, the network, programs and memory, whether a confined process is kept from them.

    Raises UnavailableError when no process can be started.
    """
    with box.child(_Probe(), "the test of confinement") as process:
        answer = json.loads(process.ask("possible"))
    if not isinstance(answer, list):
        raise IngestError("The test of confinement gave no answer.")
    return {name: name not in answer for name in (FILES, NETWORK, PROGRAMS, MEMORY)}
