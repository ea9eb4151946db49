"""Git over https: every redirect is checked like the URL itself, and no credential helper is used.

The protocol is dulwich's, the connections are ours (connection). What belongs here: HTTP.
"""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Callable, Iterator
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.sources.budget import FetchBudget
from ingest_assets.sources.repositories.connection import CONNECT_S, STALL_S, connect
from ingest_assets.sources.repositories.policy import Policy, checked_host

if TYPE_CHECKING:
    from dulwich.client import AbstractHttpGitClient
    from urllib3 import BaseHTTPResponse, PoolManager

_MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"https": 443, "http": 80}
_NOT_THERE = frozenset({401, 403, 404, 410})
_USER_AGENT = "git/ingest-assets"  # some servers speak git's protocol only to names with this beginning


def client(url: str, policy: Policy, budget: FetchBudget) -> AbstractHttpGitClient:
    """A git client for one conversation with the repository at `url`."""
    from dulwich.client import AbstractHttpGitClient

    requests = _Requests(policy, budget)

    class HttpGitClient(AbstractHttpGitClient):
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
    return HttpGitClient(url, thin_packs=True, quiet=True)


class _Requests:
    """HTTP requests within a policy and a budget."""

    def __init__(self, policy: Policy, budget: FetchBudget) -> None:
        self._policy = policy
        self._budget = budget
        self._pool = _pool(policy, budget)

    def send(
        self, url: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[Any, Callable[[int], bytes]]:
        """The response, with the attributes that dulwich expects, and a function to read it."""
        target, response = url, self._once(url, headers, body)
        for _ in range(_MAX_REDIRECTS):
            if response.status not in _REDIRECTS:
                break
            if body is not None:  # git's own client does not follow one here either
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
            timeout=Timeout(connect=min(left, CONNECT_S), read=min(left, STALL_S)),
        )  # fmt: skip

    def _require_git(self, response: BaseHTTPResponse, *, first: bool) -> None:
        self._budget.check()  # a connection that was shut down looks like the end of the headers
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
        """Exactly as many bytes as requested, or fewer at the end. Each piece is counted as it arrives."""
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


def _pool(policy: Policy, budget: FetchBudget) -> PoolManager:
    """Connections only to where the policy allows, watched by the budget."""
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
    from urllib3.connection import HTTPConnection, HTTPSConnection

    def connected(host: str, port: int, timeout: Any) -> socket.socket:
        seconds = timeout if isinstance(timeout, int | float) else CONNECT_S
        return connect(host.strip("[]"), port, policy, budget, seconds)

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return connected(self.host, self.port or _PORTS["http"], self.timeout)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connected(self.host, self.port or _PORTS["https"], self.timeout)

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
        why = error.strerror or "it holds none"
        raise ConfigurationError(f"The file of trusted certificates cannot be read: {why}.") from error


@cache  # reading them takes longer than asking for refs
def _well_known() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()  # the well-known certificates come with it
