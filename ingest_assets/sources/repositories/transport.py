"""Git over https, with every connection, redirect, byte and second under our own rules.

The protocol is dulwich's. The connections are ours: a name is resolved once, all its addresses are judged,
and the connection goes to one of those, so neither a redirect nor a second answer of the name's server leads
anywhere else. No proxy, credential helper or configuration of the machine is used.

What belongs here: HTTP. What does not: which refs are wanted, and what becomes of a pack (mirror).
"""

from __future__ import annotations

import base64
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urljoin, urlsplit

from ingest_assets.model import ConfigurationError, IngestError, UnavailableError
from ingest_assets.sources.repositories.policy import Policy, checked_host

if TYPE_CHECKING:
    from dulwich.client import AbstractHttpGitClient
    from urllib3 import BaseHTTPResponse, PoolManager

_CONNECT_S = 10.0
_STALL_S = 30.0  # between two bytes
_MAX_REDIRECTS = 3
_OVERHEAD = 2 << 20  # bytes that a conversation may have besides its pack: refs, progress
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"https": 443, "http": 80}
_NOT_THERE = frozenset({401, 403, 404, 410})
_USER_AGENT = "git/ingest-assets"  # some servers speak git's protocol only to a name that begins like this


class Budget:
    """Seconds and bytes that a conversation may take. When time is up its connections are cut.

    Cutting is what ends a wait inside the operating system or the TLS library, on a server that sends a byte
    now and then.
    """

    def __init__(self, what: str, seconds: float, max_bytes: int) -> None:
        self._what = what
        self._seconds = seconds
        self._ends = time.monotonic() + seconds
        self._max_bytes = max_bytes
        self._received = 0
        self._sockets: list[socket.socket] = []
        self._closing = ExitStack()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._closing.close()
        for kept in self._sockets:
            kept.close()

    @property
    def left_s(self) -> float:
        return self._ends - time.monotonic()

    def check(self) -> None:
        """Raises UnavailableError when the time is up."""
        if self.left_s <= 0:
            raise UnavailableError(f"{self._what} took longer than {self._seconds:g} s, and was given up.")

    def count(self, size: int) -> None:
        self._received += size
        if self._received > self._max_bytes + _OVERHEAD:
            raise ConfigurationError(
                f"{self._what} was given up: more than {self._max_bytes:,} bytes came, "
                "and the limit for a repository allows no more."
            )
        self.check()

    def watch(self, connection: socket.socket) -> None:
        self._sockets.append(connection.dup())  # TLS takes the socket itself over
        self.check()  # in case time was up before there was anything to cut

    def at_end(self, close: Callable[[], None]) -> None:
        self._closing.callback(close)

    def _cut(self) -> None:
        for kept in self._sockets:
            try:
                kept.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it had ended by itself


