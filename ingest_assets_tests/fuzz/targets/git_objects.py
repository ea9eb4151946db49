"""Packs, their indexes, and objects, as a hostile server or a damaged disk has them.

What belongs here: the bytes of git's objects. What does not: which objects a repository names (`git_refs`),
and what its files hold (`files`).
"""

from __future__ import annotations

import hashlib
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from ingest_assets.model import IngestError
from ingest_assets.sources.repositories.ignore import IgnoreRules
from ingest_assets.sources.repositories.objects import Objects, tree_entries
from ingest_assets.sources.repositories.packfile import index_pack
from ingest_assets.sources.repositories.tree import TreeLimits, walk
from ingest_assets_tests.fuzz.target import Parse, Place, Target, divided, joined
from ingest_assets_tests.sources.repositories.packs import back, delta, entry, number, pack, pack_of_deltas

MAX_BYTES = 4 << 20  # of one repository
_OFS_DELTA, _REF_DELTA = 6, 7
_KINDS = (1, 2, 3, 4, _OFS_DELTA, _REF_DELTA)
_NAMES = {1: b"commit", 2: b"tree", 3: b"blob", 4: b"tag"}
_BLOB = b"a line of a file, and another one\n" * 3
_OID = b"%040d" % 7


def _tree(*entries: tuple[bytes, bytes, bytes]) -> bytes:
    return b"".join(mode + b" " + name + b"\0" + oid for mode, name, oid in entries)


def _oid(kind: int, content: bytes) -> bytes:
    return hashlib.sha1(b"%s %d\0%s" % (_NAMES[kind], len(content), content), usedforsecurity=False).digest()


_TREE = _tree((b"100644", b"a.py", _oid(3, _BLOB)), (b"40000", b"folder", b"\1" * 20))
_COMMIT = b"tree %s\nparent %s\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nmessage\n" % (
    _oid(2, _TREE).hex().encode(),
    _OID,
)
_TAG = (
    b"object %s\ntype commit\ntag v1\ntagger A <a@b> 1 +0000\n\nmessage\n" % _oid(1, _COMMIT).hex().encode()
)
_OBJECTS = {1: _COMMIT, 2: _TREE, 3: _BLOB, 4: _TAG}


def _small_packs() -> list[bytes]:
    whole = [entry(kind, len(content), content) for kind, content in _OBJECTS.items()]
    change = delta(len(_BLOB), b"more")
    by_id = entry(_REF_DELTA, len(change), change, _oid(3, _BLOB))
    return [pack(*whole), pack_of_deltas(_BLOB, [0, 1, 1, 3]), pack(*whole, by_id), pack()]


def _with_checksum(body: bytes) -> bytes:
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


# --- A pack from a server -----------------------------------------------------------------------------------


@contextmanager
def _indexing(place: Place) -> Iterator[Parse]:
    """A pack that is accepted is complete: each of its objects can be read, and is what its id says."""
    folder = place.folder / "objects"

    def parse(data: bytes) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "pack").mkdir(parents=True)
        sent = folder / "pack" / "tmp.pack"
        sent.write_bytes(_with_checksum(data))
        kept = index_pack(sent, MAX_BYTES, lambda: None, _known)
        if kept is None:
            return
        with Objects(folder, MAX_BYTES) as objects:
            for oid in _ids_in(kept.with_suffix(".idx").read_bytes()):
                objects.read(oid)

    yield parse


def _known(raw: bytes) -> tuple[int, bytes]:
    if raw == _oid(3, _BLOB):
        return 3, _BLOB
    raise KeyError(raw)


def _ids_in(index: bytes) -> list[str]:
    count = int.from_bytes(index[8 + 255 * 4 : 8 + 256 * 4])
    start = 8 + 256 * 4
    return [index[at : at + 20].hex() for at in range(start, start + 20 * count, 20)]


