"""The embedded engine's shards: creating and opening them.

What belongs here: the engine's parameters, with their reasons. What does not: which folder is which revision
(see `embedded`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ingest_assets.collection.base import DENSE, SPARSE, payload_indexes
from ingest_assets.collection.edge_types import edge_index
from ingest_assets.fields import FilterField
from ingest_assets.model import UnavailableError

if TYPE_CHECKING:
    import qdrant_edge

# A segment with this many KiB of vectors gets an HNSW graph: about 11,000 vectors of 384 dimensions. A
# smaller one is scanned, which takes a few milliseconds, is exact, and makes the build several times faster.
INDEXING_THRESHOLD_KIB = 16_384
# Segments are not merged beyond this size: a merge needs memory for the whole result, and builds its graph
# again. Two of those that a build makes (25,000 vectors) are larger together.
MAX_SEGMENT_KIB = 49_152
# Half the default effort for building a graph: recall@10 is 0.98 instead of 0.99, in 3/5 of the time.
HNSW_M, HNSW_EF_CONSTRUCT = 16, 64
# Graphs are built and searched, and vectors that pass a filter are scanned, with vectors quantized to one
# byte per number, in half the time. At least this many candidates, and this many times the limit, are then
# scored with the full vectors. Recall is higher than with full vectors and an `hnsw_ef` as large as the limit
# (docs/performance.md).
CANDIDATES, OVERSAMPLING = 160, 1.3


def create_shard(path: Path, dimension: int, fields: Sequence[FilterField]) -> qdrant_edge.EdgeShard:
    """Create an empty shard with an index on every field that can be filtered by, including `fields`."""
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
        # Concurrent searches are answered by several processes. Within one, handing a search to other threads
        # costs a sixth of its time and gains nothing while all cores are busy.
        max_search_threads=1,
        wal_enabled=False,
    )
    shard = edge.EdgeShard.create(str(path), config)
    for field, kind in payload_indexes(fields).items():
        shard.update(edge.UpdateOperation.create_field_index(field, edge_index(kind)))
    return shard


def dense_search(limit: int) -> qdrant_edge.SearchParams:
    """How dense vectors are searched. This also works for older collections without quantized vectors."""
    import qdrant_edge as edge

    factor = max(CANDIDATES / limit, OVERSAMPLING)
    return edge.SearchParams(
        hnsw_ef=CANDIDATES, quantization=edge.QuantizationSearchParams(rescore=True, oversampling=factor)
    )


def load_shard(path: Path) -> qdrant_edge.EdgeShard:
    """Open a shard. Raises UnavailableError if it does not exist or cannot be opened."""
    import qdrant_edge as edge

    if not path.exists():
        raise UnavailableError(f"{path} is gone.")
    try:
        return edge.EdgeShard.load(str(path))
    except Exception as error:  # the binding raises bare Exception whatever goes wrong
        raise UnavailableError(f"The embedded collection at {path} cannot be opened: {error}") from error


def load_whole_shard(path: Path) -> qdrant_edge.EdgeShard:
    """Open a shard. Raises UnavailableError also if it is removed while it is opened.

    The engine makes anew what it does not find while it opens a shard. That is removed again: nobody else
    would, and it looks like a revision.
    """
    with _held(path) as is_removed:
        try:
            shard = load_shard(path)
        except UnavailableError:
            if is_removed():
                shutil.rmtree(path, ignore_errors=True)
            raise
        if path.exists() and not is_removed():
            return shard
        shard.close()
        if is_removed():
            shutil.rmtree(path, ignore_errors=True)
        raise UnavailableError(f"{path} was removed while it was opened.")


@contextmanager
def _held(path: Path) -> Iterator[Callable[[], bool]]:
    """Tells whether a folder has been removed, also where another one has its name."""
    if os.name == "nt":  # where nobody removes what is open
        yield lambda: False
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise UnavailableError(f"{path} is gone.") from None
    try:
        yield lambda: os.fstat(descriptor).st_nlink == 0
    finally:
        os.close(descriptor)
