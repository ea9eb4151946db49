"""The engine that runs every asset.

It works off the difference between what should exist and what is recorded as done, in bounded batches,
each committed on its own.

What belongs here: the order of steps (lock, compare, work, commit, park, record success), and nothing about
any particular stage. A stage finds what differs and does the work; see `Stage`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa

from ingest_assets.garbage import give_back
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import delete_keys, upsert
from ingest_assets.model import SAMPLE_SIZE, ItemError, Outcomes, SkippedItem, digest_of
from ingest_assets.quoting import quotes_allowed
from ingest_assets.redaction import redact
from ingest_assets.stopping import patiently

T = TypeVar("T")
R = TypeVar("R")

Progress = Callable[[int], None]

MANY = 1_000  # items: a stage that has moved so many leaves memory behind that is worth giving back

# Shows the progress of a run that was started in this process: called with the asset's name and the number
# of items moved so far.
observer: ContextVar[Callable[[str, int], None] | None] = ContextVar("observer", default=None)


@dataclass(frozen=True, slots=True)
class Run:
    """The options of one reconciliation. They decide what is looked at again, never the result."""

    rebuild: bool = False  # look at everything, whatever is recorded; build a new generation
    retry_parked: bool = False
    allow_removals: bool = False  # however many they are (see stages.removals)
    lock_timeout_s: float = 600
    progress: Progress = lambda _moved: None
    # Called with the ids of items that are recorded by now, or parked, in the order of their source, and with
    # what it has left out among them; by the stage that reads the source, if it reads it.
    read: Callable[[Sequence[str], Sequence[SkippedItem]], None] = lambda _ids, _skipped: None
    # Called by the stage that makes chunks: those of all documents up to this id are recorded, or parked.
    reached: Callable[[str], None] = lambda _document_id: None
    # Called by the stages that embed and write, with the document of each chunk that was worked off, whether
    # that is recorded by now or not.
    worked: Callable[[Iterable[str]], None] | None = None
    begins: Callable[[], None] = lambda: None  # called when there may be something to do
    # A condition on the table of documents: what is made of these is made again in every stage, whatever is
    # recorded. Until then what is recorded stays, and is searched.
    again: sa.ColumnElement[bool] | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item that could not be processed as it is, and must be parked."""

    item_id: str
    digest: str
    error: str


@dataclass(slots=True)
class Delta:
    """What recording one step changed: counts, and the change in the stage's content digest."""

    outcomes: Outcomes = field(default_factory=Outcomes)
    content: int = 0
    finished: list[str] = field(default_factory=list)  # ids that are no longer parked

    def add(self, item_id: str, *parts: str) -> None:
        """An item is now recorded. `parts` are what its content digest is made of."""
        self.content += content_of(item_id, *parts)

    def drop(self, item_id: str, *parts: str) -> None:
        """An item that was recorded with `parts` is no longer recorded."""
        self.content -= content_of(item_id, *parts)

    def note(self, sample: Iterable[str]) -> None:
        """Keep the names of some items that moved, for people to look at, unless they may not be quoted."""
        if not quotes_allowed():
            return
        room = SAMPLE_SIZE - len(self.outcomes.sample)
        self.outcomes.sample.extend(name for name, _ in zip(sample, range(room), strict=False))


@dataclass(frozen=True, slots=True)
class Step:
    """Finished work, to be recorded in one transaction."""

    record: Callable[[sa.Connection], Delta]
    refused: Sequence[Refusal] = ()


