"""The objects of a repository: read by id from its objects folder, and from nothing else of it.

No configuration, attribute, filter, hook or index is ever read, so none can be executed, and a file of the
repository is never written to disk.

What belongs here: content, kind and size of an object. What does not: which commit (mirror), paths (tree).
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from ingest_assets.model import ConfigurationError, SourceUnavailableError
from ingest_assets.sources.repositories.packfile import declared_size

if TYPE_CHECKING:
    from dulwich.object_store import DiskObjectStore
    from dulwich.pack import Pack

COMMIT, TREE, BLOB, TAG = 1, 2, 3, 4  # object kinds, as git numbers them
_MAX_COMMIT = 1 << 20  # bytes of a commit or a tag
_MAX_TREE = 64 << 20  # bytes of one folder's listing: about a million names
_MAX_TAGS = 5  # tags of tags
_LOOSE_HEADER = 64


class MissingObjectError(SourceUnavailableError):
    """An object that the commit needs is missing: the repository is partial or damaged."""


class Objects:
    """Objects by id (40 hexadecimal digits). To be used by one thread, as a context manager."""

    def __init__(self, folder: Path) -> None:
        from dulwich.object_store import DiskObjectStore

        self._folder = folder
        self._store: DiskObjectStore = DiskObjectStore(folder)
        self._packs: list[Pack] = []
        self._maps: dict[Path, mmap.mmap] = {}
        self._open = ExitStack()
        self._borrowed: list[Objects] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        self._maps.clear()
        self._store.close()

    def read(self, oid: str) -> tuple[int, bytes]:
        """Kind and content. Raises SourceUnavailableError when it is missing or damaged."""
        from dulwich.objects import ObjectID

        with _damage(oid):
            return self._store.get_raw(ObjectID(oid.encode()))

    def read_known(self, raw: bytes) -> tuple[int, bytes]:
        """As `read`, by the 20 bytes of the id. Raises KeyError when it is missing."""
        try:
            return self.read(raw.hex())
        except MissingObjectError as error:
            raise KeyError(raw) from error

    def size(self, oid: str) -> int:
        """Bytes of the content, from the object's header: only a few bytes are inflated."""
        with _damage(oid):
            found = self._packed_size(bytes.fromhex(oid))
            return found if found is not None else self._unpacked_size(oid)

    def __contains__(self, oid: str) -> bool:
        try:
            self.size(oid)
        except SourceUnavailableError:
            return False
        return True

    def tree_of(self, commit: str) -> str:
        """The id of the tree of a commit."""
        kind, content = self._bounded(commit, _MAX_COMMIT)
        first = content.split(b"\n", 1)[0]
        if kind != COMMIT or not first.startswith(b"tree ") or len(first) != len("tree ") + 40:
            raise SourceUnavailableError(f"The object {commit[:12]} is not a commit.")
        return first[5:].decode("ascii", "replace")

    def parents_of(self, commit: str) -> list[str]:
        _, content = self._bounded(commit, _MAX_COMMIT)
        header = content.partition(b"\n\n")[0].split(b"\n")
        return [line[7:].decode() for line in header if line.startswith(b"parent ")]

    def commit_of(self, oid: str) -> str:
        """The commit that an object, a commit or an annotated tag, stands for.

        Raises ConfigurationError when it is another kind of object.
        """
        for _ in range(_MAX_TAGS):
            kind, content = self._bounded(oid, _MAX_COMMIT)
            if kind == COMMIT:
                return oid
            if kind != TAG or not content.startswith(b"object "):
                break
            oid = content[7:47].decode("ascii", "replace")
        raise ConfigurationError("The ref does not stand for a commit.")

    def read_tree(self, tree: str) -> list[tuple[bytes, int, str]]:
        """(name, mode, id) of each entry of one folder."""
        from dulwich.objects import parse_tree

        kind, content = self._bounded(tree, _MAX_TREE)
        if kind != TREE:
            raise SourceUnavailableError(f"The object {tree[:12]} is not a tree: the repository is damaged.")
        with _damage(tree):
            return [(name, mode, oid.decode()) for name, mode, oid in parse_tree(content, 20)]

    def copy_to(self, out: IO[bytes], oids: Sequence[str]) -> None:
        """Write a pack of these objects. Deltas are kept as they are if their bases are included."""
        from dulwich.object_format import SHA1
        from dulwich.objects import ObjectID
        from dulwich.pack import write_pack_from_container

        with _damage(oids[0] if oids else ""):
            write_pack_from_container(
                out, self._store, [(ObjectID(oid.encode()), None) for oid in oids], SHA1
            )
        out.flush()

    def _bounded(self, oid: str, limit: int) -> tuple[int, bytes]:
        if (size := self.size(oid)) > limit:
            raise SourceUnavailableError(f"The object {oid[:12]} has {size:,} bytes: refused.")
        return self.read(oid)

    def _packed_size(self, raw: bytes) -> int | None:
        found = self._size_in(self._packs, raw)
        if found is None:
            packs = self._store.packs  # lists the folder: only when an object was not found
            if packs != self._packs:
                self._packs = packs
                found = self._size_in(packs, raw)
        return found

    def _size_in(self, packs: Sequence[Pack], raw: bytes) -> int | None:
        from dulwich.objects import RawObjectID
        from dulwich.pack import PackFileDisappeared

        for pack in packs:
            try:
                offset = pack.index.object_offset(RawObjectID(raw))
                return declared_size(self._map(Path(pack.data.path)), offset)
            except KeyError:
                continue
            except PackFileDisappeared:
                return None  # packs were merged: the object is in a new one
        return None

    def _map(self, path: Path) -> mmap.mmap:
        if path not in self._maps:
            file = self._open.enter_context(path.open("rb"))
            self._maps[path] = self._open.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return self._maps[path]

    def _unpacked_size(self, oid: str) -> int:
        """The size of an object in a file of its own, or else in a borrowed folder. Raises KeyError."""
        try:
            with (self._folder / oid[:2] / oid[2:]).open("rb") as file:
                start = zlib.decompressobj().decompress(file.read(4_096), _LOOSE_HEADER)
        except FileNotFoundError:
            return self._borrowed_size(oid)
        return int(start.partition(b"\0")[0].split(b" ")[1])

    def _borrowed_size(self, oid: str) -> int:
        if self._borrowed is None:
            paths = [Path(os.fspath(store.path)) for store in self._store.alternates]  # type: ignore[attr-defined]
            self._borrowed = [self._open.enter_context(Objects(path)) for path in paths]
        for objects in self._borrowed:
            try:
                return objects.size(oid)
            except MissingObjectError:
                continue
        raise KeyError(oid)


@contextmanager
def _damage(oid: str) -> Iterator[None]:
    """Turns whatever reading a missing or damaged object raises into an error of ours."""
    from dulwich.errors import ApplyDeltaError, ChecksumMismatch
    from dulwich.pack import PackFileDisappeared

    try:
        yield
    except (KeyError, FileNotFoundError, PackFileDisappeared) as error:
        raise MissingObjectError(
            f"The repository lacks the object {oid[:12]}: it is partial, damaged, or being changed."
        ) from error
    except (
        ApplyDeltaError, ChecksumMismatch, AssertionError, IndexError, OSError, ValueError, EOFError,
        struct.error, zlib.error,
    ) as error:  # fmt: skip
        raise SourceUnavailableError(
            f"The object {oid[:12]} cannot be read: the repository is damaged."
        ) from error
