"""Local repositories: nothing outside the allowed folders is read, and nothing is learnt about it."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest_assets.model import ConfigurationError, IngestError, SourceUnavailableError
from ingest_assets.sources.repositories.files import Inside
from ingest_assets.sources.repositories.mirror import Mirror, remote_heads
from ingest_assets.sources.repositories.origin import parse_origin
from ingest_assets.sources.repositories.policy import Policy
from ingest_assets.sources.repositories.source import RepositorySource
from ingest_assets_tests.sources.repositories.repos import TestRepo, bodies

SECRET = {"secret.py": b"secret = 1\n"}
Lead = Callable[[Path, Path], object]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An allowed folder with the repository `repo`; beside it, not allowed, the repository `secret`."""
    with TestRepo(tmp_path / "root" / "repo") as repo:
        repo.commit({"a.py": b"a = 1\n"})
    with TestRepo(tmp_path / "secret") as secret:
        secret.commit(SECRET)
        secret.tag("v1", secret.commit(SECRET))
    return tmp_path / "root"


def _read(root: Path) -> dict[str, bytes]:
    policy = _policy(root)
    one = Mirror(parse_origin(str(root / "repo"), policy), root / "workspace", policy)
    return bodies(RepositorySource("repositories", one))


def _policy(root: Path) -> Policy:
    return Policy(local_roots=(root,), protocols=frozenset({"file"}))


def _replace_with_link(part: Path, target: Path) -> None:
    if part.is_dir() and not part.is_symlink():
        shutil.rmtree(part)
    else:
        part.unlink(missing_ok=True)
    part.symlink_to(target)


def _as_secret(repo: Path, secret: Path) -> None:
    """The refs of the secret repository, whose objects the repository does not have."""
    shutil.rmtree(repo / "refs")
    shutil.copytree(secret / "refs", repo / "refs")


def _link_each_loose_folder(repo: Path, secret: Path) -> None:
    _as_secret(repo, secret)
    for folder in (secret / "objects").glob("??"):
        _replace_with_link(repo / "objects" / folder.name, folder)


def _link_each_loose_object(repo: Path, secret: Path) -> None:
    _as_secret(repo, secret)
    for path in (secret / "objects").glob("??/*"):
        (repo / "objects" / path.parent.name).mkdir(exist_ok=True)
        _replace_with_link(repo / "objects" / path.parent.name / path.name, path)


def _link_packs(repo: Path, secret: Path) -> None:
    with TestRepo(secret) as there:
        there.pack()
    _as_secret(repo, secret)
    for path in (secret / "objects/pack").iterdir():
        _replace_with_link(repo / "objects/pack" / path.name, path)


def _link_info(repo: Path, secret: Path) -> None:
    outside = secret.parent / "info"
    outside.mkdir()
    (outside / "alternates").write_text(f"{secret / 'objects'}\n")
    _as_secret(repo, secret)
    _replace_with_link(repo / "objects/info", outside)


def _alternates_of_alternates(repo: Path, secret: Path) -> None:
    with TestRepo(repo.parent / "between"):
        (repo.parent / "between/objects/info/alternates").write_text(f"{secret / 'objects'}\n")
    _as_secret(repo, secret)
    (repo / "objects/info").mkdir(exist_ok=True)
    (repo / "objects/info/alternates").write_text("../../between/objects\n")


LEADS: dict[str, Lead] = {
    "loose folders": _link_each_loose_folder,
    "loose objects": _link_each_loose_object,
    "packs": _link_packs,
    "objects/info": _link_info,
    "alternates of alternates": _alternates_of_alternates,
    "objects": lambda repo, secret: _replace_with_link(repo / "objects", secret / "objects"),
    "objects/pack": lambda repo, secret: _replace_with_link(repo / "objects/pack", secret / "objects/pack"),
    "refs": lambda repo, secret: _replace_with_link(repo / "refs", secret / "refs"),
    "refs/heads": lambda repo, secret: _replace_with_link(repo / "refs/heads", secret / "refs/heads"),
    "a branch": lambda repo, secret: _replace_with_link(repo / "refs/heads/main", secret / "refs/heads/main"),
    "a tag": lambda repo, secret: _replace_with_link(repo / "refs/tags/v1", secret / "refs/tags/v1"),
    "HEAD": lambda repo, secret: _replace_with_link(repo / "HEAD", secret / "HEAD"),
    "packed-refs": lambda repo, secret: _replace_with_link(repo / "packed-refs", secret / "packed-refs"),
    "config": lambda repo, secret: _replace_with_link(repo / "config", secret / "config"),
    "commondir": lambda repo, secret: (repo / "commondir").write_text(f"{secret}\n"),
    "a link to commondir": lambda repo, secret: _replace_with_link(repo / "commondir", secret / "HEAD"),
    "the repository": _replace_with_link,
    "a .git file": lambda repo, secret: (repo / ".git").write_text(f"gitdir: {secret}\n"),
    "a .git link": lambda repo, secret: (repo / ".git").symlink_to(secret),
}


@pytest.mark.parametrize("there", [True, False], ids=["there", "not there"])
@pytest.mark.parametrize("lead", LEADS)
def test_nothing_outside_is_read_and_nothing_told(root: Path, lead: str, there: bool) -> None:
    """Whatever leads out, and whether or not there is something: the same words."""
    LEADS[lead](root / "repo", root.parent / "secret")
    if not there:
        shutil.rmtree(root.parent / "secret")
    with pytest.raises(ConfigurationError) as caught:
        _read(root)
    assert str(caught.value) == (
        "The local repository is outside the folders that are allowed, or a link in it leads out of them."
    )


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/etc", "/nowhere/at/all", "/root/x", "/dev/null", "/proc/self/environ"]
)
def test_a_path_outside_is_refused_in_the_same_words(root: Path, path: str) -> None:
    for given in (path, str(root / "repo") + "-link"):
        (root / "repo-link").unlink(missing_ok=True)
        (root / "repo-link").symlink_to(path)
        with pytest.raises(ConfigurationError, match="outside the folders that are allowed, or a link"):
            parse_origin(given, _policy(root))


