"""How far a server has come with a collection, from what it tells of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ingest_assets.collection.base import Health
from ingest_assets.collection.server.faults import shown


def health_of(info: Any, shards: Any) -> Health:
    """Of `CollectionInfo` and `CollectionClusterInfo`; the latter may be None."""
    queue, error = info.update_queue, info.optimizer_status
    return Health(
        status=str(info.status.value),
        points=info.points_count or 0,
        indexed=info.indexed_vectors_count or 0,
        segments=info.segments_count,
        queued=(queue.length + (queue.deferred_points or 0)) if queue else 0,
        replicas=_replicas(shards) if shards is not None else "",
        error=shown(str(error.error)) if getattr(error, "error", None) else "",
    )


def _replicas(shards: Any) -> str:
    """What keeps a replica from being active; "" if all are."""
    held = [*shards.local_shards, *shards.remote_shards]
    idle = Counter(str(each.state.value) for each in held if each.state.value != "Active")
    said = [f"{_are(count, 'replica')} {state}" for state, count in sorted(idle.items())]
    if shards.shard_transfers:
        said.append(f"{_are(len(shards.shard_transfers), 'shard')} being copied")
    return ", ".join(said)


def _are(count: int, noun: str) -> str:
    return f"{count} {noun} is" if count == 1 else f"{count} {noun}s are"
