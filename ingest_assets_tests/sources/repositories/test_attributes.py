"""`.gitattributes` means what it means to git, at every level of a repository."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ingest_assets.sources.repositories import working_tree
from ingest_assets.sources.repositories.attributes import MAX_ATTRIBUTES_BYTES, FileAttributes, GitAttributes
from ingest_assets.sources.repositories.language_table import language_table
from ingest_assets.sources.repositories.origin import Origin
from ingest_assets.sources.repositories.source import RepositorySource
from ingest_assets.sources.repositories.working_tree import Folder, WorkingTree
from ingest_assets_tests.sources.repositories.repos import LINK, TestRepo, documents, local_mirror

READ = ("linguist-language", "linguist-generated", "linguist-vendored", "text", "diff")
PATTERNS = (
    "*", "*.c", "*.x.c", "a", "a/*", "a/**", "/a", "/b.c", "**/b.c", "a/b.c", '"b.c"', '"\\142.c"', '"a b"',
    "[ab].c", "?.c", "a/", "!*.c", "#*.c", "*.C", "*b.c", "[attr]mine", "[attr]other", "[attr]binary",
)  # fmt: skip
SETTINGS = (
    "linguist-language=Tcl", "-linguist-language", "!linguist-language", "linguist-language", "mine", "-mine",
    "linguist-generated", "linguist-generated=false", "-linguist-generated", "!linguist-generated", "other",
    "linguist-vendored", "binary", "-binary", "!binary", "text", "-text", "!text", "text=auto", "diff=tex",
    "-diff", "eol=lf", "-",
)  # fmt: skip
LINES = st.tuples(st.sampled_from(PATTERNS), st.lists(st.sampled_from(SETTINGS), max_size=3)).map(
    lambda line: " ".join([line[0], *line[1]])
)
FILES = st.lists(LINES, max_size=5).map("\n".join)
PATHS = ("b.c", "a", "a b", "x.c", "a.x.c", "a/b.c", "a/a/b.c", "a/a/x.C", "#b.c")


@pytest.fixture(scope="module")
def work_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("work")
    subprocess.run(["git", "init", "-q", str(path)], check=True)
    (path / "a" / "a").mkdir(parents=True)
    return path


def _by_git(work_tree: Path, contents: dict[str, str]) -> dict[str, FileAttributes]:
    for folder, content in contents.items():
        (work_tree / folder / ".gitattributes").write_text(content, "utf-8")
    answer = subprocess.run(
        ["git", "-c", "core.attributesFile=/dev/null", "check-attr", "-z", "--stdin", *READ],
        cwd=work_tree, input="".join(f"{path}\0" for path in PATHS).encode(), capture_output=True,
        env={"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(work_tree)}, check=True,
    )  # fmt: skip
    fields = answer.stdout.decode().split("\0")[:-1]
    said: dict[str, dict[str, str]] = {path: {} for path in PATHS}
    for path, name, value in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
        said[path][name] = value
    flags = {"set": True, "true": True, "unset": False, "false": False}
    return {
        path: FileAttributes(
            value if (value := of["linguist-language"]) not in ("set", "unset", "unspecified") else None,
            flags.get(of["linguist-generated"]),
            flags.get(of["linguist-vendored"]),
            of["text"] == of["diff"] == "unset",
        )
        for path, of in said.items()
    }


def _by_us(contents: dict[str, str]) -> dict[str, FileAttributes]:
    held = {"": GitAttributes().below("", contents[""].encode())}
    for folder, above in (("a/", ""), ("a/a/", "a/")):
        held[folder] = held[above].below(folder, contents[folder].encode())
    return {path: held[path[: path.rfind("/") + 1]].of(path) for path in PATHS}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.fixed_dictionaries({"": FILES, "a/": FILES, "a/a/": FILES}))
@example({"": "* binary\n*.c !text", "a/": "*.c diff", "a/a/": ""})
@example(
    {"": "[attr]mine linguist-language=Tcl -text\n*.c mine -diff", "a/": "[attr]mine text", "a/a/": "b.c"}
)
@example({"": "*.c linguist-language=Tcl linguist-language=GLSL", "a/": "", "a/a/": "b.c !linguist-language"})
def test_as_git_has_it(work_tree: Path, contents: dict[str, str]) -> None:
    assert _by_us(contents) == _by_git(work_tree, contents)


def test_a_long_chain_of_macros_is_followed_to_its_end(work_tree: Path) -> None:
    macros = [f"[attr]m{i} m{i + 1}" for i in range(2_000)]
    contents = {"": "\n".join([*macros, "[attr]m2000 linguist-generated", "*.c m0"]), "a/": "", "a/a/": ""}
    said = _by_us(contents)
    assert said["a/b.c"].generated
    assert said == _by_git(work_tree, contents)


def _source(repo: TestRepo) -> RepositorySource:
    return RepositorySource("repositories", local_mirror(repo.path))


def test_what_is_said_decides_what_is_read(repo: TestRepo) -> None:
    repo.commit({
        ".gitattributes": b"*.inc linguist-language=pascal\n*.tpl linguist-language=Common-Lisp\n"
        b"made.py linguist-generated=true\nby_hand.py -linguist-generated\nlib/** linguist-vendored\n"
        b"*.frm binary\n*.crlf.txt -text\n*.zzz linguist-language=Zzz\nnotes.zzz.md linguist-language=Zzz\n",
        "a.inc": b"program a;\n", "b.tpl": b"(a)\n", "made.py": b"a = 1\n", "lib/c.py": b"a = 1\n",
        "by_hand.py": b"# Code generated by nobody\na = 1\n", "d.frm": b"text\n", "e.crlf.txt": b"text\r\n",
        "lib/sub/.gitattributes": b"kept.py -linguist-vendored\n", "lib/sub/kept.py": b"b = 1\n",
        "f.zzz": b"z\n", "notes.zzz.md": b"# z\n",
    })  # fmt: skip
    source = _source(repo)
    found = {path: document.attributes["language"] for path, document in documents(source).items()}
    assert found == {
        "a.inc": "Pascal", "b.tpl": "Common Lisp", "by_hand.py": "Python", "e.crlf.txt": "Text",
        "lib/sub/kept.py": "Python", "notes.zzz.md": "Markdown",
    }  # fmt: skip
    skipped = {each.id: (each.reason, each.detail) for each in source.skipped}
    assert skipped["made.py"] == ("ignore_pattern", "generated, as .gitattributes says")
    assert skipped["lib/c.py"] == ("ignore_pattern", "vendored, as .gitattributes says")
    assert skipped["d.frm"] == ("binary", "as .gitattributes says")
    assert skipped["f.zzz"] == ("unsupported_language", "")
    assert source.languages.unknown == {"Zzz": 1}  # of files that are read by their own language


def test_a_folder_on_disk_is_read_by_the_same_rules_as_once_it_is_committed(
    tmp_path: Path, repo: TestRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working_tree, "is_settled", lambda *_: True)  # hints are believed at once
    files = {
        ".gitattributes": b"*.inc linguist-language=Pascal\nmade.py linguist-generated\n*.frm binary\n",
        "lib/.gitattributes": b"*.inc linguist-language=Zzz\n*.py linguist-vendored\n",
        "a.inc": b"program a;\n", "made.py": b"a = 1\n", "d.frm": b"text\n", "b.acme": b"words\n",
        "lib/c.py": b"a = 1\n", "lib/d.inc": b"<?php echo 1;\n", "e.py": b"a = 1\n",
    }  # fmt: skip
    repo.commit(files)
    root = tmp_path / "folder"
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    table = language_table([".acme=Acme:text"])
    committed = RepositorySource("repositories", local_mirror(repo.path), table=table)
    folder = Folder(Origin("local/x", "x", path=root), (), tmp_path / "kept")
    on_disk = WorkingTree("repositories", folder, table=table)
    on_disk.grants()

    def read(source: RepositorySource | WorkingTree) -> dict[str, dict[str, object]]:
        found = {path: dict[str, object](each.attributes) for path, each in documents(source).items()}
        return {path: {**each, "repository": ""} for path, each in found.items()}

    assert read(on_disk) == read(committed) != {}
    assert {(s.id, s.reason, s.detail) for s in on_disk.skipped} == {
        (s.id, s.reason, s.detail) for s in committed.skipped
    }
    assert (on_disk.languages.known, on_disk.languages.unknown) == (
        committed.languages.known, committed.languages.unknown,
    )  # fmt: skip
    # What was read under other rules is no hint.
    (root / ".gitattributes").write_bytes(b"")
    on_disk.table = language_table([])
    assert {"a.inc", "made.py", "b.acme"} & read(on_disk).keys() == {"made.py"}


def test_a_pattern_of_ones_own_outweighs_what_is_said(repo: TestRepo) -> None:
    repo.commit({
        ".gitattributes": b"* linguist-generated\n", ".ingestignore": b"!kept.py\n",
        "kept.py": b"a = 1\n", "other.py": b"a = 1\n",
    })  # fmt: skip
    assert set(documents(_source(repo))) == {"kept.py"}


@pytest.mark.parametrize("case", ["a link", "too large", "not text"])
def test_a_file_that_cannot_be_applied_is_not(repo: TestRepo, case: str) -> None:
    line = b"*.py linguist-generated\n"
    if case == "a link":
        entries = [(b".gitattributes", LINK, repo.blob(line)), (b"a.py", 0o100644, repo.blob(b"a = 1\n"))]
        repo.commit_tree(repo.tree(entries))
    else:
        junk = b"#" * MAX_ATTRIBUTES_BYTES if case == "too large" else b"\0\xff\xfe"
        repo.commit({".gitattributes": junk + b"\n" + line * (case == "too large"), "a.py": b"a = 1\n"})
    assert set(documents(_source(repo))) == {"a.py"}
