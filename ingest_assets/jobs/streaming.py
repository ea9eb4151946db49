"""A job's events as a stream, where no ledger keeps them.

What belongs here: drafts to events, with a completed event at the end, however it ends. What does not: what a
source has to tell (see its own folder).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing

from ingest_assets.jobs.events import COMPLETED, Context, Draft, JobEvent, Tally, completed, seal
from ingest_assets.jobs.missing import Missing
from ingest_assets.model import IngestError


def stream(
    drafts: Generator[Draft, None, None], context: Context, clock: Callable[[], float] = time.time
) -> Generator[JobEvent, None, None]:
    """Drafts as events, in order, then a completed event, even when the drafts end in a failure.

    The completed event reports any failure; one that is not an IngestError is also raised after it.
    Closing the stream closes the drafts, and with them the source.
    """
    begun, tally, sequence = clock(), Tally(), 0
    error: str | None = None
    unexpected: Exception | None = None
    try:
        with closing(drafts):
            for draft in drafts:
                tally.count(draft)
                yield seal(draft, context, sequence, clock())
                sequence += 1
    except IngestError as failure:
        error = str(failure)
    except Exception as failure:  # noqa: BLE001  # raised below, after the completed event
        error, unexpected = f"{type(failure).__name__}: {failure}", failure
    missing = Missing()
    missing.add("unread", tally.unread)
    error = error or (str(missing.error) if missing.error else None)
    last = completed(tally, round((clock() - begun) * 1000), error, missing.counts)
    yield seal(last, context, sequence, clock())
    if unexpected is not None:
        raise unexpected


def failure_in(events: Sequence[JobEvent]) -> str | None:
    """Why the job with these events failed; None when it did not, or has not ended."""
    if not events or events[-1]["event_type"] != COMPLETED:
        return None
    error: str | None = events[-1]["payload"]["error"]
    return error
