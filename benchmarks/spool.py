"""Batches from `incoming` to searchable: a large one, one with vectors of its own, and many small ones.

What is measured: `ingest watch`, which runs already, from the rename until a search finds the records; and
`ingest refresh`, which starts, indexes, settles and checks: until a search finds them, and to its end.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from benchmarks.processes import run, started
from ingest_assets.collection.files import copy_sparse
from ingest_assets.embedding.bundled import BundledModel
from ingest_assets.sources.spool import write_batch
from ingest_assets.sources.spool.definition import SOURCE
from ingest_assets.sources.spool.places import Spool

REFRESH = ["ingest_assets", "refresh", "--source", "spool", "--json"]
RECORDS, CHARACTERS = 10_000, 800
SMALL_BATCHES, SMALL = 1_000, 10  # batches, and records in each
VOCABULARY = 20_000


def measure(_documents: int, seed: int, repeat: int) -> dict[str, Any]:
    """Seconds from `incoming` to searchable; medians of `repeat` homes, and peak memory."""
    random = Random(seed)  # noqa: S311 - texts that are the same each time
    texts = _texts(random, RECORDS, CHARACTERS)
    vectors = BundledModel().embed(texts).tolist()
    own = [{"text": text, "embedding": vector} for text, vector in zip(texts, vectors, strict=True)]
    few = [[{"text": text} for text in _texts(random, SMALL, 200)] for _ in range(SMALL_BATCHES)]
    taken = {
        "one_batch": [_taken([[{"text": text} for text in texts]]) for _ in range(repeat)],
        "one_batch_with_vectors": [_taken([own], dimension=len(vectors[0])) for _ in range(repeat)],
        "small_batches": [_taken(few) for _ in range(repeat)],
    }
    return {
        "records": RECORDS,
        "characters": CHARACTERS,
        "small_batches": SMALL_BATCHES,
        "seconds": {name: _medians(each) for name, each in taken.items()},
        "peak_private_mib": max(each.peak_private_mib for some in taken.values() for each in some),
    }


class Taken(NamedTuple):
    """Batches that were brought into an index that is there already. In seconds."""

    watched: float  # from their rename into `incoming` until they are found, while `ingest watch` runs
    searchable: float  # from the start of `ingest refresh` until they are found
    process: float  # from its start to its end
    nothing_new: float  # the same with nothing to do
    peak_private_mib: float


def _taken(batches: Sequence[Sequence[dict[str, Any]]], dimension: int | None = None) -> Taken:
    with tempfile.TemporaryDirectory(prefix="ingest-benchmark-") as name:
        folder, kept = Path(name), Path(name) / "kept"
        lines = ["SPOOL_DIR=spool", "SPOOL_MIN_FILES=1", "SPOOL_QUIET_S=0"]
        if dimension is not None:
            lines.append(f"SPOOL_VECTORS_MODEL={BundledModel().identity}")
        (folder / ".env").write_text("\n".join(lines) + "\n", encoding="utf-8")
        for spool in (folder / "spool", kept):
            Spool(spool).prepare()
        for batch in batches:
            write_batch(kept, batch, source="benchmark", embedding_dim=dimension)
        write_batch(folder / "spool", [{"text": "The first record of all."}], source="benchmark")
        run(folder, REFRESH)
        shutil.copytree(folder, folder.with_name(f"{folder.name}-w"), copy_function=_copy)
        _rename_all(kept, folder / "spool")
        started = time.time()
        done = run(folder, REFRESH)
        searchable = _published(folder) - started
        added = json.loads(done.stdout)["assets"]["spool/collection"]["added"]
        expected = sum(map(len, batches))
        assert added >= expected, f"{added} points of {expected} records"
        nothing_new = run(folder, REFRESH).seconds
        watched = _watched(folder.with_name(f"{folder.name}-w"), expected)
        return Taken(watched, searchable, done.seconds, nothing_new, done.peak_private_mib)


def _copy(source: str, target: str) -> None:
    """With its holes, which the engine's files mostly consist of."""
    copy_sparse(Path(source), Path(target))
    shutil.copystat(source, target)


def _rename_all(kept: Path, spool: Path) -> None:
    for file in (kept / "incoming").iterdir():
        file.rename(spool / "incoming" / file.name)


def _published(folder: Path) -> float:
    """When what is searched was published last: from then on a search finds it."""
    return (folder / ".ingest" / "collections" / SOURCE.collection / "CURRENT").stat().st_mtime


def _watched(folder: Path, expected: int) -> float:
    """Seconds until all is found, while `ingest watch` runs. Batches that come in several runs count too."""
    try:
        command = [sys.executable, "-m", "ingest_assets", "watch", "--source", "spool", "--json"]
        with started(folder, command) as process:
            assert process.stdout is not None
            write_batch(
                folder / "spool", [{"text": "A record that loads what is needed."}], source="benchmark"
            )
            process.stdout.readline()
            _rename_all(folder / "kept", folder / "spool")
            renamed, added = time.time(), 0
            while added < expected:
                added += json.loads(process.stdout.readline())["assets"]["spool/collection"]["added"]
            seconds = _published(folder) - renamed
            process.terminate()
        return seconds
    finally:
        shutil.rmtree(folder)


def _medians(taken: Sequence[Taken]) -> dict[str, float]:
    names = ("watched", "searchable", "process", "nothing_new")
    return {name: round(statistics.median(getattr(each, name) for each in taken), 3) for name in names}


def _texts(random: Random, count: int, characters: int) -> list[str]:
    words = [_word(random) for _ in range(VOCABULARY)]
    return [_text(random, words, characters) for _ in range(count)]


def _word(random: Random) -> str:
    return "".join(random.choices("etaoinshrdlucmfw", k=random.randint(3, 9)))


def _text(random: Random, words: Sequence[str], characters: int) -> str:
    # Words are as unevenly common as in a language, or BM25 would be unusually cheap.
    ranks = (min(int(random.paretovariate(0.7)), len(words)) - 1 for _ in range(characters // 4))
    return " ".join(words[rank] for rank in ranks)[:characters]