def test_a_local_path_needs_the_protocol_file(root: Path) -> None:
    closed = Policy(local_roots=(root,))
    for given in (str(root / "repo"), (root / "repo").as_uri(), str(root / "missing")):
        with pytest.raises(ConfigurationError, match=r"not be fetched by file \(allowed: https"):
            parse_origin(given, closed)


def test_links_within_the_allowed_folders_are_followed(root: Path) -> None:
    """As `repo` and `git-new-workdir` make them."""
    with TestRepo(root / "copy"):
        pass
    for part in ("objects", "refs", "HEAD"):
        _replace_with_link(root / "copy" / part, Path("..") / "repo" / part)
    policy = _policy(root)
    one = Mirror(parse_origin(str(root / "copy"), policy), root / "workspace", policy)
    assert bodies(RepositorySource("repositories", one)) == {"a.py": b"a = 1\n"}


def test_a_link_that_appears_in_between_leads_nowhere(root: Path) -> None:
    """A folder alternates between one of its own and a link out of the allowed folders, all the time."""
    (root / "real").mkdir()
    (root / "real/file").write_text("allowed")
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "file").write_text("secret")
    (root / "link").symlink_to(outside)
    place, stop = root / "place", threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for source in ("real", "link"):
                (root / source).rename(place)
                place.rename(root / source)

    thread = threading.Thread(target=swap)
    thread.start()
    read = set()
    try:
        for _ in range(3_000):
            try:
                with Inside((root,)).open(place / "file") as file:
                    read.add(file.read())
            except (ConfigurationError, OSError):
                continue
    finally:
        stop.set()
        thread.join()
    assert read <= {b"allowed"}


def test_pipes_and_devices_are_not_opened(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        Inside((root,)).open(root / "pipe")
    head = root / "repo/refs/heads/main"
    head.unlink()
    os.mkfifo(head)
    with pytest.raises(SourceUnavailableError, match="refs of the repository repo are damaged"):
        remote_heads(parse_origin(str(root / "repo"), _policy(root)), _policy(root))


@pytest.mark.parametrize(
    "content", [b"", b"\xff\n", b"ref: refs/heads/main\n", b"ref: ../../secret\n", b"1" * 39, b"x" * 100_000]
)
def test_damaged_refs_are_not_an_empty_repository(root: Path, content: bytes) -> None:
    (root / "repo/refs/heads/main").write_bytes(content)
    with pytest.raises(SourceUnavailableError, match="refs of the repository repo are damaged"):
        remote_heads(parse_origin(str(root / "repo"), _policy(root)), _policy(root))


def test_packed_refs_are_read_and_loose_ones_win(root: Path) -> None:
    with TestRepo(root / "repo") as repo:
        first = repo.commit({"a.py": b"a = 2\n"})
        repo.tag("v1", first)
        subprocess.run(["git", "-C", str(root / "repo"), "pack-refs", "--all"], check=True)
        second = repo.commit({"a.py": b"a = 3\n"})
        assert (root / "repo/packed-refs").exists()
    policy = _policy(root)
    heads = remote_heads(parse_origin(str(root / "repo"), policy), policy)
    assert heads.commit("main") == heads.commit(None) == second
    assert heads.commit("v1") == first
    assert heads.default_branch == "refs/heads/main"
    (root / "repo/HEAD").write_text(f"{first}\n")
    heads = remote_heads(parse_origin(str(root / "repo"), policy), policy)
    assert (heads.commit(None), heads.default_branch) == (first, None)


def test_a_repository_that_borrows_from_itself(root: Path) -> None:
    (root / "repo/objects/info/alternates").write_text("../../repo/objects\n")
    assert _read(root) == {"a.py": b"a = 1\n"}
    shutil.rmtree(next((root / "repo/objects").glob("??")))
    with pytest.raises(IngestError):
        _read(root)


def test_folders_that_borrow_in_many_ways_are_refused_at_once(root: Path) -> None:
    """Each of a few folders names the next one many times: there are billions of ways through them."""
    for number in range(5):
        folder = root / (f"lender{number}" if number else "repo") / "objects"
        (folder / "info").mkdir(parents=True, exist_ok=True)
        ways = [f"../{'./' * i}../lender{number + 1}/objects\n" for i in range(50)]
        (folder / "info/alternates").write_text("".join(ways))
    (root / "lender5/objects").mkdir(parents=True)
    shutil.rmtree(next((root / "repo/objects").glob("??")))
    with pytest.raises(ConfigurationError, match="from more than 100 folders"):
        _read(root)


def test_folders_that_borrow_in_too_many_steps_are_refused(root: Path) -> None:
    for number in range(6):
        folder = root / (f"lender{number}" if number else "repo") / "objects"
        (folder / "info").mkdir(parents=True, exist_ok=True)
        (folder / "info/alternates").write_text(f"../../lender{number + 1}/objects\n")
    (root / "lender6/objects").mkdir(parents=True)
    shutil.rmtree(next((root / "repo/objects").glob("??")))
    with pytest.raises(ConfigurationError, match="too many steps"):
        _read(root)