@contextmanager
def _indexing_entries(place: Place) -> Iterator[Parse]:
    """The input says what the entries are; their streams are always valid, so that deltas are reached."""
    with _indexing(place) as parse:
        yield lambda data: parse(_pack_of(data)[:-20])


def _pack_of(data: bytes) -> bytes:
    """Each entry is a kind, how far off its declared size is, a base, a length, and so many bytes."""
    entries: list[bytes] = []
    at = 0
    while at + 4 <= len(data):
        kind, off, base, length = data[at : at + 4]
        content = data[at + 4 : at + 4 + length]
        at += 4 + length
        kind = _KINDS[kind % len(_KINDS)]
        distance = sum(map(len, entries[-(base % 8) :])) if base % 8 else base
        head = back(distance) if kind == _OFS_DELTA else b""
        head = _oid(3, _BLOB) if kind == _REF_DELTA else head
        declared = max(0, len(content) + (off - 256 if off > 127 else off))
        entries.append(entry(kind, declared, content, head))
    return pack(*entries)


def _entry_inputs() -> list[bytes]:
    def one(kind: int, content: bytes, base: int = 0) -> bytes:
        return bytes([_KINDS.index(kind), 0, base, len(content)]) + content

    change, grown = delta(len(_BLOB), b"abc"), delta(len(_BLOB) + 3, b"def")
    blob = one(3, _BLOB)
    copies = number(len(_BLOB)) + number(64) + b"\x91\x00\x40" + number(0)
    return [
        blob + one(_OFS_DELTA, change, 1) + one(_OFS_DELTA, grown, 1),
        blob + one(_REF_DELTA, change) + one(_OFS_DELTA, change, 2),
        one(_REF_DELTA, change) + one(_OFS_DELTA, grown, 1),
        blob + one(_OFS_DELTA, copies, 1),
        one(1, _COMMIT) + one(2, _TREE) + one(4, _TAG),
    ]


# --- What is kept -------------------------------------------------------------------------------------------


