"""Answers in Redis that may hold text of records which are personal by now.

Answers with what was personal when it was found are kept nowhere. Those from before are given to nobody, as
the index has changed; they are deleted all the same, as soon as Redis answers.

What belongs here: having them deleted, and that it is still to be done. What does not: when that is needed
(`settling`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest_assets.sources.spool.manifest import OTHER
from ingest_assets.sources.spool.notifier import alerts
from ingest_assets.sources.spool.notifier.failures import end_cause, record_failure

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

CAUSE = "answers left in Redis"  # on record as long as it is to be done


def forget_answers(bench: Workbench) -> bool:
    """Delete them, or have it done later. Returns False if not even that is certain."""
    if _are_deleted(bench):
        return True
    record_failure(
        bench,
        batch_tag="",
        reason=OTHER,
        healed=False,
        message="Redis did not answer when answers that may hold text of batches which are personal by now "
        "should be deleted. They are given to nobody, and are deleted as soon as it answers.",
        cause=CAUSE,
    )
    return alerts.is_known(bench, CAUSE)


def forget_answers_left(bench: Workbench, within_s: float | None = None) -> None:
    """Delete them if that was not possible before."""
    if alerts.is_known(bench, CAUSE):
        _are_deleted(bench, within_s)


def _are_deleted(bench: Workbench, within_s: float | None = None) -> bool:
    if bench.cache is not None and not bench.cache.forget_answers(within_s):
        return False
    end_cause(bench, CAUSE)
    return True
