"""The outbox: what the listener at GATE_URL is told of each batch, kept until it has heard it.

An event is written in the transaction of what it tells, so that it is told if, and only if, that happened.
The events of a batch are numbered from 1 and go in this order: one that was put aside keeps those after it.

What belongs here: rows of `spool_event`. What does not: sending them (`delivery`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.spool_tables import ingestion_manifest as _manifest
from ingest_assets.ledger.spool_tables import spool_event as _event
from ingest_assets.model import when
from ingest_assets.sources.spool import manifest
from ingest_assets.sources.spool.manifest import FAILED, HEALED, MISSING, OTHER, SUCCESS

OPEN, DONE = "gate.open", "gate.done"
WAITING, DELIVERED, DEAD = "waiting", "delivered", "dead"
STATUSES = (SUCCESS, FAILED)
REASONS = (SUCCESS, FAILED, HEALED, MISSING, OTHER)
_COMMON = {"event": str, "batch_tag": str, "pii": bool, "ts": str}
# All that bodies may hold: tags, counts and states, and nothing of what is in records.
FACTS: dict[str, dict[str, type]] = {
    OPEN: {**_COMMON, "spool": str, "bytes": int, "count": int},
    DONE: {**_COMMON, "status": str, "reason": str, "processed": int},
}


class OutboxState(NamedTuple):
    """What the listener has not heard yet, and why."""

    waiting: int
    dead: int
    since: float | None  # when what the one that is due first tells happened; seconds since 1970
    error: str | None  # of the last attempt of that one, or of one that was put aside


def enqueue(
    connection: sa.Connection, batch_tag: str, event: str, body: Mapping[str, Any], *, gate_url: str | None
) -> None:
    """Have the listener told, if there is one and this transaction is committed.

    A batch's gate.open is told once, its gate.done after each settlement. The caller holds the source's lock,
    so that nobody else numbers events of this batch. Without `gate_url` nobody is told, later neither.
    Raises ValueError for an event or a body that is none.
    """
    now = time.time()
    facts = {"event": event, "batch_tag": batch_tag, "ts": when(now), **body}
    _require_facts(event, batch_tag, facts)
    if gate_url is None:
        return
    mine = sa.select(_event.c.number, _event.c.state, _event.c.next_at).filter_by(batch_tag=batch_tag)
    # Locked, so that a delivery that puts it aside meanwhile does not overlook the new one.
    last = connection.execute(mine.order_by(_event.c.number.desc()).limit(1).with_for_update()).one_or_none()
    told = _told(connection, batch_tag, event)
    if event == OPEN and told.nth:
        return
    behind_dead = last is not None and last.state == DEAD
    row = {
        "batch_tag": batch_tag,
        "number": 1 + (told.forgotten if last is None else last.number),
        "event": event,
        "nth": 1 + told.nth,
        "body": json.dumps(facts, ensure_ascii=False),
        "created_at": now,
        "state": DEAD if behind_dead else WAITING,
        "attempts": 0,
        "refused": 0,
        # Not before the one before it.
        "next_at": max(now, last.next_at) if last is not None and last.state == WAITING else now,
        "error": _BEHIND if behind_dead else None,
    }
    connection.execute(_event.insert().values(row))


_BEHIND = "An earlier event of this batch was put aside."


def _require_facts(event: str, batch_tag: str, facts: Mapping[str, Any]) -> None:
    if event not in FACTS:
        raise ValueError(f"{event!r} is no event: {', '.join(FACTS)}.")
    if (facts["event"], facts["batch_tag"]) != (event, batch_tag):
        raise ValueError(f"A body of {event} of {batch_tag} says that it is of another.")
    if {name: type(value) for name, value in facts.items()} != FACTS[event]:
        right = ", ".join(f"{name} ({kind.__name__})" for name, kind in FACTS[event].items())
        raise ValueError(f"{event} has exactly {right}, and not {', '.join(facts)}.")
    if event == DONE and (facts["status"] not in STATUSES or facts["reason"] not in REASONS):
        raise ValueError(f"{facts['status']!r} or {facts['reason']!r} is none of {STATUSES} and {REASONS}.")


class _Told(NamedTuple):
    """What a batch's listener was told before."""

    nth: int  # how often of this event
    forgotten: int  # the highest number of its events that were forgotten


