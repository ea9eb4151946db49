"""The objects of a repository: read by id from its objects folder, and from nothing else of it.

No configuration, attribute, filter, hook or index is ever read, so none can be executed, and a file of the
repository is never written to disk. The content of each object is compared with its id: a damaged disk, or
whoever wrote the folder, cannot have something else read.

What belongs here: content, kind and size of an object. What does not: which commit (mirror), paths (tree),
and the bytes of a pack (packs).
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from ingest_assets.model import ContentError, DamagedError, SourceUnavailableError
from ingest_assets.sources.repositories.files import MACHINE, Files
from ingest_assets.sources.repositories.packformat import (
    BLOB,
    COMMIT,
    ID,
    NAMES,
    TAG,
    TREE,
    FormatError,
    PackBytes,
    id_of,
    inflate,
    too_large,
)
from ingest_assets.sources.repositories.packs import Contents, Pack

__all__ = ["BLOB", "COMMIT", "TAG", "TREE", "MissingObjectError", "Objects", "Seen"]

MAX_TREE = 32 << 20  # bytes of one folder's listing: about half a million names
_MAX_COMMIT = 1 << 20  # bytes of a commit or a tag
_MAX_TAGS = 5  # tags of tags
_MAX_PACKS = 256  # each is two open files
_MAX_BORROWED = 5  # folders that borrow from folders
_MAX_LENDERS = 100  # lines that name them, altogether
_MAX_ALTERNATES = 1 << 16  # bytes
_LOOSE_HEADER = re.compile(rb"(commit|tree|blob|tag) ([0-9]{1,15})\0")
_KINDS = {name: kind for kind, name in NAMES.items()}
_OID = re.compile(r"[0-9a-f]{40}\Z")
_CACHE = 32 << 20  # bytes of contents that are kept as bases of others, at most


class MissingObjectError(DamagedError):
    """An object that the commit needs is missing: the repository is partial or damaged."""


class Objects:
    """Objects by id (40 hexadecimal digits). To be used by one thread, as a context manager.

    `max_bytes` is what reading one of them may take of memory: more is a ConfigurationError. `files` opens
    the files; of a repository that others may write to, one that keeps to the allowed folders.
    """

    def __init__(self, folder: Path, max_bytes: int = 100 << 20, files: Files = MACHINE) -> None:
        self.max_bytes, self._files = max_bytes, files
        self._contents = Contents(min(_CACHE, max_bytes // 4))
        self._packs: dict[Path, Pack] = {}
        self._firsts: dict[Path, int] = {}  # the places of packs: see `place`
        self._folders: list[Path] = [folder]
        self._with_borrowed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pack in self._packs.values():
            pack.close()
        self._packs.clear()

    def folders(self) -> list[Path]:
        """The folder of objects, and those that it borrows from."""
        return [self._folders[0], *self._borrowed(self._folders[0])]

    def read(self, oid: str) -> tuple[int, bytes]:
        """Kind and content. Raises MissingObjectError, and DamagedError when it is not what its id says."""
        with _damage(oid):
            raw = _raw(oid)
            if found := self._find(raw):
                pack, position = found
                kind, content = pack.read(pack.offset(position), self._contents)
            else:
                kind, content = self._read_loose(oid)
            if id_of(kind, content) != raw:
                raise FormatError("an object with another content than its id says")
            return kind, content

    def read_known(self, raw: bytes) -> tuple[int, bytes]:
        """As `read`, by the 20 bytes of the id. Raises KeyError when it is missing."""
        try:
            return self.read(raw.hex())
        except MissingObjectError as error:
            raise KeyError(raw) from error

    def size(self, oid: str) -> int:
        """Bytes of the content, from the object's header: only a few bytes are inflated."""
        with _damage(oid):
            if found := self._find(_raw(oid)):
                pack, position = found
                return pack.size(pack.offset(position))
            with self._loose(oid) as (_, _, size, _):
                return size

    def measure(self, oid: str) -> int:
        """As `size`, but from all its bytes, which need not fit into memory: a damaged size is found."""
        size, raw = self.size(oid), bytes.fromhex(oid)
        with _damage(oid):
            if found := self._find(raw):
                pack, position = found
                seen = pack.id_at(pack.offset(position))
            else:
                with self._loose(oid) as (source, _, size, header):
                    digest = hashlib.sha1(usedforsecurity=False)
                    inflate(source, 0, header + size, digest.update)
                    seen = digest.digest()
            if seen not in (raw, None):
                raise FormatError("an object with another content than its id says")
        if seen is None:
            with suppress(ContentError):  # it is too large to be put together from its deltas
                self.read(oid)
        return size

    def place(self, oid: str) -> int | None:
        """A number of a packed object, below about the number of all; None when it is in a file of its own.

        Raises MissingObjectError when it is missing.
        """
        with _damage(oid):
            if found := self._find(_raw(oid)):
                pack, position = found
                return self._firsts[pack.path] + position
            with self._loose(oid):
                return None

    def __contains__(self, oid: str) -> bool:
        try:
            self.place(oid)
        except SourceUnavailableError:
            return False
        return True

    def tree_of(self, commit: str) -> str:
        """The id of the tree of a commit."""
        kind, content = self._bounded(commit)
        first = content.split(b"\n", 1)[0]
        if kind != COMMIT or not first.startswith(b"tree ") or len(first) != len("tree ") + 40:
            raise DamagedError(f"The object {commit[:12]} is not a commit.")
        return first[5:].decode("ascii", "replace")

    def parents_of(self, commit: str) -> list[str]:
        _, content = self._bounded(commit)
        header = content.partition(b"\n\n")[0].split(b"\n")
        return [line[7:].decode("ascii", "replace") for line in header if line.startswith(b"parent ")]

    def commit_of(self, oid: str) -> str:
        """The commit that an object, a commit or an annotated tag, stands for.

        Raises ConfigurationError when it is another kind of object.
        """
        for _ in range(_MAX_TAGS):
            kind, content = self._bounded(oid)
            if kind == COMMIT:
                return oid
            if kind != TAG or not content.startswith(b"object "):
                break
            oid = content[7:47].decode("ascii", "replace")
        raise ContentError("The ref does not stand for a commit.")

    def listing(self, tree: str) -> bytes:
        """The content of a tree, to be read with `tree_entries`."""
        if self.size(tree) > MAX_TREE and (size := self.measure(tree)) > MAX_TREE:
            raise ContentError(f"The repository has a folder whose list has {size:,} bytes: refused.")
        kind, content = self.read(tree)
        if kind != TREE:
            raise DamagedError(f"The object {tree[:12]} is not a tree: the repository is damaged.")
        return content

    def _bounded(self, oid: str) -> tuple[int, bytes]:
        if self.size(oid) > _MAX_COMMIT and (size := self.measure(oid)) > _MAX_COMMIT:
            raise ContentError(f"The ref stands for an object of {size:,} bytes, not for a commit.")
        return self.read(oid)

    def _find(self, raw: bytes) -> tuple[Pack, int] | None:
        """The pack that holds an object, and the object's position in the pack's index."""
        for pack in self._packs.values():
            if (position := pack.find(raw)) is not None:
                return pack, position
        if self._is_loose(raw.hex()) or not self._look_again():
            return None
        return self._find(raw)

    def _look_again(self) -> bool:
        """Open the packs that are new, then those of borrowed folders. False when there are no more."""
        for folder in self._folders:
            new = [path for path in self._indexes(folder) if path.with_suffix(".pack") not in self._firsts]
            for path in new:
                self._open(path)
            if new:
                return True
        if not self._with_borrowed:
            self._with_borrowed = True
            self._folders += self._borrowed(self._folders[0])
            return len(self._folders) > 1
        return False

    def _indexes(self, folder: Path) -> list[Path]:
        try:
            names = self._files.names(folder / "pack")
        except FileNotFoundError:
            return []
        return [folder / "pack" / name for name in sorted(names) if re.fullmatch(r"pack-.+\.idx", name)]

    def _open(self, index: Path) -> None:
        if len(self._firsts) >= _MAX_PACKS:
            raise ContentError(
                f"The repository has more than {_MAX_PACKS} packs: run `git gc` in it, which merges them."
            )
        path = index.with_suffix(".pack")
        try:
            pack: Pack | None = Pack(index, self._files.open, self.max_bytes)
        except FileNotFoundError:
            pack = None  # packs were merged: the objects are in a new one
        self._firsts[path] = sum(each.count for each in self._packs.values())
        if pack:
            self._packs[path] = pack

    def _borrowed(self, folder: Path) -> list[Path]:
        """The folders that a folder of objects borrows from, and those from which they do, each once."""
        found: dict[Path, None] = {}
        level, lines = [folder], 0
        for step in range(_MAX_BORROWED + 1):
            above, level = level, []
            for line, other in (pair for each in above for pair in self._lenders(each)):
                lines += 1
                if lines > _MAX_LENDERS:
                    raise ContentError(
                        f"The repository borrows objects (objects/info/alternates) from more than "
                        f"{_MAX_LENDERS:,} folders: refused."
                    )
                real = self._files.folder(other / line)
                if real not in found and real not in level:
                    level.append(real)
            if step == _MAX_BORROWED and level:
                raise ContentError(
                    "The repository borrows objects (objects/info/alternates) in too many steps."
                )
            found |= dict.fromkeys(level)
        return list(found)

    def _lenders(self, folder: Path) -> Iterator[tuple[str, Path]]:
        """The lines of a folder's list of those that it borrows from, each with the folder."""
        try:
            with self._files.open(folder / "info" / "alternates") as file:
                lines = file.read(_MAX_ALTERNATES).splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return
        for line in dict.fromkeys(lines):
            if line and not line.startswith(b"#"):
                yield line.decode("utf-8", "surrogateescape"), folder

    def _is_loose(self, oid: str) -> bool:
        return any(self._files.is_file(folder / oid[:2] / oid[2:]) for folder in self._folders)

    @contextmanager
    def _loose(self, oid: str) -> Iterator[tuple[PackBytes, int, int, int]]:
        """An object in a file of its own: its bytes, its kind, its size, and the bytes of its header."""
        for folder in self._folders:
            try:
                file = self._files.open(folder / oid[:2] / oid[2:])
            except FileNotFoundError:
                continue
            with file:
                source = PackBytes(file, 1 << 12)
                start = zlib.decompressobj().decompress(source.read(0, 1 << 12), 64)
                header = _LOOSE_HEADER.match(start)
                if not header:
                    raise FormatError("a damaged object")
                yield source, _KINDS[header[1]], int(header[2]), header.end()
            return
        raise KeyError(oid)

    def _read_loose(self, oid: str) -> tuple[int, bytes]:
        with self._loose(oid) as (source, kind, size, header):
            if 2 * size > self.max_bytes:
                inflate(source, 0, header + size, len)  # raises when the size is not right
                raise too_large("holds an object that needs", 2 * size, self.max_bytes)
            pieces: list[bytes] = []
            inflate(source, 0, header + size, pieces.append)
            pieces[0] = pieces[0][header:]
            return kind, b"".join(pieces)


