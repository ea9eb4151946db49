"""Merges many small packs into one, and drops what no ref needs.

What belongs here: the disk space of a mirror. What does not: what it has to hold (mirror).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from ingest_assets.model import IngestError
from ingest_assets.sources.repositories.objects import Objects
from ingest_assets.sources.repositories.packfile import index_pack

_SUBMODULE, _FOLDER, _KIND = 0o160000, 0o040000, 0o170000
_NO_LIMIT = 1 << 62


def consolidate(objects: Path, tips: Collection[str], *, history: bool) -> None:
    """Write what the tips need into one pack, then remove the others.

    A reader that has a pack open can continue with it; one that looks for an object finds it in the new pack,
    which is there before the old ones are removed. Files in use that cannot be removed go the next time.
    Failures are ignored and leave everything as it was, because nothing depends on this.
    """
    pack = objects / "pack"
    old = sorted(pack.glob("*.idx"))
    handle, name = tempfile.mkstemp(prefix="tmp-", suffix=".pack", dir=pack)
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as out, Objects(objects) as present:
            present.copy_to(out, sorted(_needed(present, tips, history=history)))
            os.fsync(out.fileno())
        new = index_pack(path, _NO_LIMIT, lambda: None)
    except (IngestError, OSError):
        return
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    for index in old:
        if new is not None and index.stem != new.stem:
            with suppress(OSError):
                index.unlink()
                index.with_suffix(".pack").unlink()


def _needed(objects: Objects, tips: Collection[str], *, history: bool) -> set[str]:
    """The ids of the tips, their commits, and all their folders and files."""
    needed = set(tips)  # including annotated tags, which the remote may ask for again
    waiting = [objects.commit_of(tip) for tip in tips]
    done: set[str] = set()
    while waiting:
        commit = waiting.pop()
        if commit in done or commit not in objects:
            continue  # a parent that a shallow mirror lacks
        done.add(commit)
        _add_tree(objects, objects.tree_of(commit), needed)
        if history:
            waiting.extend(objects.parents_of(commit))
    return needed | done


def _add_tree(objects: Objects, tree: str, needed: set[str]) -> None:
    waiting = [tree]
    while waiting:
        current = waiting.pop()
        if current in needed:
            continue
        needed.add(current)
        for _, mode, oid in objects.read_tree(current):
            if mode & _KIND == _FOLDER:
                waiting.append(oid)
            elif mode & _KIND != _SUBMODULE:
                needed.add(oid)
