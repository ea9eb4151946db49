"""Mirrors on damaged disks: nothing wrong is read, and the next fetch brings back what was lost."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_assets.model import ConfigurationError, SourceUnavailableError, UnavailableError
from ingest_assets.sources.repositories.mirror import Mirror
from ingest_assets.sources.repositories.origin import parse_origin
from ingest_assets.sources.repositories.source import RepositorySource
from ingest_assets.sources.repositories.tree import TreeLimits
from ingest_assets_tests.sources.repositories.conftest import MakeMirror
from ingest_assets_tests.sources.repositories.git_server import LOOPBACK, GitServer, status
from ingest_assets_tests.sources.repositories.packs import entry, pack
from ingest_assets_tests.sources.repositories.repos import TestRepo, bodies, local_mirror

FILES = {f"src/f{i}.py": b"value = 1\n" * i + b"end = %d\n" % i for i in range(1, 30)}
FILES["big.py"] = b"# big\n" * 1_000
LIMITS = TreeLimits(file_bytes=3_000)
SHOWN = {path: content for path, content in FILES.items() if len(content) <= 3_000}


def _read(mirror: Mirror) -> dict[str, bytes]:
    source = RepositorySource("repositories", mirror, limits=LIMITS)
    found = bodies(source)
    assert {skip.id: skip.reason for skip in source.skipped} == {"big.py": "too_large"}
    return found


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[GitServer, Path]]:
    with tempfile.TemporaryDirectory() as folder, GitServer(Path(folder) / "served").running() as server:
        with TestRepo(Path(folder) / "served" / "repo") as repo:
            repo.commit(FILES)
            repo.commit(FILES | {"src/f1.py": b"other = 1\n"})
            repo.commit(FILES)
            repo.pack()
        yield server, Path(folder)


flips = given(st.sampled_from([".pack", ".idx"]), st.floats(0, 1, exclude_max=True), st.integers(1, 255))


@settings(max_examples=8, deadline=None)
@flips
def test_a_flipped_bit_is_never_read(
    served: tuple[GitServer, Path], suffix: str, where: float, flipped: int
) -> None:
    _check_flipped(served, suffix, where, flipped)


@pytest.mark.thorough
@settings(max_examples=40, deadline=None)
@flips
def test_a_flipped_bit_is_never_read_wherever_it_is(
    served: tuple[GitServer, Path], suffix: str, where: float, flipped: int
) -> None:
    _check_flipped(served, suffix, where, flipped)


def _check_flipped(served: tuple[GitServer, Path], suffix: str, where: float, flipped: int) -> None:
    """Wherever it is: what is read is right, or an error, after which the next fetch makes it right."""
    server, _ = served
    with tempfile.TemporaryDirectory() as workspace:
        one = Mirror(parse_origin(server.url(), LOOPBACK), Path(workspace), LOOPBACK, shallow=False)
        one.fetch()
        (path,) = (one.folder / "objects/pack").glob(f"*{suffix}")
        content = bytearray(path.read_bytes())
        content[int(where * len(content))] ^= flipped
        path.chmod(0o644)
        path.write_bytes(content)
        try:
            assert _read(one) == SHOWN
        except SourceUnavailableError:
            with pytest.raises(SourceUnavailableError, match="damaged"):
                one.head()
        one.fetch()
        assert _read(one) == SHOWN


def test_content_that_still_inflates_is_not_believed(repo: TestRepo, mirror: MakeMirror) -> None:
    """A whole pack, index and all, of another repository in place of the right objects."""
    repo.commit({"a.py": b"a = 1\n"})
    one = mirror()
    one.fetch()
    with one.objects() as objects:
        commit = one.head().commit
        assert commit
        oids = [commit, objects.tree_of(commit)]
        read = [objects.read(oid) for oid in oids]
    (path,) = (one.folder / "objects/pack").glob("*.pack")
    index = path.with_suffix(".idx")
    wrong = pack(*(entry(kind, len(body), body) for kind, body in read), entry(3, 6, b"b = 2\n"))
    for each, content in ((path, wrong), (index, _index_of(wrong, oids, b"a = 1\n", read))):
        each.chmod(0o644)
        each.write_bytes(content)
    with pytest.raises(SourceUnavailableError, match="cannot be read: the repository is damaged"):
        bodies(RepositorySource("repositories", one))
    one.fetch()
    assert bodies(RepositorySource("repositories", one)) == {"a.py": b"a = 1\n"}


def _index_of(packed: bytes, oids: list[str], believed: bytes, read: list[tuple[int, bytes]]) -> bytes:
    """An index that says that the last entry is the blob `believed`."""
    blob = hashlib.sha1(b"blob %d\0" % len(believed) + believed).digest()
    offsets, at = [], 12
    for kind, body in read:
        offsets.append(at)
        at += len(entry(kind, len(body), body))
    rows = sorted(zip([*map(bytes.fromhex, oids), blob], [*offsets, at], strict=True))
    fan = b"".join(sum(1 for oid, _ in rows if oid[0] <= i).to_bytes(4) for i in range(256))
    body = b"\xfftOc\0\0\0\2" + fan + b"".join(oid for oid, _ in rows) + bytes(4 * len(rows))
    body += b"".join(offset.to_bytes(4) for _, offset in rows) + packed[-20:]
    return body + hashlib.sha1(body).digest()


def _truncate(path: Path, size: int) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:size])


def _one(mirror: Mirror, suffix: str) -> Path:
    (path,) = (mirror.folder / "objects/pack").glob(f"*{suffix}")
    return path


def _make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Callable[[Mirror], object]] = {
    "a pack of 40 bytes": lambda mirror: _truncate(_one(mirror, ".pack"), 40),
    "an empty pack": lambda mirror: _truncate(_one(mirror, ".pack"), 0),
    "half a pack": lambda mirror: _truncate(_one(mirror, ".pack"), 1_200),
    "no pack": lambda mirror: _one(mirror, ".pack").unlink(),
    "no index": lambda mirror: _one(mirror, ".idx").unlink(),
    "an empty index": lambda mirror: _truncate(_one(mirror, ".idx"), 0),
    "half an index": lambda mirror: _truncate(_one(mirror, ".idx"), 1_100),
    "no objects": lambda mirror: (mirror.folder / "objects").rename(mirror.folder / "gone"),
    "a record that is no JSON": lambda mirror: (mirror.folder / "ingest.json").write_text("{"),
    "a record of another kind": lambda mirror: (mirror.folder / "ingest.json").write_text("[1]"),
    "a record in no encoding": lambda mirror: (mirror.folder / "ingest.json").write_bytes(b"\xff"),
    "a record of numbers": lambda mirror: (mirror.folder / "ingest.json").write_text(
        json.dumps({"HEAD": {"commit": 5, "tip": 6}})
    ),
    "a record of no commit": lambda mirror: (mirror.folder / "ingest.json").write_text(
        json.dumps({"HEAD": {"commit": "main", "tip": "main"}})
    ),
    "a record of an unknown commit": lambda mirror: (mirror.folder / "ingest.json").write_text(
        json.dumps({"HEAD": {"commit": "1" * 40, "tip": "1" * 40}})
    ),
    "a record that is a folder": lambda mirror: _make_folder(mirror.folder / "ingest.json"),
    "a boundary in no encoding": lambda mirror: (mirror.folder / "shallow").write_bytes(b"\xff\xfe"),
    "a boundary that is no commit": lambda mirror: (mirror.folder / "shallow").write_text("main\n"),
    "a boundary elsewhere": lambda mirror: (mirror.folder / "shallow").write_text("2" * 40 + "\n"),
    "no boundary": lambda mirror: (mirror.folder / "shallow").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_and_mended(repo: TestRepo, mirror: MakeMirror, damage: str) -> None:
    repo.commit({"old.py": b"old = 1\n"})
    repo.commit(FILES)
    one = mirror()
    one.fetch()
    DAMAGES[damage](one)
    try:
        assert _read(one) == SHOWN
    except SourceUnavailableError:
        assert "boundary" not in damage  # which matters only to a fetch
    repo.commit(FILES | {"new.py": b"new = 1\n"})
    one.fetch()
    assert _read(one) == SHOWN | {"new.py": b"new = 1\n"}
    assert not [path.name for path in one.folder.parent.iterdir() if path.suffix in (".fresh", ".old")]


@pytest.mark.parametrize("damage", ["half a pack", "a record that is no JSON", "a boundary elsewhere"])
@pytest.mark.parametrize("answer", ["503 Service Unavailable", "404 Not Found"])
def test_a_damaged_mirror_of_a_remote_that_is_gone(
    repo: TestRepo, server: GitServer, mirror: MakeMirror, damage: str, answer: str
) -> None:
    """Both are named; what is there stays, so that it can be looked at, and is whole again later."""
    repo.commit({"old.py": b"old = 1\n"})
    repo.commit(FILES)
    one = mirror()
    one.fetch()
    DAMAGES[damage](one)
    if damage == "half a pack":
        with pytest.raises(SourceUnavailableError):
            _read(one)
    server.misbehave = status(answer)
    before = sorted(path.name for path in one.folder.rglob("*"))
    words = (
        rf"HTTP {answer[:3]}.*\. Everything has to be fetched again, for what was fetched before is damaged"
    )
    with pytest.raises((UnavailableError, ConfigurationError), match=words):
        one.fetch()
    assert sorted(path.name for path in one.folder.rglob("*")) == before
    server.misbehave = None
    one.fetch()
    assert _read(one) == SHOWN


def test_a_read_that_takes_too_long_is_not_damage(repo: TestRepo, mirror: MakeMirror) -> None:
    repo.commit(FILES)
    one = mirror()
    one.fetch()
    with pytest.raises(SourceUnavailableError, match="longer than 0 s"):
        bodies(RepositorySource("repositories", one, limits=TreeLimits(seconds=0)))
    assert one.head().commit
    assert not (one.folder / "damaged").exists()


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(lambda raw: raw[: len(raw) // 2], id="half"),
        pytest.param(lambda raw: b"", id="empty"),
        pytest.param(lambda raw: zlib.compress(b"blob 6\0b = 2\n"), id="another one"),
        pytest.param(lambda raw: zlib.compress(b"blob 9\0b = 2\n"), id="a wrong size"),
        pytest.param(lambda raw: zlib.compress(b"blob 99999999999\0a = 1\n"), id="a huge size"),
        pytest.param(lambda raw: zlib.compress(b"tree 6\0a = 1\n"), id="another kind"),
        pytest.param(lambda raw: b"not zlib", id="no zlib"),
    ],
)
def test_a_damaged_object_in_a_file_of_its_own(repo: TestRepo, damaged: Callable[[bytes], bytes]) -> None:
    repo.commit({"a.py": b"a = 1\n"})
    oid = repo.blob(b"a = 1\n").decode()
    path = repo.path / "objects" / oid[:2] / oid[2:]
    path.chmod(0o644)
    path.write_bytes(damaged(path.read_bytes()))
    with pytest.raises(SourceUnavailableError, match=f"object {oid[:12]} cannot be read"):
        bodies(RepositorySource("repositories", local_mirror(repo.path)))


@pytest.mark.parametrize("ref", ["3f2a91c", "3F2A91C", "3" * 39, "A" * 40])
def test_a_shortened_commit_is_refused_with_the_reason(repo: TestRepo, mirror: MakeMirror, ref: str) -> None:
    repo.commit(FILES)
    with pytest.raises(ConfigurationError, match=r"no branch or tag .* all its 40 digits, in lower case"):
        mirror().fetch(ref)
    with pytest.raises(ConfigurationError, match=r"no branch or tag .* all its 40 digits, in lower case"):
        local_mirror(repo.path).fetch(ref)
    commit = repo.commit(FILES, ref)  # but it may also be the name of a branch
    assert mirror().fetch(ref).commit == commit
