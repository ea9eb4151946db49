"""What programs and agents can do with the spool: look at batches, and decide about them.

Nothing in an answer is of a record: tags, counts, states and times, and what the envelope says of the batch.
Agents only look.

What belongs here: arguments, answers and descriptions. What does not: what follows from a decision (`gates`,
`removing`, `notifier`), and how operations are served (`interfaces`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from ingest_assets.document_text import DocumentText, FromDocuments
from ingest_assets.model import when
from ingest_assets.paging import BUDGET, fitting
from ingest_assets.sources.operations import (
    Arguments,
    Asking,
    SourceOperation,
    SourceStream,
    Text,
)
from ingest_assets.sources.spool import gates, manifest
from ingest_assets.sources.spool.decisions import DECISIONS, MAX_WHY, Decider, UnknownBatchError

LISTED = 100  # batches on a page
_REST = 1_000  # characters of an answer besides its batches
SHOWN_FILES, SHOWN_CHARS = 5, 200

BatchTag = Annotated[Text, Field(max_length=200, description="As `list_batches` gives it.")]
Status = Literal["queued", "processing", "success", "failed"]
_MAY_SAY_WHY = "The audit log keeps it, if it is given."
_AFTER = "The `next_after` of the previous answer, to go on."


class ListBatches(Arguments):
    status: Status | None = Field(default=None, description="Only batches of this status.")
    after: Annotated[str | None, Field(max_length=200)] = Field(default=None, description=_AFTER)
    limit: int = Field(default=20, ge=1, le=LISTED)


class OneBatch(Arguments):
    batch_tag: BatchTag


class Decision(OneBatch):
    why: Annotated[Text, Field(max_length=MAX_WHY)] = Field(description="The audit log keeps it.")


class Retry(OneBatch):
    why: Annotated[str, Field(max_length=MAX_WHY)] = Field(default="", description=_MAY_SAY_WHY)


class ListGates(Arguments):
    state: gates.GateState = Field(default="locked", description="Which gates: locked or open ones.")
    after: Annotated[str | None, Field(max_length=200)] = Field(default=None, description=_AFTER)
    limit: int = Field(default=20, ge=1, le=LISTED)


class Redeliver(Arguments):
    batch_tag: BatchTag | None = Field(default=None, description="Only events of this batch.")
    why: Annotated[str, Field(max_length=MAX_WHY)] = Field(default="", description=_MAY_SAY_WHY)


class ListedBatch(BaseModel):
    batch_tag: str
    status: str = Field(description="queued, processing, success or failed.")
    reason: str | None = Field(
        description="Of the last settlement: success, failed, healed_partition, partition_missing or "
        "other_error."
    )
    source: DocumentText = Field(description="As the envelope says; empty if it does not.")
    pii: bool = Field(description="Whether it is personal.")
    gate: str = Field(description="locked or open; none if it is not personal.")
    records: int
    processed: int = Field(description="Records that were in the index when it was settled.")
    queued_at: str
    finished_at: str | None
    gone: str | None = Field(description="removed or expired, if it left for good.")


class BatchList(FromDocuments):
    batches: list[ListedBatch]
    next_after: str | None


class Decided(BaseModel):
    """A decision of a person or program about a batch."""

    what: str = Field(description="open_gate, close_gate, retry_batch, remove_batch or redeliver_events.")
    by: str
    at: str


class BatchAnswer(FromDocuments, ListedBatch):
    """One batch: its row of the manifest."""

    files: list[DocumentText] = Field(description=f"As they were delivered, the first {SHOWN_FILES}.")
    total_files: int
    total_bytes: int
    skipped: int = Field(description="Records without text.")
    created_at: str = Field(description="As the envelope says. It decides in which month the batch is kept.")
    started_at: str | None
    updated_at: str
    gone_at: str | None
    attempts: int
    error: DocumentText | None
    decided: list[Decided] = Field(description="The last decision of each kind.")
    extra: dict[str, int] = Field(
        description="What else was counted: vectors that came along, were used, or could not be (by what was "
        "wrong), metadata that was left out, texts that were repaired, redeliveries."
    )


class GateList(FromDocuments):
    gates: list[ListedBatch]
    next_after: str | None


class Redelivered(BaseModel):
    """Events that were put aside, and are tried again."""

    events: int = Field(description="How many. The next run sends them.")


def _list(asking: Asking, asked: ListBatches) -> BatchList:
    rows = manifest.listed(asking.bench.ledger, asked.status, after=asked.after or "", limit=asked.limit + 1)
    shown, next_after = _page(asking, rows, asked.limit)
    return BatchList(batches=shown, next_after=next_after)


def _list_gates(asking: Asking, asked: ListGates) -> GateList:
    rows = gates.listed(asking.bench.ledger, asked.state, after=asked.after or "", limit=asked.limit + 1)
    shown, next_after = _page(asking, rows, asked.limit)
    return GateList(gates=shown, next_after=next_after)


def _get(asking: Asking, asked: OneBatch) -> BatchAnswer:
    with asking.bench.ledger.reading() as connection:
        row = manifest.find(connection, asked.batch_tag)
    if row is None:
        raise UnknownBatchError(asked.batch_tag)
    return _answer(row)


def _retry(asking: Asking, asked: Retry) -> BatchAnswer:
    from ingest_assets.sources.spool.removing import retry

    return _answer(retry(asking.bench, asked.batch_tag, _decider(asking, asked.why)))


def _remove(asking: Asking, asked: Decision) -> BatchAnswer:
    from ingest_assets.sources.spool.removing import remove

    return _answer(remove(asking.bench, asked.batch_tag, _decider(asking, asked.why)))


def _open(asking: Asking, asked: Decision) -> BatchAnswer:
    return _answer(gates.open_gate(asking.bench.ledger, asked.batch_tag, _decider(asking, asked.why)))


def _close(asking: Asking, asked: Decision) -> BatchAnswer:
    return _answer(gates.close_gate(asking.bench.ledger, asked.batch_tag, _decider(asking, asked.why)))


def _redeliver(asking: Asking, asked: Redeliver) -> Redelivered:
    from ingest_assets.sources.spool.notifier.delivery import redeliver

    if asked.batch_tag is not None:
        _get(asking, OneBatch(batch_tag=asked.batch_tag))  # raises for one that there is not
    return Redelivered(events=redeliver(asking.bench, _decider(asking, asked.why), asked.batch_tag))


def _decider(asking: Asking, why: str) -> Decider:
    return Decider(asking.caller, why, asking.transport)


def _page(asking: Asking, rows: Sequence[Any], limit: int) -> tuple[list[ListedBatch], str | None]:
    """The first of these rows, for agents as many as an answer can hold, and where the next page begins."""
    shown = [ListedBatch.model_validate(_listed(row)) for row in rows[:limit]]
    shown = fitting(shown, BUDGET - _REST) if asking.agent else shown
    return shown, shown[-1].batch_tag if len(rows) > len(shown) else None


def _listed(row: Any) -> dict[str, Any]:
    same = ("batch_tag", "status", "reason", "pii", "gate", "processed", "gone")
    return {name: getattr(row, name) for name in same} | {
        "source": row.source[:SHOWN_CHARS],
        "records": row.total_records,
        "queued_at": when(row.queued_at),
        "finished_at": _at(row.finished_at),
    }


def _answer(row: Any) -> BatchAnswer:
    extra = json.loads(row.extra)
    same = ("total_files", "total_bytes", "skipped", "attempts")
    shown = {name: getattr(row, name) for name in same} | {
        "files": [name[:SHOWN_CHARS] for name in json.loads(row.files)[:SHOWN_FILES]],
        **{name: _at(getattr(row, name)) for name in ("created_at", "started_at", "updated_at", "gone_at")},
        "error": row.error and row.error[:1_000],
        "decided": [{"what": what} | extra[what] for what in DECISIONS if what in extra],
        "extra": {name: count for name, count in extra.items() if type(count) is int},
    }
    return BatchAnswer.model_validate(_listed(row) | shown)


def _at(seconds: float | None) -> str | None:
    return None if seconds is None else when(seconds)


OPERATIONS: tuple[SourceOperation, ...] = (
    SourceOperation(
        name="list_batches",
        title="List batches",
        description="List the batches of the spool in the order of their tags, with their states: which are "
        "in the index, on their way, failed, waiting at a gate, or gone. Use it to find out whether a "
        'delivery has arrived; to find records by content, use search. Example: {"status": "failed"}',
        scope="read",
        takes=ListBatches,
        answers=BatchList,
        run=_list,
        method="GET",
        path="/batches",
        idempotent=True,
    ),
    SourceOperation(
        name="get_batch",
        title="Look up a batch",
        description="Show what the manifest says of one batch: state, counts, times, and why it failed if it "
        'did. It shows no text of records. Example: {"batch_tag": "helpdesk-20260131T090000Z-1f2e3d4c"}',
        scope="read",
        takes=OneBatch,
        answers=BatchAnswer,
        run=_get,
        method="GET",
        path="/batches/{batch_tag}",
        idempotent=True,
    ),
    SourceOperation(
        name="retry_batch",
        title="Retry a batch",
        description="Have a failed batch tried again by the next run. A personal one waits at its gate.",
        scope="ingest",
        takes=Retry,
        answers=BatchAnswer,
        run=_retry,
        method="POST",
        path="/batches/{batch_tag}/retry",
        for_agents=False,
    ),
    SourceOperation(
        name="remove_batch",
        title="Remove a batch",
        description="Remove a batch for good: its file at once, its records with the next run; those of a "
        "personal one are in no answer from now on. A redelivery does not bring it back.",
        scope="ingest",
        takes=Decision,
        answers=BatchAnswer,
        run=_remove,
        method="DELETE",
        path="/batches/{batch_tag}",
        for_agents=False,
        destructive=True,
        idempotent=True,
    ),
    SourceOperation(
        name="list_gates",
        title="List gates",
        description="List the personal batches whose gates are locked, or open, in the order of their tags.",
        scope="read",
        takes=ListGates,
        answers=GateList,
        run=_list_gates,
        method="GET",
        path="/gates",
        for_agents=False,
        idempotent=True,
    ),
    SourceOperation(
        name="open_gate",
        title="Open a gate",
        description="Let a personal batch into the index: the next run indexes it, and its records can be "
        "found from then on.",
        scope="gate",
        takes=Decision,
        answers=BatchAnswer,
        run=_open,
        method="POST",
        path="/gates/{batch_tag}/open",
        for_agents=False,
        idempotent=True,
    ),
    SourceOperation(
        name="close_gate",
        title="Close a gate",
        description="Take a personal batch out of all answers at once, and out of the index with the next "
        "run.",
        scope="gate",
        takes=Decision,
        answers=BatchAnswer,
        run=_close,
        method="POST",
        path="/gates/{batch_tag}/close",
        for_agents=False,
        destructive=True,
        idempotent=True,
    ),
    SourceOperation(
        name="redeliver_events",
        title="Tell the listener again",
        description="Try again to deliver the events that the listener refused too often: those of one "
        "batch, or all.",
        scope="ingest",
        takes=Redeliver,
        answers=Redelivered,
        run=_redeliver,
        method="POST",
        path="/gates/redeliver",
        for_agents=False,
        idempotent=True,
    ),
)

STREAMS: tuple[SourceStream, ...] = (
    SourceStream(
        name="manifest_events",
        title="Follow the manifest",
        description="Each change of a batch as it is committed, with its tag, status and totals. Events are "
        f"kept for {manifest.KEPT_S // 86_400} days.",
        scope="read",
        path="/manifest/events",
        after=lambda bench, sequence, limit: manifest.events_after(bench.ledger, sequence, limit),
        newest=lambda bench: manifest.newest_event(bench.ledger),
    ),
)
