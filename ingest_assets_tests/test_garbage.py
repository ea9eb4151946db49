"""Memory that is free goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Every second of many blocks is let go of: what is free lies between what is in use. Prints MiB.
_HOLES = """
import gc, psutil
from ingest_assets.garbage import give_back
private = lambda: (lambda held: held.rss - held.shared)(psutil.Process().memory_info()) >> 20
give_back()
before = private()
blocks = [bytes(60_000) + bytes([number % 250]) for number in range(2_000)]
full = private()
del blocks[::2]
gc.collect()
holes = private()
give_back()
print(before, full, holes, private())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no glibc")
def test_what_is_free_between_what_is_in_use_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", _HOLES], check=True, capture_output=True, text=True)
    before, full, holes, after = map(int, done.stdout.split())
    assert full - before > 100
    assert holes > full - 20
    assert after < full - 40