@cache
def _kept() -> tuple[bytes, bytes]:
    """A pack and its index, made by the product itself."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        sent = Path(folder) / "tmp.pack"
        sent.write_bytes(_small_packs()[2])
        kept = index_pack(sent, MAX_BYTES, lambda: None)
        assert kept is not None
        return kept.read_bytes(), kept.with_suffix(".idx").read_bytes()


@contextmanager
def _reading_kept(place: Place) -> Iterator[Parse]:
    """Whatever is read by an id is what the id says; all the rest is refused."""
    folder = place.folder / "objects"
    (folder / "pack").mkdir(parents=True)
    ids = _ids_in(_kept()[1])

    def parse(data: bytes) -> None:
        stored, index = divided(data, 2)
        (folder / "pack" / "pack-1.pack").write_bytes(stored)
        (folder / "pack" / "pack-1.idx").write_bytes(index)
        with Objects(folder, MAX_BYTES) as objects:
            _read_each(objects, ids)

    yield parse


def _read_each(objects: Objects, ids: Sequence[str]) -> None:
    """Each in every way, whether or not others can be read; raises the last error if none can be."""
    last, found = None, False
    for oid in ids:
        try:
            objects.place(oid)
            objects.measure(oid)
            kind, content = objects.read(oid)
        except IngestError as error:
            last = error
            continue
        found = True
        assert oid in objects
        assert _oid(kind, content).hex() == oid
        assert objects.size(oid) == len(content)
    if last is not None and not found:
        raise last


@contextmanager
def _reading_loose(place: Place) -> Iterator[Parse]:
    """A file of its own; the input is what zlib packed, or the file itself."""
    folder = place.folder / "objects"
    oids = [_oid(kind, content).hex() for kind, content in _OBJECTS.items()]
    for oid in oids:
        (folder / oid[:2]).mkdir(parents=True, exist_ok=True)

    def parse(data: bytes) -> None:
        raw = data[1:] if data[:1] == b"\0" else zlib.compress(data[1:], data[0] % 10 if data else 1)
        for oid in oids:
            (folder / oid[:2] / oid[2:]).write_bytes(raw)
        with Objects(folder, MAX_BYTES) as objects:
            _read_each(objects, oids)

    yield parse


def _loose_inputs() -> list[bytes]:
    files = [b"%s %d\0%s" % (_NAMES[kind], len(content), content) for kind, content in _OBJECTS.items()]
    return [*(b"\1" + each for each in files), *(b"\0" + zlib.compress(each) for each in files)]


@contextmanager
def _walking(place: Place) -> Iterator[Parse]:
    """Valid objects with any content, as a hostile server sends them: a tag, a commit, and two trees."""
    folder = place.folder / "objects"

    def parse(data: bytes) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        tag, commit, tree, below = divided(data, 4)
        for kind, content in ((4, tag), (1, commit), (2, tree), (2, below), (3, _BLOB)):
            oid = _oid(kind, content).hex()
            path = folder / oid[:2] / oid[2:]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(zlib.compress(b"%s %d\0%s" % (_NAMES[kind], len(content), content)))
        with Objects(folder, MAX_BYTES) as objects:
            with suppress(IngestError):
                objects.commit_of(_oid(4, tag).hex())
            with suppress(IngestError):
                objects.tree_of(_oid(1, commit).hex())
                for parent in objects.parents_of(_oid(1, commit).hex()):
                    assert parent not in objects
            for found in walk(objects, _oid(2, tree).hex(), IgnoreRules(), TreeLimits()):
                assert "\0" not in found.path
                assert found.path.encode()
            assert list(tree_entries(objects.listing(_oid(2, tree).hex()))) or not tree

    yield parse


def _walked_inputs() -> list[bytes]:
    below = _tree((b"100644", b"b.py", _oid(3, _BLOB)), (b"120000", b"link", _oid(3, _BLOB)))
    tree = _tree((b"100644", b"a.py", _oid(3, _BLOB)), (b"40000", b"folder", _oid(2, below)))
    odd = _tree((b"100644", b"\xff\xfe", _oid(3, _BLOB)), (b"160000", b"module", b"\2" * 20))
    return [
        joined(_TAG, _COMMIT, tree, below),
        joined(_TAG, _COMMIT, below, tree),
        joined(b"", b"", odd, b""),
    ]


TARGETS = (
    Target(
        name="packs",
        open=_indexing,
        seeds=lambda: [each[:-20] for each in _small_packs()],
        tokens=(b"PACK\0\0\0\2", b"\0\0\0\1", b"\xff\xff\xff\xff", b"\x78\x9c\3\0\0\0\0\1", b"\x60\x0c",
                b"\x70"),
    ),
    Target(
        name="pack_entries",
        open=_indexing_entries,
        seeds=_entry_inputs,
        tokens=(b"\x80\x80\x01", b"\xff\xff\xff\xff\xff\xff\xff", b"\x90\x01", b"\x80", b"\0",
                b"\4\0\1\2\1\1"),
    ),
    Target(
        name="kept_packs",
        open=_reading_kept,
        seeds=lambda: [joined(*_kept()), joined(_kept()[0], _kept()[1][8:])],
        tokens=(b"\xfftOc\0\0\0\2", b"\x80\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\0"),
    ),
    Target(
        name="loose_objects",
        open=_reading_loose,
        seeds=_loose_inputs,
        tokens=(b"blob 0\0", b"tree 5\0", b"commit 999999999999999\0", b"\0", b" "),
    ),
    Target(
        name="trees",
        open=_walking,
        seeds=_walked_inputs,
        tokens=(b"40000 ", b"100644 ", b"120000 ", b"160000 ", b"\0", b"..\0", b".ingestignore\0", b"tree ",
                b"parent ", b"object ", _OID),
    ),
)  # fmt: skip
