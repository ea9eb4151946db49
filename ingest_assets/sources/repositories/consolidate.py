"""Merges many small packs into one, and drops what no ref needs.

What belongs here: the disk space of a mirror. What does not: what it has to hold (mirror).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection
from contextlib import closing, suppress
from pathlib import Path
from typing import IO

from ingest_assets.sources.repositories.objects import Objects, tree_entries
from ingest_assets.sources.repositories.packfile import index_pack

_SUBMODULE, _FOLDER, _KIND = 0o160000, 0o040000, 0o170000


def consolidate(
    objects: Path, tips: Collection[str], max_bytes: int, held_bytes: int, *, history: bool
) -> None:
    """Write what the tips need into one pack of at most `max_bytes`, then remove the others.

    Up to `held_bytes` of the contents of objects are held at once.

    A reader that has a pack open can continue with it; one that looks for an object finds it in the new pack,
    which is there before the old ones are removed. Files in use that cannot be removed go the next time.
    Failures are ignored and leave everything as it was, because nothing depends on this.
    """
    pack = objects / "pack"
    old = sorted(pack.glob("*.idx"))
    handle, name = tempfile.mkstemp(prefix="tmp-", suffix=".pack", dir=pack)
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            with Objects(objects, held_bytes) as present:
                needed = sorted(_needed(present, tips, history=history))
            _copy(objects, needed, out)
            os.fsync(out.fileno())
        new = index_pack(path, max_bytes, lambda: None, held_bytes=held_bytes)
    except Exception:  # noqa: BLE001 - dulwich raises anything when it copies from damaged packs
        return
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    for index in old:
        if new is not None and index.stem != new.stem:
            with suppress(OSError):
                index.unlink()
                index.with_suffix(".pack").unlink()


def _copy(objects: Path, oids: list[str], out: IO[bytes]) -> None:
    """Write a pack of these objects. Deltas are kept as they are if their bases are included."""
    from dulwich.object_format import SHA1
    from dulwich.object_store import DiskObjectStore
    from dulwich.objects import ObjectID
    from dulwich.pack import write_pack_from_container

    with closing(DiskObjectStore(objects)) as store:
        write_pack_from_container(out, store, [(ObjectID(oid.encode()), None) for oid in oids], SHA1)
    out.flush()


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
        for _, mode, oid in tree_entries(objects.listing(current)):
            if mode & _KIND == _FOLDER:
                waiting.append(oid)
            elif mode & _KIND != _SUBMODULE:
                needed.add(oid)
