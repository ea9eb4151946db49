"""A Qdrant server: `python -m benchmarks build|search --store URL [--documents 200000]`.

What belongs here: points of the size that a CRM has, made up, so that the server and what speaks to it are
all that is measured. What does not: reading, chunking and embedding (`build`, `search`).
"""

from __future__ import annotations

import logging
import statistics
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from benchmarks.search import QUERIES
from ingest_assets.collection.base import DENSE, Leg, Points
from ingest_assets.collection.server import Connection, Endpoint, Layout, ServerStore
from ingest_assets.collection.server.types import point_of
from ingest_assets.collection.server.writer import UPSERT_BATCH
from ingest_assets.model import Float32Array, SparseVectors
from ingest_assets.stopping import patiently

DIMENSION, TERMS, VOCABULARY, TOPICS = 384, 40, 30_000, 2_000
PAGE = 1_000  # points that a run reads from its ledger at once
STREAMS = 4
LIMIT = 30  # what each of the two searches of a hybrid one finds
TOLD_AGAIN_S = 10.0
SHOWN = 10  # hits whose texts are read
WORDS = [
    "the",
    "renewal",
    "of",
    "this",
    "contract",
    "was",
    "discussed",
    "before",
    "delivery",
    "and",
    "signed",
]


def build(url: str, points: int, seed: int) -> dict[str, Any]:
    """Points a second until all are acknowledged, and until it is green: ours, and the bare client's."""
    pages = _pages(points, seed)
    with _store(url) as (store, name), patiently():
        ours = _timed("Ours", partial(_write, store, name, pages), partial(store.settle, name, 1), points)
    with _store(url) as (store, name):
        bare = _timed(
            "Bare client", partial(_write_bare, store, name, pages), partial(store.settle, name, 1), points
        )
        version = store.connection.version
    share = round(ours["green_s"] / bare["green_s"], 2)
    return {
        "qdrant": version,
        "points": points,
        "ours": ours,
        "bare": bare,
        "to_green_against_bare_client": share,
    }


def search(url: str, points: int, seed: int, repeat: int) -> dict[str, Any]:
    """Milliseconds of hybrid searches right after publishing, and the recall of the quantized vectors."""
    pages = _pages(points, seed)
    with _store(url) as (store, name), patiently():
        loaded = _timed("Loaded", partial(_write, store, name, pages), partial(store.settle, name, 1), points)
        store.publish(name, 1)
        rng = np.random.default_rng(seed + 1)
        asked = [_points(rng, [0]) for _ in range(QUERIES)]
        took, found = _searched(store, name, asked, repeat)
        _tell(f"{len(took):,} searches answered; now the same without quantized vectors")
        recall = _recall(store, name, asked, found)
        health = str(store.health(name, 1))
        version = store.connection.version
    cuts = statistics.quantiles(took, n=20)
    times = {"median_ms": round(cuts[9], 2), "p95_ms": round(cuts[18], 2)}
    figures = {"qdrant": version, "points": points, "loaded": loaded, "hybrid": times}
    return figures | {"recall_at_10": recall, "store": health}


def _searched(
    store: ServerStore, name: str, asked: list[Points], repeat: int
) -> tuple[list[float], list[set[str]]]:
    """Milliseconds of each search, and what it found by meaning."""
    took, found = [], []
    with store.reader(name) as reader:
        for one in asked * repeat:
            started = time.perf_counter()
            legs = [Leg("dense", dense=one.dense[0]), Leg("bm25", sparse=_query(one.sparse))]
            by_meaning, by_words = reader.query(legs, limit=LIMIT)
            reader.payloads([hit.id for hit in (by_meaning + by_words)[:SHOWN]])
            took.append(1_000 * (time.perf_counter() - started))
            found.append({hit.id for hit in by_meaning[:SHOWN]})
    return took, found


def _recall(store: ServerStore, name: str, asked: list[Points], found: list[set[str]]) -> float:
    """The share of the best points, found by comparing with every full vector, that a search found."""
    from qdrant_client import models

    exact = models.SearchParams(exact=True, quantization=models.QuantizationSearchParams(ignore=True))
    client, right = store.connection._client(0, "admin"), []
    for one, ids in zip(asked, found, strict=False):  # the repetitions found the same
        best = client.query_points(
            f"{name}__1", query=one.dense[0].tolist(), using=DENSE, limit=SHOWN, search_params=exact
        )
        right.append(len(ids & {str(hit.id) for hit in best.points}) / SHOWN)
    return round(statistics.mean(right), 4)


@contextmanager
def _store(url: str) -> Iterator[tuple[ServerStore, str]]:
    """A store with an empty generation 1 of a name of its own, which is removed afterwards."""
    endpoint = Endpoint(urls=url.split(","), write_timeout_s=120, search_timeout_s=60)
    store = ServerStore(Connection(endpoint), Layout(), streams=STREAMS)
    name = f"benchmark_{uuid.uuid4().hex[:12]}"
    store.create(name, 1, DIMENSION)
    try:
        yield store, name
    finally:
        store.drop(name, 1)
        store.close()


