"""Real repositories for tests, made commit by commit."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Self

from dulwich.objects import Blob, Commit, ObjectID, Tag, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

from ingest_assets.model import Document
from ingest_assets.sources.repositories.mirror import Mirror
from ingest_assets.sources.repositories.origin import parse_origin
from ingest_assets.sources.repositories.policy import Policy
from ingest_assets.sources.repositories.source import RepositorySource
from ingest_assets.sources.repositories.working_tree import WorkingTree

FILE, LINK, SUBMODULE = 0o100644, 0o120000, 0o160000
Files = Mapping[str, bytes]


class TestRepo:
    """A bare repository that tests write to."""

    __test__ = False

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.repo = Repo.init_bare(path) if not (path / "HEAD").exists() else Repo(path)
        self.repo.refs.set_symbolic_ref(Ref(b"HEAD"), Ref(b"refs/heads/main"))
        self._clock = 1_700_000_000

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.repo.close()

    def blob(self, content: bytes) -> ObjectID:
        return self._add(Blob.from_string(content))

    def tree(self, entries: list[tuple[bytes, int, ObjectID]]) -> ObjectID:
        """A tree with arbitrary entries, in any order, even repeated."""
        raw = b"".join(
            b"%o %s\0%s" % (mode, name, bytes.fromhex(oid.decode())) for name, mode, oid in entries
        )
        return self._add(Tree.from_string(raw))

    def tree_of(self, files: Files) -> ObjectID:
        below: dict[str, dict[str, bytes]] = {}
        entries = []
        for path, content in files.items():
            head, slash, rest = path.partition("/")
            if slash:
                below.setdefault(head, {})[rest] = content
            else:
                entries.append((head.encode(), FILE, self.blob(content)))
        entries += [(name.encode(), 0o040000, self.tree_of(inner)) for name, inner in below.items()]
        return self.tree(sorted(entries, key=lambda e: e[0] + (b"/" if e[1] == 0o040000 else b"")))

    def commit_tree(
        self, tree: ObjectID, branch: str = "main", parents: list[ObjectID] | None = None
    ) -> ObjectID:
        commit = Commit()
        commit.tree = tree
        ref = Ref(f"refs/heads/{branch}".encode())
        if parents is None:
            parents = [self.repo.refs[ref]] if ref in self.repo.refs else []
        commit.parents = parents
        commit.author = commit.committer = b"A <a@example.com>"
        self._clock += 60
        commit.author_time = commit.commit_time = self._clock
        commit.author_timezone = commit.commit_timezone = 0
        commit.message = b"change"
        oid = self._add(commit)
        self.repo.refs[ref] = oid
        return oid

    def commit(self, files: Files, branch: str = "main", *, rewrite: bool = False) -> str:
        """All files of a commit on a branch; `rewrite` forgets its history, as a force push does."""
        return self.commit_tree(self.tree_of(files), branch, [] if rewrite else None).decode()

    def tag(self, name: str, commit: str) -> None:
        tag = Tag()
        tag.tagger = b"A <a@example.com>"
        tag.message = b"a release"
        tag.name = name.encode()
        tag.object = (Commit, ObjectID(commit.encode()))
        tag.tag_time, tag.tag_timezone = self._clock, 0
        self.repo.refs[Ref(f"refs/tags/{name}".encode())] = self._add(tag)

    def delete_branch(self, branch: str) -> None:
        del self.repo.refs[Ref(f"refs/heads/{branch}".encode())]

    def pack(self) -> None:
        """Pack all objects, with deltas, as a server keeps them."""
        self.repo.object_store.pack_loose_objects()

    def _add(self, made: Blob | Tree | Commit | Tag) -> ObjectID:
        self.repo.object_store.add_object(made)
        return made.id


def local_mirror(path: Path) -> Mirror:
    """The mirror of a local repository, read in place."""
    policy = Policy(protocols=frozenset({"file"}), local_roots=(path.parent,))
    return Mirror(parse_origin(str(path), policy), path.parent / "workspace", policy)


def documents(source: RepositorySource | WorkingTree) -> dict[str, Document]:
    """Every document by id; two with the same id are an error."""
    found: dict[str, Document] = {}
    with source.read() as items:
        for item in items:
            assert item.id not in found
            found[item.id] = item.render()
    return found


def digests(source: RepositorySource) -> dict[str, str]:
    with source.read() as items:
        return {item.id: item.digest for item in items}


def bodies(source: RepositorySource) -> dict[str, bytes]:
    """The bytes of every document's file, from its text."""
    return {
        path: document.body.encode(str(document.attributes["encoding"]))
        for path, document in documents(source).items()
    }


def open_repo(path: Path) -> closing[Repo]:
    return closing(Repo(path))
