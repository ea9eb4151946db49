"""Indexing many points of a shard in a process of its own, which can be stopped.

The engine holds Python's global lock while it indexes: nothing else in its process runs meanwhile, for half
a minute after 100,000 points, and nobody there could notice that the job has been cancelled.

What belongs here: that process. What does not: when there is enough to index (see `embedded`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ingest_assets.model import UnavailableError
from ingest_assets.stopping import ASKED_EVERY_S, go_on

# What the process does. It imports the engine and nothing of ours, which would take longer than indexing a
# few thousand points. A Ctrl-C goes to the whole group, and the parent decides.
_COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
import qdrant_edge
shard = qdrant_edge.EdgeShard.load(sys.argv[1])
shard.optimize()
shard.flush()
shard.close()
"""


def index_elsewhere(path: Path) -> None:
    """Index what was written to a shard that nobody has open.

    Raises what stops the work (`stopping`), UnavailableError when the process fails. The shard is then
    of no use.
    """
    process = subprocess.Popen(  # noqa: S603  # the command is made of our own names
        [sys.executable, "-c", _COMMAND, str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    try:
        said = _said_at_its_end(process)
    except BaseException:  # a cancel, too: the process must not go on alone
        process.kill()
        process.communicate()
        raise
    if process.returncode:
        reason = said.strip().splitlines()[-1:] or [f"its process ended with {process.returncode}"]
        raise UnavailableError(f"The embedded engine could not index new points: {reason[0]}")


def _said_at_its_end(process: subprocess.Popen[str]) -> str:
    while True:
        go_on()
        try:
            return process.communicate(timeout=ASKED_EVERY_S)[1]
        except subprocess.TimeoutExpired:
            continue