def _timed(what: str, write: Any, settle: Any, points: int) -> dict[str, float]:
    """Seconds until everything is acknowledged, and until it is indexed."""
    started = time.perf_counter()
    write()
    acknowledged = time.perf_counter() - started
    rate = round(points / acknowledged)
    _tell(f"{what}: {points:,} points acknowledged in {acknowledged:.1f} s, {rate:,} a second")
    settle()
    green = time.perf_counter() - started
    _tell(f"{what}: green after {green:.1f} s")
    return {
        "acknowledged_s": round(acknowledged, 1),
        "points_per_second": rate,
        "green_s": round(green, 1),
    }


def _write(store: ServerStore, name: str, pages: list[Points]) -> None:
    with store.writer(name, 1) as writer:
        for page in _told(pages):
            writer.upsert(page)
        writer.commit()


def _write_bare(store: ServerStore, name: str, pages: list[Points]) -> None:
    """The client alone: as many streams, requests of the same size."""
    from qdrant_client import models

    client = store.connection._client(0, "write")

    def send(page: Points, start: int) -> None:
        stop = min(start + UPSERT_BATCH, len(page.ids))
        client.upsert(f"{name}__1", [point_of(page, i, models) for i in range(start, stop)], wait=True)

    with ThreadPoolExecutor(STREAMS) as pool:
        flying: list[Any] = []
        for page in _told(pages):
            flying += [pool.submit(send, page, start) for start in range(0, len(page.ids), UPSERT_BATCH)]
            while len(flying) > 2 * STREAMS:
                flying.pop(0).result()
        for each in flying:
            each.result()


def _told(pages: list[Points]) -> Iterator[Points]:
    """The pages, telling now and then how many were sent."""
    told = time.monotonic()
    for number, page in enumerate(pages):
        if time.monotonic() - told > TOLD_AGAIN_S:
            told = time.monotonic()
            _tell(f"{number * PAGE:,} points sent")
        yield page


def _tell(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def _pages(points: int, seed: int) -> list[Points]:
    """Points by the page, made before anything is measured."""
    # A run tells how far the server is with indexing.
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("ingest_assets").setLevel(logging.INFO)
    _tell(f"Making {points:,} points")
    rng = np.random.default_rng(seed)
    return [_points(rng, range(start, min(start + PAGE, points))) for start in range(0, points, PAGE)]


def _points(rng: np.random.Generator, numbers: Any) -> Points:
    """Vectors around topics, terms as in a language, texts of some hundred characters."""
    count = len(numbers)
    topics = _topics()[rng.integers(0, TOPICS, count)]
    dense = topics + 0.6 * rng.standard_normal((count, DIMENSION), np.float32) / np.sqrt(
        np.float32(DIMENSION)
    )
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    terms = [np.unique(np.minimum(rng.zipf(1.2, TERMS), VOCABULARY)).astype(np.uint32) for _ in range(count)]
    offsets = np.cumsum([0, *(len(row) for row in terms)]).astype(np.int64)
    weights = rng.random(int(offsets[-1]), np.float32) + 0.5
    return Points(
        ids=[str(uuid.uuid5(uuid.NAMESPACE_OID, str(n))) for n in numbers],
        dense=dense,
        sparse=SparseVectors(offsets, np.concatenate(terms), weights),
        payloads=[_payload(int(n)) for n in numbers],
    )


_TOPIC_VECTORS: list[Float32Array] = []


def _topics() -> Float32Array:
    if not _TOPIC_VECTORS:
        made = np.random.default_rng(0).standard_normal((TOPICS, DIMENSION), np.float32)
        _TOPIC_VECTORS.append(made / np.linalg.norm(made, axis=1, keepdims=True))
    return _TOPIC_VECTORS[0]


def _query(sparse: SparseVectors) -> SparseVectors:
    """The first words of a text, as somebody asks."""
    few = min(6, len(sparse.indices))
    return SparseVectors(np.array([0, few], np.int64), sparse.indices[-few:], np.ones(few, np.float32))


def _payload(number: int) -> dict[str, Any]:
    return {
        "source": "crm",
        "document_id": f"notes/{number // 2}",
        "kind": ("note", "email", "ticket")[number % 3],
        "title": f"Note {number}",
        "entity_ids": [f"entity-{number % 977}"],
        "time": f"20{number % 20 + 5:02d}-01-{number % 28 + 1:02d}T00:00:00Z",
        "text": " ".join(WORDS[(number + i) % len(WORDS)] for i in range(90)),
        "digest": f"{number:064x}",
    }
