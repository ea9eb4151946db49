"""Writing and indexing many points of a shard in a process of its own, which can be stopped.

The engine holds Python's global lock while it works. While it writes there, this process reads the next
points; and indexing takes half a minute for 100,000 points, in which nobody here could notice that the job
has been cancelled.

What belongs here: that process. What does not: when there is enough to do for it (see `embedded`).
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from ingest_assets.collection.base import DENSE, SPARSE, Points
from ingest_assets.model import UnavailableError
from ingest_assets.stopping import waited_for
from ingest_assets.timings import timed

# What the process does with what it is told: points to write, ids to delete, and at the end None. It imports
# the engine and nothing of ours, which would take longer than indexing a few thousand points. A Ctrl-C goes
# to the whole group, and the parent decides. Numbers come as bytes; the binding takes arrays fastest. A shard
# that is opened again is mapped from the disk; what was written stays in its memory until then, which matters
# when there is much of it.
_COMMAND = """
import pickle, signal, sys
from array import array
signal.signal(signal.SIGINT, signal.SIG_IGN)
import qdrant_edge as edge

path, dense, sparse, reopened_from = sys.argv[1:]

def points(ids, dimension, dense_raw, offsets, indices_raw, values_raw, payloads):
    vectors, indices, values = array("f", dense_raw), array("I", indices_raw), array("f", values_raw)
    for i, id in enumerate(ids):
        begin, end = offsets[i], offsets[i + 1]
        yield edge.Point(id, {
            dense: vectors[i * dimension : (i + 1) * dimension],
            sparse: edge.SparseVector(indices[begin:end], values[begin:end]),
        }, payloads[i])

shard = edge.EdgeShard.load(path)
written = 0
while (told := pickle.load(sys.stdin.buffer)) is not None:
    if isinstance(told, list):
        shard.update(edge.UpdateOperation.delete_points(told))
    else:
        shard.update(edge.UpdateOperation.upsert_points(list(points(*told))))
        written += len(told[0])
if written >= int(reopened_from):
    shard.flush()
    shard.close()
    shard = edge.EdgeShard.load(path)
shard.optimize()
shard.flush()
shard.close()
"""


# Written points from which on a shard is opened again before it is indexed. Fewer take some 50 MB.
REOPENED_FROM = 12_000


class ShardElsewhere:
    """A shard that a process has open. Nobody else may open it until that has ended."""

    def __init__(self, path: Path) -> None:
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # a pipe that nobody reads would fill up
        self._process = subprocess.Popen(  # noqa: S603  # the command is made of our own names
            [sys.executable, "-P", "-c", _COMMAND, str(path), DENSE, SPARSE, str(REOPENED_FROM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )

    def upsert(self, points: Points) -> None:
        """Write points. Returns as soon as the process has them; it writes them while this one goes on."""
        sparse = points.sparse
        with timed("engine write", points=len(points.ids)):
            self._tell(
                (
                    points.ids,
                    points.dense.shape[1],
                    points.dense.astype(np.float32, copy=False).tobytes(),
                    sparse.offsets.tolist(),
                    sparse.indices.astype(np.uint32, copy=False).tobytes(),
                    sparse.values.astype(np.float32, copy=False).tobytes(),
                    points.payloads,
                )
            )

    def delete(self, ids: Sequence[str]) -> None:
        """Delete points."""
        self._tell(list(ids))

    def index(self) -> None:
        """Index what is new, and end the process.

        Raises what stops the work (`stopping`), UnavailableError when the process fails. The shard is then of
        no use.
        """
        try:
            self._tell(None)
            if waited_for(self._process.wait):
                raise self._failure()
        finally:
            self.close()

    def close(self) -> None:
        """End the process, which must not go on alone; what it has not finished is of no use."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _tell(self, said: Any) -> None:
        try:
            waited_for(partial(self._send, pickle.dumps(said, pickle.HIGHEST_PROTOCOL)))
        except OSError:  # it has ended
            self._process.wait()
            raise self._failure() from None

    def _send(self, said: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(said)
        self._process.stdin.flush()

    def _failure(self) -> UnavailableError:
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else f"its process ended with {self._process.returncode}"
        return UnavailableError(f"The embedded engine could not write and index new points: {reason}")


def index_elsewhere(path: Path) -> None:
    """Index what was written to a shard that nobody has open. Raises as `ShardElsewhere.index`."""
    ShardElsewhere(path).index()
