"""POST requests to an address of the operator's, whose answers do not matter beyond their status.

What belongs here: one request, bounded in time and bytes whatever the other side does. What does not: what
is sent, and what follows from its status (`delivery`, `alerts`).
"""

from __future__ import annotations

import math
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, cached_property
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import unquote, urlsplit

from ingest_assets.certificates import has_run_out, is_refused
from ingest_assets.json_client import retry_after_s, trusting
from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.redaction import keep_secret, keep_secrets_of_url
from ingest_assets.sources.addresses import HostRules, NotAllowedError

if TYPE_CHECKING:
    import httpx

MAX_ANSWER = 65_536  # bytes of an answer that are read, and thrown away, so that its connection can be kept
_LOOK_S = 0.25  # between two looks at whether a request has taken too long
_ANYWHERE = HostRules(allow_private_addresses=True)  # the operator chose the address


# Said by a server, or a proxy in front of one, that cannot take anything now, whatever it is. 520 to 530 are
# what some proxies say when the server behind them does not answer.
_NOT_NOW = frozenset((408, 425, 429, 502, 503, 504, *range(520, 531)))


class Reply(NamedTuple):
    """What was answered."""

    status: int
    retry_after_s: float | None  # if it says for how long to wait

    @property
    def is_taken(self) -> bool:
        """Whether the other side has it. A redirect is none: it was not followed."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def is_not_now(self) -> bool:
        """Whether the other side cannot take anything now: that says nothing of what was sent."""
        return self.status in _NOT_NOW


class NoAnswerError(UnavailableError):
    """Nobody answered in time. The message names no address."""


class _BrokenError(NoAnswerError):
    """There was a connection, and it ended before the answer."""


class Webhook:
    """One address. Connects when it is first used, and keeps the connection until it is closed.

    Not safe to share between threads. Proxies of the environment are not used.
    """

    def __init__(
        self,
        what: str,
        url: str,
        *,
        token: str = "",
        ca_file: Path | None = None,
        timeout_s: float,
    ) -> None:
        """`what` begins a message, and names the setting instead of the address: "The listener at GATE_URL".

        Raises ConfigurationError when the URL, the token or the CA file cannot be used.
        """
        keep_secret(token)
        keep_secrets_of_url(url)
        self._what, self._timeout_s = what, timeout_s
        self._url, self._basic = _without_password(what, url)
        self._host = self._url.raw_host.decode("ascii")  # as it is looked up, other alphabets encoded
        self._token = _sendable(what, token)
        self._tls = _public() if ca_file is None else trusting(ca_file)
        self._socket: socket.socket | None = None  # of the connection that is kept
        self._ends = math.inf  # of the request that is under way, by `time.monotonic`
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True, name="watch a webhook")

    def __enter__(self) -> Self:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._watcher.join()
        client = self.__dict__.pop("_client", None)
        if client is not None:
            client.close()
        self._forget_socket()

    def post(self, body: bytes, headers: Mapping[str, str] | None = None) -> Reply:
        """Send a JSON body. Redirects are not followed.

        Raises NoAnswerError when there is none within `timeout_s` and a quarter of a second, from looking up
        the host to the end of the answer's headers.
        """
        self._ends = time.monotonic() + self._timeout_s
        kept = self._socket is not None
        try:
            return self._post(body, headers or {})
        except _BrokenError:
            if not kept:
                raise
            # The other side may have closed a connection that was kept for too long.
            self._forget_socket()
            return self._post(body, headers or {})
        finally:
            self._ends = math.inf

    def _post(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        import httpx

        try:
            response = self._sent(body, headers)
        except (httpx.TransportError, UnavailableError, OSError) as error:
            raise self._no_answer(error) from None
        _read_away(response)
        return Reply(response.status_code, retry_after_s(response.headers.get("Retry-After")))

    def _sent(self, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """The answer of the first address of the host that can be connected to."""
        import httpx

        for address in self._addresses:
            request = self._client.build_request(
                "POST",
                self._url.copy_with(host=address),
                content=body,
                headers={"Host": self._url.netloc.decode("ascii"), **headers},
                extensions={"sni_hostname": self._host, "trace": self._trace},
            )
            try:
                return self._client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                last = address == self._addresses[-1]
                if last or is_refused(error) or time.monotonic() >= self._ends:
                    raise
        raise AssertionError("a name has an address")

    def _trace(self, event: str, info: dict[str, object]) -> None:
        """Have each connection watched."""
        if event == "connection.connect_tcp.complete":
            self._forget_socket()
            connected: socket.socket = info["return_value"].get_extra_info("socket")  # type: ignore[attr-defined]
            self._socket = connected.dup()  # TLS takes over the socket itself

    def _watch(self) -> None:
        """Shut the connection down when the time is up: that alone ends a wait for a byte now and then."""
        while not self._closed.wait(_LOOK_S):
            kept = self._socket
            if kept is not None and time.monotonic() >= self._ends:
                with suppress(OSError):  # it has ended
                    kept.shutdown(socket.SHUT_RDWR)

    def _forget_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @cached_property
    def _addresses(self) -> list[str]:
        port = self._url.port or (443 if self._url.scheme == "https" else 80)
        try:
            return _ANYWHERE.resolve(self._host, port, self._timeout_s)
        except NotAllowedError as error:
            raise NoAnswerError(f"{self._what} has no address that can be connected to.") from error

    @cached_property
    def _client(self) -> httpx.Client:
        import httpx

        headers = {"Content-Type": "application/json", "User-Agent": "ingest-assets", "Accept": "*/*"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return httpx.Client(
            verify=self._tls,
            headers=headers,
            auth=None if self._token else self._basic,
            timeout=self._timeout_s,
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
        )

    def _no_answer(self, error: Exception) -> NoAnswerError:
        import httpx

        if time.monotonic() >= self._ends or isinstance(error, httpx.TimeoutException):
            return NoAnswerError(f"{self._what} did not answer within {self._timeout_s:g} s.")
        if is_refused(error):
            why = "has run out" if has_run_out(error) else "is not trusted"
            return NoAnswerError(f"{self._what} has a certificate that {why}.")
        if isinstance(error, httpx.ConnectError | UnavailableError):
            return NoAnswerError(f"{self._what} could not be reached.")
        return _BrokenError(f"{self._what} broke the connection ({type(error).__name__}).")


def _read_away(response: httpx.Response) -> None:
    """Have the connection kept if the rest of the answer is short. Only the status counts."""
    import httpx

    size = 0
    with suppress(httpx.TransportError):
        for block in response.iter_raw():
            size += len(block)
            if size > MAX_ANSWER:
                break
    response.close()


def _without_password(what: str, url: str) -> tuple[httpx.URL, tuple[str, str] | None]:
    import httpx

    try:
        parts = urlsplit(url)
        given = httpx.URL(url)
        usable = given.scheme in ("http", "https") and bool(given.host)
    except (httpx.InvalidURL, ValueError):
        usable = False
    if not usable:
        raise ConfigurationError(f"{what} has an address that is no URL: write https://HOST/PATH.")
    basic = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return given.copy_with(username=None, password=None, fragment=None), basic


def _sendable(what: str, token: str) -> str:
    if not (token.isascii() and token.isprintable()) or " " in token:
        # An HTTP library would refuse it too, and show it in its message.
        raise ConfigurationError(f"{what} has a token with characters that are not allowed in a header.")
    return token


@cache  # reading them takes longer than a request
def _public() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context(trust_env=False)
