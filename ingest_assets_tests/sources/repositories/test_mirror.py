"""Fetching from a real server: it converges on what the remote has, whatever was there before."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ingest_assets.model import ConfigurationError, SourceUnavailableError, UnavailableError
from ingest_assets.sources.repositories.consolidate import consolidate
from ingest_assets.sources.repositories.mirror import Mirror, remote_heads
from ingest_assets.sources.repositories.objects import tree_entries
from ingest_assets.sources.repositories.origin import parse_origin
from ingest_assets.sources.repositories.policy import Policy
from ingest_assets.sources.repositories.source import RepositorySource
from ingest_assets_tests.sources.repositories.conftest import MakeMirror
from ingest_assets_tests.sources.repositories.git_server import LOOPBACK, GitServer
from ingest_assets_tests.sources.repositories.repos import TestRepo, bodies

ONE = {"a.py": b"a = 1\n", "src/b.py": b"b = 2\n"}
TWO = {"a.py": b"a = 1\n", "src/c.py": b"c = 3\n"}


def _bodies(mirror: Mirror, ref: str | None = None) -> dict[str, bytes]:
    return bodies(RepositorySource("repositories", mirror, ref=ref))


@pytest.mark.parametrize("shallow", [True, False])
def test_each_fetch_converges_on_what_the_remote_has(
    repo: TestRepo, any_mirror: MakeMirror, shallow: bool
) -> None:
    one = any_mirror(shallow=shallow)
    steps = [(ONE, False), (TWO, False), (TWO, True), (ONE, True), ({"only.md": b"# x\n"}, False)]
    for files, rewrite in steps:
        commit = repo.commit(files, rewrite=rewrite)
        assert one.fetch().commit == one.head().commit == commit
        assert _bodies(one) == files


def test_a_fetch_costs_as_much_as_the_change(repo: TestRepo, server: GitServer, mirror: MakeMirror) -> None:
    files = {f"src/f{i}.py": f"value = {i}\n".encode() * 50 for i in range(300)}
    repo.commit(files)
    one = mirror(shallow=False)  # dulwich's server sends everything to a shallow one, git's does not
    one.fetch()
    packs = one.folder / "objects" / "pack"
    before = {path.name: path.stat().st_size for path in packs.glob("*.pack")}
    repo.commit(files | {"src/f7.py": b"value = None\n"})
    one.fetch()
    new = [path.stat().st_size for path in packs.glob("*.pack") if path.name not in before]
    assert len(new) == 1
    assert new[0] < sum(before.values())
    requested = len(server.requests)
    one.fetch()  # nothing new: only the refs are requested
    assert len(server.requests) - requested <= 2


def test_branches_tags_and_commits(repo: TestRepo, any_mirror: MakeMirror) -> None:
    first = repo.commit(ONE)
    repo.tag("v1", first)
    second = repo.commit(TWO)
    side = repo.commit({"side.md": b"side\n"}, "feature/x")
    one = any_mirror()
    assert one.fetch("v1").commit == first
    assert one.fetch("main").commit == second
    assert one.fetch("feature/x").commit == side
    assert one.fetch("refs/heads/feature/x").commit == side
    assert one.fetch(second).commit == second
    assert one.fetch().default_branch == "refs/heads/main"
    assert _bodies(one, "v1") == ONE
    assert _bodies(one, "feature/x") == {"side.md": b"side\n"}


def test_a_deleted_branch_is_an_error_and_an_emptied_repository_is_empty(
    repo: TestRepo, mirror: MakeMirror
) -> None:
    repo.commit(ONE)
    repo.commit(TWO, "side")
    one = mirror()
    one.fetch("side")
    repo.delete_branch("side")
    with pytest.raises(ConfigurationError, match="no branch or tag 'side'"):
        one.fetch("side")
    assert _bodies(one, "side") == TWO  # the last known state stays
    repo.delete_branch("main")
    assert one.fetch().commit is None
    assert _bodies(one) == {}
    repo.commit(TWO)
    one.fetch()
    assert _bodies(one) == TWO


def test_a_dangling_head_beside_other_branches_is_an_error(repo: TestRepo, mirror: MakeMirror) -> None:
    repo.commit(ONE, "other")
    with pytest.raises(ConfigurationError, match="HEAD names a branch that does not exist"):
        mirror().fetch()


def test_a_removed_or_unreachable_remote_is_not_taken_for_an_empty_one(
    repo: TestRepo, mirror: MakeMirror, tmp_path: Path
) -> None:
    repo.commit(ONE)
    one = mirror()
    one.fetch()
    repo.path.rename(tmp_path / "gone")
    with pytest.raises(ConfigurationError, match="no such repository"):
        one.fetch()
    with pytest.raises(ConfigurationError, match="no such repository"):
        remote_heads(one.origin, LOOPBACK)
    nowhere = parse_origin("http://127.0.0.1:9/repo", LOOPBACK)
    with pytest.raises(UnavailableError, match="could not be reached"):
        remote_heads(nowhere, LOOPBACK, 2)
    with pytest.raises(UnavailableError):
        Mirror(nowhere, tmp_path, LOOPBACK).fetch()
    assert _bodies(one) == ONE


def test_a_repository_never_fetched_is_unavailable(repo: TestRepo, mirror: MakeMirror) -> None:
    repo.commit(ONE)
    source = RepositorySource("repositories", mirror())
    assert source.signature() is None
    with pytest.raises(SourceUnavailableError, match="not been fetched"), source.read():
        pass


def test_remote_heads_show_what_a_fetch_would_bring(
    repo: TestRepo, server: GitServer, mirror: MakeMirror
) -> None:
    first = repo.commit(ONE)
    repo.tag("v1", first)
    origin = parse_origin(server.url(), LOOPBACK)
    heads = remote_heads(origin, LOOPBACK)
    assert heads.commit(None) == first
    assert heads.commit("main") == first
    one = mirror()
    assert one.fetch("v1").commit == first
    before = heads.digest(None)
    repo.commit(TWO)
    assert remote_heads(origin, LOOPBACK).digest(None) != before


def test_a_crash_in_the_middle_is_repaired(repo: TestRepo, mirror: MakeMirror) -> None:
    repo.commit(ONE)
    one = mirror()
    one.fetch()
    packs = one.folder / "objects" / "pack"
    (packs / "tmp-1234.pack").write_bytes(b"PACK")  # killed while it was received
    (packs / f"pack-{'0' * 40}.pack").write_bytes(b"PACK")  # killed before its index was written
    (one.folder / "ingest.json.new").write_text("{", "utf-8")
    repo.commit(TWO)
    one.fetch()
    assert _bodies(one) == TWO
    assert not list(packs.glob("tmp*"))
    assert not (packs / f"pack-{'0' * 40}.pack").exists()


@pytest.mark.parametrize("damage", ["pack", "index", "state", "all packs"])
def test_a_damaged_mirror_is_fetched_again(repo: TestRepo, mirror: MakeMirror, damage: str) -> None:
    repo.commit(ONE)
    one = mirror()
    one.fetch()
    packs = one.folder / "objects" / "pack"
    for path in packs.iterdir():
        path.chmod(0o644)
        if damage == "all packs" or (damage == "index" and path.suffix == ".idx"):
            path.unlink()
        elif damage == "pack" and path.suffix == ".pack":
            path.write_bytes(path.read_bytes()[:40])
    if damage == "state":
        (one.folder / "ingest.json").write_text("{", "utf-8")
    with pytest.raises(SourceUnavailableError):
        _bodies(one)
    one.fetch()
    assert _bodies(one) == ONE


def test_many_fetches_leave_few_packs(repo: TestRepo, mirror: MakeMirror) -> None:
    one = mirror()
    for i in range(23):
        repo.commit(ONE | {"n.md": str(i).encode()})
        one.fetch()
    packs = list((one.folder / "objects" / "pack").glob("*.pack"))
    assert len(packs) < 10
    assert _bodies(one) == ONE | {"n.md": b"22"}


def test_a_reader_continues_while_packs_are_merged(repo: TestRepo, mirror: MakeMirror) -> None:
    one = mirror()
    for i in range(3):
        commit = repo.commit(ONE | {"n.md": str(i).encode()})
        one.fetch()
    with one.objects() as objects:
        tree = objects.tree_of(commit)
        consolidate(one.folder / "objects", [commit], 100 << 20, 100 << 20, history=False)
        assert len(list((one.folder / "objects" / "pack").glob("*.pack"))) == 1
        read = {
            name: objects.read(oid)[1]
            for name, _, oid in tree_entries(objects.listing(tree))
            if name != b"src"
        }
        assert read == {b"a.py": b"a = 1\n", b"n.md": b"2"}
    assert _bodies(one) == ONE | {"n.md": b"2"}


def test_deepening_a_shallow_mirror(repo: TestRepo, mirror: MakeMirror) -> None:
    first = repo.commit(ONE)
    second = repo.commit(TWO)
    mirror(shallow=True).fetch()
    assert (mirror().folder / "shallow").read_text() == f"{second}\n"
    full = mirror(shallow=False)
    full.fetch()
    with full.objects() as objects:
        assert objects.parents_of(second) == [first]
        assert first in objects
    assert not (full.folder / "shallow").read_text()


def test_fetches_of_one_mirror_take_turns(repo: TestRepo, mirror: MakeMirror) -> None:
    repo.commit({f"f{i}.py": b"x = 1\n" * i for i in range(50)})
    failures: list[BaseException] = []

    def fetch() -> None:
        try:
            mirror().fetch()
        except BaseException as error:  # noqa: BLE001  # a failure in a thread fails the test
            failures.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(list((mirror().folder / "objects" / "pack").glob("*.pack"))) == 1


def test_removing_a_mirror_leaves_nothing(repo: TestRepo, mirror: MakeMirror) -> None:
    repo.commit(ONE)
    one = mirror()
    one.fetch()
    one.remove()
    assert not one.folder.exists()
    with pytest.raises(SourceUnavailableError):
        one.head()


def test_nothing_in_a_repository_is_ever_executed(repo: TestRepo, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    hostile = f"touch {touched}"
    repo.commit(
        {
            ".gitattributes": b"*.py filter=evil\n",
            ".gitmodules": f'[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "{hostile}"\n'.encode(),
            ".gitconfig": f'[filter "evil"]\n\tsmudge = {hostile}\n'.encode(),
            "a.py": b"a = 1\n",
        }
    )
    for name in ("post-checkout", "post-merge", "reference-transaction"):
        hook = repo.path / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\n{hostile}\n")
        hook.chmod(0o755)
    config = repo.path / "config"
    config.write_text(
        config.read_text() + f'[core]\n\tfsmonitor = "{hostile}"\n\thooksPath = hooks\n'
        f'[filter "evil"]\n\tsmudge = "{hostile}"\n\trequired = true\n'
        '[includeIf "gitdir:/"]\n\tpath = /dev/zero\n'
    )
    policy = Policy(protocols=frozenset({"file"}), local_roots=(tmp_path,))
    local = Mirror(parse_origin(str(repo.path), policy), tmp_path / "workspace", policy)
    assert _bodies(local)["a.py"] == b"a = 1\n"
    assert not touched.exists()
    assert not list(local.folder.parent.glob("*/a.py"))