class Named(Protocol):
    """Identifies a stage of a source, and its pipeline."""

    @property
    def source(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def part(self) -> str:
        """The part, for a stage that runs part by part; else "". Each part has its own rows."""
        ...

    @property
    def fingerprint(self) -> str:
        """Digest of the code and settings that the stage's results depend on."""
        ...


class Stage(Named, Protocol):
    """One asset's work."""

    def input_digest(self, connection: sa.Connection) -> str | None:
        """Digest of all that the desired state derives from; None if there is no cheap one.

        If it is unchanged since the stage last completed, there is nothing to do.
        """
        ...

    def steps(self, ledger: Ledger, session: sa.Connection, run: Run) -> Generator[Step]:
        """Work off the difference step by step: additions and changes first, removals last.

        `session` is the connection on which the steps are recorded, with its temporary tables; between
        two steps no transaction is open on it.
        """
        ...

    def content(self, connection: sa.Connection) -> str:
        """Digest of the stage's recorded results: equal digests mean equal results."""
        ...

    def total(self, connection: sa.Connection) -> int:
        """How many items are recorded: those added, changed and unchanged."""
        ...


def content_of(*parts: str) -> int:
    """One item's share of its stage's content digest."""
    return int(digest_of(*parts), 16)


def reconcile(stage: Stage, ledger: Ledger, run: Run | None = None) -> Outcomes:
    """Bring what is recorded in step with what should exist. Returns the outcome of every item.

    Raises what the stage raises; steps recorded before that stay, and the next call continues from there.
    """
    run = run or Run()
    with patiently(), ledger.lock(stage.source, run.lock_timeout_s):
        with ledger.reading() as connection:
            input_digest = stage.input_digest(connection)
            before = _stage_row(connection, stage)
            waiting = run.retry_parked and _count_parked(connection, stage) > 0
        outcomes = Outcomes()
        idle = (
            before is not None and input_digest is not None and before.input_digest_at_success == input_digest
        )
        if run.rebuild or run.again is not None or waiting or not idle:
            idle = False
            run.begins()
            # If a step cannot be recorded, `steps` closes at once, while its session and store are open.
            with ledger.session() as session, closing(stage.steps(ledger, session, run)) as steps:
                for step in steps:
                    outcomes += _commit(stage, session, step)
                    run.progress(outcomes.moved)
            if outcomes.moved >= MANY:
                give_back()
        with ledger.transaction() as connection:
            total = before.items if idle and before else stage.total(connection)
            _record_success(connection, stage, input_digest, total)
            outcomes.parked = _count_parked(connection, stage)
            outcomes.unchanged = total - outcomes.added - outcomes.changed
    return outcomes


def _commit(stage: Stage, connection: sa.Connection, step: Step) -> Outcomes:
    with connection.begin():
        delta = step.record(connection)
        _park(connection, stage, step.refused)
        if delta.finished:
            delete_keys(connection, tables.parked, key_of(stage), "item_id", delta.finished)
        _record_content(connection, stage, delta)
    return delta.outcomes


def _record_content(connection: sa.Connection, stage: Stage, delta: Delta) -> None:
    row = _stage_row(connection, stage)
    if row is not None and not delta.content and row.input_digest_at_success is None:
        return
    content = ((int(row.content, 16) if row else 0) + delta.content) % (1 << 128)
    values = key_of(stage) | {
        "content": f"{content:032x}",
        "items": row.items if row else 0,
        # Not up to date from the first change on: if this run dies, the next one must continue its work.
        "input_digest_at_success": None,
        "last_success": row.last_success if row else None,
    }
    upsert(connection, tables.stage, [values])


def _record_success(connection: sa.Connection, stage: Stage, input_digest: str | None, items: int) -> None:
    row = _stage_row(connection, stage)
    values = key_of(stage) | {
        "content": row.content if row else f"{0:032x}",
        "items": items,
        "input_digest_at_success": input_digest,
        "last_success": time.time(),
    }
    upsert(connection, tables.stage, [values])


def _stage_row(connection: sa.Connection, stage: Named) -> Any:
    query = sa.select(tables.stage).filter_by(**key_of(stage))
    return connection.execute(query).one_or_none()


def is_up_to_date(connection: sa.Connection, stage: Named, input_digest: str) -> bool:
    """Whether the stage last completed on exactly its current input."""
    row = _stage_row(connection, stage)
    return row is not None and row.input_digest_at_success == input_digest


def last_success(connection: sa.Connection, stage: Named) -> float | None:
    """When the stage last completed, in seconds since 1970; None if it never did."""
    row = _stage_row(connection, stage)
    return None if row is None else row.last_success


def last_run_succeeded(connection: sa.Connection, stage: Named) -> bool:
    """Whether the stage's last run completed, whatever its input was."""
    row = _stage_row(connection, stage)
    return row is not None and row.input_digest_at_success is not None


def key_of(stage: Named) -> dict[str, Any]:
    """The columns that say which stage a row belongs to."""
    return {"source": stage.source, "stage": stage.name, "part": stage.part}


def content_sum(connection: sa.Connection, source: str, stage: str, part: str | None = None) -> str:
    """The sum of the digests of a stage's items, of one part or of all. 32 zeros if it never ran."""
    query = sa.select(tables.stage.c.content).filter_by(source=source, stage=stage)
    if part is not None:
        query = query.filter_by(part=part)
    return f"{sum(int(content, 16) for content in connection.scalars(query)) % (1 << 128):032x}"


def _park(connection: sa.Connection, stage: Stage, refused: Sequence[Refusal]) -> None:
    now = time.time()
    t = tables.parked
    for refusal in refused:
        key = key_of(stage) | {"item_id": refusal.item_id}
        earlier = connection.execute(sa.select(t.c.attempts, t.c.first_at).filter_by(**key)).one_or_none()
        attempts, first_at = (earlier.attempts, earlier.first_at) if earlier else (0, now)
        row = key | {
            "digest": refusal.digest,
            "fingerprint": stage.fingerprint,
            "error": redact(refusal.error),
            "attempts": attempts + 1,
            "first_at": first_at,
            "last_at": now,
        }
        upsert(connection, t, [row])


def count_parked(connection: sa.Connection, source: str, stage: str | None = None) -> int:
    """How many items of a source (or of one of its stages) are parked."""
    query = sa.select(sa.func.count()).select_from(tables.parked).filter_by(source=source)
    if stage is not None:
        query = query.filter_by(stage=stage)
    return connection.scalar(query) or 0


def _count_parked(connection: sa.Connection, stage: Named) -> int:
    query = sa.select(sa.func.count()).select_from(tables.parked).filter_by(**key_of(stage))
    return connection.scalar(query) or 0


def is_parked(stage: Named, item_id: sa.ColumnElement[str], digest: sa.ColumnElement[str]) -> sa.Exists:
    """SQL: the item is parked with exactly this content and pipeline."""
    t = tables.parked
    return sa.exists().where(
        t.c.source == stage.source,
        t.c.stage == stage.name,
        t.c.part == stage.part,
        t.c.item_id == item_id,
        t.c.digest == digest,
        t.c.fingerprint == stage.fingerprint,
    )


def isolate(
    process: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]
) -> Iterator[tuple[T, R | ItemError]]:
    """Process a batch; if it is refused, halve it until each item at fault is alone.

    Takes one call if nothing is wrong, about 2 log2(n) calls for one bad item among n.
    """
    try:
        results = process(items)
    except ItemError as error:
        if len(items) == 1:
            yield items[0], error
            return
        half = len(items) // 2
        yield from isolate(process, items[:half])
        yield from isolate(process, items[half:])
    else:
        yield from zip(items, results, strict=True)
