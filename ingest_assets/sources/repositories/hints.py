"""What a folder's files were when they were last read: so that an unchanged file is not read again.

A hint is believed only if the file cannot have changed unseen since. Size, times and inode are the same; the
file was not modified shortly before it was read (a later change could have the same time: git calls such
files racily clean); and the clock has not been set since. Otherwise the file is read: its content decides.

What belongs here: when a hint is believed, and keeping hints. What does not: reading files (working_tree).
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ingest_assets.sources.repositories.attributes import FileAttributes
from ingest_assets.sources.repositories.disk import DiskFile, Stamp

FILE = "hints.msgpack"
_FORMAT = "1"
# Of a file that was modified less than this before it was read, the time says nothing: file systems round
# times, to up to two seconds.
RACY_NS = 2_000_000_000
# How far the clock may have moved, beyond what time has passed: a little more by the rate of its adjustment.
STEP_NS, _RATE = 500_000_000, 1_000
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Clock:
    """A moment by the clock, and by a count that nobody can set."""

    wall_ns: int
    counted_ns: int
    boot: str

    @classmethod
    def now(cls) -> Clock:
        counter = getattr(time, "CLOCK_BOOTTIME", None)
        counted = time.monotonic_ns() if counter is None else time.clock_gettime_ns(counter)
        boot = ""
        with suppress(OSError):
            boot = _BOOT_ID.read_text("ascii").strip()
        return cls(time.time_ns(), counted, boot)

    def later(self) -> Clock:
        """Now, in the same boot."""
        now = Clock.now()
        return Clock(now.wall_ns, now.counted_ns, self.boot)

    def was_set_since(self, before: Clock) -> bool:
        """Whether the clock may have been set. After a restart only a clock that went back is noticed."""
        if self.boot and before.boot and self.boot != before.boot:
            return self.wall_ns < before.wall_ns
        passed = self.counted_ns - before.counted_ns
        moved = self.wall_ns - before.wall_ns
        return passed < 0 or abs(moved - passed) > STEP_NS + passed // _RATE


class Hint(NamedTuple):
    """A file as it was read."""

    stamp: Stamp
    kept: bool  # this and the next as of its `DiskFile`
    attributes: FileAttributes
    oid: str  # of its content, as git computes it
    language: str  # its label (language_table); "" if it was skipped
    reason: str  # why, and
    detail: str  # in words
    settled: bool  # it was not modified shortly before

    def holds_for(self, file: DiskFile) -> bool:
        same = (self.stamp, self.kept, self.attributes) == (file.stamp, file.kept, file.attributes)
        return self.settled and same


class Hints:
    """The hints for one folder: those of the last read, and what this one finds."""

    def __init__(self, before: Mapping[str, Hint], rules: str, clock: Clock, *, believed: bool) -> None:
        self.before = before
        self._rules, self._clock, self._believed = rules, clock, believed
        self._found: dict[str, Hint] = {}

    @classmethod
    def load(cls, folder: Path, rules: str, clock: Clock) -> Hints:
        """Those that are kept in a folder; none if they cannot be read, or were made by other `rules`."""
        import msgpack

        try:
            kept = msgpack.unpackb((folder / FILE).read_bytes())
            before = Clock(*kept["clock"])
            files = {path: _hint(*hint) for path, hint in kept["files"].items()}
            same = kept["format"] == _FORMAT and kept["rules"] == rules
        # Whatever is wrong with the file: files are read instead.
        except (OSError, ValueError, TypeError, LookupError, AttributeError, msgpack.UnpackException):
            return cls({}, rules, clock, believed=False)
        if not same:
            return cls({}, rules, clock, believed=False)
        return cls(files, rules, clock, believed=not clock.was_set_since(before))

    def of(self, file: DiskFile) -> Hint | None:
        """The hint for a file that has not changed."""
        hint = self.before.get(file.path)
        return hint if self._believed and hint and hint.holds_for(file) else None

    def note(self, path: str, hint: Hint) -> None:
        """What a file is now."""
        self._found[path] = hint

    def save(self, folder: Path) -> None:
        """Keep what was noted, unless the clock was set meanwhile. A full disk only costs reading again."""
        import msgpack

        now = self._clock.later()
        if now.was_set_since(self._clock):
            return
        clock = (now.wall_ns, now.counted_ns, now.boot)
        text = msgpack.packb({"format": _FORMAT, "rules": self._rules, "clock": clock, "files": self._found})
        new = folder / f"{FILE}.new"
        try:
            new.write_bytes(text)
            new.replace(folder / FILE)
        except OSError:
            with suppress(OSError):
                os.unlink(new)  # noqa: PTH108 - one call


def _hint(stamp: Any, kept: Any, attributes: Any, *rest: Any) -> Hint:
    return Hint(Stamp(*stamp), kept, FileAttributes(*attributes), *rest)


def is_settled(stamp: Stamp, read_at_ns: int) -> bool:
    """Whether a file that was read then could not change later and have the same times."""
    return max(stamp.modified_ns, stamp.changed_ns) + RACY_NS <= read_at_ns
