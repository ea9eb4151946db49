"""The log of failures: one line for each permanent failure, and for each that healed itself.

A new file begins with each month; none is rewritten, renamed or deleted. Lines hold no text of records: who
records a failure says in general words what is wrong.

What belongs here: the log. What does not: telling people (`alerts`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ingest_assets.characters import visible
from ingest_assets.model import when
from ingest_assets.redaction import redact
from ingest_assets.sources.spool.notifier import alerts
from ingest_assets.sources.spool.notifier.events_log import Level, log_event
from ingest_assets.sources.spool.notifier.lines import append_line
from ingest_assets.sources.spool.notifier.outbox import REASONS
from ingest_assets.sources.spool.settings import SpoolSettings

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

MAX_MESSAGE = 500  # characters
_log = logging.getLogger(__name__)


def record_failure(
    bench: Workbench,
    *,
    batch_tag: str,
    reason: str,
    healed: bool,
    message: str,
    cause: str,
    now: Callable[[], float] = time.time,
) -> None:
    """Record a failure, and alert people if it is the first of its cause.

    `cause` is what would have to be mended, in words that stay the same from batch to batch: people are told
    of each cause once, until `end_cause`. `batch_tag` is "" where no batch is concerned. Called outside of
    transactions. Neither a log that cannot be written nor people who cannot be told stop anything: the log of
    this process says so, and people are told later.
    Raises ValueError for a reason that is none.
    """
    if reason not in REASONS:
        raise ValueError(f"{reason!r} is no reason: {', '.join(REASONS)}.")
    said = visible(redact(" ".join(message.split())))[:MAX_MESSAGE]
    facts = {"batch_tag": batch_tag, "reason": reason, "healed": healed, "message": said}
    at = now()
    file = file_of(bench.settings_of(SpoolSettings).spool_failure_log, at)
    try:
        append_line(file, {"ts": when(at), **facts, "cause": cause}, sync=True)
    except OSError as error:
        # The outcome of the batch is in the ledger, and must not be lost with the line.
        _log.warning(
            f"A failure could not be written to {file} ({error.strerror or error}): {batch_tag}: {said}"
        )
    level: Level = "warning" if healed else "error"
    log_event(
        bench, "failure", level=level, now=now, batch_tag=batch_tag, reason=reason, healed=healed, cause=cause
    )
    alerts.alert(bench, cause, facts, now=now)


def end_cause(bench: Workbench, cause: str) -> None:
    """What a cause was about works again: the next failure of it alerts people again. Stops nothing."""
    alerts.end(bench, cause)


def file_of(log: Path, at: float) -> Path:
    """The file of the month: NAME-2026-11.jsonl."""
    return log.with_name(f"{log.stem}-{datetime.fromtimestamp(at, UTC):%Y-%m}{log.suffix}")
