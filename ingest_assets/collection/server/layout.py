"""How a generation is laid out on a server: what a new one is created with, and what is changed in place.

What belongs here: the server's parameters, with their reasons. What does not: points and requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ingest_assets.collection.base import DENSE, SPARSE

# Candidates that are scored with full vectors.
CANDIDATES, OVERSAMPLING = 128, 1.3
# Above any real size: no segment is indexed while a generation is loaded, which would be done again and again
# as segments grow. (0 would switch indexing off as well, but older servers take it for their default.)
NEVER_INDEXED_KIB = 1 << 40
# Meanwhile a shard has so many segments. For each term of a new point, the server goes through that term's
# list in a segment: with one segment for each processor, loading takes time by the square of the points
# (docs/performance.md). Afterwards the server merges them, as it indexes them, to as many as it likes.
LOADED_SEGMENTS, ITS_OWN_NUMBER = 16, 0
REPLICATED_HERE = {"shards": "shard_number", "replicas": "replication_factor"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """None leaves a number to the server."""

    quantization: Literal["int8", "none"] = "int8"
    on_disk: bool = True  # full vectors and payloads; quantized vectors and the graph stay in memory
    hnsw_m: int = 16
    hnsw_ef_construct: int = 100
    indexing_threshold_kib: int = 10_000  # a segment with fewer KiB of vectors is scanned
    shards: int | None = None
    replicas: int | None = None
    write_consistency: int | None = None  # replicas that have to acknowledge a write

    def created(self, dimension: int) -> dict[str, Any]:
        """What a collection is created with. It is not indexed before `settled`."""
        from qdrant_client import models

        return {
            "vectors_config": {
                DENSE: models.VectorParams(
                    size=dimension,
                    distance=models.Distance.COSINE,
                    on_disk=self.on_disk,
                    quantization_config=self._quantized() if self.quantization == "int8" else None,
                )
            },
            "sparse_vectors_config": {SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            "on_disk_payload": self.on_disk,
            "hnsw_config": self._graph(),
            "optimizers_config": models.OptimizersConfigDiff(
                indexing_threshold=NEVER_INDEXED_KIB, default_segment_number=LOADED_SEGMENTS
            ),
            "shard_number": self.shards,
            "replication_factor": self.replicas,
            "write_consistency_factor": self.write_consistency,
        }

    def of_mark(self, nodes: int) -> dict[str, Any]:
        """What the empty collection that carries the mark of a name is created with, on so many named nodes.

        Each of them holds it: every search reads it, and a shard that is away would keep it from being read.
        """
        copies = self._copies_of_mark(nodes)
        return {
            "vectors_config": {},
            "shard_number": 1,
            "replication_factor": copies if copies > 1 else self.replicas,
        }

    def missing_of_mark(self, shards: Any, peers: Sequence[int], nodes: int) -> list[tuple[int, int, int]]:
        """What one that is there (`CollectionClusterInfo`) lacks: a shard, who holds it, who is to hold it.

        An earlier version made as many shards as there are nodes; a run that named fewer nodes, fewer
        replicas.
        """
        holders: dict[int, list[int]] = {each.shard_id: [shards.peer_id] for each in shards.local_shards}
        for each in shards.remote_shards:
            holders.setdefault(each.shard_id, []).append(each.peer_id)
        lacking: list[tuple[int, int, int]] = []
        for shard, held in sorted(holders.items()):
            others = [peer for peer in peers if peer not in held]
            wanted = max(0, self._copies_of_mark(nodes) - len(held))
            lacking += [(shard, held[0], peer) for peer in others[:wanted]]
        return lacking

    def _copies_of_mark(self, nodes: int) -> int:
        return max(self.replicas or 1, nodes)

    def settled(self) -> dict[str, Any]:
        """What changes when a generation has been loaded: it is indexed."""
        from qdrant_client import models

        wanted = models.OptimizersConfigDiff(
            indexing_threshold=self.indexing_threshold_kib, default_segment_number=ITS_OWN_NUMBER
        )
        return {"optimizers_config": wanted}

    def needs_another(self, info: Any) -> bool:
        """Whether a collection (`CollectionInfo`) can never be laid out like this.

        Shards are not split, and more replicas do not come by themselves.
        """
        params = info.config.params
        return any(
            (wanted := getattr(self, mine)) is not None and wanted != (getattr(params, theirs) or 1)
            for mine, theirs in REPLICATED_HERE.items()
        )

    def changes(self, info: Any, *, loaded: bool) -> dict[str, Any]:
        """What has to be changed of a collection in place; empty if nothing. A `loaded` one is indexed."""
        from qdrant_client import models

        config, dense = info.config, info.config.params.vectors[DENSE]
        changes: dict[str, Any] = {}
        if (config.hnsw_config.m, config.hnsw_config.ef_construct) != (self.hnsw_m, self.hnsw_ef_construct):
            changes["hnsw_config"] = self._graph()
        threshold = config.optimizer_config.indexing_threshold
        if threshold != self.indexing_threshold_kib and (loaded or threshold != NEVER_INDEXED_KIB):
            changes |= self.settled()
        vector: dict[str, Any] = {}
        if bool(dense.quantization_config) != (self.quantization == "int8"):
            wanted = self.quantization == "int8"
            vector["quantization_config"] = self._quantized() if wanted else models.Disabled.DISABLED
        if bool(dense.on_disk) != self.on_disk:
            vector["on_disk"] = self.on_disk
        if vector:
            changes["vectors_config"] = {DENSE: models.VectorParamsDiff(**vector)}
        params: dict[str, Any] = {}
        if bool(config.params.on_disk_payload) != self.on_disk:
            params["on_disk_payload"] = self.on_disk
        if self.write_consistency not in (None, config.params.write_consistency_factor):
            params["write_consistency_factor"] = self.write_consistency
        if params:
            changes["collection_params"] = models.CollectionParamsDiff(**params)
        return changes

    def _graph(self) -> Any:
        from qdrant_client import models

        return models.HnswConfigDiff(m=self.hnsw_m, ef_construct=self.hnsw_ef_construct)

    @staticmethod
    def _quantized() -> Any:
        from qdrant_client import models

        int8 = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        return models.ScalarQuantization(scalar=int8)
