"""Removing a batch for good, and trying a failed one again, as people ask for it.

A removed batch leaves a tombstone in the manifest, so that a redelivery does not bring it back. Its records
leave the index with the next run.

What belongs here: what people decide. What does not: batches that expire (`retention`).
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from ingest_assets.ledger.spool_tables import ingestion_manifest as _manifest
from ingest_assets.model import StateError, UnavailableError
from ingest_assets.sources.spool import files, manifest
from ingest_assets.sources.spool.decisions import Decider, batch_to_change, log, require_short, require_why
from ingest_assets.sources.spool.gates import may_have_traces
from ingest_assets.sources.spool.places import LOCK_WAIT_S, Spool, is_regular
from ingest_assets.sources.spool.settings import SpoolSettings
from ingest_assets.sources.spool.settling import end

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench


Gone = Literal["removed", "expired"]
WAIT_S = 5.0  # for whoever moves files: people wait for the answer


class BatchStateError(StateError):
    """What is asked for is not possible in the batch's present state."""


def remove(bench: Workbench, batch_tag: str, by: Decider) -> Any:
    """Remove a batch for good: from all answers if it is personal, its file, and its records in the next run.

    Returns its row; a batch that is gone stays as it is. Raises UnknownBatchError, RequestError.
    """
    require_why(by.why)
    with bench.ledger.transaction() as connection:
        row = batch_to_change(connection, batch_tag)
        if row.gone is None:
            tombstone(bench, connection, row, "removed")
            log(connection, "remove_batch", batch_tag, by)
    with contextlib.suppress(UnavailableError):  # the next run does it
        delete_files(bench, WAIT_S)
    with bench.ledger.reading() as connection:
        return manifest.find(connection, batch_tag)


def tombstone(bench: Workbench, connection: sa.Connection, row: Any, gone: Gone) -> None:
    """Have a batch leave for good. Its row is locked; its file is deleted by `delete_files`."""
    values: dict[str, Any] = {"gone": gone, "gone_at": time.time(), "wanted": False}
    values["purge"] = bool(row.purge or (row.pii and may_have_traces(row)))
    if row.status not in {"queued", "processing"}:
        manifest.change(connection, row.batch_tag, **values)
        return
    error = f"It was {'removed' if gone == 'removed' else 'too old'} before it was indexed."
    end(bench, connection, row, status="failed", reason=manifest.OTHER, error=error, **values)


def delete_files(bench: Workbench, wait_s: float = LOCK_WAIT_S) -> None:
    """Delete the files of batches that are gone, wherever they lie.

    Also those that a process which died left behind: a run calls this too. Raises UnavailableError if some
    cannot be deleted, or others move files for too long.
    """
    # As the index has it: a parameter would not be recognised as the same condition.
    has_file = _manifest.c.file != sa.literal_column("''")
    gone = sa.select(_manifest.c.batch_tag).where(_manifest.c.gone.is_not(None), has_file)
    with bench.ledger.reading() as connection:
        tags = connection.scalars(gone.order_by(_manifest.c.batch_tag)).all()
    if not tags:
        return
    spool = Spool.of(bench.settings_of(SpoolSettings))
    refused: UnavailableError | None = None
    with spool.lock(wait_s):
        for tag in tags:
            try:
                _delete_file(bench, spool, tag)
            except UnavailableError as error:
                refused = error
    if refused is not None:
        raise refused


def _delete_file(bench: Workbench, spool: Spool, batch_tag: str) -> None:
    with bench.ledger.transaction() as connection:
        row = manifest.find_to_change(connection, batch_tag)
        if row is not None and row.gone is not None and row.file:
            files.delete(spool, row)
            manifest.change(connection, batch_tag, file="")


def retry(bench: Workbench, batch_tag: str, by: Decider) -> Any:
    """Have a failed batch tried again by the next run; a personal one waits at its gate, as before.

    Returns its row. Raises UnknownBatchError, RequestError; BatchStateError when it did not fail, or its
    file is lost.
    """
    require_short(by.why)
    spool = Spool.of(bench.settings_of(SpoolSettings))
    with spool.lock(WAIT_S), bench.ledger.transaction() as connection:
        row = batch_to_change(connection, batch_tag)
        if row.gone is not None or row.status != "failed":
            state = f"was {row.gone}" if row.gone else f"has the status {row.status}"
            raise BatchStateError(f"The batch {batch_tag} {state}: only a failed one is tried again.")
        if (there := files.find(spool, row)) is None or not is_regular(there):
            raise BatchStateError(
                f"The file of {batch_tag} is not in {spool.failed.name}/: deliver it again."
            )
        manifest.change(connection, batch_tag, **_tried_again(row))
        log(connection, "retry_batch", batch_tag, by)
        name = spool.move(row.file, spool.failed, spool.processing)
        if name != row.file:
            manifest.change(connection, batch_tag, file=name)
    with contextlib.suppress(FileNotFoundError):
        (spool.failed / files.note_name(row.file)).unlink()
    with bench.ledger.reading() as connection:
        return manifest.find(connection, batch_tag)


def _tried_again(row: Any) -> dict[str, Any]:
    return {
        "status": "queued",
        "reason": None,
        "error": None,
        "started_at": None,
        "finished_at": None,
        "wanted": row.gate != "locked",
        "loaded": False,
        # "" is the fingerprint of no stage: documents that are still there are recorded again.
        "recorded_with": None if row.recorded_with is None else "",
    }
