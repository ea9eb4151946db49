"""Points for the tests of stores: point n is the same every time it is made."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

import numpy as np

from ingest_assets.collection.base import Payload, Points, Store
from ingest_assets.model import Float32Array, SparseVectors


def ids_of(numbers: Iterable[int]) -> list[str]:
    return [str(uuid.uuid5(uuid.NAMESPACE_OID, str(n))) for n in numbers]


def dense(number: int, dimension: int = 4) -> Float32Array:
    """A unit vector of its own for each number."""
    vector = np.random.default_rng(number).standard_normal(dimension).astype(np.float32)
    unit: Float32Array = vector / np.linalg.norm(vector)
    return unit


def sparse_of(terms: Sequence[int]) -> SparseVectors:
    """One row, each term with weight 1."""
    return SparseVectors(
        np.array([0, len(terms)], np.int64),
        np.array(sorted(terms), np.uint32),
        np.ones(len(terms), np.float32),
    )


def make_points(
    numbers: Iterable[int], *, dimension: int = 4, text: str = "", terms: Sequence[int] | None = None
) -> Points:
    """Point n has term 7, like all points, and term 1000 + n of its own (or the terms given)."""
    chosen = list(numbers)
    rows = [[7, 1000 + n] if terms is None else sorted(terms) for n in chosen]
    sparse = SparseVectors(
        np.cumsum([0, *(len(row) for row in rows)]).astype(np.int64),
        np.array([term for row in rows for term in row], np.uint32),
        np.array([1.5 for row in rows for _ in row], np.float32),
    )
    vectors = [dense(n, dimension) for n in chosen]
    return Points(
        ids=ids_of(chosen),
        dense=np.stack(vectors) if vectors else np.zeros((0, dimension), np.float32),
        sparse=sparse,
        payloads=[_payload(n, text) for n in chosen],
    )


def _payload(n: int, text: str) -> Payload:
    return {
        "source": "crm",
        "document_id": f"notes/{n}",
        "kind": "odd" if n % 2 else "even",
        "entity_ids": [f"entity {n % 3}"],
        "time": f"2024-01-{n % 28 + 1:02d}T00:00:00Z",
        "text": text or f"text {n}",
        "digest": f"digest {n}",
    }


def write(store: Store, collection: str, generation: int, points: Points) -> None:
    with store.writer(collection, generation) as writer:
        writer.upsert(points)
        writer.commit()
