"""Python's garbage collector in a process that lives for one command or one run.

What belongs here: how it is tuned. Importing Dagster creates half a million objects that live until the
process ends; scanning them over and over took a sixth of a refresh and found nothing.
"""

from __future__ import annotations

import atexit
import gc

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
