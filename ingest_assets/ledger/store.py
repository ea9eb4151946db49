"""The ledger as a database: opening it, migrating it, transactions, and the writer's lock.

What belongs here: what differs between SQLite and Postgres. Queries live with the stage that asks them.
"""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from ingest_assets.certificates import postgres_begins, shown_by
from ingest_assets.ledger.advisory import AdvisoryLocks
from ingest_assets.ledger.files import lock_folder, make_private
from ingest_assets.ledger.lock_wait import LockWait
from ingest_assets.ledger.plans import read_in_order
from ingest_assets.ledger.remembered import Remembered
from ingest_assets.ledger.tables import metadata
from ingest_assets.model import ConfigurationError, UnavailableError

T = TypeVar("T")

HEAD = "0020"  # the newest revision in migrations/versions; a test compares the two
OLDEST_POSTGRES = 14  # the oldest release that its makers still mend
BUSY_TIMEOUT_S = 30
LOCK_POLL_S = 0.2
MIGRATION_WAIT_S = 60.0
# SQLite allows 32,766 bound values per statement, Postgres 65,535.
MAX_BOUND_VALUES = 30_000


class Ledger:
    """One open ledger. Cheap to open when it is up to date; safe to share between threads."""

    def __init__(self, url: str) -> None:
        """Open and migrate.

        Raises ConfigurationError when it is not an ingest ledger, or a newer one; UnavailableError when
        the database does not answer.
        """
        self._url = _parsed(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            make_private(Path(self._url.database or ""))
        self.engine = sa.create_engine(
            self._url,
            connect_args={"timeout": BUSY_TIMEOUT_S} if self.is_sqlite else {"connect_timeout": 10},
            pool_pre_ping=not self.is_sqlite,
            hide_parameters=True,  # they hold people's texts, and errors end up in logs
        )
        self._advisory = AdvisoryLocks(self.engine)
        self._remembered = Remembered(self._url.database) if self.is_sqlite and self._url.database else None
        if self.is_sqlite:
            sa.event.listen(self.engine, "connect", _configure_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        try:
            self._migrate()
        except sa.exc.DatabaseError as error:
            self.close()
            raise self._failure(error) from error
        except (ConfigurationError, UnavailableError):
            self.close()
            raise

    @property
    def name(self) -> str:
        """The URL without its password."""
        return self._url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that sees one consistent state, and is only read from."""
        with self._explained(), self.engine.connect() as connection:
            yield connection

    def remembered(self, key: Hashable, read: Callable[[], T]) -> T:
        """What `read` gives, which reads the ledger and nothing else; not read again while nothing changes.

        `key` stands for what is asked, and the value must not be changed. On Postgres it is read each time.
        """
        return read() if self._remembered is None else self._remembered.get(key, read)

    @contextmanager
    def session(self) -> Iterator[sa.Connection]:
        """A connection to keep for a while: temporary tables live as long as it does."""
        with self._explained(), self.engine.connect() as connection:
            self._advisory.require()
            yield connection.execution_options(ingest_begin="IMMEDIATE")

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A connection in one write transaction, committed at the end."""
        with self.session() as connection, connection.begin():
            yield connection

    @contextmanager
    def brief_transaction(self, timeout_s: float) -> Iterator[sa.Connection]:
        """A write transaction not worth waiting for, such as progress, which is written again soon.

        Raises UnavailableError when others hold the database, or a row, for longer than `timeout_s`.
        """
        milliseconds = max(1, int(timeout_s * 1000))
        with self.session() as connection:
            if not self.is_sqlite:
                with connection.begin():
                    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {milliseconds}")
                    yield connection
                return
            # A setting of the connection, which goes back to the pool: reset it afterwards.
            driver: Any = connection.connection
            driver.execute(f"PRAGMA busy_timeout = {milliseconds}")
            try:
                with connection.begin():
                    yield connection
            finally:
                driver.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")

    @contextmanager
    def lock(self, name: str, timeout_s: float, check: Callable[[], None] | None = None) -> Iterator[None]:
        """Be the only process that writes `name`, for the duration of the block.

        The lock is a file lock beside an SQLite ledger, in a folder that other users cannot enter, or an
        advisory lock on Postgres: both are released by the system when the process dies, so there is no
        lease to expire and no clock to trust. Ledgers in two schemas of one database do not see each other's
        locks.
        Raises UnavailableError when another process holds it for longer than `timeout_s`, and what `check`
        raises, which is called repeatedly during the wait.
        """
        manager = self._file_lock if self.is_sqlite else self._advisory_lock
        with manager(name, LockWait(name, timeout_s, check)):
            yield

    @contextmanager
    def _file_lock(self, name: str, wait: LockWait) -> Iterator[None]:
        from filelock import FileLock, Timeout

        lock = FileLock(lock_folder(Path(self._url.database or "")) / f"{name}.lock", mode=0o600)
        while not lock.is_locked:
            try:
                lock.acquire(timeout=LOCK_POLL_S)
            except Timeout:
                wait.require_time_left()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _advisory_lock(self, name: str, wait: LockWait, *, alone: bool = False) -> Iterator[None]:
        with ExitStack() as stack:
            with self._explained():
                stack.enter_context(self._advisory.hold(name, wait.require_time_left, alone=alone))
            yield

    def close(self) -> None:
        if self._remembered is not None:
            self._remembered.close()
        self.engine.dispose()

    def _migrate(self) -> None:
        self._require_version()
        if (before := self._revision()) == HEAD and self._is_wal():
            return
        with self._migration_lock(before):
            # Only now, because it writes to the file, which might have been another program's.
            self._is_wal(switch=True)
            if self._revision() != HEAD:
                with self.engine.begin() as connection:
                    _upgrade(connection)

    def _migration_lock(self, before: str | None) -> AbstractContextManager[None]:
        """On Postgres, while no run is at work: those of other hosts may be of the version before."""
        if self.is_sqlite:
            return self.lock("migration", MIGRATION_WAIT_S)
        said = (
            f"Runs of another version are at work on the ledger {self.name}, and this version has to change "
            f"its tables first (from revision {before} to {HEAD}). Try again when they have ended."
        )
        return self._advisory_lock("migration", LockWait("", MIGRATION_WAIT_S, said=said), alone=True)

    def _require_version(self) -> None:
        """Before anything is changed: a statement that an old server does not know would fail midway."""
        if self.is_sqlite:
            return
        with self.engine.connect():
            found = self.engine.dialect.server_version_info or ()
        if found and found[0] < OLDEST_POSTGRES:
            raise ConfigurationError(
                f"The ledger {self.name} is on Postgres {'.'.join(map(str, found))}, which is too old: "
                f"{OLDEST_POSTGRES} or newer is needed. Upgrade the server. Nothing was changed."
            )

    def _is_wal(self, *, switch: bool = False) -> bool:
        if not self.is_sqlite:
            return True
        with self.engine.connect() as connection:
            cursor: Any = (
                connection.connection.cursor()
            )  # outside a transaction: it cannot be changed inside one
            mode = cursor.execute(f"PRAGMA journal_mode{' = WAL' if switch else ''}").fetchone()[0]
        return bool(mode == "wal")

    def _revision(self) -> str | None:
        with self.engine.connect() as connection:
            tables = sa.inspect(connection).get_table_names()
            if "alembic_version" not in tables:
                # A Postgres database may be shared, as long as the names are free; a file must be ours alone.
                if set(tables) & (set(tables) if self.is_sqlite else set(metadata.tables)):
                    raise self._foreign(tables)
                return None
            revision: str | None = connection.scalar(sa.text("select version_num from alembic_version"))
        if revision is not None and not re.fullmatch(r"\d{4}", revision):
            raise self._foreign(tables)  # another program's, which also uses Alembic
        if revision is not None and revision > HEAD:
            raise ConfigurationError(
                f"The ledger {self.name} was written by a newer version (revision {revision}, this one "
                f"knows {HEAD}). Install that version, or point INGEST_LEDGER_URL elsewhere."
            )
        return revision

    def _foreign(self, found: Sequence[str]) -> ConfigurationError:
        return ConfigurationError(
            f"{self.name} holds tables that are not an ingest ledger's ({', '.join(sorted(found)[:5])}). "
            "Point INGEST_LEDGER_URL at a database, or a schema, of its own."
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns a failure of the database into one sentence; an error in our own SQL stays what it is."""
        try:
            yield
        except sa.exc.DatabaseError as error:
            if isinstance(error, sa.exc.OperationalError) or type(error) is sa.exc.DatabaseError:
                raise self._failure(error) from error
            raise

    def _failure(self, error: sa.exc.DatabaseError) -> Exception:
        reason = str(error.orig).strip().splitlines()[0] if error.orig else type(error).__name__
        if "not a database" in reason or "malformed" in reason:
            return ConfigurationError(
                f"The ledger {self.name} cannot be read: {reason}. Restore a backup, or rebuild it "
                "from the sources, without notes and logs: move the file away and run `ingest build`."
            )
        if any(each in reason for each in _FULL):
            return UnavailableError(
                f"The ledger {self.name} cannot be written: {reason}. What was there before is unchanged; "
                "make room, and try again."
            )
        if "certificate" in reason and (days := self._certificate_days()):
            return ConfigurationError(f"The ledger {self.name} cannot be used: {days}.")
        named_by = "INGEST_HOME" if self.is_sqlite else "DATABASE_URL or SUPABASE_DB_URL, whichever is set"
        return UnavailableError(
            f"The ledger {self.name} does not answer: {reason}. Check INGEST_LEDGER_URL, {named_by}."
        )

    def _certificate_days(self) -> str:
        """What the day says of the server's certificate; libpq says only that it is refused."""
        url = self._url
        return shown_by(url.host or "", url.port or 5432, postgres_begins)


# What databases say when their disk is full: SQLite, and Postgres in two ways.
_FULL = ("disk is full", "No space left on device", "could not extend file")


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # Neither the URL nor the error is shown: both may hold a password.
        raise ConfigurationError(
            "INGEST_LEDGER_URL is not a database URL. Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, "
            "with special characters in the password percent-encoded, or sqlite:///FILE."
        ) from None
    if parsed.get_backend_name() == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise ConfigurationError("INGEST_LEDGER_URL names no file: write sqlite:///FILE.")
    # The driver that we depend on, whatever SQLAlchemy's default is.
    return parsed.set(drivername="postgresql+psycopg2") if parsed.drivername == "postgresql" else parsed


def _configure_sqlite(dbapi_connection: Any, _record: object) -> None:
    # The driver must not open transactions by itself; `_begin_sqlite` does.
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    for pragma in (
        "synchronous = NORMAL",  # in WAL mode this survives a killed process, and never corrupts
        "foreign_keys = ON",
        # Pages of 4 KiB that are written before they are copied from the log into the file. With the usual
        # 1,000, each transaction of a large batch ends with such a copy and waits for the disk. With so many,
        # a run that brings ten thousand records writes on, and who closes the file last makes the copy.
        "wal_autocheckpoint = 32768",
        "temp_store = FILE",  # temporary tables grow with the corpus, memory must not
        "cache_size = -65536",  # KiB
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # A writer takes the write lock at once: a transaction that begins by reading could no longer be
    # upgraded once another has committed in between.
    mode = connection.get_execution_options().get("ingest_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)


def upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows, overwriting those with an existing primary key. All have the same columns."""
    if not rows:
        return
    names = tuple(rows[0])
    if connection.dialect.name != "sqlite":
        statement = _upsert(postgres_insert(table), table)
        connection.execute(statement, [{name: row[name] for name in names} for row in rows])
        return
    # Straight to the driver, which takes all that our rows hold as it is: SQLAlchemy would look at each value
    # of each row, which takes longer than writing it.
    statement, values = _sqlite_upsert(table, names)
    connection.exec_driver_sql(statement, [values(row) for row in rows])


@lru_cache(maxsize=256)
def _sqlite_upsert(
    table: sa.Table, names: tuple[str, ...]
) -> tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]:
    """The statement, and what gives the values of a row in the order in which it takes them."""
    compiled = _upsert(sqlite_insert(table), table).compile(dialect=sqlite_dialect(), column_keys=names)
    order = tuple(compiled.positiontup or ())
    if len(order) == 1:
        return str(compiled), lambda row: (row[order[0]],)
    return str(compiled), itemgetter(*order)


def _upsert(statement: Any, table: sa.Table) -> Any:
    keys = [c.name for c in table.primary_key]
    changes = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
    if changes:
        return statement.on_conflict_do_update(index_elements=keys, set_=changes)
    return statement.on_conflict_do_nothing(index_elements=keys)


def insert_if_absent(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> None:
    """Insert a row, unless there is one with its primary key."""
    insert: Any = sqlite_insert if connection.dialect.name == "sqlite" else postgres_insert
    connection.execute(insert(table).values(**row).on_conflict_do_nothing())


def count_up(connection: sa.Connection, counter: sa.Column[int], key: Mapping[str, Any], by: int = 1) -> int:
    """Increment a counter, from 0, and return it. Concurrent increments wait for this transaction."""
    add_up(connection, counter.table, key, {counter.name: by})
    number: int = connection.execute(sa.select(counter).filter_by(**key)).scalar_one()
    return number


def add_up(connection: sa.Connection, table: Any, key: Mapping[str, Any], more: Mapping[str, float]) -> None:
    """Add to columns of the row with this key, from 0. Concurrent additions wait for this transaction."""
    insert: Any = sqlite_insert if connection.dialect.name == "sqlite" else postgres_insert
    statement = insert(table).values({**key, **more})
    sums = {name: table.c[name] + value for name, value in more.items()}
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=sums))


def delete_keys(connection: sa.Connection, table: sa.Table, scope: Mapping[str, Any], column: str,
                keys: Iterable[str]) -> None:  # fmt: skip
    """Delete the rows in `scope` whose `column` is one of `keys`."""
    for part in batched(keys, MAX_BOUND_VALUES):
        where = [table.c[name] == value for name, value in scope.items()]
        connection.execute(table.delete().where(*where, table.c[column].in_(part)))


@contextmanager
def temporary_table(session: sa.Connection, table: sa.Table) -> Iterator[None]:
    """An empty temporary table on the session, for the duration of the block."""
    with session.begin():
        table.drop(session, checkfirst=True)
        table.create(session)
    try:
        yield
    finally:
        if session.in_transaction():
            session.rollback()
        with session.begin():
            table.drop(session, checkfirst=True)  # it went with its connection, if that was lost


def pages(
    ledger: Ledger, query: sa.Select[Any], key: sa.ColumnElement[str], size: int, *, after: str = ""
) -> Iterator[Sequence[Any]]:
    """The rows of a query, `size` at a time, in the order of `key`, one of its columns that is unique.

    Those whose key is greater than `after`. (With a bound in the query as well, SQLite may begin each page
    there, and look at all pages before it again.)

    Each page is a separate query that begins after the last key of the previous page: rows may be written
    between two pages, and no transaction stays open.
    """
    query = query.order_by(key).limit(size)
    while True:
        with ledger.reading() as connection:
            read_in_order(connection)
            page = fetched(connection.execute(query.where(key > after)))
        if page:
            yield page
        if len(page) < size:
            return
        after = getattr(page[-1], key.key or "")


def fetched(result: sa.CursorResult[Any]) -> list[Any]:
    """All rows, as named tuples: reading an attribute takes a tenth of the time that one of `sa.Row` does."""
    return list(map(_row_type(tuple(result.keys()))._make, result))


@lru_cache(maxsize=256)
def _row_type(names: tuple[str, ...]) -> Any:
    return namedtuple("Row", names)  # noqa: PYI024 - the names are those of a query


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size`, in order."""
    remaining = iter(items)
    while part := list(islice(remaining, size)):
        yield part
