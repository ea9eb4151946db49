"""Batches that producers drop into a spool: each goes through a gate into the index, and all are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingest_assets.sources.spool.producer import write_batch

__all__ = ["write_batch"]


def __getattr__(name: str) -> Any:
    if (
        name == "write_batch"
    ):  # imported when it is asked for: it needs msgpack, and most who come here do not
        from ingest_assets.sources.spool.producer import write_batch

        return write_batch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
