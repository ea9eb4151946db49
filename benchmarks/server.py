"""A Qdrant server: `python -m benchmarks build|search --store URL [--documents 200000]`.

What belongs here: points of the size that a CRM has, made up, so that the server and what speaks to it are
all that is measured. What does not: reading, chunking and embedding (`build`, `search`).
"""

from __future__ import annotations

import statistics
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
    with _store(url) as (store, name), patiently():
        ours = _timed(partial(_write, store, name, points, seed), partial(store.settle, name, 1))
    with _store(url) as (store, name):
        bare = _timed(partial(_write_bare, store, name, points, seed), partial(store.settle, name, 1))
        version = store.connection.version
    shares = {"to_green_against_bare_client": round(ours["green_s"] / bare["green_s"], 2)}
    return {
        "qdrant": version,
        "points": points,
        "ours": _rates(ours, points),
        "bare": _rates(bare, points),
    } | shares


def search(url: str, points: int, seed: int, repeat: int) -> dict[str, Any]:
    """Milliseconds of hybrid searches right after publishing, and the recall of the quantized vectors."""
    from qdrant_client import models

    with _store(url) as (store, name), patiently():
        _write(store, name, points, seed)
        store.settle(name, 1)
        store.publish(name, 1)
        rng = np.random.default_rng(seed + 1)
        asked = [_points(rng, [0]) for _ in range(QUERIES)]
        took, found = [], []
        with store.reader(name) as reader:
            for _ in range(repeat):
                for one in asked:
                    started = time.perf_counter()
                    legs = [Leg("dense", dense=one.dense[0]), Leg("bm25", sparse=_query(one.sparse))]
                    by_meaning, by_words = reader.query(legs, limit=LIMIT)
                    reader.payloads([hit.id for hit in (by_meaning + by_words)[:SHOWN]])
                    took.append(1_000 * (time.perf_counter() - started))
                    found.append({hit.id for hit in by_meaning[:SHOWN]})
        exact = models.SearchParams(exact=True)
        client, right = store.connection._client(0, "admin"), []
        for one, ids in zip(asked, found, strict=False):
            best = client.query_points(
                f"{name}__1", query=one.dense[0].tolist(), using=DENSE, limit=SHOWN, search_params=exact
            )
            right.append(len(ids & {str(hit.id) for hit in best.points}) / SHOWN)
        health = str(store.health(name, 1))
        version = store.connection.version
    cuts = statistics.quantiles(took, n=20)
    times = {"median_ms": round(cuts[9], 2), "p95_ms": round(cuts[18], 2)}
    recall = round(statistics.mean(right), 4)
    return {"qdrant": version, "points": points, "hybrid": times, "recall_at_10": recall, "store": health}


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


def _timed(write: Any, settle: Any) -> dict[str, float]:
    """Seconds until everything is acknowledged, and until it is indexed. Making the points is not counted."""
    started = time.perf_counter()
    making = write()
    acknowledged = time.perf_counter() - started - making
    settle()
    return {"acknowledged_s": acknowledged, "green_s": time.perf_counter() - started - making}


def _rates(times: dict[str, float], points: int) -> dict[str, Any]:
    rounded = {key: round(value, 1) for key, value in times.items()}
    return rounded | {"points_per_second": round(points / times["acknowledged_s"])}


def _write(store: ServerStore, name: str, points: int, seed: int) -> float:
    making = 0.0
    with store.writer(name, 1) as writer:
        for page, took in _pages(points, seed):
            making += took
            writer.upsert(page)
        writer.commit()
    return making


def _write_bare(store: ServerStore, name: str, points: int, seed: int) -> float:
    """The client alone: as many streams, requests of the same size."""
    from qdrant_client import models

    client = store.connection._client(0, "write")

    def send(page: Points, start: int) -> None:
        stop = min(start + UPSERT_BATCH, len(page.ids))
        client.upsert(f"{name}__1", [point_of(page, i, models) for i in range(start, stop)], wait=True)

    making = 0.0
    with ThreadPoolExecutor(STREAMS) as pool:
        flying: list[Any] = []
        for page, took in _pages(points, seed):
            making += took
            flying += [pool.submit(send, page, start) for start in range(0, len(page.ids), UPSERT_BATCH)]
            while len(flying) > 2 * STREAMS:
                flying.pop(0).result()
        for each in flying:
            each.result()
    return making


def _pages(points: int, seed: int) -> Iterator[tuple[Points, float]]:
    """Points by the page, each with the seconds that making it took."""
    rng = np.random.default_rng(seed)
    for start in range(0, points, PAGE):
        started = time.perf_counter()
        page = _points(rng, range(start, min(start + PAGE, points)))
        yield page, time.perf_counter() - started


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