class Seen:
    """A set of objects that takes one bit for each packed one, however many there are."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._bits = bytearray()
        self._loose: set[bytes] = set()

    def add(self, oid: str) -> bool:
        """Whether it is new. Raises MissingObjectError when the repository lacks it."""
        place = self._objects.place(oid)
        if place is None:
            raw = bytes.fromhex(oid)
            new = raw not in self._loose
            self._loose.add(raw)
            return new
        byte, bit = place >> 3, 1 << (place & 7)
        if byte >= len(self._bits):
            self._bits.extend(bytes(byte + 1 - len(self._bits)))
        new = not self._bits[byte] & bit
        self._bits[byte] |= bit
        return new


def tree_entries(listing: bytes) -> Iterator[tuple[bytes, int, str]]:
    """(name, mode, id) of each entry of a folder, one at a time. Raises DamagedError when it is no list."""
    at = 0
    while at < len(listing):
        space = listing.find(b" ", at, at + 8)
        end = listing.find(b"\0", space)
        mode, oid = listing[at:space], listing[end + 1 : end + 1 + ID]
        if space < 0 or end < 0 or len(oid) < ID or not mode or mode.strip(b"01234567"):
            raise DamagedError("The repository has a folder whose list is damaged.")
        yield listing[space + 1 : end], int(mode, 8), oid.hex()
        at = end + 1 + ID


def _raw(oid: str) -> bytes:
    if not _OID.match(oid):
        raise KeyError(oid)
    return bytes.fromhex(oid)


@contextmanager
def _damage(oid: str) -> Iterator[None]:
    """Turns whatever reading a missing or damaged object raises into an error of ours."""
    try:
        yield
    except (KeyError, FileNotFoundError) as error:
        raise MissingObjectError(
            f"The repository lacks the object {oid[:12]}: it is partial, damaged, or being changed."
        ) from error
    except (FormatError, OSError, zlib.error) as error:
        raise DamagedError(f"The object {oid[:12]} cannot be read: the repository is damaged.") from error
