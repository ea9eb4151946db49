"""Asking a Qdrant server: deadlines, repetitions, several nodes, certificates.

What belongs here: one request and what becomes of it. What does not: what is asked (`store`, `reader`,
`writer`).

Whatever is asked may be asked again: points are written and deleted by their ids, and what creates something
accepts that it is there already. So a request whose answer was lost is repeated like one that never arrived.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast
from urllib.parse import urlsplit, urlunsplit

from ingest_assets import certificates
from ingest_assets.collection.server.faults import CutError, Failure, GoneError, failure_of
from ingest_assets.collection.server.tls import Tls
from ingest_assets.model import ConfigurationError, IngestError
from ingest_assets.redaction import keep_secret, without_secrets
from ingest_assets.stopping import go_on, is_patient, waited_for

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

R = TypeVar("R")
Kind = Literal["search", "write", "admin"]

OLDEST = (1, 16)  # the first version that keeps metadata of a collection, where marks are
# A person waits for a search: it is tried again at once, which helps if a connection was closed meanwhile.
_TRIES_AT_ONCE = 2
_BACKOFF_S, _MAX_BACKOFF_S = 0.2, 10.0
_MAX_RETRY_AFTER_S = 60.0
# When a connection was closed this often in a row, a proxy may find the request too long and not say so.
_CUT_IN_A_ROW = 5
_SLEEP_S = 0.5  # between two looks whether a waiting job was cancelled
_GRPC_PORT = 6334
# The server closes idle connections after 5 s.
_KEEP_ALIVE_S = 3.0
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server, or the nodes of a cluster, each of which answers for all of it."""

    urls: Sequence[str] = field(repr=False)
    api_key: str | None = field(default=None, repr=False)
    key_over_http: bool = False  # whether the key may be sent to another machine unencrypted
    tls: Tls = field(default_factory=Tls)
    grpc_port: int | None = None  # HTTP only, if None
    search_timeout_s: int = 5  # whole seconds, which is what the client knows
    write_timeout_s: int = 60
    admin_timeout_s: int = 60
    retry_s: float = 60.0  # for how long a run repeats a request that may succeed later

    def timeout_s(self, kind: Kind) -> int:
        """The deadline of one request."""
        return {
            "search": self.search_timeout_s,
            "write": self.write_timeout_s,
            "admin": self.admin_timeout_s,
        }[kind]

    def days(self, node: int) -> str:
        """What the day says of a node's certificate, or else of our files, as a clause."""
        parts = urlsplit(self.urls[node])
        port = self.grpc_port or parts.port or 443
        return certificates.shown_by(parts.hostname or "", port) or certificates.in_files(self.tls.files)


