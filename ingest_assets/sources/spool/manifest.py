"""The manifest of batches: reading its rows, and changing them, each change announced in its transaction.

What belongs here: rows of `ingestion_manifest`. What does not: why a batch changes its state (`intake`,
`stage`, `settling`, `gates`, `retention`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.spool_tables import ingestion_manifest as _manifest
from ingest_assets.ledger.spool_tables import manifest_event, manifest_sequence
from ingest_assets.ledger.store import count_up, pages, upsert
from ingest_assets.model import when
from ingest_assets.sources.operations import StreamEvent

CHANNEL = "ingest_manifest"
KEPT_S = 7 * 86_400  # how long announcements can be followed
Action = Literal["insert", "update"]

# Why a batch was settled as it was.
SUCCESS, FAILED, HEALED, MISSING, OTHER = (
    "success",
    "failed",
    "healed_partition",
    "partition_missing",
    "other_error",
)


# `recorded_with` of a batch whose documents are gone, and whose points leave with the last stage.
LEAVING = "leaving"


def has_documents() -> sa.ColumnElement[bool]:
    """SQL: documents or points of a batch may be there. A range of the index, which "is not NULL" is not."""
    return _manifest.c.recorded_with >= ""


def on_their_way(connection: sa.Connection, limit: int) -> Sequence[Any]:
    """Some batches that a run has to bring into the index: their tags, and when they were changed."""
    m = _manifest.c
    found: list[Any] = []
    for status in ("queued", "processing"):  # each is a range of an index; both together are none
        mine = sa.select(m.batch_tag, m.updated_at).where(m.status == status, m.wanted.is_(True))
        found += connection.execute(mine.order_by(m.batch_tag).limit(limit))
    return found[:limit]


def recorded_otherwise(ledger: Ledger, than: str, *, wanted: bool, size: int) -> Iterator[Sequence[Any]]:
    """Batches that should be found, or should not, and whose `recorded_with` is another, in pages.

    Of those that should be found, first the ones that have no documents. Each page is a range of an index.
    Batches may be changed between pages; one whose `recorded_with` became larger may come again.
    """
    m = _manifest.c
    of_this_kind = sa.select(_manifest).where(m.wanted.is_(wanted))
    if wanted:
        # In the order of the index: Postgres does not see that by tag it is the same.
        new = of_this_kind.where(m.recorded_with.is_(None)).order_by(m.recorded_with)
        yield from pages(ledger, new, m.batch_tag, size)
    after: str | None = None
    while True:
        with ledger.reading() as connection:
            after = _next_recorded_with(connection, after, wanted=wanted)
        if after is None:
            return
        if after != than:
            yield from pages(ledger, of_this_kind.where(m.recorded_with == after), m.batch_tag, size)


def unwanted(connection: sa.Connection, limit: int | None = None) -> Iterator[Any]:
    """Batches that should not be found, and have documents, or points: tags, and when they were changed."""
    m = _manifest.c
    after: str | None = None
    while (after := _next_recorded_with(connection, after, wanted=False)) is not None:
        mine = sa.select(m.batch_tag, m.updated_at).where(m.wanted.is_(False), m.recorded_with == after)
        yield from connection.execute(mine.order_by(m.batch_tag).limit(limit))


def _next_recorded_with(connection: sa.Connection, after: str | None, *, wanted: bool) -> str | None:
    """The next value that there is: few batches differ, and to find that none does must not take long."""
    made = _manifest.c.recorded_with
    later = made >= "" if after is None else made > after
    query = sa.select(made).where(_manifest.c.wanted.is_(wanted), later)
    return connection.scalar(query.order_by(made).limit(1))


def find(connection: sa.Connection, batch_tag: str) -> Any | None:
    """A batch; None if there is none of this tag."""
    return connection.execute(sa.select(_manifest).filter_by(batch_tag=batch_tag)).one_or_none()


def find_to_change(connection: sa.Connection, batch_tag: str) -> Any | None:
    """The same, locked until the transaction ends: what is decided by it holds until then."""
    mine = sa.select(_manifest).filter_by(batch_tag=batch_tag)
    return connection.execute(mine.with_for_update()).one_or_none()


def find_all_to_change(connection: sa.Connection, batch_tags: Iterable[str]) -> dict[str, Any]:
    """The same of several, by tag. Before the first change: who decides about one waits in the same order."""
    mine = sa.select(_manifest).where(_manifest.c.batch_tag.in_(sorted(set(batch_tags))))
    rows = connection.execute(mine.order_by(_manifest.c.batch_tag).with_for_update())
    return {row.batch_tag: row for row in rows}


def find_by_digest(connection: sa.Connection, digest: str) -> Any | None:
    """The batch that a file with this content is; None if it is a new one."""
    return connection.execute(sa.select(_manifest).filter_by(digest=digest)).one_or_none()


def listed(ledger: Ledger, status: str | None, *, after: str = "", limit: int = 100) -> Sequence[Any]:
    """Batches by tag, beginning after a tag, those that are gone too; of one status, or of all."""
    query = sa.select(_manifest).where(_manifest.c.batch_tag > after)
    if status is not None:
        query = query.where(_manifest.c.status == status)
    with ledger.reading() as connection:
        return connection.execute(query.order_by(_manifest.c.batch_tag).limit(limit)).all()


def insert(connection: sa.Connection, values: Mapping[str, Any]) -> None:
    """Add a batch."""
    insert_all(connection, [values])


def insert_all(connection: sa.Connection, batches: Sequence[Mapping[str, Any]]) -> None:
    """Add batches. All have values for the same columns."""
    if batches:
        now = time.time()
        connection.execute(_manifest.insert(), [{**values, "updated_at": now} for values in batches])
        _announce(connection, [values["batch_tag"] for values in batches], "insert")


def change(connection: sa.Connection, batch_tag: str, **values: Any) -> None:
    """Change a batch."""
    mine = _manifest.update().where(_manifest.c.batch_tag == batch_tag)
    connection.execute(mine.values(**values, updated_at=time.time()))
    _announce(connection, [batch_tag], "update")


def mark(connection: sa.Connection, batch_tag: str, **values: Any) -> None:
    """Change what is no news to those who follow the manifest."""
    connection.execute(_manifest.update().where(_manifest.c.batch_tag == batch_tag).values(**values))


def note(connection: sa.Connection, batch_tag: str, **facts: Any) -> None:
    """Add to what a batch's `extra` says, without an announcement."""
    extra = connection.scalar(sa.select(_manifest.c.extra).filter_by(batch_tag=batch_tag))
    text = json.dumps(json.loads(extra or "{}") | facts, ensure_ascii=False, sort_keys=True)
    connection.execute(_manifest.update().where(_manifest.c.batch_tag == batch_tag).values(extra=text))