@contextmanager
def conversation(budget: Budget) -> Iterator[None]:
    """Whatever a network, a server or its bytes can raise, as a failure of ours."""
    from dulwich.client import HTTPUnauthorized
    from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
    from urllib3.exceptions import HTTPError

    try:
        yield
    except IngestError:
        raise
    except (NotGitRepository, HTTPUnauthorized) as error:
        raise ConfigurationError(
            "The server has no such repository, or it is private: check the URL, or set a token for the host."
        ) from error
    except HangupException as error:
        budget.check()
        raise UnavailableError("The server hung up in the middle.") from error
    except GitProtocolError as error:
        budget.check()
        raise UnavailableError(f"The server refused: {_one_line(error)}.") from error
    except (HTTPError, OSError) as error:
        budget.check()
        raise UnavailableError(f"The server could not be reached: {_reason(error)}.") from error
    except (AssertionError, KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
        # Bytes that are not git's protocol end in any of these, inside dulwich.
        budget.check()
        raise UnavailableError("The server does not speak git's protocol.") from error


def client(url: str, policy: Policy, budget: Budget) -> AbstractHttpGitClient:
    """A git client for one conversation with the repository at `url`."""
    from dulwich.client import AbstractHttpGitClient

    requests = _Requests(policy, budget)

    class Client(AbstractHttpGitClient):
        def _http_request(
            self,
            url: str,
            headers: dict[str, str] | None = None,
            data: bytes | Iterator[bytes] | None = None,
            raise_for_status: bool = True,  # noqa: ARG002, FBT001, FBT002 - dulwich's
        ) -> tuple[Any, Callable[[int], bytes]]:
            body = b"".join(data) if data is not None and not isinstance(data, bytes) else data
            return requests.send(url, headers or {}, body)

    # Thin packs: without them git sends a shallow mirror everything again, not what changed.
    return Client(url, thin_packs=True, quiet=True)


class _Requests:
    """HTTP requests within a policy and a budget."""

    def __init__(self, policy: Policy, budget: Budget) -> None:
        self._policy = policy
        self._budget = budget
        self._pool = _pool(policy, budget)

    def send(
        self, url: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[Any, Callable[[int], bytes]]:
        """The response, with what dulwich wants to know of it, and how to read it."""
        target, response = url, self._once(url, headers, body)
        for _ in range(_MAX_REDIRECTS):
            if response.status not in _REDIRECTS:
                break
            if body is not None:  # git's own client follows none here either
                raise UnavailableError("The server redirected in the middle of the conversation: refused.")
            target = urljoin(target, response.headers.get("Location", ""))
            response.close()
            response = self._once(target, headers, None)
        self._require_git(response, first=body is None)
        answer: Any = response
        answer.content_type = response.headers.get("Content-Type")
        answer.redirect_location = target if target != url else ""
        return answer, self._reader(response)

    def _once(self, url: str, headers: dict[str, str], body: bytes | None) -> BaseHTTPResponse:
        from urllib3 import Timeout

        self._budget.check()
        parts = urlsplit(url)
        if "@" in parts.netloc:
            raise ConfigurationError("The server redirected to a URL with credentials: refused.")
        self._policy.require_protocol(parts.scheme)
        if parts.scheme not in _PORTS:
            raise ConfigurationError("The server redirected to something that is not the web: refused.")
        host = checked_host(parts.hostname or "")
        self._policy.require_host(host)
        sent = headers | {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity", "Pragma": "no-cache"}
        token = self._policy.token_for(host, parts.port or _PORTS[parts.scheme], parts.scheme)
        if token:
            sent["Authorization"] = "Basic " + base64.b64encode(f"x-access-token:{token}".encode()).decode()
        left = max(self._budget.left_s, 0.01)
        return self._pool.request(
            "GET" if body is None else "POST", url, body=body, headers=sent, preload_content=False,
            redirect=False, retries=False, decode_content=False,
            timeout=Timeout(connect=min(left, _CONNECT_S), read=min(left, _STALL_S)),
        )  # fmt: skip

    def _require_git(self, response: BaseHTTPResponse, *, first: bool) -> None:
        self._budget.check()  # a connection that was cut looks like the end of the headers
        if response.status in _NOT_THERE:
            raise ConfigurationError(
                f"The server has no such repository, or it is private (HTTP {response.status}): "
                "check the URL, or set a token for the host."
            )
        if response.status in _REDIRECTS:
            raise UnavailableError(f"The server redirected more than {_MAX_REDIRECTS} times.")
        if response.status != HTTPStatus.OK:
            raise UnavailableError(f"The server answered HTTP {response.status}.")
        kind = response.headers.get("Content-Type", "")
        if first and not kind.startswith("application/x-git-"):
            raise ConfigurationError(
                "There is no git repository at the URL, or its server speaks only an old protocol."
            )
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise UnavailableError("The server compressed its answer though it was told not to.")

    def _reader(self, response: BaseHTTPResponse) -> Callable[[int], bytes]:
        """Exactly as many bytes as asked for, or fewer at the end. Each piece is counted as it comes."""
        pending = bytearray()

        def read(size: int) -> bytes:
            while len(pending) < size:
                piece = response.read1(1 << 16)
                self._budget.count(len(piece))
                if not piece:
                    break
                pending.extend(piece)
            taken = bytes(pending[:size])
            del pending[:size]
            return taken

        return read


def _pool(policy: Policy, budget: Budget) -> PoolManager:
    """Connections that go where the policy says, and are watched by the budget."""
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
    from urllib3.connection import HTTPConnection, HTTPSConnection

    def connect(host: str, port: int, timeout: Any) -> socket.socket:
        seconds = timeout if isinstance(timeout, int | float) else _CONNECT_S
        addresses = policy.resolve(host.strip("[]"), port, min(seconds, _CONNECT_S))
        for i, address in enumerate(addresses):
            try:
                connected = socket.create_connection((address, port), seconds)
            except OSError:
                budget.check()
                if i == len(addresses) - 1:
                    raise
                continue
            budget.watch(connected)
            return connected
        raise OSError("no address")

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self.host, self.port or _PORTS["http"], self.timeout)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self.host, self.port or _PORTS["https"], self.timeout)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    manager = PoolManager(ssl_context=_tls(policy.ca_file) if "https" in policy.protocols else None)
    manager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    budget.at_end(manager.clear)
    return manager


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is None:
        return _well_known()
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"The file of trusted certificates cannot be read: {error}.") from error


@cache  # reading them takes longer than asking for refs
def _well_known() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()  # the well-known certificates come with it


def _reason(error: Exception) -> str:
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text or isinstance(error, ssl.SSLError):
        return "its certificate is not trusted"
    inner = getattr(error, "reason", None)
    return _one_line(inner if isinstance(inner, Exception) else error)


def _one_line(error: Exception) -> str:
    """A server's words: shortened, and without what could disturb a log."""
    text = "".join(c if c.isprintable() else " " for c in str(error))
    return " ".join(text.split())[:200].rstrip(".") or type(error).__name__