def _told(connection: sa.Connection, batch_tag: str, event: str) -> _Told:
    kept = sa.select(sa.func.max(_event.c.nth)).filter_by(batch_tag=batch_tag, event=event)
    found = connection.execute(
        sa.select(
            kept.scalar_subquery().label("nth"),
            _forgotten(_manifest.c.events_forgotten, batch_tag).label("events"),
            _forgotten(_manifest.c.settlements_forgotten, batch_tag).label("settlements"),
        )
    ).one()
    # gate.open is told once at most, so what is forgotten besides settlements is that.
    before = found.settlements if event == DONE else found.events - found.settlements
    return _Told(found.nth or before, found.events)


def _forgotten(column: sa.Column[int], batch_tag: str) -> sa.ColumnElement[int]:
    mine = sa.select(column).where(_manifest.c.batch_tag == batch_tag).scalar_subquery()
    return sa.func.coalesce(mine, 0)


def due(connection: sa.Connection, now: float, limit: int) -> Sequence[Any]:
    """Events to be sent now: of each batch the first that was not heard."""
    earlier = _event.alias("earlier")
    blocked = sa.exists().where(
        earlier.c.batch_tag == _event.c.batch_tag,
        earlier.c.number < _event.c.number,
        earlier.c.state != DELIVERED,
    )
    query = sa.select(_event).where(_event.c.state == WAITING, _event.c.next_at <= now, ~blocked)
    return connection.execute(query.order_by(_event.c.next_at).limit(limit)).all()


def mark_delivered(connection: sa.Connection, row: Any, now: float) -> None:
    """The listener has heard it."""
    heard = {"state": DELIVERED, "delivered_at": now, "attempts": row.attempts + 1, "error": None}
    connection.execute(_event.update().where(*_is(row)).values(heard))


def postpone(connection: sa.Connection, row: Any, next_at: float, error: str, *, refused: bool) -> None:
    """It was not heard: try it again later, and those of its batch after it not before."""
    failed = {"attempts": row.attempts + 1, "refused": row.refused + refused, "error": error}
    connection.execute(_event.update().where(*_is(row)).values(failed))
    connection.execute(_event.update().where(*_from(row)).values(next_at=next_at))


def leave_alone(connection: sa.Connection, until: float) -> None:
    """Send nothing before a time: the listener asked for that."""
    sooner = (_event.c.state == WAITING, _event.c.next_at < until)
    connection.execute(_event.update().where(*sooner).values(next_at=until))


def put_aside(connection: sa.Connection, row: Any, error: str) -> None:
    """It was refused too often: try it, and those of its batch after it, no more."""
    connection.execute(_event.update().where(*_from(row)).values(state=DEAD, error=_BEHIND))
    failed = {"attempts": row.attempts + 1, "refused": row.refused + 1, "error": error}
    connection.execute(_event.update().where(*_is(row)).values(failed))


def _is(row: Any) -> tuple[Any, ...]:
    return (_event.c.batch_tag == row.batch_tag, _event.c.number == row.number)


def _from(row: Any) -> tuple[Any, ...]:
    """It and those of its batch after it."""
    return (
        _event.c.batch_tag == row.batch_tag,
        _event.c.number >= row.number,
        _event.c.state == WAITING,
    )


def put_back(connection: sa.Connection, now: float, batch_tag: str | None = None) -> int:
    """Try again what was put aside, of one batch or of all. Returns how many events that are."""
    aside = _event.update().where(_event.c.state == DEAD)
    if batch_tag is not None:
        aside = aside.where(_event.c.batch_tag == batch_tag)
    again = {"state": WAITING, "attempts": 0, "refused": 0, "next_at": now, "error": None}
    return connection.execute(aside.values(again)).rowcount


