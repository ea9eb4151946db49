"""What other systems answer: an embedding endpoint, Qdrant; and the rows of the log of calls, as found.

What belongs here: answers to requests of ours.
"""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import numpy as np

from ingest_assets import audit_log
from ingest_assets.collection.server import Connection, Endpoint, ServerStore
from ingest_assets.embedding import DenseSpec
from ingest_assets.embedding.endpoint import EndpointModel
from ingest_assets.ledger import Ledger
from ingest_assets.model import RequestError
from ingest_assets_tests.embedding.endpoint_server import good_answer
from ingest_assets_tests.fuzz.target import Parse, Place, Target, divided, joined

_TEXTS = ["one", "two"]
_DIMENSION = 8
_WAIT_S = 3.0


class _Answering:
    """A server on loopback that answers every request with the same bytes, and hangs up."""

    def __init__(self) -> None:
        self.answer = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    @contextmanager
    def running(self) -> Iterator[_Answering]:
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            thread.join(_WAIT_S)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # it was closed: the end
                return
            with connection, suppress(OSError):  # the client may hang up at any time
                connection.settimeout(_WAIT_S)
                _read_request(connection)
                connection.sendall(self.answer)


def _read_request(connection: socket.socket) -> None:
    head, _, body = b"", b"", b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(1 << 16)
        if not piece:
            return
        head += piece
    head, _, body = head.partition(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    while len(body) < length and (piece := connection.recv(1 << 16)):
        body += piece


def _response(status: bytes, body: object, *headers: bytes) -> bytes:
    return joined(
        b"\r\n".join((b"HTTP/1.1 " + status, b"Content-Type: application/json", *headers)),
        json.dumps(body).encode(),
    )


def _sent(data: bytes) -> bytes:
    head, body = divided(data, 2)
    length = b"" if b"content-length" in head.lower() else b"\r\nContent-Length: %d" % len(body)
    return head + length + b"\r\nConnection: close\r\n\r\n" + body


# --- An embedding endpoint ----------------------------------------------------------------------------------


@contextmanager
def _embedding(_place: Place) -> Iterator[Parse]:
    """Vectors that are taken are what the index can hold."""
    with _Answering().running() as server:
        spec = DenseSpec(
            kind="endpoint",
            model="m",
            url=server.url,
            dimension=_DIMENSION,
            max_attempts=1,
            timeout_s=_WAIT_S,
        )

        def parse(data: bytes) -> None:
            server.answer = _sent(data)
            model = EndpointModel(spec)
            with closing(model):
                vectors = model.embed(_TEXTS)
            assert vectors.shape == (len(_TEXTS), _DIMENSION)
            assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)

        yield parse


def _embedding_answers() -> list[bytes]:
    good = good_answer({"model": "m", "input": _TEXTS})
    return [
        _response(b"200 OK", good),
        _response(b"400 Bad Request", {"error": {"message": "too long"}}),
        _response(b"429 Too Many Requests", {"detail": "later"}, b"Retry-After: 1"),
        _response(
            b"503 Service Unavailable", {"error": "busy"}, b"Retry-After: Wed, 21 Oct 2026 07:28:00 GMT"
        ),
    ]


# --- Qdrant -------------------------------------------------------------------------------------------------


@contextmanager
def _qdrant(_place: Place) -> Iterator[Parse]:
    """Its answers to what is asked first, good ones and errors."""
    with _Answering().running() as server:
        wait_s = int(_WAIT_S)
        endpoint = Endpoint(urls=[server.url], search_timeout_s=wait_s, admin_timeout_s=wait_s)
        store = ServerStore(Connection(endpoint))

        def parse(data: bytes) -> None:
            server.answer = _sent(data)
            errors: list[Exception] = []
            asked: tuple[Callable[[], object], ...] = (
                lambda: store.live("mine"), lambda: store.generations("mine"), lambda: store.mark("mine", 1),
            )  # fmt: skip
            for ask in asked:
                try:
                    ask()
                except Target.allowed as error:
                    errors.append(error)
            if len(errors) == len(asked):
                raise errors[-1]

        yield parse
        store.close()


def _qdrant_answers() -> list[bytes]:
    def answer(result: object) -> dict[str, object]:
        return {"result": result, "status": "ok", "time": 0.001}

    return [
        _response(b"200 OK", answer({"aliases": [{"alias_name": "mine", "collection_name": "mine__3"}]})),
        _response(b"200 OK", answer({"collections": [{"name": "mine__3"}, {"name": "other"}]})),
        _response(
            b"404 Not Found", {"status": {"error": "Not found: Collection `x` doesn't exist!"}, "time": 0.1}
        ),
        _response(b"500 Internal Server Error", {"status": {"error": "Service internal error"}}),
    ]


# --- The log of calls ---------------------------------------------------------------------------------------

_COLUMNS = ("at", "who", "transport", "tool", "arguments", "outcome", "message", "digest")


