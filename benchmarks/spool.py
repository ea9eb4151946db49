"""Batches from `incoming` to searchable: a large one, one with vectors of its own, and many small ones."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.processes import Finished, run
from ingest_assets.embedding.bundled import BundledModel
from ingest_assets.sources.spool import write_batch

REFRESH = ["ingest_assets", "refresh", "--source", "spool", "--json"]
RECORDS, CHARACTERS = 10_000, 800
SMALL_BATCHES, SMALL = 1_000, 10  # batches, and records in each
VOCABULARY = 20_000


def measure(_documents: int, seed: int, repeat: int) -> dict[str, Any]:
    """Seconds from `incoming` to searchable, whole processes; medians of `repeat` homes, and peak memory."""
    random = Random(seed)  # noqa: S311 - texts that are the same each time
    texts = _texts(random, RECORDS, CHARACTERS)
    vectors = BundledModel().embed(texts).tolist()
    plain = [_taken([[{"text": text} for text in texts]]) for _ in range(repeat)]
    own = [{"text": text, "embedding": vector} for text, vector in zip(texts, vectors, strict=True)]
    supplied = [_taken([own], dimension=len(vectors[0])) for _ in range(repeat)]
    few = [[{"text": text} for text in _texts(random, SMALL, 200)] for _ in range(SMALL_BATCHES)]
    many = [_taken(few) for _ in range(repeat)]
    return {
        "records": RECORDS,
        "characters": CHARACTERS,
        "small_batches": SMALL_BATCHES,
        "seconds": {
            "one_batch": _median(plain),
            "one_batch_with_vectors": _median(supplied),
            "small_batches": _median(many),
            "nothing_new": statistics.median(each[1].seconds for each in plain),
        },
        "peak_private_mib": max(each[0].peak_private_mib for each in (*plain, *supplied, *many)),
    }


def _taken(batches: Sequence[Sequence[dict[str, Any]]], dimension: int | None = None) -> list[Finished]:
    """The run that takes some batches into an index that is there already, and one with nothing new."""
    with tempfile.TemporaryDirectory(prefix="ingest-benchmark-") as name:
        folder = Path(name)
        lines = ["SPOOL_DIR=spool"]
        if dimension is not None:
            lines.append(f"SPOOL_VECTORS_MODEL={BundledModel().identity}")
        (folder / ".env").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "spool").mkdir(mode=0o700)
        (folder / "spool" / "incoming").mkdir(mode=0o700)
        write_batch(folder / "spool", [{"text": "The first record of all."}], source="benchmark")
        run(folder, REFRESH)
        for batch in batches:
            write_batch(folder / "spool", batch, source="benchmark", embedding_dim=dimension)
        done = run(folder, REFRESH)
        added = json.loads(done.stdout)["assets"]["spool/collection"]["added"]
        expected = sum(map(len, batches))
        assert added >= expected, f"{added} points of {expected} records"
        return [done, run(folder, REFRESH)]


def _median(runs: Sequence[Sequence[Finished]]) -> float:
    return round(statistics.median(each[0].seconds for each in runs), 3)


def _texts(random: Random, count: int, characters: int) -> list[str]:
    words = [_word(random) for _ in range(VOCABULARY)]
    return [_text(random, words, characters) for _ in range(count)]


def _word(random: Random) -> str:
    return "".join(random.choices("etaoinshrdlucmfw", k=random.randint(3, 9)))


def _text(random: Random, words: Sequence[str], characters: int) -> str:
    # Words are as unevenly common as in a language, or BM25 would be unusually cheap.
    ranks = (min(int(random.paretovariate(0.7)), len(words)) - 1 for _ in range(characters // 4))
    return " ".join(words[rank] for rank in ranks)[:characters]