def hurry(ledger: Ledger, now: float, longest_s: float) -> None:
    """Make due what waits for longer than this, such as what was written while the clock was wrong."""
    far = (_event.c.state == WAITING, _event.c.next_at > now + longest_s)
    with ledger.reading() as connection:
        if connection.execute(sa.select(_event.c.number).where(*far).limit(1)).first() is None:
            return
    with ledger.transaction() as connection:
        connection.execute(_event.update().where(*far).values(next_at=now))


def counts(connection: sa.Connection) -> tuple[int, int]:
    """How many events wait, and how many were put aside."""
    query = sa.select(_event.c.state, sa.func.count()).where(_event.c.state.in_((WAITING, DEAD)))
    found = dict(connection.execute(query.group_by(_event.c.state)).tuples().all())
    return found.get(WAITING, 0), found.get(DEAD, 0)


def of_batch(connection: sa.Connection, batch_tag: str) -> Sequence[Any]:
    """The events of a batch, in order."""
    query = sa.select(_event).filter_by(batch_tag=batch_tag).order_by(_event.c.number)
    return connection.execute(query).all()


def state_of(ledger: Ledger) -> OutboxState:
    """What has not been heard, for checks and for people."""
    with ledger.reading() as connection:
        waiting, dead = counts(connection)
        first = sa.select(_event.c.created_at, _event.c.error).order_by(_event.c.next_at).limit(1)
        late = connection.execute(first.where(_event.c.state == WAITING)).one_or_none()
        aside = connection.execute(first.where(_event.c.state == DEAD, _event.c.error != _BEHIND)).first()
    error = (late.error if late else None) or (aside.error if aside else None)
    return OutboxState(waiting, dead, late.created_at if late else None, error)


def forget_delivered(ledger: Ledger, before: float, limit: int) -> int:
    """Delete some events that were delivered before a time. Returns how many: all if less than `limit`.

    Their batches remember how many there were, so that later ones continue their numbers.
    """
    # `next_at` is no later than the delivery, and in the index.
    old = sa.select(_event.c.batch_tag, _event.c.number, _event.c.event, _event.c.nth)
    old = old.where(_event.c.state == DELIVERED, _event.c.next_at < before)
    this = (_event.c.batch_tag == sa.bindparam("tag"), _event.c.number == sa.bindparam("event_number"))
    with ledger.transaction() as connection:
        rows = connection.execute(old.order_by(_event.c.next_at).limit(limit)).all()
        # Whoever enqueues an event of a batch has locked its row.
        batches = manifest.find_all_to_change(connection, (row.batch_tag for row in rows))
        _remember(connection, batches, rows)
        if rows:
            keys = [{"tag": row.batch_tag, "event_number": row.number} for row in rows]
            connection.execute(_event.delete().where(*this), keys)
    return len(rows)


def _remember(connection: sa.Connection, batches: Mapping[str, Any], gone: Sequence[Any]) -> None:
    """Keep the highest numbers of events that go with the rows of their batches, in one statement."""
    last = {
        tag: {"tag": tag, "events": batch.events_forgotten, "settlements": batch.settlements_forgotten}
        for tag, batch in batches.items()
    }
    for row in gone:
        if (known := last.get(row.batch_tag)) is not None:
            known["events"] = max(known["events"], row.number)
            if row.event == DONE:
                known["settlements"] = max(known["settlements"], row.nth)
    if last:
        values: dict[str, Any] = {
            "events_forgotten": sa.bindparam("events"),
            "settlements_forgotten": sa.bindparam("settlements"),
        }
        mine = _manifest.update().where(_manifest.c.batch_tag == sa.bindparam("tag"))
        connection.execute(mine.values(values), list(last.values()))


def everybody_was_told() -> sa.ColumnElement[bool]:
    """SQL, of a row of the manifest: the batch has no event that the listener has not heard."""
    mine = _event.c.batch_tag == _manifest.c.batch_tag
    return ~sa.exists().where(mine, _event.c.state != DELIVERED)


def forget_batches(connection: sa.Connection, batch_tags: Sequence[str]) -> None:
    """Delete all events of batches that are deleted themselves."""
    connection.execute(_event.delete().where(_event.c.batch_tag.in_(batch_tags)))
