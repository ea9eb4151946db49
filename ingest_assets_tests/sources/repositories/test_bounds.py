"""Whatever a server packs, reading it takes bounded memory and work, and is right or refused."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.sources.repositories.objects import Objects
from ingest_assets.sources.repositories.packfile import index_pack
from ingest_assets.sources.repositories.source import RepositorySource
from ingest_assets_tests.sources.repositories.packs import entry, measured, pack, pack_of_deltas
from ingest_assets_tests.sources.repositories.repos import FILE, TestRepo, digests, local_mirror

MIB = 1 << 20
LIMIT = 8 * MIB
SPARE = 4 * MIB  # what Python and its libraries take for themselves meanwhile
FOLDER = 0o040000


def _comb(depth: int) -> list[int]:
    """A chain, each part of which has a second delta: whoever walks it down needs every part again."""
    return [parent for i in range(depth) for parent in (max(2 * i - 1, 0),) * 2]


HOSTILE = {
    "many children with children": (2 * MIB, [0] * 150 + list(range(1, 151))),
    "a chain": (2 * MIB, list(range(350))),
    "a comb": (MIB, _comb(300)),
    "a base that leaves no room": (5 * MIB, [0, 1, 2]),
    "one large object": (8 * MIB, []),
    "random": (MIB, [random.Random(1).randrange(i + 1) for i in range(600)]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_pack_takes_less_than_twice_its_limit(tmp_path: Path, name: str) -> None:
    size, parents = HOSTILE[name]
    path = tmp_path / "tmp-1.pack"
    path.write_bytes(pack_of_deltas(bytes(size), parents))
    assert path.stat().st_size < 60_000
    more, outcome = measured(f"packfile.index_pack(Path({str(path)!r}), {LIMIT}, lambda: None)")
    assert more < 2 * LIMIT + SPARE
    assert outcome == "done" or (outcome.startswith("ContentError") and "MAX_MIB" in outcome)


def test_a_pack_of_countless_objects(tmp_path: Path) -> None:
    path = tmp_path / "tmp-1.pack"
    path.write_bytes(pack(*[entry(3, 0, b"")] * 100_000))
    with pytest.raises(ConfigurationError, match="100,000 objects, and 16,384 are allowed"):
        index_pack(path, MIB, lambda: None)
    more, outcome = measured(f"packfile.index_pack(Path({str(path)!r}), {LIMIT}, lambda: None)")
    assert (outcome, more < 2 * LIMIT + SPARE) == ("done", True)


def test_work_that_is_done_again_counts(tmp_path: Path) -> None:
    """A comb with no room for its way: each tooth makes everything above it again."""
    path = tmp_path / "tmp-1.pack"
    path.write_bytes(pack_of_deltas(bytes(100_000), _comb(150)))
    limit = 330_000  # room for a base, a delta and its result, and hardly more
    with pytest.raises(ConfigurationError, match="changes of changes, which inflate to over 66,000,000"):
        index_pack(path, limit, lambda: None)


def test_chains_longer_than_git_makes(tmp_path: Path) -> None:
    path = tmp_path / "tmp-1.pack"
    path.write_bytes(pack_of_deltas(b"x", list(range(4_200))))
    with pytest.raises(ConfigurationError, match="4,095 deltas"):
        index_pack(path, 100 * MIB, lambda: None)


def test_the_time_limit_ends_the_work(tmp_path: Path) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > 250:
            raise UnavailableError("the time is up")

    path = tmp_path / "tmp-1.pack"
    path.write_bytes(pack_of_deltas(bytes(1_000), list(range(200))))
    with pytest.raises(UnavailableError, match="time is up"):
        index_pack(path, LIMIT, check)


TREES = st.integers(0, 2**32).map(random.Random)


@settings(max_examples=25, deadline=None)
@given(TREES, st.integers(1, 60), st.integers(30_000, 200_000))
def test_the_index_is_that_of_git(
    tmp_path_factory: pytest.TempPathFactory, rng: random.Random, count: int, room: int
) -> None:
    """However little room there is to hold bases: they are made again, and nothing changes."""
    folder = tmp_path_factory.mktemp("pack")
    (folder / "tmp-1.pack").write_bytes(
        pack_of_deltas(rng.randbytes(10_000), [rng.randrange(i + 1) for i in range(count)])
    )
    theirs = _indexed_by_git(folder / "tmp-1.pack")
    made = index_pack(folder / "tmp-1.pack", room, lambda: None)
    assert made is not None
    assert made.with_suffix(".idx").read_bytes() == theirs


def _indexed_by_git(path: Path) -> bytes:
    index = path.with_name("theirs.idx")
    subprocess.run(["git", "index-pack", "-o", str(index), str(path)], check=True, capture_output=True)
    return index.read_bytes()


def test_a_real_history_is_indexed_and_read_as_git_does(tmp_path: Path) -> None:
    rng, lines = random.Random(3), [f"line {i}" for i in range(300)]

    def git(*words: str) -> bytes:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "gc.auto=0"]
        done = subprocess.run(
            ["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True,
            env=os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
        )  # fmt: skip
        return done.stdout

    git("init", "-q")
    for i in range(60):
        lines[rng.randrange(300)] = f"changed {i}"
        (tmp_path / f"f{i % 7}.py").write_text("\n".join(lines))
        git("add", "-A")
        git("commit", "-qm", str(i))
    git("tag", "-a", "-m", "a tag", "v1")
    git("repack", "-adfq", "--depth=50")
    (packed,) = (tmp_path / ".git/objects/pack").glob("*.pack")
    ours = tmp_path / "ours"
    (ours / "pack").mkdir(parents=True)
    (ours / "pack" / "tmp-1.pack").write_bytes(packed.read_bytes())
    made = index_pack(ours / "pack" / "tmp-1.pack", LIMIT, lambda: None)
    assert made is not None
    assert made.with_suffix(".idx").read_bytes() == packed.with_suffix(".idx").read_bytes()
    everything = git("cat-file", "--batch-all-objects", "--batch-check").decode().splitlines()
    kinds = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
    with Objects(ours) as objects:
        for line in everything:
            oid, kind, size = line.split()
            assert objects.read(oid) == (kinds[kind], git("cat-file", kind, oid))
            assert objects.size(oid) == int(size)
            assert oid in objects
        assert "12" * 20 not in objects


def test_reading_an_object_is_bounded_too(tmp_path: Path) -> None:
    """A local repository was packed by others: no limit was looked at before."""
    folder = tmp_path / "objects" / "pack"
    folder.mkdir(parents=True)
    (folder / "pack-1.pack").write_bytes(pack_of_deltas(bytes(3 * MIB), list(range(300))))
    subprocess.run(["git", "index-pack", str(folder / "pack-1.pack")], check=True, capture_output=True)
    listed = subprocess.run(
        ["git", "show-index"], input=(folder / "pack-1.idx").read_bytes(), check=True, capture_output=True
    )
    last = max(listed.stdout.decode().splitlines(), key=lambda line: int(line.split()[0])).split()[1]
    code = "from ingest_assets.sources.repositories.objects import Objects\n"
    code += f"with Objects(Path({str(folder.parent)!r}), {LIMIT}) as objects: objects.read({last!r})"
    more, outcome = measured(code)
    assert more < 2 * LIMIT + SPARE
    assert "in changes that inflate to over" in outcome


def test_a_wide_and_deep_tree_takes_little_memory(repo: TestRepo) -> None:
    """Each of forty nested folders has a list of 2 MB: all of them together are never held."""
    blob, below = repo.blob(b""), None
    for level in range(40):
        names = [(b"%05d" % i + b"x" * 200, FILE, blob) for i in range(9_000)]
        below = repo.tree([(b"0%d" % level, FOLDER, below), *names] if below else names)
    assert below is not None
    repo.commit_tree(below)
    more, outcome = measured(_reading(repo))
    assert more < 64 * MIB
    assert "nested folders have over" in outcome


def test_entries_are_counted_as_they_are_read(repo: TestRepo) -> None:
    blob = repo.blob(b"")
    repo.commit_tree(repo.tree([(b"%07d" % i, FILE, blob) for i in range(400_000)]))
    more, outcome = measured(_reading(repo, "tree.TreeLimits(files=1_000)"))
    assert more < 40 * MIB  # the list itself, and the file it was read from
    assert "more than 1,000 files and folders" in outcome


def _reading(repo: TestRepo, limits: str = "None") -> str:
    path = str(repo.path)
    return f"""
