"""JSON requests to an endpoint: addresses, certificates, retries, limits, what failures mean.

What belongs here: everything about the exchange. What does not: what is in the answer (who asks knows that).
The API key is sent in one header and appears nowhere else; if a server repeats it, it is redacted.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from pydantic import SecretStr

from ingest_assets import certificates
from ingest_assets.model import ConfigurationError, ItemError, UnavailableError
from ingest_assets.quoting import quotes_allowed
from ingest_assets.redaction import keep_secret, keep_secrets_of_url, redact
from ingest_assets.stopping import LateError, in_time, waited_for

if TYPE_CHECKING:
    import httpx
    from tenacity import RetryCallState

CONNECT_TIMEOUT_S = 10.0
# So long after its time an answer is left, whatever it waits for; until then it can say itself what is late.
LATE_S = 1.0
MAX_BODY = 128 << 20  # bytes; 2,048 vectors of 4,096 numbers as JSON are about 100 MB
MAX_RETRY_AFTER_S = 60.0  # a server that asks for more gets the next attempt, if any, after this
MAX_BACKOFF_S = 30.0
_EXCERPT = 200  # characters of a server's own error message

_ITEM_STATUS = {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
_OVERLOAD_STATUS = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
_TRANSIENT_STATUS = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


class _TransientError(Exception):
    """An attempt failed, but the next one may succeed. Never leaves this module."""

    def __init__(self, message: str, after_s: float | None = None, *, unanswered: bool = False) -> None:
        super().__init__(message)
        self.after_s = after_s  # how long the server asked us to wait
        self.unanswered = unanswered  # the server had the request, as far as one can tell


class TooLongError(ConfigurationError):
    """The answer is longer than any that is wanted; the rest of it was not read."""


class NotJsonError(ConfigurationError):
    """The answer is not JSON. `began` says whether it begins like JSON."""

    def __init__(self, message: str, *, began: bool) -> None:
        super().__init__(message)
        self.began = began


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """An endpoint to talk to."""

    what: str  # "embedding endpoint": what messages call it
    url: str = field(repr=False)  # base, with or without /v1; may hold a password
    api_key: SecretStr | None = None  # sent as a bearer token
    verify_tls: bool = True
    ca_file: Path | None = None  # PEM certificates to trust instead of the public ones
    timeout_s: float = 60.0  # for one answer, from the request to the last byte
    max_attempts: int = 5  # requests for one answer, the first included
    max_body: int = MAX_BODY  # bytes of an answer
    if_too_long: str = "ask for less at once"  # what to do about a longer one


class JsonClient:
    """Talks to one base URL. Safe to share between threads. Connects on the first request."""

    def __init__(
        self, peer: Peer, *, backoff_s: float = 0.5, refused: Callable[[], None] = lambda: None
    ) -> None:
        """`backoff_s`: the wait before the second attempt, doubled for each further one, with jitter.

        `refused` is called whenever the server says that it is asked too much, before the next attempt.

        Raises ConfigurationError when the URL or the CA file cannot be used.
        """
        parts = _split(peer)
        # A user name and password in the URL work, but are taken out of it so that no message shows them.
        self._basic = (
            (unquote(parts.username or ""), unquote(parts.password or "")) if parts.username else None
        )
        self._key = "" if peer.api_key is None else peer.api_key.get_secret_value().strip()
        keep_secret(self._key)
        keep_secrets_of_url(peer.url)
        if not (self._key.isascii() and self._key.isprintable()) or " " in self._key:
            # An HTTP library would refuse it too, and show it in its message.
            raise ConfigurationError(
                f"The {peer.what}'s API key contains characters that are not allowed in a header."
            )
        base = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
        self.base = base.removesuffix("/v1")
        if peer.ca_file is not None and not peer.ca_file.is_file():
            raise ConfigurationError(f"No certificate file {peer.ca_file} for the endpoint {self.base}.")
        self._peer = peer
        self._backoff_s = backoff_s
        self._refused_for_load = refused
        self._connecting = threading.Lock()
        self._connected: httpx.Client | None = None

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        unanswered: Callable[[], None] = lambda: None,
    ) -> object:
        """The decoded JSON answer of `method base/path`.

        `unanswered` is called for each attempt that was sent and not, or not wholly, answered; what it raises
        ends the attempts. It may be called in another thread.

        Raises ConfigurationError when the address, key, certificate or server is wrong; ItemError when the
        server refuses this body (400, 413, 422); UnavailableError when all attempts failed.
        """
        from tenacity import (
            Retrying,
            retry_if_exception_type,
            stop_after_attempt,
            wait_exponential,
            wait_random,
        )

        # The random part keeps many workers from retrying all at once.
        backoff = wait_exponential(self._backoff_s, max=MAX_BACKOFF_S) + wait_random(0, self._backoff_s)

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.after_s if isinstance(error, _TransientError) else None
            return backoff(state) if asked is None else min(asked, MAX_RETRY_AFTER_S)

        def attempt() -> object:
            try:
                return self._attempt(method, f"{self.base}{path}", body)
            except _TransientError as error:
                if error.unanswered:
                    unanswered()
                raise

        attempts = max(1, self._peer.max_attempts)
        # Overload, restarts and broken connections pass; everything else is raised on the first attempt.
        retrying = Retrying(
            stop=stop_after_attempt(attempts),
            wait=wait,
            retry=retry_if_exception_type(_TransientError),
            reraise=True,
        )
        try:
            return waited_for(partial(retrying, attempt))
        except _TransientError as error:
            raise UnavailableError(
                f"{error}, {attempts} attempts. Check that the {self._peer.what} is running; the next run "
                "continues from there."
            ) from None

    def close(self) -> None:
        """Close the connections. The next request opens new ones."""
        with self._connecting:
            client, self._connected = self._connected, None
        if client is not None:
            client.close()

    @property
    def _client(self) -> httpx.Client:
        with self._connecting:
            if self._connected is None:
                self._connected = self._connect()
            return self._connected

    def _connect(self) -> httpx.Client:
        import httpx

        headers = {"Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return httpx.Client(
            verify=self._tls(),
            headers=headers,
            auth=None if self._key else self._basic,
            timeout=httpx.Timeout(self._peer.timeout_s, connect=min(CONNECT_TIMEOUT_S, self._peer.timeout_s)),
            follow_redirects=False,  # another host would receive the key and the text
        )

    def _tls(self) -> ssl.SSLContext | bool:
        if not self._peer.verify_tls:
            return False
        return True if self._peer.ca_file is None else trusting(self._peer.ca_file)

    def _attempt(self, method: str, url: str, body: object) -> object:
        try:
            # A connection's timeouts are for one read: what comes a byte at a time exceeds none of them.
            return in_time(partial(self._exchange, method, url, body), self._peer.timeout_s + LATE_S)
        except LateError:
            late = f"{url} did not answer within {self._peer.timeout_s:g} s"
            raise _TransientError(late, unanswered=True) from None

    def _exchange(self, method: str, url: str, body: object) -> object:
        import httpx

        deadline = time.monotonic() + self._peer.timeout_s
        try:
            with self._client.stream(method, url, json=body) as response:
                raw = bytearray()
                for block in response.iter_bytes():
                    raw += block
                    if len(raw) > self._peer.max_body:
                        limit = f"{self._peer.max_body >> 20} MiB"
                        raise TooLongError(
                            f"{url} answered with more than {limit}: {self._peer.if_too_long}."
                        )
                    # The read timeout is for one block; a server that sends slowly must not block us forever.
                    if time.monotonic() > deadline:
                        raise _TransientError(
                            f"{url} did not finish its answer within {self._peer.timeout_s:g} s",
                            unanswered=True,
                        )
        except httpx.TimeoutException as error:
            raise _TransientError(
                f"{url} did not answer within {self._peer.timeout_s:g} s",
                unanswered=not isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout),
            ) from error
        except httpx.DecodingError as error:
            raise ConfigurationError(f"{url} sent an answer that cannot be decompressed.") from error
        except httpx.TransportError as error:
            if certificates.is_refused(error):
                raise ConfigurationError(f"{url}: {self._certificate(error)}") from error
            raise _TransientError(
                f"{url} could not be reached ({type(error).__name__}: {error})",
                unanswered=not isinstance(error, httpx.ConnectError),
            ) from error
        if not response.is_success:
            self._refused(url, response, bytes(raw))
        try:
            return json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise NotJsonError(
                f"{url} does not answer with JSON: is it the right URL?", began=raw.lstrip()[:1] == b"{"
            ) from error

    def _certificate(self, error: Exception) -> str:
        if days := certificates.shown_at(self.base) or certificates.in_files([self._peer.ca_file]):
            return f"{days}."
        return (
            f"the TLS connection was refused ({error}). If the certificate is your own, name its CA file; or "
            "switch off verification."
        )

    def _refused(self, url: str, response: httpx.Response, raw: bytes) -> NoReturn:
        status = response.status_code
        said = f"{url} answered {status}{self._excerpt(raw)}"
        if status in _ITEM_STATUS:
            raise ItemError(f"{said}: it refuses this text.")
        if status in _OVERLOAD_STATUS:
            self._refused_for_load()
        if status in _TRANSIENT_STATUS or response.is_server_error:
            raise _TransientError(said, retry_after_s(response.headers.get("Retry-After")))
        if response.is_redirect:
            raise ConfigurationError(
                f"{said}: a redirect, which is not followed. Set the URL that it leads to."
            )
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise ConfigurationError(f"{said}: check the API key.")
        raise ConfigurationError(f"{said}: check the URL and the model's name.")

    def _excerpt(self, raw: bytes) -> str:
        if not quotes_allowed():
            return ""
        # Only the message itself: other fields may repeat the text that was sent.
        try:
            answer = json.loads(raw)
            error = answer.get("error", answer.get("detail"))
            message = error.get("message") if isinstance(error, dict) else error
        except (ValueError, AttributeError, RecursionError):
            return ""
        if not isinstance(message, str) or not message:
            return ""
        # Redacted before it is shortened: a part of the key could not be recognised.
        return f" ({' '.join(redact(message).split())[:_EXCERPT]})"


def trusting(ca_file: Path) -> ssl.SSLContext:
    """Trusts the PEM certificates of a file instead of the public ones.

    Raises ConfigurationError when it cannot be read, or holds none.
    """
    try:
        context = ssl.create_default_context(cafile=str(ca_file))
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(f"{ca_file} contains no PEM certificates: {error}") from error
    # A private certificate seldom has every extension that newer Pythons require, and the server's own
    # certificate may be given in place of its authority's.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _split(peer: Peer) -> SplitResult:
    try:
        parts = urlsplit(peer.url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment:
        raise ConfigurationError(
            f"The {peer.what}'s URL must look like https://host:port, without a query; it does not."
        )
    return parts


def retry_after_s(value: str | None) -> float | None:
    """The seconds to wait that a Retry-After header asks for, which contains seconds or an HTTP date."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
