"""Dagster's record of a run that this process executes: what goes wrong with it, and what it costs.

What belongs here: the files that events are written to. What does not: opening the instance (`instance`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS

from ingest_assets.model import UnavailableError
from ingest_assets.redaction import without_secrets

_new_files: list[bytes] = []  # what a file has in which no event is recorded yet; at most one


@contextmanager
def recorded(instance: dg.DagsterInstance) -> Iterator[None]:
    """For the duration of a run. Raises UnavailableError when Dagster cannot record it, as on a full disk."""
    try:
        yield
    except (sa.exc.OperationalError, sqlite3.OperationalError) as error:
        reason = error.orig if isinstance(error, sa.exc.OperationalError) else error
        raise UnavailableError(
            f"Dagster cannot record the run below {instance.root_directory}, or where its dagster.yaml says: "
            f"{str(reason).strip().rstrip('.')}. What the run did is kept. Make room, and run it again."
        ) from without_secrets(error)


@contextmanager
def records_kept_open(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """For the duration of a run, keep the files open that Dagster records it in.

    Dagster opens and closes them for each event. Whoever is the last to close a file of SQLite copies its
    write-ahead log into it and flushes both to disk, which takes longer than writing the event. Events are
    on the disk as early as before. On a server's database there is nothing to do.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        yield
        return
    _create_file(storage, run_id)
    runs = Path(storage.path_for_shard(INDEX_SHARD_NAME)).parents[1] / "runs.db"
    with ExitStack() as stack:
        stack.enter_context(_one_engine_each(storage))
        connection = stack.enter_context(closing(sqlite3.connect(runs)))
        connection.execute("select count(*) from sqlite_master").fetchone()  # it is opened by reading it
        yield


def _create_file(storage: SqliteEventLogStorage, run_id: str) -> None:
    """Create the file that a run is recorded in. After the first one of this process, it is a copy of that.

    For a new file Dagster reads its history of migrations several times, which takes as long as ten events.
    """
    file = Path(storage.path_for_shard(run_id))
    if _new_files:
        file.write_bytes(_new_files[0])
    with storage.run_connection(run_id):
        pass
    if not _new_files:
        _new_files.append(file.read_bytes())


@contextmanager
def _one_engine_each(storage: SqliteEventLogStorage) -> Iterator[None]:
    """Have Dagster reach each of its files through one engine, which keeps it open.

    It makes another one for each event, which compiles every statement again: half of what an event costs.
    """
    engines: dict[str, sa.Engine] = {}
    through_another = storage._connect

    @contextmanager
    def connect(file: str) -> Iterator[sa.Connection]:
        if file not in engines:
            with through_another(file):  # makes the tables of a new file
                pass
            engines[file] = sa.create_engine(
                storage.conn_string_for_shard(file), connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
            )
        with storage._db_lock, engines[file].begin() as connection:
            yield connection

    storage._connect = connect  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del storage._connect  # what the class has is seen again
        for engine in engines.values():
            engine.dispose()