from ingest_assets_tests.sources.repositories.repos import local_mirror
with source.RepositorySource("x", local_mirror(Path({path!r})), limits={limits}).read() as items:
    for _ in items: pass
"""


def test_what_is_ignored_is_not_read(repo: TestRepo) -> None:
    """A folder that is missing, one that is huge and deep, files that a partial clone lacks."""
    deep = repo.tree([(b"a.py", FILE, repo.blob(b""))])
    for _ in range(100):
        deep = repo.tree([(b"d", FOLDER, deep)])
    nothing = repo.blob(b"x").__class__(b"12" * 20)
    repo.commit_tree(
        repo.tree(
            [
                (b".ingestignore", FILE, repo.blob(b"deep/\nsecret.*\n")),
                (b"a.py", FILE, repo.blob(b"a = 1\n")),
                (b"deep", FOLDER, deep),
                (b"logo.png", FILE, nothing),
                (b"node_modules", FOLDER, nothing),
                (b"secret.py", FILE, nothing),
                (b"vendor", FOLDER, repo.tree([(b"v.go", FILE, nothing)])),
            ]
        )
    )
    read = RepositorySource("repositories", local_mirror(repo.path))
    assert set(digests(read)) == {"a.py"}
    skipped = {skip.id: (skip.reason, skip.size) for skip in read.skipped}
    assert skipped.pop(".ingestignore")[0] == "unsupported_language"
    assert skipped == {
        "deep/": ("ignore_pattern", None),
        "logo.png": ("binary", None),
        "node_modules/": ("ignore_pattern", None),
        "secret.py": ("ignore_pattern", None),
        "vendor/": ("ignore_pattern", None),
    }


def test_a_large_ingestignore_is_refused_rather_than_not_applied(repo: TestRepo) -> None:
    repo.commit({".ingestignore": b"secret/\n" * 10_000, "secret/a.py": b"a = 1\n"})
    with pytest.raises(ConfigurationError, match="80,000 bytes; 65,536 are allowed"):
        digests(RepositorySource("repositories", local_mirror(repo.path)))
