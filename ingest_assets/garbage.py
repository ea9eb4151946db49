"""Python's garbage collector, and free memory, in a process that lives for one command or one run.

What belongs here: how they are tuned. Importing Dagster creates half a million objects that live until the
process ends; scanning them over and over took a sixth of a refresh and found nothing.
"""

from __future__ import annotations

import atexit
import gc
from contextlib import suppress

# The collection thresholds of the three generations; Python's defaults are 700, 10 and 10.
_THRESHOLDS = (50_000, 20, 100)


def collect_rarely() -> None:
    """Collect garbage rarely. For a process of our own, before its large imports."""
    gc.set_threshold(*_THRESHOLDS)
    # Keeps the interpreter from scanning all objects three times at exit, which took 0.4 s. Resources must
    # therefore be closed explicitly: objects in reference cycles are not finalised at exit.
    atexit.register(gc.freeze)


def freeze_existing() -> None:
    """Exclude all existing objects from collection, for the duration of a run. `unfreeze` undoes it."""
    gc.freeze()


def unfreeze() -> None:
    """Include all objects in collection again."""
    gc.unfreeze()


def give_back() -> None:
    """Give free memory back to the system: the C library keeps it, between what is still in use.

    After a stage of many items that is a quarter of what the process holds, mostly pages that SQLite read.
    It takes milliseconds. Only glibc keeps so much; others have no such function.
    """
    import ctypes

    with suppress(AttributeError, OSError, TypeError):  # of another C library, of none, of Windows
        ctypes.CDLL(None).malloc_trim(0)
