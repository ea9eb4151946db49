"""A CRM as a folder of CSV files, as an export gives it: a file is a table, its first line the columns.

The files are read as a stream into a private SQLite file, which is then read like any other: a mapping's SQL
is in SQLite's dialect. Every value is text, and an empty one is NULL. An export that is written meanwhile is
read again. What cannot be read for certain is an error that names the file and the line, never a guess.

What belongs here: the folder, the forms of CSV, and the token of its state.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import sqlite3
import stat
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from ingest_assets.model import SourceUnavailableError, digest_of
from ingest_assets.sandbox.limits import Grants, Limits
from ingest_assets.sources.crm.databases.sqlite import SqliteFile, SqliteSnapshot

SUFFIX = ".csv"
_DELIMITERS = ",;\t|"
_BLOCK = 1 << 20
_ATTEMPTS = 3
_TICK_NS = 20_000_000  # kernels stamp files with a clock of 1 to 10 ms
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_MAX_FIELD = 64 << 20  # characters


@dataclass(slots=True)
class CsvFolder:
    """A folder of CSV files. `lookups` is the SQL that looks rows up: the columns it names get an index."""

    path: Path
    lookups: tuple[str, ...] = ()
    uncounted: str = ""
    dialect: str = "sqlite"

    @property
    def where(self) -> str:
        return f"CRM_DB_PATH: {self.path}"

    @property
    def identity(self) -> str:
        return os.path.normpath(self.path.absolute())

    def signature(self) -> str | None:
        """Of the files' names, sizes, times and inodes; times are trusted once the clock has moved on."""
        try:
            for _ in range(_ATTEMPTS):
                state, changed_at = self._state()
                age = time.time_ns() - changed_at
                if not 0 <= age < _TICK_NS:
                    return digest_of(*state)
                time.sleep((_TICK_NS - age) / 1e9)
            return digest_of(*state, str(time.time_ns()))  # it keeps changing: equal to no other
        except (OSError, SourceUnavailableError):
            return None

    def inside(self) -> CsvFolder:
        return replace(self, path=self.path.absolute())

    def grants(self) -> Grants:
        return Grants(read=(Path(os.path.realpath(self.path)),))

    def bounds(self, given: Limits) -> Limits:
        """As given, and room for the file that the folder becomes, with its indexes."""
        try:
            size = sum(each.stat().st_size for each in self._files())
        except (OSError, SourceUnavailableError):
            size = 0  # reading it says what is wrong
        return replace(given, file_bytes=given.file_bytes + 6 * size)

    def connect(self) -> None:
        """A folder needs no connection."""

    def rights(self) -> str:
        return ""

    @contextmanager
    def snapshot(self) -> Iterator[SqliteSnapshot]:
        with ExitStack() as stack:
            try:
                file = self._loaded(stack)
            except OSError as error:
                raise self._failure(self.path, f"cannot be read: {error.strerror or error}") from error
            except sqlite3.Error as error:
                raise SourceUnavailableError(
                    f"{self.where}: there is no room for a copy of it in {tempfile.gettempdir()}, or it does "
                    f"not fit in a table. (SQLite: {error}.)"
                ) from error
            yield stack.enter_context(SqliteFile(file).snapshot())

    def _loaded(self, stack: ExitStack) -> Path:
        """The folder as an SQLite file that nobody changed meanwhile."""
        for _ in range(_ATTEMPTS):
            before, _ = self._state()
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crm-csv-")))
            try:
                self._load(place / "snapshot.sqlite")
            except SourceUnavailableError:
                if self._state()[0] == before:
                    raise
                continue  # a file that is being written may end in the middle of a row
            if self._state()[0] == before:
                return place / "snapshot.sqlite"
            time.sleep(0.2)
        raise self._failure(
            self.path, "was changed each time it was read. Try again when the export is complete"
        )

    def _load(self, target: Path) -> None:
        with closing(sqlite3.connect(target, isolation_level=None)) as copy:
            copy.execute("PRAGMA journal_mode=OFF")
            copy.execute("PRAGMA synchronous=OFF")  # a crash takes the copy with it anyway
            tables: set[str] = set()
            for file in self._files():
                table = file.name[: -len(SUFFIX)]
                if not table or table.casefold() in tables or table.casefold().startswith("sqlite_"):
                    raise self._failure(file, "gives a table that there is already, or none. Rename it")
                tables.add(table.casefold())
                copy.execute("BEGIN")
                self._load_file(copy, file, table)
                copy.execute("COMMIT")

    def _load_file(self, copy: sqlite3.Connection, file: Path, table: str) -> None:
        rows = self._rows(file)
        with closing(rows):
            columns = self._header(file, next(rows, []))
            listed = ", ".join(_quoted(column) for column in columns)
            copy.execute(f"CREATE TABLE {_quoted(table)} ({listed})")
            insert = f"INSERT INTO {_quoted(table)} VALUES ({', '.join('?' * len(columns))})"
            for row in rows:
                copy.execute(insert, [cell or None for cell in row])
        named = " ".join(self.lookups).casefold()
        for number, column in enumerate(columns):
            if column.casefold() in named:
                name = _quoted(f"{table} {number}")
                copy.execute(f"CREATE INDEX {name} ON {_quoted(table)} ({_quoted(column)})")

    def _rows(self, file: Path) -> Generator[list[str]]:
        """The header, then every row, each as wide as it. Empty lines are left out."""
        csv.field_size_limit(_MAX_FIELD)
        with _opened(file) as binary, io.TextIOWrapper(binary, self._encoding(file), newline="") as text:
            lines = _Lines(text)
            try:
                first = next((line for line in lines if line.strip()), "")
                reader = csv.reader(chain([first], lines), delimiter=_delimiter(first), strict=True)
                width = 0
                for row in reader:
                    if not row:
                        continue
                    width = width or len(row)
                    if len(row) != width:
                        why = f"has {len(row)} values in line {lines.number:,}, and {width} columns"
                        raise self._failure(file, why)
                    yield row
            except (csv.Error, UnicodeError) as error:
                raise self._failure(file, f"cannot be read in line {lines.number:,}: {error}") from error

    def _header(self, file: Path, row: Sequence[str]) -> list[str]:
        names = [name.strip() for name in row]
        if not names:
            raise self._failure(file, "is empty: its first line must name the columns")
        if not all(names):
            raise self._failure(
                file, f"has no name for column number {names.index('') + 1} in its first line"
            )
        lower = [name.casefold() for name in names]
        if twice := [name for name in names if lower.count(name.casefold()) > 1]:
            raise self._failure(file, f'has two columns named "{twice[0]}"')
        return names

    def _encoding(self, file: Path) -> str:
        """By the mark at its start; else UTF-8 if all of it is, else Windows-1252 if all of it is."""
        with _opened(file) as binary:
            start = binary.read(4)
            for mark, encoding in _MARKS:
                if start.startswith(mark):
                    return encoding
            for encoding in ("utf-8", "cp1252"):
                binary.seek(0)
                if _is_text(binary, encoding):
                    return encoding
        raise self._failure(
            file, "is not text in UTF-8, UTF-16 with its mark, or Windows-1252. Save it as UTF-8"
        )

    def _files(self) -> list[Path]:
        """The tables, in order. A link could lead anywhere, and a pipe would never end."""
        if not self.path.is_dir():
            raise self._failure(self.path, "is not a folder")
        files = sorted(each for each in self.path.iterdir() if each.name.lower().endswith(SUFFIX))
        for each in files:
            if not stat.S_ISREG(each.lstat().st_mode):
                raise self._failure(each, "is not a regular file. Put the file itself there")
        if not files:
            raise self._failure(
                self.path, "holds no .csv file, so it is not a CRM. Check the path, or the export"
            )
        return files

    def _state(self) -> tuple[list[str], int]:
        """What a change of the folder changes, and when the latest one was made (ns)."""
        state, latest = [], 0
        for each in self._files():
            found = each.lstat()
            state.append(
                f"{each.name}\0{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
            )
            latest = max(latest, found.st_mtime_ns, found.st_ctime_ns)
        return state, latest

    def _failure(self, file: Path, why: str) -> SourceUnavailableError:
        return SourceUnavailableError(f"CRM_DB_PATH: {file} {why.rstrip('.')}.")


class _Lines:
    """The lines of a text, with the number of the last one."""

    def __init__(self, text: Iterable[str]) -> None:
        self._text = iter(text)
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._text)
        self.number += 1
        return line


def _opened(file: Path) -> io.BufferedReader:
    """A regular file, opened without following a link and without waiting for a pipe. Raises OSError."""
    flags = (
        os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    return os.fdopen(os.open(file, flags), "rb")


def _is_text(binary: io.BufferedReader, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        while block := binary.read(_BLOCK):
            if b"\0" in block:
                return False
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _delimiter(header: str) -> str:
    """The one that is commonest in the header, outside quotes."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(_DELIMITERS, key=bare.count)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