def count(connection: sa.Connection, batch_tag: str, counts: Mapping[str, int], *, afresh: bool) -> None:
    """Add to counts in a batch's `extra`; `afresh`, to none. Those that were never above 0 are not named."""
    extra = json.loads(connection.scalar(sa.select(_manifest.c.extra).filter_by(batch_tag=batch_tag)) or "{}")
    sums = {name: number + (0 if afresh else extra.get(name, 0)) for name, number in counts.items()}
    note(connection, batch_tag, **{name: number for name, number in sums.items() if number or name in extra})


def _announce(connection: sa.Connection, batch_tags: Sequence[str], action: Action) -> None:
    """Tell those who follow the manifest, when this transaction is committed."""
    m = _manifest.c
    query = sa.select(m.batch_tag, m.status, m.total_files, m.total_bytes).where(m.batch_tag.in_(batch_tags))
    rows = connection.execute(query.order_by(m.batch_tag)).all()
    now = time.time()
    about = {"type": CHANNEL, "action": action, "timestamp": when(now)}
    texts = [json.dumps(about | dict(row._mapping), ensure_ascii=False) for row in rows]
    last = count_up(connection, manifest_sequence.c.value, {"name": CHANNEL}, len(texts))
    events = [{"sequence": last - n, "at": now, "body": text} for n, text in enumerate(reversed(texts))]
    connection.execute(manifest_event.insert(), events)
    if connection.dialect.name == "postgresql":
        each = sa.func.unnest(sa.cast(texts, sa.ARRAY(sa.Text))).column_valued()
        connection.execute(sa.select(sa.func.pg_notify(CHANNEL, each)))


def events_after(ledger: Ledger, sequence: int, limit: int) -> Sequence[StreamEvent]:
    """Announcements after a sequence, in order."""
    query = sa.select(manifest_event.c.sequence, manifest_event.c.body)
    query = query.where(manifest_event.c.sequence > sequence).order_by(manifest_event.c.sequence).limit(limit)
    with ledger.reading() as connection:
        return [StreamEvent(row.sequence, json.loads(row.body)) for row in connection.execute(query)]


def newest_event(ledger: Ledger) -> int:
    """The sequence of the last announcement; 0 if there was none."""
    return _sequence(ledger, CHANNEL)


def seen_by(ledger: Ledger, who: str) -> int:
    """The sequence of the last announcement that somebody has dealt with; 0 if there was none."""
    return _sequence(ledger, f"seen by {who}")


def note_seen(ledger: Ledger, who: str, sequence: int) -> None:
    """Remember the same."""
    with ledger.transaction() as connection:
        upsert(connection, manifest_sequence, [{"name": f"seen by {who}", "value": sequence}])


def _sequence(ledger: Ledger, name: str) -> int:
    with ledger.reading() as connection:
        return connection.scalar(sa.select(manifest_sequence.c.value).filter_by(name=name)) or 0


def changed_between(ledger: Ledger, after: int, until: int, size: int) -> Iterator[set[str]]:
    """Tags of the batches that were announced after one sequence, until another one, in pages."""
    while events := events_after(ledger, after, size):
        tags = {str(each.body["batch_tag"]) for each in events if each.sequence <= until}
        if tags:
            yield tags
        after = events[-1].sequence
        if after >= until:
            return


def forget_announcements(ledger: Ledger, now: float, limit: int) -> int:
    """Delete some announcements that were kept long enough. Returns how many: all if less than `limit`."""
    old = sa.select(manifest_event.c.sequence).where(manifest_event.c.at < now - KEPT_S)
    with ledger.transaction() as connection:
        sequences = connection.scalars(old.order_by(manifest_event.c.at).limit(limit)).all()
        connection.execute(manifest_event.delete().where(manifest_event.c.sequence.in_(sequences)))
    return len(sequences)


def expired(
    connection: sa.Connection, before: float, told: sa.ColumnElement[bool], limit: int
) -> Sequence[str]:
    """Some batches that expired before a time, are `told`, and have left: the first ones. They are locked."""
    m = _manifest.c
    # As the index has it: a parameter would not be recognised as the same condition.
    query = sa.select(m.batch_tag).where(m.gone == sa.literal_column("'expired'"), m.gone_at < before, told)
    query = query.where(m.file == "", m.recorded_with.is_(None), m.purge.is_(False))
    return connection.scalars(query.order_by(m.gone_at).limit(limit).with_for_update()).all()


def forget(connection: sa.Connection, batch_tags: Sequence[str]) -> None:
    """Delete the rows of batches: a redelivery of one is a new batch."""
    connection.execute(_manifest.delete().where(_manifest.c.batch_tag.in_(batch_tags)))
