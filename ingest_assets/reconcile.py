"""The engine that every asset is made of.

It works off the difference between what should exist and what is recorded as done, in bounded batches,
each committed on its own.

What belongs here: the order of things (lock, look, work, commit, park, settle), and nothing about any
particular stage. A stage says what differs and how to mend it; see `Stage`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import delete_keys, upsert
from ingest_assets.model import SAMPLE_SIZE, ItemError, Outcomes, digest_of

T = TypeVar("T")
R = TypeVar("R")

Progress = Callable[[int], None]

# Whoever started a run in this process and wants to show how far it is: called with the asset's name and
# the number of items moved so far.
observer: ContextVar[Callable[[str, int], None] | None] = ContextVar("observer", default=None)


@dataclass(frozen=True, slots=True)
class Run:
    """How one reconciliation is asked for. The result does not depend on it, only what is looked at again."""

    rebuild: bool = False  # look at everything, whatever is recorded; the collection in a new generation
    retry_parked: bool = False
    lock_timeout_s: float = 600
    progress: Progress = lambda _moved: None
    begins: Callable[[], None] = lambda: None  # called when there may be something to do


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item that could not be processed as it is, and is to be parked."""

    item_id: str
    digest: str
    error: str


@dataclass(slots=True)
class Delta:
    """What recording one step changed: counts, and the change of the stage's content digest."""

    outcomes: Outcomes = field(default_factory=Outcomes)
    content: int = 0
    finished: list[str] = field(default_factory=list)  # ids that need no parking place any more

    def add(self, item_id: str, *parts: str) -> None:
        """An item is recorded now: `parts` are what its content digest is made of."""
        self.content += content_of(item_id, *parts)

    def drop(self, item_id: str, *parts: str) -> None:
        """An item that was recorded with `parts` is not any more."""
        self.content -= content_of(item_id, *parts)

    def note(self, sample: Iterable[str]) -> None:
        """Keep some names of what moved, for people to look at."""
        room = SAMPLE_SIZE - len(self.outcomes.sample)
        self.outcomes.sample.extend(name for name, _ in zip(sample, range(room), strict=False))


@dataclass(frozen=True, slots=True)
class Step:
    """Work that is done and waits to be recorded, in one transaction."""

    record: Callable[[sa.Connection], Delta]
    refused: Sequence[Refusal] = ()


