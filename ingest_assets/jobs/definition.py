"""What a source declares about its background jobs.

What belongs here: the shape of that. What does not: any source's jobs (their definitions), and running them
(work).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, get_args

import sqlalchemy as sa

if TYPE_CHECKING:
    from ingest_assets.jobs.events import Draft
    from ingest_assets.jobs.progress import Phase
    from ingest_assets.jobs.queue import JobTarget
    from ingest_assets.jobs.rows import Job, Status
    from ingest_assets.model import IngestError, SkippedItem
    from ingest_assets.reconcile import Stage
    from ingest_assets.workbench import Workbench

Check = Callable[[], None]  # raises when the job must stop


class JobCounts(NamedTuple):
    """How much of a job's target is recorded."""

    documents: int
    cut: int  # documents whose chunks are those of their current version
    chunks: int


@dataclass(frozen=True, slots=True)
class Scope:
    """Which documents and items are a job's."""

    documents: sa.ColumnElement[bool]  # a condition on the table of documents
    # What ids of its items begin with. An id may also be one of them without the "/" at its end.
    prefixes: tuple[str, ...]

    def holds(self, item_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
        """A condition on the ids of items, for tables that are small: no index serves it."""
        return sa.or_(
            sa.false(),
            *(sa.func.substr(item_id, 1, len(prefix)) == prefix for prefix in self.prefixes),
            item_id.in_([prefix.removesuffix("/") for prefix in self.prefixes]),
        )


def nothing_known(_bench: Workbench, _job: Job) -> Scope | None:
    """For a source that does not say which documents are a job's: nothing of it can be found missing."""
    return None


class JobEventsOf(Protocol):
    """The events of a source's jobs, told as the work is done: each once, in order."""

    def begun(self, bench: Workbench, job: Job) -> Iterator[Draft]:
        """Once what the job asks for has been prepared."""
        ...

    def read(
        self, bench: Workbench, job: Job, ids: Sequence[str], skipped: Sequence[SkippedItem]
    ) -> Iterator[Draft]:
        """Of items that were read, and recorded or parked, in the order of the source."""
        ...

    def recorded(self, bench: Workbench, job: Job) -> Iterator[Draft]:
        """Of all items on record, when there was nothing to read."""
        ...

    def made(self, bench: Workbench, job: Job, after: str, until: str | None) -> Iterator[Draft]:
        """Of the chunks of the documents between two ids, without the first."""
        ...


def nothing_found(_bench: Workbench, _job: Job, _stage: Stage) -> Mapping[str, Any]:
    """For a source whose jobs have no result but their counts."""
    return {}


def nothing_unmet(_bench: Workbench, _job: Job) -> IngestError | None:
    """For a source whose jobs are done when their stages are."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsDefinition:
    """The background jobs of a source: each brings something of it into the index."""

    # The target and ref that a location and a ref stand for. Without a ref it is the one that a job is
    # working on, or that is kept in step. Raises JobTargetError for a location that may not be read: whoever
    # asked sees its message, and of any other error only that there was one.
    target: Callable[[Workbench, str, str | None], tuple[JobTarget, str | None]]
    # Bring what the job asks for up to date, before its documents are read. What it returns is part of the
    # job's result.
    prepare: Callable[[Workbench, Job, Check], Mapping[str, Any] | None]
    counts: Callable[[Workbench, str], JobCounts]  # by the target's id
    # The same as `target` for somebody at this machine, who may name what the settings do not allow others.
    target_here: Callable[[Workbench, str, str | None], tuple[JobTarget, str | None]] | None = None
    # Raises JobTargetError if a project may not have the target at this ref, or not as the job's metadata
    # want it.
    require: Callable[[Workbench, JobTarget, str | None, str, Mapping[str, Any]], None] = lambda *_given: None
    # None for a source whose jobs have no events but their end.
    events: JobEventsOf | None = None
    # What a stage that has completed found for the job: part of its result.
    found: Callable[[Workbench, Job, Stage], Mapping[str, Any]] = nothing_found
    # Once every stage has completed: why what the job is for was not done nevertheless. The job then ends as
    # failed, and what the stages did stays.
    unmet: Callable[[Workbench, Job], IngestError | None] = nothing_unmet
    # Which documents are the job's. Anything of them that is missing at its end makes it fail (`missing`).
    scope: Callable[[Workbench, Job], Scope | None] = nothing_known
    # Whether a job that is forced makes everything again: in every stage what is of its `scope`; without one,
    # all that its own stages have.
    rebuilds: bool = True
    default: bool = False  # whether a request that names no source means this one
    phases: Mapping[str, Phase] = field(default_factory=dict)  # of its own stages; "scan" by default
    # The names of states that the source's users see; those of the table by default.
    states: Mapping[str, str] = field(default_factory=dict)

    def target_for(
        self, bench: Workbench, location: str, ref: str | None, *, here: bool
    ) -> tuple[JobTarget, str | None]:
        """See `target`, and `target_here`."""
        return ((here and self.target_here) or self.target)(bench, location, ref)

    def shown(self, status: str) -> str:
        """The name of a state that users see."""
        return self.states.get(status, status)

    def status_of(self, shown: str) -> Status | None:
        """The state with this shown name; None when there is no such state."""
        from ingest_assets.jobs.rows import Status

        return next((status for status in get_args(Status) if self.shown(status) == shown), None)
