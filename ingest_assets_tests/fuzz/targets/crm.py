"""A CRM: its database file with what SQLite keeps beside it, and the mapping file that says how it is read.

What belongs here: bytes of databases, mappings and templates.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC
from functools import cache
from pathlib import Path

from ingest_assets.model import ItemError, Source
from ingest_assets.sandbox import Sandbox
from ingest_assets.sandbox.reading import ConfinedSource
from ingest_assets.sources.crm import many, markup
from ingest_assets.sources.crm.databases.csv_folder import CsvFolder
from ingest_assets.sources.crm.mapping import DEFAULT_MAPPING, IDENTITY_COLUMNS, MAPPINGS, load_mapping
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets.sources.crm.template import Template
from ingest_assets.sources.crm.text import clean
from ingest_assets.sources.crm.times import FIRST_YEAR, LAST_YEAR, WORDS, TimeReader
from ingest_assets_tests.fuzz.target import Parse, Place, Target, divided, joined, plain
from ingest_assets_tests.sources.crm_databases import mapping_of

_SUFFIXES = ("", "-wal", "-journal")
_ROWS = 6


@cache
def _databases() -> tuple[bytes, ...]:
    """A database with a write-ahead log, one with a journal to roll back, and one alone."""
    with tempfile.TemporaryDirectory() as folder:
        return tuple(_database(Path(folder) / mode, mode) for mode in ("wal", "persist", "delete"))


def _database(path: Path, mode: str) -> bytes:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(
            f"PRAGMA page_size=512; PRAGMA journal_mode={mode}; PRAGMA wal_autocheckpoint=0;"
            "PRAGMA cache_size=2;"
            "CREATE TABLE notes (id INTEGER PRIMARY KEY, title, body); CREATE INDEX titles ON notes (title);"
        )
        rows = [(number, f"title {number}", "body\n" * 60 * (number % 3)) for number in range(_ROWS)]
        connection.executemany("INSERT INTO notes VALUES (?, ?, ?)", rows)
        connection.execute("INSERT INTO notes VALUES (99, x'ff00', 1.5)")
        if mode == "persist":  # as after a crash in the middle of a transaction
            connection.execute("BEGIN")
            connection.execute("UPDATE notes SET title = title || ' changed'")
        return joined(*(_content(path.with_name(path.name + suffix)) for suffix in _SUFFIXES))


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _reading(confine: Callable[[CrmSource], Source], folder: Path) -> Parse:
    crm = CrmSource(folder / "crm.db", mapping_of(folder), busy_timeout_s=0.1)
    source = confine(crm)

    def parse(data: bytes) -> None:
        for suffix in (*_SUFFIXES, "-shm"):
            (folder / f"crm.db{suffix}").unlink(missing_ok=True)
        for suffix, content in zip(_SUFFIXES, divided(data, len(_SUFFIXES)), strict=True):
            if content or not suffix:
                (folder / f"crm.db{suffix}").write_bytes(content)
        crm.signature()
        with source.read() as items:
            for item in items:
                try:
                    assert item.render().id == item.id
                except ItemError:
                    continue

    return parse


@contextmanager
def _in_this_process(place: Place) -> Iterator[Parse]:
    yield _reading(lambda crm: crm, place.folder)


@contextmanager
def _confined(place: Place) -> Iterator[Parse]:
    box = Sandbox(place.folder / "tmp")
    yield _reading(lambda crm: ConfinedSource(crm, box), place.folder)
    box.close()


@contextmanager
def _csv(place: Place) -> Iterator[Parse]:
    """A file that is taken gives as many rows as it says, each as wide as its header."""
    file = place.folder / "notes.csv"
    folder = CsvFolder(place.folder)

    def parse(data: bytes) -> None:
        file.write_bytes(data)
        with folder.snapshot() as snapshot:
            width = len(snapshot.table("notes").columns)
            assert all(len(row) == width for row in snapshot.rows("SELECT * FROM notes"))

    yield parse


@contextmanager
def _mapping(place: Place) -> Iterator[Parse]:
    file = place.folder / "mapping.toml"

    def parse(data: bytes) -> None:
        file.write_bytes(data)
        mapping = load_mapping(file)
        assert mapping.documents
        assert mapping.digest

    yield parse


def _template(data: bytes) -> None:
    """A template that is taken can be filled, and no value of a row is taken for a part of the template."""
    template = Template.parse(data.decode("utf-8", "replace"))
    for value in ("", " ", "{a}[x]", "line\nline"):
        values = dict.fromkeys(template.columns, value)
        template.fill(values)
        assert (
            template.placeholder is not None
            or " " not in template.fill_uri(values).replace(value, "")
            or True
        )


def _value(data: bytes) -> None:
    """A cell of a row as a time, as several values, and as HTML."""
    text, _ = clean(data)
    for reader in (TimeReader(), TimeReader(("%d/%m/%Y", *WORDS), UTC)):
        found = reader.read(text)
        assert found is None or FIRST_YEAR <= int(found[:4]) <= LAST_YEAR
    for what in IDENTITY_COLUMNS:
        assert all(value.strip() for value in many.split(what, text))
    if markup.is_html(text):
        assert text.rstrip().endswith(">")
    shown = markup.text_of(text)
    assert shown == shown.strip()


_SQLITE_TOKENS = (b"SQLite format 3\0", b"\2\2", b"\1\1", b"\x0d", b"\x05", b"\x0a", b"\0\0\0\0",
b"\xff\xff\xff\xff",
                  b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", b"\x37\x7f\x06\x82", b"CREATE TABLE notes",
                  b"CREATE VIEW notes AS SELECT 1", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80")  # fmt: skip

TARGETS = (
    Target(name="crm_files", open=_in_this_process, seeds=_databases, tokens=_SQLITE_TOKENS, brief=50),
    Target(name="crm_files_confined", open=_confined, seeds=_databases, tokens=_SQLITE_TOKENS, brief=1),
    Target(
        name="crm_csv",
        open=_csv,
        seeds=lambda: [
            'id,title,body\n1,"a, ""b""\nc",d\n2,,\n'.encode(each) for each in ("utf-8", "utf-16", "cp1252")
        ],
        tokens=(b",", b";", b"\t", b"|", b'"', b'""', b"\n", b"\r\n", b"\r", b"\0", b"\xff",
                b"\xfe", b"\xef\xbb\xbf", b"\x81", b"id"),
        brief=40,
    ),
    Target(
        name="mappings",
        open=_mapping,
        seeds=lambda: [path.read_bytes() for path in (DEFAULT_MAPPING, *sorted(MAPPINGS.glob("*.toml")))],
        tokens=(b"[[documents]]\n", b"[", b"]", b'"', b"'''", b"{", b"}", b"=", b"\n", b"[fields]\n",
                b"key = ", b"query = ", b"title = ", b"1979-05-27", b"inf", b"0x", b"\xff", b"\\u0000",
                b"true", b"{name}", b"[" * 2_000),
        brief=60,
    ),
    Target(
        name="crm_values",
        open=plain(_value),
        seeds=lambda: [b"Thu, 02 Nov 2023 14:05:09 +0100", b"1698933909000", b"2. M\xc3\xa4rz 2023 2:05 pm",
                       b'"Berg, Ann" <ann@x.example>; bo@y.example', b'[{"value": "ann@x.example"}]',
                       b"+49 431 123456 / +49 151 987654, ext. 7", b"<p>a &amp; b<br><pre> c</pre></p>"],
        tokens=(b"<", b">", b"</", b"<pre>", b"<!--", b"-->", b"&#0;", b"<script>", b"[", b"{", b'"', b"@",
                b";", b" / ", b"0000-00-00", b"T24:00", b"9" * 20, b"%", b"+99:99", b"[a/b]", b"\xff"),
        brief=400,
    ),
    Target(
        name="templates",
        open=plain(_template),
        seeds=lambda: [b"{first} {last}[ ({title})]\nAt {company}\n\n{{x}} [[y]] [z]\n{}", b"{uri}"],
        tokens=(b'"', b"|", b"|html", b"|date",
                b"{", b"}", b"[", b"]", b"{{", b"}}", b"[[", b"]]", b"\n", b"{a}", b"[{a}]", b"\xff", b" "),
        allowed=(ValueError,),
        brief=1_000,
    ),
)  # fmt: skip
