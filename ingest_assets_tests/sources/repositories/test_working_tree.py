"""Folders as they stand on disk: what git would list, found by content, whatever the disk does meanwhile."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_assets.model import ContentError, ItemError, SourceItem, SourceUnavailableError
from ingest_assets.sandbox import Sandbox
from ingest_assets.sources.repositories import working_tree
from ingest_assets.sources.repositories.files import Inside
from ingest_assets.sources.repositories.hints import RACY_NS, Clock
from ingest_assets.sources.repositories.origin import Origin
from ingest_assets.sources.repositories.source import ConfinedRepository
from ingest_assets.sources.repositories.tree import TreeLimits
from ingest_assets.sources.repositories.working_tree import Folder, WorkingTree

HOUR_NS = 3_600 * 10**9


def folder_at(root: Path, kept_in: Path | None = None) -> Folder:
    root.mkdir(parents=True, exist_ok=True)
    return Folder(Origin("local/x", "x", path=root.resolve()), (), kept_in or root.parent / "kept")


def write(root: Path, path: str, content: str | bytes, age_ns: int = HOUR_NS) -> Path:
    """A file that was last modified long enough ago that its time says something."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    at = Clock.now().wall_ns - age_ns
    os.utime(file, ns=(at, at))
    return file


def items(tree: WorkingTree) -> dict[str, SourceItem]:
    tree.grants()
    with tree.read() as found:
        return {item.id: item for item in found}


def state(folder: Folder, **options: Any) -> dict[str, tuple[str, str]]:
    """Digest and text of every document."""
    tree = WorkingTree("repositories", folder, **options)
    tree.grants()
    with tree.read() as found:
        return {item.id: (item.digest, item.render().body) for item in found}


def read_files(folder: Folder) -> int:
    tree = WorkingTree("repositories", folder)
    items(tree)
    return tree.read_files


def skipped(folder: Folder, **options: Any) -> dict[str, tuple[str, str]]:
    tree = WorkingTree("repositories", folder, **options)
    items(tree)
    return {skip.id: (skip.reason, skip.detail) for skip in tree.skipped}


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The inode's time is now for whatever a test writes: as if it were long ago."""
    monkeypatch.setattr(working_tree, "is_settled", lambda *_: True)


# --- What is read ---


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.com", *arguments]
    environment = {"HOME": str(root.parent), "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"]}
    return subprocess.run(
        command, cwd=root, env=environment, check=True, capture_output=True, text=True
    ).stdout


