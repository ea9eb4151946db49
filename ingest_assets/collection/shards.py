"""The embedded engine's shards: how one is made, and opening one.

What belongs here: the engine's parameters, with their reasons. What does not: which folder is which revision
(see `embedded`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest_assets.collection.base import DATETIME_FIELDS, DENSE, KEYWORD_FIELDS, SPARSE
from ingest_assets.model import UnavailableError

if TYPE_CHECKING:
    import qdrant_edge

# KiB of vectors in a segment from which on it gets an HNSW graph: about 11,000 vectors of 384
# dimensions. Below it a scan takes a few milliseconds, is exact, and the build is several times faster.
INDEXING_THRESHOLD_KIB = 16_384
# Segments are not merged beyond this size: a merge takes memory for all of the result.
MAX_SEGMENT_KIB = 98_304
# Half the default effort at building a graph: recall@10 0.98 instead of 0.99, in 3/5 of the time.
HNSW_M, HNSW_EF_CONSTRUCT = 16, 64
# Graphs are built and walked, and vectors that pass a filter are scanned, by one byte a number, in half the
# time. Of what is found so many are scored by whole vectors, or a third more than are asked for, which finds
# more of the right ones than whole vectors did with a walk as wide as the limit (docs/performance.md).
CANDIDATES, MORE_THAN_ASKED = 128, 1.3


def create_shard(path: Path, dimension: int, fields: Sequence[str]) -> qdrant_edge.EdgeShard:
    """An empty one, with an index on every field that may be filtered by, `fields` among them."""
    import qdrant_edge as edge

    cold = edge.Memory.Cold  # mapped from disk: the process's own memory does not grow with the collection
    dense = edge.EdgeVectorParams(
        size=dimension,
        distance=edge.Distance.Cosine,
        quantization_config=edge.ScalarQuantizationConfig(edge.ScalarType.Int8, memory=cold),
        memory=cold,
    )
    config = edge.EdgeConfig(
        vectors={DENSE: dense},
        sparse_vectors={SPARSE: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf, memory=cold)},
        payload_memory=cold,
        id_tracker_memory=cold,
        hnsw_config=edge.HnswIndexConfig(
            HNSW_M, HNSW_EF_CONSTRUCT, full_scan_threshold=INDEXING_THRESHOLD_KIB, memory=cold
        ),
        optimizers=edge.EdgeOptimizersConfig(
            indexing_threshold=INDEXING_THRESHOLD_KIB, max_segment_size=MAX_SEGMENT_KIB
        ),
        # Searches that come at once are answered by several processes. Within one, handing a search to other
        # threads costs a sixth of its time and gains nothing while all cores are busy.
        max_search_threads=1,
        wal_enabled=False,
    )
    shard = edge.EdgeShard.create(str(path), config)
    schema: dict[str, Any] = dict.fromkeys((*KEYWORD_FIELDS, *fields), edge.KeywordIndexParams(memory=cold))
    schema |= dict.fromkeys(DATETIME_FIELDS, edge.DatetimeIndexParams(memory=cold))
    for field, kind in schema.items():
        shard.update(edge.UpdateOperation.create_field_index(field, kind))
    return shard


def dense_search(limit: int) -> qdrant_edge.SearchParams:
    """How vectors are searched. Where they are whole, as they were in older collections, they are so too."""
    import qdrant_edge as edge

    more = max(CANDIDATES / limit, MORE_THAN_ASKED)
    return edge.SearchParams(
        hnsw_ef=CANDIDATES, quantization=edge.QuantizationSearchParams(rescore=True, oversampling=more)
    )


def load_shard(path: Path) -> qdrant_edge.EdgeShard:
    """Open one. Raises UnavailableError when it is not there, or cannot be opened."""
    import qdrant_edge as edge

    if not path.exists():
        raise UnavailableError(f"{path} is gone.")
    try:
        return edge.EdgeShard.load(str(path))
    except Exception as error:  # the binding raises bare Exception for whatever goes wrong
        raise UnavailableError(f"The embedded collection at {path} cannot be opened: {error}") from error


def load_whole_shard(path: Path) -> qdrant_edge.EdgeShard:
    """One that nobody removed while it was opened."""
    shard = load_shard(path)
    if not path.exists():
        shard.close()
        raise UnavailableError(f"{path} was removed while it was opened.")
    return shard
