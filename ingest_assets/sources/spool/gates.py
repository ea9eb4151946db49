"""The gates that personal batches wait at: opening, closing, listing them, and what must not be shown.

A gate may be opened and closed at any time. From the commit that closes it no answer shows the batch
(`hidden`), though its documents and points leave the index only with the next run, and their last traces with
`purge`.

What belongs here: gates. What does not: taking a batch's records out (`stage`, `settling`), and what any
source's hidden parts mean to answers (`queries.hidden`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.spool_tables import ingestion_manifest as _manifest
from ingest_assets.model import StateError
from ingest_assets.sources.spool import manifest
from ingest_assets.sources.spool.decisions import (
    Decider,
    UnknownBatchError,
    batch_to_change,
    log,
    require_why,
)

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

GateState = Literal["locked", "open"]
POLL_S = 1.0


class GateError(StateError):
    """The batch's gate is not one that can be opened or closed."""


def hidden(bench: Workbench) -> Sequence[str]:
    """Tags of batches that no answer may show, though documents or points of them may exist.

    Locked ones, and those that failed or were removed. Costs as much as there are such batches, which are
    those that have not been through a run since.
    """
    return list(bench.ledger.remembered("spool hidden", partial(_hidden, bench.ledger)))


def _hidden(ledger: Ledger) -> tuple[str, ...]:
    m = _manifest.c
    purging = sa.select(m.batch_tag).where(m.purge, m.wanted.is_(False))
    with ledger.reading() as connection:
        recorded = {row.batch_tag for row in manifest.unwanted(connection)}
        return tuple(sorted(recorded.union(connection.scalars(purging))))


def open_gate(ledger: Ledger, batch_tag: str, by: Decider) -> Any:
    """Let a batch into the index: the next run indexes it. Returns its row; an open gate stays as it is.

    Raises UnknownBatchError; GateError for a batch that is not personal, or is gone; RequestError.
    """
    return _move(ledger, batch_tag, by, "open")


def close_gate(ledger: Ledger, batch_tag: str, by: Decider) -> Any:
    """Take a batch out of all answers at once, and out of the index with the next run. Returns its row.

    Raises as `open_gate`.
    """
    return _move(ledger, batch_tag, by, "locked")


def _move(ledger: Ledger, batch_tag: str, by: Decider, to: GateState) -> Any:
    require_why(by.why)
    with ledger.transaction() as connection:
        row = batch_to_change(connection, batch_tag)
        if row.gate == "none":
            raise GateError(f"The batch {batch_tag} is not personal: it has no gate.")
        if row.gone is not None:
            raise GateError(f"The batch {batch_tag} is gone ({row.gone}): its gate leads nowhere.")
        if row.gate != to:
            manifest.change(connection, batch_tag, **(_opened(row) if to == "open" else _closed(row)))
            log(connection, "open_gate" if to == "open" else "close_gate", batch_tag, by)
        return manifest.find(connection, batch_tag)


def _opened(row: Any) -> dict[str, Any]:
    # A batch that failed stays failed until it is tried again.
    if row.status == "failed":
        return {"gate": "open", "wanted": False}
    values: dict[str, Any] = {"gate": "open", "wanted": True}
    if row.recorded_with is not None:  # no run has taken it out: it is in the index, and is settled again
        values |= {"status": "processing", "started_at": time.time(), "purge": False}
    return values


def _closed(row: Any) -> dict[str, Any]:
    values = {"gate": "locked", "wanted": False, "purge": may_have_traces(row)}
    if row.status != "failed":
        values |= {
            "status": "queued",
            "reason": None,
            "started_at": None,
            "finished_at": None,
            "processed": 0,
        }
    return values


def lock_as_personal(connection: sa.Connection, row: Any) -> None:
    """Lock a batch that was taken for one that is not personal: its source was named as personal since."""
    manifest.change(connection, row.batch_tag, pii=True, **_closed(row))


def may_have_traces(row: Any) -> bool:
    """Whether documents or points of a batch are, were, or are just being recorded."""
    # A batch that waits for its first run is `queued`; the run makes it `processing` before it reads it.
    return bool(row.purge or row.recorded_with is not None or row.status != "queued")


def listed(ledger: Ledger, state: GateState, *, after: str = "", limit: int = 100) -> Sequence[Any]:
    """Batches whose gate is locked, or open, by tag, beginning after a tag. Those that are gone have none."""
    m = _manifest.c
    query = sa.select(_manifest).where(m.gate == state, m.batch_tag > after, m.gone.is_(None))
    with ledger.reading() as connection:
        # In the order of the index: Postgres does not see that by tag it is the same.
        return connection.execute(query.order_by(m.gone, m.batch_tag).limit(limit)).all()


def wait(
    ledger: Ledger, batch_tag: str, timeout_s: float, sleep: Callable[[float], None] = time.sleep
) -> bool:
    """Whether the batch's gate was opened in time; at once for one that is open or not personal.

    Polls the ledger, which another process may write. Raises UnknownBatchError; GateError when it is gone.
    """
    ends = time.monotonic() + timeout_s
    while True:
        with ledger.reading() as connection:
            row = manifest.find(connection, batch_tag)
        if row is None:
            raise UnknownBatchError(batch_tag)
        if row.gone is not None:
            raise GateError(f"The batch {batch_tag} is gone ({row.gone}): its gate will not be opened.")
        left = ends - time.monotonic()
        if row.gate != "locked" or left <= 0:
            return bool(row.gate != "locked")
        sleep(min(POLL_S, left))
