"""Python's garbage collector in a process that lives for one command or one run.

What belongs here: how it is set. Dagster's import leaves half a million objects that live to the end; looking
them all through again and again took a sixth of a refresh, and found nothing.
"""

from __future__ import annotations

import atexit
import gc

# Collections of the youngest objects, and of all, this many times rarer than Python's own 700, 10 and 10.
_THRESHOLDS = (50_000, 20, 100)


def collect_seldom() -> None:
    """For a process of our own, before it imports much."""
    gc.set_threshold(*_THRESHOLDS)
    # Nor does the interpreter look them all through when it ends, three times: it took 0.4 s. Whoever holds
    # something that must be ended closes it; what hangs in a circle of references is not ended for him.
    atexit.register(gc.freeze)


def leave_out_what_is_there() -> None:
    """For the length of a run: what was there before it is not looked at. `look_at_all` ends it."""
    gc.freeze()


def look_at_all() -> None:
    """Everything counts again."""
    gc.unfreeze()