NAMES = st.sampled_from(["a.py", "b.md", "log", "keep", "x"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
PATTERNS = st.sampled_from(
    ["*.py", "!a.py", "/x", "x/", "log", "!log", "keep/b.md", "**/x/a.py", "# x", "b.*", "!keep/", "\\!x"]
)


@settings(max_examples=30, deadline=None)
@given(
    paths=st.sets(PATHS, max_size=12),
    ignoring=st.dictionaries(st.sampled_from(["", "x/", "keep/"]), st.lists(PATTERNS, max_size=4)),
    excluded=st.lists(PATTERNS, max_size=2),
    forced=st.sets(PATHS, max_size=4),
)
def test_the_files_are_those_that_git_lists(
    paths: set[str], ignoring: dict[str, list[str]], excluded: list[str], forced: set[str]
) -> None:
    if shutil.which("git") is None:
        pytest.skip("no git")
    with tempfile.TemporaryDirectory() as made, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", made)
        patch.delenv("XDG_CONFIG_HOME", raising=False)
        root = Path(made) / "r"
        root.mkdir()
        git(root, "init", "-q")
        for path in sorted(paths | {f"{folder}.gitignore" for folder in ignoring}):
            below = path.rpartition("/")[0]
            above = [Path(path).parents[i] for i in range(below.count("/") + bool(below))]
            if any((root / each).is_file() for each in above) or (root / path).is_dir():
                continue
            write(root, path, "\n".join(ignoring.get(below and f"{below}/", ["text"])) + "\n")
        for path in sorted(forced):
            if (root / path).is_file():
                git(root, "add", "-f", path)
        (root / ".git" / "info" / "exclude").write_text("\n".join(excluded))
        listed = set(git(root, "ls-files", "-co", "--exclude-standard", "-z").split("\0")) - {""}
        tree = WorkingTree("repositories", folder_at(root))
        found = set(items(tree))
        ignored = {
            skip.id for skip in tree.skipped if skip.detail.startswith(("git ign", "a folder that git"))
        }
        others = {skip.id for skip in tree.skipped} - ignored
        assert found | others == listed


def test_what_is_not_committed_is_read_and_a_folder_need_not_be_a_repository(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    write(folder.path, "a.py", "a = 1\n")
    write(folder.path, "src/b.md", "# b\n")
    plain = state(folder)
    assert {path: body for path, (_, body) in plain.items()} == {"a.py": "a = 1\n", "src/b.md": "# b\n"}
    git(folder.path, "init", "-q")
    git(folder.path, "add", "a.py")
    git(folder.path, "commit", "-q", "-m", "one")
    write(folder.path, "a.py", "a = 2\n")
    now = state(folder)
    assert now["a.py"][1] == "a = 2\n"
    assert now["src/b.md"] == plain["src/b.md"]
    assert folder.commit() == git(folder.path, "rev-parse", "HEAD").strip()


def test_links_pipes_sockets_and_names_that_are_not_text_are_counted(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    root = folder.path
    (tmp_path / "secret.py").write_text("password = 1\n")
    write(root, "a.py", "a = 1\n")
    (root / "inside").symlink_to("a.py")
    (root / "outside.py").symlink_to(tmp_path / "secret.py")
    (root / "up").symlink_to("..", target_is_directory=True)
    (root / "loop").symlink_to("loop")
    (root / "circle").symlink_to(".", target_is_directory=True)
    os.mkfifo(root / "pipe.py")
    (root / "other" / ".git").mkdir(parents=True)
    write(root, "other/c.py", "c = 1\n")
    Path(os.fsdecode(os.fsencode(root) + b"/na\xefve.py")).write_text("n = 1\n")
    with socket.socket(socket.AF_UNIX) as bound:
        before = Path.cwd()
        os.chdir(root)  # a socket's path is short
        try:
            bound.bind("s.py")
        finally:
            os.chdir(before)
        assert set(state(folder)) == {"a.py"}
        assert skipped(folder) == {
            "circle": ("unsupported_language", "a symbolic link"),
            "inside": ("unsupported_language", "a symbolic link"),
            "loop": ("unsupported_language", "a symbolic link"),
            "na\\xefve.py": ("parse_error", "not a valid name"),
            "other/": ("unsupported_language", "another repository"),
            "outside.py": ("unsupported_language", "a symbolic link that leaves the folder"),
            "pipe.py": ("unsupported_language", "neither file nor folder"),
            "s.py": ("unsupported_language", "neither file nor folder"),
            "up": ("unsupported_language", "a symbolic link that leaves the folder"),
        }


def test_a_device_is_counted_and_not_opened(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    write(folder.path, "a.py", "a = 1\n")
    try:
        os.mknod(folder.path / "endless.py", 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # as /dev/zero
    except OSError:
        pytest.skip("only the administrator makes devices")
    assert set(state(folder)) == {"a.py"}
    assert skipped(folder) == {"endless.py": ("unsupported_language", "neither file nor folder")}


def test_what_this_program_keeps_is_left_out(tmp_path: Path) -> None:
    home = tmp_path / "r" / "state"
    folder = replace(folder_at(tmp_path / "r", home / "repositories" / "x"), own=(home.resolve(),))
    write(folder.path, "a.py", "a = 1\n")
    assert set(state(folder)) == {"a.py"}
    assert skipped(folder)["state/"][0] == "ignore_pattern"


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (TreeLimits(files=30), "more than 30 files"),
        (TreeLimits(total_bytes=100), "over 100 bytes"),
        (TreeLimits(depth=2), "more than 2 deep"),
    ],
)
def test_too_much_is_refused_with_the_limit(tmp_path: Path, limits: TreeLimits, said: str) -> None:
    folder = folder_at(tmp_path / "r")
    for i in range(40):
        write(folder.path, f"d/e/f/{i}.py", "a = 1\n")
    with pytest.raises(ContentError, match=said):
        state(folder, limits=limits)
    assert len(state(folder)) == 40


@pytest.mark.parametrize(
    ("limits", "said"),
    [(TreeLimits(), "more than 200,000 files"), (TreeLimits(seconds=0), "took longer than 0 s")],
)
def test_a_folder_without_end_is_refused_before_it_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: TreeLimits, said: str
) -> None:
    folder = folder_at(tmp_path / "r")
    write(folder.path, "a.py", "a = 1\n")
    [entry] = os.scandir(folder.path)

    @contextmanager
    def endless(_self: Inside, _path: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
        yield itertools.repeat(entry)

    monkeypatch.setattr(Inside, "scan", endless)
    with pytest.raises((ContentError, SourceUnavailableError), match=said):
        state(folder, limits=limits)


# --- Hints ---


@pytest.mark.usefixtures("settled")
def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    for i in range(5):
        write(folder.path, f"{i}.py", f"a = {i}\n")
    write(folder.path, "x.py", b"\0\1\2")  # skipped for its content
    before = state(folder)
    assert read_files(folder) == 0
    assert state(folder) == before
    tree = WorkingTree("repositories", folder)
    assert [(len(items(tree)), tree.read_files) for _ in range(2)] == [(5, 0), (5, 0)]
    assert skipped(folder)["x.py"][0] == "binary"
    write(folder.path, "3.py", "a = 9\n")
    assert read_files(folder) == 1


def test_a_file_that_was_just_modified_is_read_again(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    write(folder.path, "a.py", "a = 1\n", age_ns=0)
    assert [read_files(folder) for _ in range(2)] == [1, 1]


@pytest.mark.usefixtures("settled")
def test_a_change_of_same_size_whose_time_was_set_back_is_found(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    file = write(folder.path, "a.py", "a = 1\n")
    state(folder)
    found = file.stat()
    file.write_text("a = 2\n")
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert state(folder)["a.py"][1] == "a = 2\n"


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("step_s", [-3_600, -3, 3, 3_600])
def test_no_hint_is_believed_across_a_step_of_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_s: int
) -> None:
    folder = folder_at(tmp_path / "r")
    write(folder.path, "a.py", "a = 1\n")
    state(folder)
    assert read_files(folder) == 0
    real = Clock.now
    monkeypatch.setattr(Clock, "now", lambda: replace(real(), wall_ns=real().wall_ns + step_s * 10**9))
    assert read_files(folder) == 1
    assert read_files(folder) == 0  # what is read after the step counts again


def test_when_a_clock_was_set() -> None:
    before = Clock(wall_ns=10**18, counted_ns=10**12, boot="one")
    hour_later = Clock(10**18 + HOUR_NS, 10**12 + HOUR_NS, "one")
    assert not hour_later.was_set_since(before)
    assert replace(hour_later, wall_ns=hour_later.wall_ns + 10 * RACY_NS).was_set_since(before)
    restarted = replace(hour_later, counted_ns=5, boot="two")
    assert not restarted.was_set_since(before)
    assert replace(restarted, wall_ns=before.wall_ns - 1).was_set_since(before)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("content", [b"", b"\x81", b"\x83\xa6format\xa11\xa5clock\xc0\xa5files\x90"])
def test_hints_that_cannot_be_read_cost_only_reading(tmp_path: Path, content: bytes) -> None:
    folder = folder_at(tmp_path / "r")
    write(folder.path, "a.py", "a = 1\n")
    before = state(folder)
    (folder.kept_in / "hints.msgpack").write_bytes(content)
    assert state(folder) == before


EDITS = st.tuples(
    st.sampled_from(["write", "same size", "delete", "move", "touch", "mode", "folder"]),
    st.integers(0, 5),
    st.integers(0, 5),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(EDITS, max_size=4), max_size=5))
def test_reading_after_any_edits_gives_what_a_first_reading_gives(rounds: list[list[Any]]) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = folder_at(Path(made) / "r")
        for turn, edits in enumerate(rounds):
            for kind, one, other in edits:
                _edit(folder.path, kind, one, other, turn)
            fresh = replace(folder, kept_in=Path(made) / f"fresh{turn}")
            assert state(folder) == state(fresh)


def _edit(root: Path, kind: str, one: int, other: int, turn: int) -> None:
    path, to = (root / f"d{n % 2}" / f"f{n}.py" for n in (one, other))
    path.parent.mkdir(exist_ok=True)
    to.parent.mkdir(exist_ok=True)
    if kind == "folder":
        shutil.rmtree(path.parent)
    elif kind == "write":
        path.write_text(f"a = {turn}\n" * (other + 1))
    elif not path.exists():
        return
    elif kind == "same size":
        found = path.stat()
        path.write_bytes(bytes(path.read_bytes()).replace(b"a", b"b"))
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    elif kind == "delete":
        path.unlink()
    elif kind == "move":
        path.replace(to)
    elif kind == "touch":
        os.utime(path)
    elif kind == "mode":
        path.chmod(0o755 if turn % 2 else 0o644)


# --- What the disk does meanwhile ---


@pytest.mark.usefixtures("settled")
def test_a_folder_that_cannot_be_listed_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_at(tmp_path / "r")
    write(folder.path, "a.py", "a = 1\n")
    write(folder.path, "closed/b.py", "b = 1\n")
    write(folder.path, "closed/deep/c.py", "c = 1\n")
    assert set(state(folder)) == {"a.py", "closed/b.py", "closed/deep/c.py"}
    with _refusing(monkeypatch, "scan", "closed"):
        for _ in range(2):  # what is known of it is not forgotten
            tree = WorkingTree("repositories", folder)
            found = items(tree)
            assert set(found) == {"a.py", "closed/b.py", "closed/deep/c.py"}
            with pytest.raises(ItemError, match="cannot be read: Permission denied"):
                found["closed/b.py"].render()
            assert [(skip.id, skip.reason) for skip in tree.skipped] == [("closed/", "parse_error")]
    assert set(state(folder)) == {"a.py", "closed/b.py", "closed/deep/c.py"}


def test_a_file_that_cannot_be_read_keeps_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_at(tmp_path / "r")
    write(folder.path, "a.py", "a = 1\n")
    write(folder.path, "b.py", "b = 1\n")
    with _refusing(monkeypatch, "open", "b.py"):
        found = items(WorkingTree("repositories", folder))
        assert found["a.py"].render().body == "a = 1\n"
        with pytest.raises(ItemError, match="Permission denied"):
            found["b.py"].render()


def test_a_folder_that_cannot_be_read_at_all_is_not_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_at(tmp_path / "r")
    with _refusing(monkeypatch, "scan", "r"), pytest.raises(SourceUnavailableError, match="Permission"):
        state(folder)
    folder.path.rmdir()
    with pytest.raises(SourceUnavailableError, match="gone"):
        state(folder)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_vanishes_while_it_is_read_is_not_an_empty_one(tmp_path: Path, replaced: bool) -> None:
    folder = folder_at(tmp_path / "r")
    for i in range(3):
        write(folder.path, f"d{i}/a.py", "a = 1\n")
    tree = WorkingTree("repositories", folder)
    tree.grants()
    with tree.read() as found:
        next(found)
        folder.path.rename(tmp_path / "elsewhere")
        if replaced:
            folder.path.mkdir()
        with pytest.raises(SourceUnavailableError, match="replaced" if replaced else "gone"):
            list(found)


@pytest.mark.parametrize("above", [False, True], ids=["the folder", "one above it"])
@pytest.mark.parametrize("late", [False, True], ids=["before it is read", "while it is read"])
def test_a_link_in_the_place_of_the_folder_leads_nowhere(tmp_path: Path, above: bool, late: bool) -> None:
    """Whoever may write to a folder above it could otherwise have any folder of this machine read."""
    folder = folder_at(tmp_path / "team" / "r", tmp_path / "kept")
    write(folder.path, "a.py", "a = 1\n")
    write(folder.path, "d/b.py", "b = 1\n")
    write(tmp_path / "secret" / "r", "d/b.py", "secret = 1\n")
    write(tmp_path / "secret", "d/b.py", "secret = 1\n")

    def replace_it() -> None:
        place = folder.path.parent if above else folder.path
        place.rename(tmp_path / "away")
        place.symlink_to(tmp_path / "secret")

    tree = WorkingTree("repositories", folder)
    tree.grants()
    if not late:
        replace_it()
        with pytest.raises(SourceUnavailableError, match="replaced by a link"), tree.read():
            pass
        return
    bodies: list[str] = []
    with tree.read() as found:
        bodies.append(next(found).render().body)
        replace_it()
        with pytest.raises(SourceUnavailableError, match=r"replaced|gone"):
            bodies.extend(item.render().body for item in found)
    assert "secret = 1\n" not in bodies


def test_a_file_that_vanishes_while_the_folder_is_read_is_gone(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    for name in ("a", "b", "c/d"):
        write(folder.path, f"{name}.py", "a = 1\n")
    tree = WorkingTree("repositories", folder)
    tree.grants()
    with tree.read() as found:
        assert next(found).id == "a.py"
        (folder.path / "b.py").unlink()
        shutil.rmtree(folder.path / "c")
        assert [item.id for item in found] == []


def _changing(monkeypatch: pytest.MonkeyPatch, file: Path, times: int) -> None:
    """Something is appended after each of the first readings of a file."""
    real, left = working_tree._start_of, [times]

    def start_of(opened: IO[bytes], size: int) -> bytes:
        content = real(opened, size)
        if left[0] and b"changing" in content:
            left[0] -= 1
            with file.open("ab") as more:
                more.write(b"# more\n")
        return content

    monkeypatch.setattr(working_tree, "_start_of", start_of)


@pytest.mark.parametrize("times", [1, 2])
def test_a_file_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    folder = folder_at(tmp_path / "r")
    _changing(monkeypatch, write(folder.path, "a.py", "changing = 1\n"), times)
    assert state(folder)["a.py"][1] == "changing = 1\n" + times * "# more\n"


def test_a_file_that_changes_all_the_time_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_at(tmp_path / "r")
    _changing(monkeypatch, write(folder.path, "a.py", "changing = 1\n"), 1_000)
    found = items(WorkingTree("repositories", folder))
    with pytest.raises(ItemError, match="changes while it is read"):
        found["a.py"].render()


@pytest.mark.usefixtures("settled")
def test_what_changes_between_listing_and_rendering_is_never_half(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    file = write(folder.path, "a.py", "a = 1\n")
    state(folder)  # so that there is a hint, and it is rendered from what is read then
    tree = WorkingTree("repositories", folder)
    with tree.read() as found:
        [item] = found
        file.write_text("a = 2\n")
        with pytest.raises(ItemError, match="changed while the folder was read"):
            item.render()
    with pytest.raises(ItemError, match="cannot be read"):
        item.render()  # once the folder is no longer held, nothing else is read in its place


@pytest.mark.usefixtures("settled")
def test_a_confined_process_reads_the_same(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "r")
    git(folder.path, "init", "-q")
    write(folder.path, ".gitignore", "*.log\nbuild/\n")
    write(folder.path, "a.py", "a = 1\n")
    write(folder.path, "build/b.py", "b = 1\n")
    git(folder.path, "add", "-f", "build/b.py")
    (folder.path / "link.py").symlink_to(tmp_path / "outside.py")
    for _ in range(2):  # the second time with hints, which are kept by the process
        source = ConfinedRepository(WorkingTree("repositories", folder), Sandbox(tmp_path / "tmp"))
        with source.read() as found:
            read = {item.id: (item.digest, item.render().body) for item in found}
        fresh = replace(folder, kept_in=tmp_path / "other")
        assert read == state(fresh)
        assert {skip.id for skip in source.skipped} == set(skipped(fresh))
    assert (folder.kept_in / "hints.msgpack").exists()


def _link_outside(file: Path) -> None:
    secret = file.parent.parent / "secret.py"
    secret.write_text("password = 1\n")
    file.symlink_to(secret)


SWAPS: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": os.mkdir,
    "a link outside": _link_outside,
    "a link to itself": lambda file: file.symlink_to(file.name),
}


@pytest.mark.parametrize("becomes", SWAPS)
@pytest.mark.parametrize("known", [False, True])
def test_what_a_file_becomes_after_it_was_listed_is_never_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, becomes: str, known: bool
) -> None:
    """Opening a pipe would wait for ever, and a link could lead anywhere."""
    folder = folder_at(tmp_path / "r")
    file = write(folder.path, "a.py", "a = 1\n")
    write(folder.path, "b.py", "b = 1\n")
    monkeypatch.setattr(working_tree, "is_settled", lambda *_: known)
    if known:  # by a hint: then it is opened when it is rendered
        state(folder)
    real = Inside.open

    def swapped(self: Inside, path: Path) -> IO[bytes]:
        if path == file and stat.S_ISREG(os.lstat(file).st_mode):
            file.unlink()
            SWAPS[becomes](file)
        return real(self, path)

    monkeypatch.setattr(Inside, "open", swapped)
    tree = WorkingTree("repositories", folder)
    tree.grants()
    with tree.read() as read:
        found = {item.id: item for item in read}
        assert found["b.py"].render().body == "b = 1\n"
        with pytest.raises(ItemError):
            found["a.py"].render()


@pytest.mark.usefixtures("settled")
def test_a_full_disk_costs_only_reading_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_at(tmp_path / "r")
    write(folder.path, "a.py", "a = 1\n")
    state(folder)
    write(folder.path, "b.py", "b = 1\n")
    with monkeypatch.context() as patch:

        def full(self: Path, data: bytes) -> int:
            with self.open("wb") as file:
                file.write(data[:10])
            raise OSError(28, "No space left on device")

        patch.setattr(Path, "write_bytes", full)
        found = state(folder)
    assert set(found) == {"a.py", "b.py"}
    assert [each.name for each in folder.kept_in.iterdir()] == ["hints.msgpack"]
    assert state(folder) == found


@contextmanager
def _refusing(monkeypatch: pytest.MonkeyPatch, what: str, name: str) -> Iterator[None]:
    """As a folder or file without permission; chmod would not hold back a test that runs as root."""
    real: Callable[..., Any] = getattr(Inside, what)

    def refuse(self: Inside, path: Path) -> Any:
        if path.name == name:
            raise PermissionError(13, "Permission denied")
        return real(self, path)

    with monkeypatch.context() as patch:
        patch.setattr(Inside, what, refuse)
        yield
