"""Files: cloning a shard, copying sparse files, syncing a tree, replacing a small file in one step."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ingest_assets.collection.base import DENSE

_COPY_BLOCK = 1 << 20
_AT_ONCE = 8  # files that are flushed
# Files of the engine's immutable segments (those with a matrix.dat) that are written once, when the segment
# is created, and contain most of its bytes: points are deleted from such a segment by flags in other files,
# and never changed. A test asserts that a refresh does not change a published revision's bytes.
_IMMUTABLE = f"vector_storage-{DENSE}/matrix.dat"
_WRITE_ONCE = re.compile(
    r"vector_storage-[^/]+/(matrix\.dat|quantized\.data)|vector_index-[^/]+/[^/]+\.(dat|bin|json)|.*/page_\d+\.dat"
)
_WRITE_ONCE_MIN_BYTES = 1 << 20


def clone_shard(source: Path, target: Path) -> None:
    """Copy a closed shard of the embedded engine; files that are written once are linked, not copied."""
    shared = {
        path
        for matrix in source.glob(f"segments/*/{_IMMUTABLE}")
        for path in matrix.parents[1].rglob("*")
        if _WRITE_ONCE.fullmatch(path.relative_to(matrix.parents[1]).as_posix())
    }
    for directory, _, files in os.walk(source):
        part = Path(directory).relative_to(source)
        (target / part).mkdir(parents=True, exist_ok=True)
        for name in files:
            original, copy = Path(directory) / name, target / part / name
            if original in shared and original.stat().st_size >= _WRITE_ONCE_MIN_BYTES:
                try:
                    os.link(original, copy)
                    continue
                except OSError:
                    pass  # a file system without hard links: copy, which is only slower
            copy_sparse(original, copy)


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file; holes in the source stay holes if the system can report them.

    Also where it has zeros instead, as a backup that was restored may have: the engine's files are large and
    mostly empty.
    """
    if not hasattr(os, "SEEK_DATA"):
        shutil.copyfile(source, target)
        return
    with source.open("rb") as reader, target.open("wb") as writer:
        size = os.fstat(reader.fileno()).st_size
        position = 0
        while position < size:
            try:
                data = os.lseek(reader.fileno(), position, os.SEEK_DATA)
            except OSError:
                break  # only a hole up to the end
            hole = os.lseek(reader.fileno(), data, os.SEEK_HOLE)
            _copy_range(reader.fileno(), writer.fileno(), data, hole)
            position = hole
        os.ftruncate(writer.fileno(), size)


def _copy_range(reader: int, writer: int, start: int, stop: int) -> None:
    os.lseek(writer, start, os.SEEK_SET)
    os.lseek(reader, start, os.SEEK_SET)
    while start < stop:
        block = os.read(reader, min(_COPY_BLOCK, stop - start))
        if not block:
            return  # the file was truncated while it was read
        start += len(block)
        if not block.strip(b"\0"):
            os.lseek(writer, start, os.SEEK_SET)
            continue
        view = memoryview(block)
        while view:
            view = view[os.write(writer, view) :]


def sync_tree(path: Path) -> None:
    """Flush every file below `path` to disk."""
    paths = [Path(folder, name) for folder, _, files in os.walk(path) for name in (*files, "")]
    # Each waits for the disk, which writes what is flushed at the same time together, in a tenth of the time.
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for _ in threads.map(sync, paths):
            pass  # raises what one of them raised


def replace_text(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old or the new content, even after a power failure."""
    draft = path.with_name(path.name + ".new")
    _write_synced(draft, text)
    draft.replace(path)
    sync(path.parent)


def create_text(path: Path, text: str) -> None:
    """Write a small file unless it exists; of several processes exactly one does, and all see it complete."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
    _write_synced(draft, text)
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    except OSError:
        _create_in_place(path, text)  # a file system without hard links
    finally:
        draft.unlink()
    sync(path.parent)


def _create_in_place(path: Path, text: str) -> None:
    # A crash in the middle leaves a mark that cannot be read, which is refused until it is adopted.
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return


def _write_synced(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Flush a file, or the names in a directory, to disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no handle on a directory to sync
    flags = os.O_RDWR if os.name == "nt" else os.O_RDONLY
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
