"""A Qdrant server whose answers fail as told: the client's in-process mode behind HTTP.

What belongs here: the few requests that stores make, and faults. What does not: what Qdrant computes.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import RLock, Thread
from typing import Any, Literal

from qdrant_client import QdrantClient, models

Effect = Literal["before", "after", "half"]  # what of a request is carried out, before it fails


@dataclass(frozen=True)
class Fault:
    """What happens to a request. Status 0: its connection is cut."""

    status: int = 0
    said: str = "told to fail"
    effect: Effect = "before"
    headers: tuple[tuple[str, str], ...] = ()
    wait_s: float = 0.0


@dataclass
class FaultyServer:
    """Requests whose method and path match a pattern meet its faults, one after the other, then succeed."""

    url: str = ""
    plans: dict[str, list[Fault]] = field(default_factory=dict)
    strict: dict[str, Any] | None = None
    version: str = "1.18.3"
    largest: int = 32 << 20  # bytes of a request
    cuts_above: int = 32 << 20  # the connection of a longer one is closed without an answer
    readable: frozenset[str] | None = None  # the only names that the key may read; None: it may do all
    shards: list[dict[str, Any]] = field(default_factory=list)  # those at other nodes
    peers: list[int] = field(default_factory=list)  # of its cluster; none: it is alone
    copied: list[Any] = field(default_factory=list)  # shards that were asked to be copied to another one
    status: str | None = None  # of each collection; None: what it is
    asked: list[str] = field(default_factory=list)
    encodings: set[str | None] = field(default_factory=set)  # of answers, that were asked for

    def __post_init__(self) -> None:
        warnings.filterwarnings("ignore", "Payload indexes have no effect in the local Qdrant")
        self._client, self._lock = QdrantClient(":memory:"), RLock()

    def will(self, fails: str, *faults: Fault) -> None:
        """Fail the next requests like this."""
        self.plans, self.asked = {fails: list(faults)}, []

    @property
    def faults(self) -> list[Fault]:
        """Those that nothing has met yet."""
        return [fault for faults in self.plans.values() for fault in faults]

    def answer(self, method: str, path: str, body: Any) -> Any:
        """The result of a request. Raises KeyError and ValueError as the client does."""
        with self._lock:
            for pattern, answered in _ROUTES.items():
                if found := re.fullmatch(pattern, f"{method} {path}"):
                    return answered(self, body, *found.groups())
        raise AssertionError(f"nobody asks {method} {path}")

    def forbidden(self, path: str) -> str:
        """The name that this request needs and the key does not cover; "" if there is none."""
        found = re.match(r"/collections/([^/]+)", path)
        if self.readable is None or found is None or found[1] in self.readable:
            return ""
        return found[1]

    def aliases(self, _: Any) -> Any:
        """Those to collections that the key may read."""
        found, may = self._client.get_aliases().aliases, self.readable
        seen = [each for each in found if may is None or each.collection_name in may]
        return {"aliases": [each.model_dump(mode="json") for each in seen]}

    def next_fault(self, method: str, path: str) -> Fault | None:
        """What happens to this request."""
        with self._lock:
            self.asked.append(f"{method} {path}")
            plans = (faults for fails, faults in self.plans.items() if re.search(fails, f"{method} {path}"))
            faults = next(plans, [])
            return faults.pop(0) if faults else None

    def info(self, name: str) -> Any:
        """A collection, with the strict mode that was set."""
        found = self._client.get_collection(name).model_dump(mode="json")
        if self.strict is not None:
            found["config"]["strict_mode_config"] = {"enabled": True} | self.strict
        return found | ({"status": self.status} if self.status else {})

    def create(self, body: Any, name: str) -> bool:
        """Create a collection."""
        wanted = models.CreateCollection.model_validate(body)
        return self._client.create_collection(
            name,
            vectors_config=wanted.vectors or {},
            sparse_vectors_config=wanted.sparse_vectors,
            metadata=wanted.metadata,
        )

    def update(self, body: Any, name: str) -> bool:
        """Only metadata matters here."""
        return self._client.update_collection(name, metadata=body.get("metadata"))

    def upsert(self, body: Any, name: str) -> Any:
        """Write points, within the limits."""
        points = models.PointsList.model_validate(body).points
        most = (self.strict or {}).get("upsert_max_batchsize") or len(points)
        if len(points) > most:
            raise ValueError(f'Limit exceeded {len(points)} > {most} for "upsert limit"')
        return self._client.upsert(name, points).model_dump(mode="json")

    def remove(self, body: Any, name: str) -> Any:
        """Delete points."""
        return self._client.delete(name, models.PointIdsList.model_validate(body)).model_dump(mode="json")

    def query(self, body: Any, name: str) -> Any:
        """Several searches."""
        searches = models.QueryRequestBatch.model_validate(body).searches
        return [each.model_dump(mode="json") for each in self._client.query_batch_points(name, searches)]

    def scroll(self, body: Any, name: str) -> Any:
        """A page of points."""
        if body["limit"] > ((self.strict or {}).get("max_query_limit") or body["limit"]):
            raise ValueError('Limit exceeded for "limit"')
        wanted = body.get("filter")
        records, offset = self._client.scroll(
            name,
            scroll_filter=models.Filter.model_validate(wanted) if wanted else None,
            limit=body["limit"],
            offset=body.get("offset"),
            with_payload=body["with_payload"],
            with_vectors=body["with_vector"],
        )
        return {
            "points": [each.model_dump(mode="json") for each in records],
            "next_page_offset": offset,
        }

    def retrieve(self, body: Any, name: str) -> Any:
        """Points by their ids."""
        found = self._client.retrieve(name, body["ids"], with_vectors=body["with_vector"])
        return [each.model_dump(mode="json") for each in found]

    def count(self, body: Any, name: str) -> Any:
        """Exactly, unless that is forbidden."""
        if body["exact"] and (self.strict or {}).get("search_allow_exact") is False:
            raise ValueError("Exact search disabled!")
        return self._client.count(name).model_dump(mode="json")

    def cluster(self, _: Any) -> Any:
        """The nodes."""
        if not self.peers:
            return {"status": "disabled"}
        raft = {"term": 1, "commit": 1, "pending_operations": 0, "is_voter": True}
        return {
            "status": "enabled",
            "peer_id": 1,
            "peers": {str(each): {"uri": f"http://peer-{each}:6335/"} for each in self.peers},
            "raft_info": raft,
            "consensus_thread_status": {
                "consensus_thread_status": "working",
                "last_update": "2026-01-01T00:00:00Z",
            },
            "message_send_failures": {},
        }

    def copy(self, body: Any, name: str) -> bool:
        """Copy a shard to another node."""
        copied = body["replicate_shard"]
        self.copied.append((name, copied))
        self.shards.append(
            {"shard_id": copied["shard_id"], "peer_id": copied["to_peer_id"], "state": "Active"}
        )
        return True

    def alias(self, body: Any) -> bool:
        """Switch names."""
        changes = models.ChangeAliasesOperation.model_validate(body).actions
        return self._client.update_collection_aliases(changes)


_C = "/collections/([^/]+)"
_NO_SHARDS = {"peer_id": 1, "shard_count": 1, "local_shards": [], "shard_transfers": []}
_ROUTES: dict[str, Callable[..., Any]] = {
    "GET /aliases": FaultyServer.aliases,
    "GET /collections": lambda s, _: s._client.get_collections().model_dump(mode="json"),
    "POST /collections/aliases": FaultyServer.alias,
    f"GET {_C}": lambda s, _, name: s.info(name),
    "GET /cluster": FaultyServer.cluster,
    f"GET {_C}/cluster": lambda s, *_: _NO_SHARDS | {"remote_shards": s.shards},
    f"POST {_C}/cluster": FaultyServer.copy,
    f"PUT {_C}": FaultyServer.create,
    f"PATCH {_C}": FaultyServer.update,
    f"DELETE {_C}": lambda s, _, name: s._client.delete_collection(name),
    f"PUT {_C}/index": lambda *_: {"operation_id": 1, "status": "completed"},
    f"PUT {_C}/points": FaultyServer.upsert,
    f"POST {_C}/points/delete": FaultyServer.remove,
    f"POST {_C}/points/query/batch": FaultyServer.query,
    f"POST {_C}/points/scroll": FaultyServer.scroll,
    f"POST {_C}/points/count": FaultyServer.count,
    f"POST {_C}/points": FaultyServer.retrieve,
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_: FaultyServer

    def log_message(self, *_: object) -> None: ...

    def _serve(self) -> None:
        self.server_.encodings.add(self.headers.get("Accept-Encoding"))
        length = int(self.headers.get("Content-Length", 0))
        if length > self.server_.cuts_above:
            self._cut()
            return
        raw = self.rfile.read(length)
        path = self.path.partition("?")[0]
        if length > self.server_.largest:
            self._say(413, "<html>Request Entity Too Large</html>")
            return
        fault = self.server_.next_fault(self.command, path)
        body = json.loads(raw) if raw else None
        if fault is not None:
            time.sleep(fault.wait_s)
            self._carry_out(fault.effect, path, body)
            if fault.status:
                self._say(fault.status, json.dumps({"status": {"error": fault.said}}), fault.headers)
            elif not fault.wait_s:
                self._cut()
            return
        if path == "/":
            self._say(200, json.dumps({"title": "qdrant", "version": self.server_.version}))
            return
        if name := self.server_.forbidden(path):
            self._say(
                403, json.dumps({"status": {"error": f"Forbidden: Access to collection {name} is required"}})
            )
            return
        try:
            result = self.server_.answer(self.command, path, body)
        except (KeyError, ValueError) as error:
            status = 404 if "not found" in str(error) else 409 if "already exists" in str(error) else 400
            self._say(status, json.dumps({"status": {"error": str(error)}}))
            return
        self._say(200, json.dumps({"result": result, "status": "ok", "time": 0.0}))

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - named by the base class

    def _carry_out(self, effect: Effect, path: str, body: Any) -> None:
        if effect == "after":
            self.server_.answer(self.command, path, body)
        elif effect == "half":
            half = {"points": body["points"][: len(body["points"]) // 2]}
            self.server_.answer(self.command, path, half)

    def _say(self, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "application/json")
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _cut(self) -> None:
        # Without waiting for what is unsent: the client gets a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that refuses our certificate is what the test is about."""


@contextmanager
def faulty_server(tls: ssl.SSLContext | None = None) -> Iterator[FaultyServer]:
    """One on this machine, over https if there is a certificate."""
    told = FaultyServer()
    handler = type("Handler", (_Handler,), {"server_": told})
    with _Quiet(("127.0.0.1", 0), handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        told.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()