class Named(Protocol):
    """Which stage of which source, by which pipeline."""

    @property
    def source(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str:
        """Digest of the code and settings that the stage's results depend on."""
        ...


class Stage(Named, Protocol):
    """One asset's work."""

    def looks_at(self, connection: sa.Connection) -> str | None:
        """Digest of all that the desired state derives from; None when it cannot be told cheaply.

        When it is what it was when the stage last ran to its end, there is nothing to do.
        """
        ...

    def steps(self, ledger: Ledger, session: sa.Connection, run: Run) -> Generator[Step]:
        """Do the work that differs, step by step: what is new first, removals last.

        `session` is the connection on which the steps are recorded, with its temporary tables; between
        two steps no transaction is open on it.
        """
        ...

    def content(self, connection: sa.Connection) -> str:
        """Digest of the stage's results as they are recorded: equal digests, equal results."""
        ...

    def total(self, connection: sa.Connection) -> int:
        """How many items are recorded: those added, changed and unchanged."""
        ...


def content_of(*parts: str) -> int:
    """One item's part in its stage's content digest."""
    return int(digest_of(*parts), 16)


def reconcile(stage: Stage, ledger: Ledger, run: Run | None = None) -> Outcomes:
    """Bring what is recorded in step with what should exist, and say what became of every item.

    Raises what the stage raises; every step that was recorded before stays, and the next call goes on
    from there.
    """
    run = run or Run()
    with ledger.lock(stage.source, run.lock_timeout_s):
        with ledger.reading() as connection:
            looked_at = stage.looks_at(connection)
            before = _stage_row(connection, stage)
            waiting = run.retry_parked and count_parked(connection, stage.source, stage.name) > 0
        outcomes = Outcomes()
        idle = before is not None and looked_at is not None and before.settled_on == looked_at
        if run.rebuild or waiting or not idle:
            idle = False
            run.begins()
            # Closed at once when a step cannot be recorded, while its session and store are still there.
            with ledger.session() as session, closing(stage.steps(ledger, session, run)) as steps:
                for step in steps:
                    outcomes += _commit(stage, session, step)
                    run.progress(outcomes.moved)
        with ledger.transaction() as connection:
            total = before.items if idle and before else stage.total(connection)
            _settle(connection, stage, looked_at, total)
            outcomes.parked = count_parked(connection, stage.source, stage.name)
            outcomes.unchanged = total - outcomes.added - outcomes.changed
    return outcomes


def _commit(stage: Stage, connection: sa.Connection, step: Step) -> Outcomes:
    with connection.begin():
        delta = step.record(connection)
        _park(connection, stage, step.refused)
        if delta.finished:
            scope = {"source": stage.source, "stage": stage.name}
            delete_keys(connection, tables.parked, scope, "item_id", delta.finished)
        _record_content(connection, stage, delta)
    return delta.outcomes


def _record_content(connection: sa.Connection, stage: Stage, delta: Delta) -> None:
    row = _stage_row(connection, stage)
    if row is not None and not delta.content and row.settled_on is None:
        return
    content = ((int(row.content, 16) if row else 0) + delta.content) % (1 << 128)
    values = {
        "source": stage.source,
        "stage": stage.name,
        "content": f"{content:032x}",
        "items": row.items if row else 0,
        # Not settled from the first change on: a run that dies before its end must be gone on with.
        "settled_on": None,
        "last_success": row.last_success if row else None,
    }
    upsert(connection, tables.stage, [values])


def _settle(connection: sa.Connection, stage: Stage, looked_at: str | None, items: int) -> None:
    row = _stage_row(connection, stage)
    values = {
        "source": stage.source,
        "stage": stage.name,
        "content": row.content if row else f"{0:032x}",
        "items": items,
        "settled_on": looked_at,
        "last_success": time.time(),
    }
    upsert(connection, tables.stage, [values])


def _stage_row(connection: sa.Connection, stage: Named) -> Any:
    query = sa.select(tables.stage).filter_by(source=stage.source, stage=stage.name)
    return connection.execute(query).one_or_none()


def is_settled(connection: sa.Connection, stage: Named, looked_at: str) -> bool:
    """Whether the stage last ran to its end on just what it looks at now."""
    row = _stage_row(connection, stage)
    return row is not None and row.settled_on == looked_at


def ended_well(connection: sa.Connection, stage: Named) -> bool:
    """Whether the stage's last run came to its end, on whatever it looked at."""
    row = _stage_row(connection, stage)
    return row is not None and row.settled_on is not None


def content_sum(connection: sa.Connection, source: str, stage: str) -> str:
    """The sum of the digests of a stage's items, of all its parts. 32 zeros when it never ran.

    A stage that is run part by part is recorded under "name:part".
    """
    name = tables.stage.c.stage
    parts = sa.and_(name > f"{stage}:", name < f"{stage};")
    query = sa.select(tables.stage.c.content).where(
        tables.stage.c.source == source, sa.or_(name == stage, parts)
    )
    return f"{sum(int(content, 16) for content in connection.scalars(query)) % (1 << 128):032x}"


def _park(connection: sa.Connection, stage: Stage, refused: Sequence[Refusal]) -> None:
    now = time.time()
    t = tables.parked
    for refusal in refused:
        key = {"source": stage.source, "stage": stage.name, "item_id": refusal.item_id}
        earlier = connection.execute(sa.select(t.c.attempts, t.c.first_at).filter_by(**key)).one_or_none()
        attempts, first_at = (earlier.attempts, earlier.first_at) if earlier else (0, now)
        row = key | {
            "digest": refusal.digest,
            "fingerprint": stage.fingerprint,
            "error": refusal.error,
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


def is_parked(stage: Named, item_id: sa.ColumnElement[str], digest: sa.ColumnElement[str]) -> sa.Exists:
    """SQL: the item is parked with this very content, under this very pipeline."""
    t = tables.parked
    return sa.exists().where(
        t.c.source == stage.source,
        t.c.stage == stage.name,
        t.c.item_id == item_id,
        t.c.digest == digest,
        t.c.fingerprint == stage.fingerprint,
    )


def isolate(
    process: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]
) -> Iterator[tuple[T, R | ItemError]]:
    """Process a batch; when it is refused, halve it until the items at fault stand alone.

    Costs one call where nothing is wrong, about 2 log2(n) calls for one bad item among n.
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