@contextmanager
def _tampering(place: Place) -> Iterator[Parse]:
    """Each line puts a value of a type into a column of a row, or into the head. Every change shows."""
    path = place.folder / "ledger.sqlite"
    ledger = Ledger(f"sqlite:///{path}")
    for number in range(4):
        with ledger.transaction() as connection:
            audit_log.append(
                connection, who="ada", transport="http", tool=f"tool {number}", arguments={"a": "é"},
                outcome="ok",
                message="",
            )  # fmt: skip
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        rows, heads = _rows(raw, "audit_log"), _rows(raw, "audit_log_head")
        guards = raw.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()

        def parse(data: bytes) -> None:
            _without_guards(raw, guards, lambda: _tamper(raw, data))
            try:
                changed = (_rows(raw, "audit_log"), _rows(raw, "audit_log_head")) != (rows, heads)
                found = audit_log.verify(ledger)
                assert found.is_intact == (not changed), found
            finally:
                _without_guards(raw, guards, lambda: _restore(raw, rows, heads))

        yield parse
    ledger.close()


def _rows(raw: sqlite3.Connection, table: str) -> list[tuple[object, ...]]:
    """As SQLite stores them: a text is not the same as the bytes of it."""
    raw.text_factory = bytes
    order = "number" if table == "audit_log" else "id"
    found = raw.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()
    columns = [row[1].decode() for row in raw.execute(f"PRAGMA table_info({table})")]
    kinds = raw.execute(
        f"SELECT {', '.join(f'typeof({c})' for c in columns)} FROM {table} ORDER BY {order}"
    ).fetchall()
    return [tuple(zip(kind, row, strict=True)) for kind, row in zip(kinds, found, strict=True)]


def _without_guards(
    raw: sqlite3.Connection, guards: list[tuple[bytes, bytes]], action: Callable[[], object]
) -> None:
    raw.execute("BEGIN")
    for name, _ in guards:
        raw.execute(f"DROP TRIGGER {_text(name)}")
    action()
    for _, statement in guards:
        raw.execute(_text(statement))
    raw.execute("COMMIT")


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()


def _tamper(raw: sqlite3.Connection, data: bytes) -> None:
    for line in data.split(b"\n"):
        where, _, rest = line.partition(b" ")
        column, _, value = rest.partition(b" ")
        column_name = _COLUMNS[column[0] % len(_COLUMNS)] if column else "who"
        place = "CAST(? AS TEXT)" if value[:1] == b"c" else "?"  # a text, whether or not it is UTF-8
        with suppress(sqlite3.Error):  # a constraint of the table
            if where == b"delete":
                raw.execute("DELETE FROM audit_log WHERE number = ?", (len(rest) % 5,))
            elif where == b"head":
                raw.execute(
                    f"UPDATE audit_log_head SET {'number' if column == b'n' else 'digest'} = {place}",
                    (_value(value),),
                )
            elif where.isdigit():
                raw.execute(
                    f"UPDATE audit_log SET {column_name} = {place} WHERE number = ?",
                    (_value(value), int(where[:3])),
                )


def _value(value: bytes) -> object:
    kind, rest = value[:1], value[1:]
    if kind in (b"b", b"c"):
        return rest
    if kind == b"f":
        try:
            return float(rest)
        except ValueError:
            return None
    return int(rest[:15]) if kind == b"i" and rest.isdigit() else rest.decode("utf-8", "replace")


def _restore(
    raw: sqlite3.Connection, rows: list[tuple[object, ...]], heads: list[tuple[object, ...]]
) -> None:
    for table, kept in (("audit_log", rows), ("audit_log_head", heads)):
        raw.execute(f"DELETE FROM {table}")
        for row in kept:
            values = [_stored(*each) for each in row]  # type: ignore[misc]
            raw.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)


def _stored(kind: bytes, value: object) -> object:
    return value.decode() if kind == b"text" and isinstance(value, bytes) else value


TARGETS = (
    Target(
        name="embedding_answers", open=_embedding, seeds=_embedding_answers, brief=25,
        tokens=(b"null", b"NaN", b"Infinity", b"1e400", b"[]", b"{}", b'"', b"[" * 2_000, b"-1", b"true",
                b'"index": 0', b'"data": ', b"HTTP/1.1 ", b"200", b"302", b"Location: /\r\n", b"\r\n",
                b"Content-Encoding: gzip\r\n", b"Retry-After: ", b"\xff", b"Transfer-Encoding: chunked\r\n",
                b"+99999999999999", b"9999", b'"1"', b'{"error": {"message": '),
    ),
    Target(
        name="qdrant_answers", open=_qdrant, seeds=_qdrant_answers, brief=25,
        tokens=(b"null", b"NaN", b"1e400", b"[]", b"{}", b'"', b"[" * 2_000, b"mine__", b"mine__\xc2\xb2",
                b"HTTP/1.1 ", b"302", b"\r\n", b"Content-Encoding: gzip\r\n", b"\xff", b'"result": ',
                b"204 No", b"429 Too", b"Retry-After: x\r\n"),
    ),
    Target(
        name="audit_rows", open=_tampering, brief=40, allowed=(RequestError,),
        seeds=lambda: [b"2 b tbo\n", b"3 h tabc\nhead d tabc", b"1 a f1e999\n4 c b\xff",
        b"head n i2\n4 b c\xff", b"delete x\n2 d i5"],
        tokens=(b"head n ", b"head d ", b"t", b"b\xff", b"c\xff", b"f1e999", b"fnan", b"i1", b"\n",
                b"delete ", b"1 a ", b"2 h ", b"t" + b"0" * 64),
    ),
)  # fmt: skip
