"""Packs made entry by entry, as a hostile server could, and the memory that reading them takes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zlib

DELTA = 6


def pack(*entries: bytes, count: int | None = None) -> bytes:
    body = b"PACK\0\0\0\2" + (len(entries) if count is None else count).to_bytes(4) + b"".join(entries)
    return body + hashlib.sha1(body).digest()


def entry(kind: int, size: int, content: bytes, base: bytes = b"") -> bytes:
    header, left = [kind << 4 | size & 15], size >> 4
    while left:
        header[-1] |= 0x80
        header.append(left & 0x7F)
        left >>= 7
    return bytes(header) + base + zlib.compress(content)


def number(value: int) -> bytes:
    """As in a delta: low bits first, seven per byte."""
    out = bytearray()
    while True:
        out.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def back(distance: int) -> bytes:
    """How far back a base begins: high bits first, and each further byte adds one."""
    out = bytearray([distance & 0x7F])
    while distance := distance >> 7:
        distance -= 1
        out.insert(0, 0x80 | distance & 0x7F)
    return bytes(out)


def delta(base: int, more: bytes) -> bytes:
    """A delta that appends up to 127 bytes to a base of so many bytes."""
    copies, at = bytearray(), 0
    while at < base:
        size = min(base - at, 0xFFFFFF)
        copies += b"\xff" + at.to_bytes(4, "little") + size.to_bytes(3, "little")
        at += size
    return number(base) + number(base + len(more)) + bytes(copies) + bytes([len(more)]) + more


def pack_of_deltas(base: bytes, parents: list[int], more: bytes = b"x") -> bytes:
    """A blob, and then one delta for each of `parents`, of the entry with that number (0 is the blob).

    Each is its base and some bytes that tell it from the others.
    """
    entries, offsets, sizes = [entry(3, len(base), base)], [12], [len(base)]
    for i, parent in enumerate(parents):
        offsets.append(offsets[-1] + len(entries[-1]))
        change = delta(sizes[parent], more + i.to_bytes(4))
        sizes.append(sizes[parent] + len(more) + 4)
        entries.append(entry(DELTA, len(change), change, back(offsets[-1] - offsets[parent])))
    return pack(*entries)


_MEASURED = """
import json, resource, sys, zlib, hashlib
from pathlib import Path
import numpy
from dulwich.object_format import SHA1
from dulwich.pack import apply_delta
from ingest_assets.model import IngestError
from ingest_assets.sources.repositories import deltas, mirror, packfile, source, tree

def peak():
    if Path("/proc/self/status").exists():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

before, outcome = peak(), "done"
try:
    exec(sys.argv[1], globals())
except IngestError as error:
    outcome = f"{type(error).__name__}: {error}"
print(json.dumps([peak() - before, outcome]))
"""


def measured(code: str) -> tuple[int, str]:
    """Bytes of memory that code takes at its peak, in its own process, and "done" or how it was refused."""
    answer = subprocess.run(
        [sys.executable, "-c", _MEASURED, code], capture_output=True, check=False, text=True, timeout=300
    )
    assert answer.returncode == 0, answer.stderr
    more, outcome = json.loads(answer.stdout)
    return int(more), str(outcome)