class _AgainError(Exception):
    """An attempt failed, but another one may succeed. Never leaves this module."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure.error))
        self.failure = failure


class Connection:
    """Sends requests to the node that answered last, and to the next one when it does not.

    Safe to share between threads. Connects when something is asked.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises ConfigurationError if the key would be sent unencrypted, or a certificate cannot be read."""
        self.endpoint = endpoint
        self.nodes = [_without_user(url) for url in endpoint.urls]
        self._clients: dict[tuple[int, Kind], QdrantClient] = {}
        self._current = 0
        self._lock = RLock()
        self.version: str | None = None
        self.concurrent = True  # whether several threads may ask at once
        if endpoint.api_key:
            keep_secret(endpoint.api_key)
            self._require_encrypted()
        endpoint.tls.check()

    @classmethod
    def over(cls, client: QdrantClient) -> Connection:
        """One that asks this client; the client's in-process mode is for one thread at a time."""
        connection = cls(Endpoint(urls=["http://localhost"]))
        kinds: tuple[Kind, ...] = ("search", "write", "admin")
        connection._clients = {(0, kind): client for kind in kinds}
        connection.concurrent = False
        connection.version = "in-process"
        return connection

    def only(self, node: int) -> Connection:
        """One that asks a single node."""
        endpoint = self.endpoint
        kept = {name: getattr(endpoint, name) for name in Endpoint.__slots__} | {
            "urls": [endpoint.urls[node]]
        }
        return Connection(Endpoint(**kept))

    def ask(
        self, kind: Kind, collection: str, what: Callable[[QdrantClient], R], *, divisible: bool = False
    ) -> R:
        """What a request returns, whose deadline is that of its kind. `collection` is for messages.

        A run repeats what may succeed later for as long as the settings say; a search is repeated at once.
        Raises UnavailableError, ConfigurationError or ItemError; soon CutError of one that is `divisible`.
        """
        if not self.concurrent:
            return self._attempt(kind, collection, what)
        return waited_for(partial(self._repeated, kind, collection, what, divisible=divisible))

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            clients, self._clients = set(self._clients.values()), {}
        for client in clients:
            client.close()

    # Repeating

    def _repeated(
        self, kind: Kind, collection: str, what: Callable[[QdrantClient], R], *, divisible: bool
    ) -> R:
        from tenacity import RetryCallState, Retrying, retry_if_exception_type

        nodes = len(self.nodes)
        patience = self.endpoint.retry_s if is_patient() else 0.0
        cuts = 0

        def stop(state: RetryCallState) -> bool:
            nonlocal cuts
            failed = state.outcome.exception() if state.outcome else None
            cut = isinstance(failed, _AgainError) and isinstance(failed.failure.error, CutError)
            cuts = cuts + 1 if cut else 0
            if divisible and cuts >= _CUT_IN_A_ROW:
                return True
            if state.attempt_number < nodes:
                return False  # there is another node to be asked
            passed = state.seconds_since_start or 0.0
            if patience:
                return passed >= patience
            return state.attempt_number >= max(_TRIES_AT_ONCE, nodes) or passed >= self.endpoint.timeout_s(
                kind
            )

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.failure.after_s if isinstance(error, _AgainError) else None
            if asked is not None and patience:
                return min(asked, _MAX_RETRY_AFTER_S)
            if state.attempt_number < nodes:
                return 0.0
            # The random part keeps many streams from coming back all at once.
            most = min(_MAX_BACKOFF_S, _BACKOFF_S * 2.0 ** min(state.attempt_number - nodes, 10))
            return random.uniform(most / 2, most)  # noqa: S311 - no secret

        retrying = Retrying(
            stop=stop, wait=wait, sleep=_sleep, retry=retry_if_exception_type(_AgainError), reraise=True
        )
        try:
            return cast("R", retrying(self._attempt, kind, collection, what, again=True))
        except _AgainError as error:
            raise error.failure.error from None

    def _attempt(
        self, kind: Kind, collection: str, what: Callable[[QdrantClient], R], *, again: bool = False
    ) -> R:
        node = self._current
        # What says that a certificate cannot be used is no failure of a request.
        client = self._client(node, kind)
        try:
            return what(client)
        except IngestError:
            raise
        except Exception as error:
            failure = failure_of(
                error,
                self.where(node, collection),
                self.endpoint.timeout_s(kind),
                partial(self.endpoint.days, node),
            )
            if failure is None:
                raise
            # A node that was away may not know of a collection yet. Who searches does not wait for it.
            lags = isinstance(failure.error, GoneError) and kind == "search" and not is_patient()
            if not failure.passes and not (lags and len(self.nodes) > 1):
                # The client's own error repeats the beginning of the answer.
                raise failure.error from without_secrets(error)
            with self._lock:
                if self._current == node:  # another thread may have moved on already
                    self._current = (node + 1) % len(self.nodes)
            if again:
                raise _AgainError(failure) from None
            raise failure.error from without_secrets(error)

    def where(self, node: int, collection: str = "") -> str:
        """A node, and a collection there, in messages."""
        return f"Qdrant at {self.nodes[node]}" + (f" ({collection})" if collection else "")

    @property
    def current(self) -> str:
        """The node that is asked now, in messages."""
        return self.where(self._current)

    def require_version(self, collection: str) -> None:
        """Raises ConfigurationError if the server is too old, or too new for the client."""
        if self.version is not None:
            return
        from importlib.metadata import version

        found = self.ask("search", collection, lambda client: client.info()).version
        numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
        if numbers < OLDEST:
            wanted = ".".join(map(str, OLDEST))
            raise ConfigurationError(
                f"{self.current} is version {found}, which cannot record whose a collection is: {wanted} or "
                "newer is needed. Upgrade it, or unset QDRANT_URL to use the engine in this process."
            )
        if numbers[0] > int((client := version("qdrant-client")).split(".")[0]):
            raise ConfigurationError(
                f"{self.current} is version {found}, which qdrant-client {client} does not know: upgrade "
                "Ingest Assets."
            )
        self.version = found

    # Connecting

    def _require_encrypted(self) -> None:
        for url, node in zip(self.endpoint.urls, self.nodes, strict=True):
            parts = urlsplit(url)
            if parts.scheme == "http" and parts.hostname not in _LOOPBACK and not self.endpoint.key_over_http:
                raise ConfigurationError(
                    f"QDRANT_API_KEY would be sent unencrypted to {node}. Use https://, or set "
                    "QDRANT_KEY_OVER_HTTP=true if nobody else can listen on that network."
                )

    def _client(self, node: int, kind: Kind) -> QdrantClient:
        with self._lock:
            if (node, kind) not in self._clients:
                self._clients[node, kind] = self._open(node, kind)
            return self._clients[node, kind]

    def _open(self, node: int, kind: Kind) -> QdrantClient:
        # Before the library is loaded: else it prints lines of its own when a connection fails.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        import httpx
        from qdrant_client import QdrantClient

        endpoint, url = self.endpoint, self.endpoint.urls[node]
        rest: dict[str, Any] = {"limits": httpx.Limits(keepalive_expiry=_KEEP_ALIVE_S)}
        grpc: dict[str, Any] = {}
        if urlsplit(url).scheme == "https":
            rest["verify"] = endpoint.tls.context()
            if endpoint.grpc_port is not None:
                host = urlsplit(url).hostname or ""
                grpc = endpoint.tls.grpc_options(host, endpoint.grpc_port, endpoint.timeout_s(kind))
        # A compressed answer comes in two parts, and the server keeps the second one back until the first is
        # acknowledged, which the system does after 40 ms.
        headers = {"accept-encoding": "identity"}
        if endpoint.api_key:  # as a header, because the client warns about one without TLS, which we decide
            headers["api-key"] = endpoint.api_key
        return QdrantClient(
            url=url,
            headers=headers,
            timeout=endpoint.timeout_s(kind),
            prefer_grpc=endpoint.grpc_port is not None,
            grpc_port=endpoint.grpc_port or _GRPC_PORT,
            grpc_options=grpc,
            check_compatibility=False,  # it would warn if the server is down; our own calls report it better
            **rest,
        )


def _sleep(seconds: float) -> None:
    until = time.monotonic() + seconds
    go_on()
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _SLEEP_S))
        go_on()


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
