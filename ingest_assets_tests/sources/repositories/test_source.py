"""The files of a repository as documents: after any history the result is that of a fresh fetch."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_assets.model import Source
from ingest_assets.sources.repositories.mirror import Mirror
from ingest_assets.sources.repositories.origin import parse_origin
from ingest_assets.sources.repositories.policy import Policy
from ingest_assets.sources.repositories.source import RepositorySource
from ingest_assets.sources.repositories.tree import TreeLimits
from ingest_assets_tests.sources.repositories.conftest import MakeMirror
from ingest_assets_tests.sources.repositories.git_server import LOOPBACK, GitServer
from ingest_assets_tests.sources.repositories.repos import (
    TestRepo,
    bodies,
    digests,
    documents,
    local_mirror,
)

ONE = {"a.py": b"a = 1\n", "src/b.md": b"# b\n"}


@pytest.fixture
def source(repo: TestRepo) -> RepositorySource:
    return RepositorySource("repositories/x", local_mirror(repo.path))


def test_one_document_per_file(repo: TestRepo, source: RepositorySource) -> None:
    as_source: Source = source
    repo.commit(ONE | {"old.txt": "größe\r\n".encode("cp1252")})
    found = documents(source)
    assert as_source.name == "repositories/x"
    assert set(found) == {"a.py", "src/b.md", "old.txt"}
    document = found["src/b.md"]
    repository = source.mirror.origin.id
    assert (document.id, document.kind, document.title, document.body) == (
        "src/b.md",
        "file",
        "src/b.md",
        "# b\n",
    )
    assert document.uri == f"repository:{repository}/src/b.md"
    assert (document.time, document.context, document.refs, document.identity) == (None, (), (), None)
    assert document.attributes == {
        "path": "src/b.md",
        "language": "Markdown",
        "encoding": "utf-8",
        "repository": repository,
    }
    assert found["old.txt"].attributes["encoding"] == "cp1252"
    assert found["old.txt"].body == "größe\r\n"


def test_an_unchanged_file_stays_unchanged_when_others_change(
    repo: TestRepo, source: RepositorySource
) -> None:
    repo.commit(ONE)
    before, read = digests(source), documents(source)
    repo.commit(ONE | {"a.py": b"a = 2\n", "c.py": b""})
    after = digests(source)
    assert {path for path in after if before.get(path) != after[path]} == {"a.py", "c.py"}
    assert documents(source)["src/b.md"] == read["src/b.md"]


def test_a_rename_is_a_new_document_with_the_same_text(repo: TestRepo, source: RepositorySource) -> None:
    repo.commit({"a.py": b"a = 1\n"})
    before, text = digests(source), documents(source)["a.py"].body
    repo.commit({"b.py": b"a = 1\n"})
    assert set(digests(source)) == {"b.py"}
    assert digests(source)["b.py"] not in before.values()
    assert documents(source)["b.py"].body == text


def test_the_signature_differs_after_every_relevant_change(repo: TestRepo, source: RepositorySource) -> None:
    repo.commit(ONE)
    first = source.signature()
    assert first == source.signature()
    repo.commit(ONE | {"a.py": b"a = 2\n"})
    second = source.signature()
    others = [
        RepositorySource("x", source.mirror, patterns=["*.md"]),
        RepositorySource("x", source.mirror, limits=TreeLimits(file_bytes=5)),
        RepositorySource("x", source.mirror, limits=TreeLimits(total_bytes=5)),
    ]
    signatures = [first, second, *(other.signature() for other in others)]
    assert None not in signatures
    repo.delete_branch("main")
    signatures.append(source.signature())
    assert signatures[-1] is not None
    assert len(set(signatures)) == len(signatures)


def test_the_signature_does_not_touch_the_network(
    repo: TestRepo, server: GitServer, mirror: MakeMirror
) -> None:
    repo.commit(ONE)
    one = mirror()
    one.fetch()
    requested = len(server.requests)
    source = RepositorySource("x", one)
    before = source.signature()
    assert bodies(source) == ONE
    assert len(server.requests) == requested
    repo.commit({})
    assert source.signature() == before  # until it is fetched
    one.fetch()
    assert source.signature() != before


def test_a_repository_without_commits_has_no_documents(repo: TestRepo, source: RepositorySource) -> None:
    assert digests(source) == {}
    assert source.signature() is not None
    repo.commit({})
    assert digests(source) == {}
    assert source.commit is not None


def test_counts_are_those_of_the_last_read(repo: TestRepo, source: RepositorySource) -> None:
    repo.commit(ONE | {"x.png": b""})
    digests(source)
    digests(source)
    assert (source.detected, source.accepted, len(source.skipped)) == (3, 2, 1)
    assert source.languages.known == {"Python": 1, "Markdown": 1}


PATHS = st.sampled_from(["a.py", "b.py", "src/a.py", "src/deep/b.go", "docs/x.md", "out/router.rs", "a/b"])
CONTENT = st.sampled_from(
    [b"", b"x = 1\n", b"y\n" * 40, "größe\n".encode("cp1252"), "\ufeffx".encode("utf-16-le")]
)
COMMIT = st.tuples(st.dictionaries(PATHS, CONTENT, max_size=6), st.booleans())


to_histories = given(st.lists(COMMIT, min_size=1, max_size=5), st.booleans())


@settings(max_examples=5, deadline=None)
@to_histories
def test_after_any_history_the_result_is_that_of_a_fresh_fetch(
    history: list[tuple[dict[str, bytes], bool]], shallow: bool
) -> None:
    _check_history(history, shallow=shallow)


@pytest.mark.thorough
@settings(max_examples=20, deadline=None)
@to_histories
def test_after_many_histories_the_result_is_that_of_a_fresh_fetch(
    history: list[tuple[dict[str, bytes], bool]], shallow: bool
) -> None:
    _check_history(history, shallow=shallow)


def _check_history(history: list[tuple[dict[str, bytes], bool]], *, shallow: bool) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        GitServer(Path(folder)).running() as server,
        TestRepo(Path(folder) / "repo") as repo,
    ):
        origin = parse_origin(server.url(), LOOPBACK)
        kept = Mirror(origin, Path(folder) / "kept", LOOPBACK, shallow=shallow)
        for files, rewrite in history:
            repo.commit(files, rewrite=rewrite)
            kept.fetch()
            assert bodies(RepositorySource("x", kept)) == files
        fresh = Mirror(origin, Path(folder) / "fresh", LOOPBACK)
        fresh.fetch()
        one, other = RepositorySource("x", kept), RepositorySource("x", fresh)
        assert digests(one) == digests(other)
        assert one.signature() == other.signature()
        local = Policy(protocols=frozenset({"file"}), local_roots=(Path(folder),))
        in_place = Mirror(parse_origin(str(repo.path), local), Path(folder), local)
        assert bodies(RepositorySource("x", in_place)) == bodies(other)
