"""Why a batch cannot be taken. Known to the confined process, and so to be imported without anything else."""

from __future__ import annotations

from ingest_assets.model import ItemError

FAILED = "failed"


class BatchError(ItemError):
    """A batch cannot be read as it is. The message holds nothing of what is in its records."""

    def __init__(self, message: str, reason: str = FAILED) -> None:
        super().__init__(message)
        self.reason = reason


class UnfinishedError(BatchError):
    """A file is still being written, or may be."""
