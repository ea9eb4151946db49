"""What it costs to parse in a confined process: a CRM, a repository and its chunks, beside the same here.

The repository is the Python files of this environment, committed to a git repository that is made for it.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from ingest_assets.chunking import ChunkBudget
from ingest_assets.chunking.code import CodeChunker
from ingest_assets.model import Document, Source
from ingest_assets.sandbox import Sandbox
from ingest_assets.sandbox.chunking import ConfinedChunker
from ingest_assets.sandbox.probe import out_of_reach
from ingest_assets.sandbox.reading import ConfinedSource
from ingest_assets.sources.crm.mapping import load_mapping
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets.sources.crm.sample import write_sample
from ingest_assets.sources.repositories.mirror import Mirror
from ingest_assets.sources.repositories.origin import parse_origin
from ingest_assets.sources.repositories.policy import Policy
from ingest_assets.sources.repositories.source import RepositorySource

FILES = 2_000
GIT = ("git", "-c", "user.name=benchmark", "-c", "user.email=benchmark@example.test")


def measure(documents: int, seed: int, repeat: int) -> dict[str, Any]:
    """Seconds in this process and in a confined one, medians of runs in turn."""
    with tempfile.TemporaryDirectory() as folder, closing(Sandbox(Path(folder) / "tmp")) as box:
        crm = _crm(Path(folder), documents, seed)
        repository = _repository(Path(folder))
        with repository.read() as items:
            files = [item.render() for item in items]
        chunker = CodeChunker("repositories", ChunkBudget(1_000))
        return {
            "documents": documents,
            "files": len(files),
            "start_s": _median(lambda: out_of_reach(box), repeat),
            "crm_read": _both(lambda: _read(crm), lambda: _read(ConfinedSource(crm, box)), repeat),
            "crm_build": _both(lambda: _built(crm), lambda: _built(ConfinedSource(crm, box)), repeat),
            "repository_build": _both(
                lambda: _built(repository), lambda: _built(ConfinedSource(repository, box)), repeat
            ),
            "chunks": _both(
                lambda: _cut(chunker, files),
                lambda: _cut(ConfinedChunker(chunker, box, "the parser"), files),
                repeat,
            ),
        }


def _crm(folder: Path, documents: int, seed: int) -> CrmSource:
    path = folder / "crm.sqlite"
    write_sample(path, documents=documents, seed=seed)
    return CrmSource(path, load_mapping(None))


def _repository(folder: Path) -> RepositorySource:
    root = folder / "repository"
    files = sorted(Path(np.__file__).parents[1].rglob("*.py"))[:FILES]
    for number, file in enumerate(files):
        target = root / f"{number % 40}" / f"{number}.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "all")):
        subprocess.run([*GIT, *command], cwd=root, check=True)
    policy = Policy(protocols=frozenset({"file"}), local_roots=(folder,))
    return RepositorySource("repositories", Mirror(parse_origin(str(root), policy), folder, policy))


def _read(source: Source) -> None:
    with source.read() as items:
        for _ in items:
            pass


def _built(source: Source) -> None:
    with source.read() as items:
        for item in items:
            item.render()


def _cut(chunker: CodeChunker | ConfinedChunker, files: Iterable[Document]) -> None:
    documents = list(files)
    if isinstance(chunker, ConfinedChunker):
        chunker.expect(documents)
    for document in documents:
        chunker.chunks(document)
    if isinstance(chunker, ConfinedChunker):
        chunker.close()


def _both(here: Callable[[], object], confined: Callable[[], object], repeat: int) -> dict[str, float]:
    """In turns, because the machine's speed changes."""
    pairs = [(_seconds(here), _seconds(confined)) for _ in range(repeat)]
    return {
        "here_s": round(statistics.median(one for one, _ in pairs), 3),
        "confined_s": round(statistics.median(two for _, two in pairs), 3),
        "ratio": round(statistics.median(two / one for one, two in pairs), 2),
    }


def _median(action: Callable[[], object], repeat: int) -> float:
    return round(statistics.median(_seconds(action) for _ in range(repeat)), 3)


def _seconds(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun
