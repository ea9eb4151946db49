"""Fetching a paper over HTTP: from listed hosts, to addresses that were checked, within bounds.

A name is resolved once, all its addresses are checked, and the request goes to one of these, with the name in
its Host header and its certificate. No proxy or configuration of the machine is used.

What belongs here: the exchange. What does not: which hosts are allowed (`hosts`), whose turn it is (`rate`),
and whether what came is a paper (`content`).
"""

from __future__ import annotations

import os
import re
import ssl
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn
from urllib.parse import urlencode, urljoin, urlsplit

from ingest_assets.certificates import has_run_out, is_unverified
from ingest_assets.jobs.errors import JobTargetError
from ingest_assets.model import ConfigurationError, ContentError, UnavailableError
from ingest_assets.redaction import keep_secret
from ingest_assets.sources.budget import FetchBudget
from ingest_assets.sources.papers.fetching.content import suffix_of
from ingest_assets.sources.papers.fetching.hosts import PaperHosts
from ingest_assets.sources.papers.fetching.locations import Location
from ingest_assets.sources.papers.fetching.rate import wait_for_turn

if TYPE_CHECKING:
    import httpx

CONNECT_S = 10.0
STALL_S = 30.0  # between two bytes
MAX_REDIRECTS = 3
ATTEMPTS = 3  # of a server that is overloaded or breaks off
MAX_RETRY_AFTER_S = 20.0  # a server that asks for more is left to the next job
BACKOFF_S = 1.0  # before the second attempt, doubled before the third
# NCBI allows three requests in a second, and ten with a key. A little less: they do not travel equally fast.
INTERVAL_S, INTERVAL_WITH_KEY_S = 0.35, 0.11
TOOL = "ingest-assets"  # NCBI wants to know who asks
_BLOCK = 1 << 16
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NOT_THERE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_NOT_OPEN = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_ZLIB = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_UNUSUAL = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """How much a paper may take. Bytes are counted after decompression."""

    max_bytes: int = 64 << 20
    seconds: float = 60.0  # from the first request to the last byte, with all waits and redirects


class _AgainError(Exception):
    """An attempt failed, but the next one may succeed. Never leaves this module."""

    def __init__(self, message: str, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


def fetch_paper(
    location: Location,
    policy: PaperHosts,
    limits: FetchLimits,
    into: Path,
    interrupt: Callable[[], None] | None = None,
    *,
    rates: Path,
) -> Path:
    """The paper's file in the folder `into`: "PMC123.xml", or named like its URL.

    Args:
        location: of kind "pmc" or "url"; the path of a file is returned as it is.
        policy: what may be fetched, and from where.
        limits: in bytes and seconds.
        into: a folder for temporary files, which is there.
        interrupt: called about once a second from another thread; what it raises ends the fetch.
        rates: the folder in which all processes of this machine keep when they asked NCBI last.

    Raises:
        JobTargetError: there is no such paper, it is not open, or what is there is not a paper;
            NotAllowedError when its host, address, port or a redirect is not allowed.
        ContentError: it is larger than the limit.
        UnavailableError: the server is down, overloaded, too slow, or sent a part of it.
        ConfigurationError: the certificates or the key for NCBI are wrong.
    """
    if location.path is not None and location.kind == "file":
        return location.path
    if location.kind == "folder":
        raise JobTargetError("A folder is not fetched: its files are added one by one.")
    what = f"Fetching {location.shown}"
    with FetchBudget(what, limits.seconds, limits.max_bytes, interrupt, part="a paper") as budget:
        return _Fetch(location, policy, limits, into, budget, rates).run()


def efetch_url(pmcid: str, policy: PaperHosts) -> str:
    """The request for an article's XML, with what NCBI asks of those who send many. Holds the key, if any."""
    asked = {"db": "pmc", "id": pmcid.removeprefix("PMC"), "retmode": "xml", "tool": TOOL}
    if policy.email:
        asked["email"] = policy.email
    if key := policy.key:
        keep_secret(key)
        asked["api_key"] = key
    return f"{policy.efetch}?{urlencode(asked)}"


class _Fetch:
    def __init__(
        self,
        location: Location,
        policy: PaperHosts,
        limits: FetchLimits,
        into: Path,
        budget: FetchBudget,
        rates: Path,
    ) -> None:
        self._location = location
        self._policy = policy
        self._limits = limits
        self._into = into
        self._budget = budget
        self._rates = rates
        self._url = efetch_url(location.pmcid, policy) if location.kind == "pmc" else location.url

    def run(self) -> Path:
        for attempt in range(ATTEMPTS):
            try:
                return self._attempt()
            except _AgainError as error:
                wait = BACKOFF_S * 2**attempt if error.after_s is None else error.after_s
                last = attempt == ATTEMPTS - 1
                if last or wait > min(MAX_RETRY_AFTER_S, self._budget.left_s):
                    asked = f" It asks to wait {wait:.0f} s." if error.after_s else ""
                    raise UnavailableError(f"{self._location.shown}: {error}.{asked} Try it later.") from None
                self._pause(wait)
        raise AssertionError("the last attempt returns or raises")

    def _attempt(self) -> Path:
        url = self._url
        for _ in range(MAX_REDIRECTS + 1):
            with self._response(url) as response:
                if response.status_code not in _REDIRECTS:
                    self._require_ok(response)
                    return self._save(response)
                url = self._target(url, response.headers.get("Location", ""))
        raise UnavailableError(f"{self._location.shown} leads on more than {MAX_REDIRECTS} times.")

    def _target(self, url: str, location: str) -> str:
        """Where a redirect leads. It is judged like the first URL before it is asked."""
        try:
            target = urljoin(url, location)
            scheme = urlsplit(target).scheme
        except ValueError:
            raise JobTargetError(f"{self._location.shown} leads to something that is not a URL.") from None
        if scheme != urlsplit(url).scheme:
            raise JobTargetError(f"{self._location.shown} leads to another protocol: refused.")
        return target

    @contextmanager
    def _response(self, url: str) -> Iterator[httpx.Response]:
        """The answer to one request, its body not yet read."""
        import httpx

        self._budget.check()
        host, port = self._policy.require(url)
        addresses = self._policy.resolve(host, port, min(max(self._budget.left_s, 0.01), CONNECT_S))
        if host == urlsplit(self._policy.efetch).hostname:
            interval = INTERVAL_WITH_KEY_S if self._policy.key else INTERVAL_S
            wait_for_turn(self._rates, host, interval, self._budget.check)
        timeout = httpx.Timeout(STALL_S, connect=CONNECT_S)
        with (
            httpx.Client(verify=_tls(self._policy.ca_file), trust_env=False, timeout=timeout) as client,
            self._failures(),
        ):
            response = self._sent(client, url, host, addresses)
            try:
                yield response
            finally:
                response.close()

    def _sent(self, client: httpx.Client, url: str, host: str, addresses: list[str]) -> httpx.Response:
        """The answer of the first address that can be connected to."""
        import httpx

        asked = httpx.URL(url)
        headers = {
            "Host": asked.netloc.decode("ascii"),
            "User-Agent": TOOL,
            "Accept": "application/xml, application/pdf, text/plain;q=0.5, */*;q=0.1",
            "Accept-Encoding": "gzip",
        }
        for last, address in ((each == addresses[-1], each) for each in addresses):
            request = client.build_request(
                "GET",
                asked.copy_with(host=address),
                headers=headers,
                extensions={"sni_hostname": host, "trace": self._trace},
            )
            try:
                return client.send(request, stream=True, follow_redirects=False)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if last or is_unverified(error):
                    raise
                self._budget.check()
        raise AssertionError("a name has an address")

    def _trace(self, event: str, info: dict[str, object]) -> None:
        """Have each connection watched: only shutting it down ends a wait for a byte now and then."""
        if event == "connection.connect_tcp.complete":
            stream = info["return_value"]
            self._budget.watch(stream.get_extra_info("socket"))  # type: ignore[attr-defined]

    @contextmanager
    def _failures(self) -> Iterator[None]:
        import httpx

        try:
            yield
        except httpx.TransportError as error:
            self._budget.check()
            if has_run_out(error):
                raise UnavailableError(
                    f"{self._location.shown}: the server's certificate has run out. Have it renewed."
                ) from error
            if is_unverified(error):
                raise UnavailableError(
                    f"{self._location.shown}: the server's certificate is not trusted. If it is your own, "
                    "name its CA file in INGEST_PAPER_CA_FILE."
                ) from error
            raise _AgainError(f"the server could not be reached ({type(error).__name__})") from error
        except httpx.InvalidURL as error:
            raise JobTargetError(f"{self._location.shown} leads to something that is not a URL.") from error

    def _require_ok(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == HTTPStatus.OK:
            return
        shown = self._location.shown
        if status in _NOT_THERE:
            raise JobTargetError(f"There is no paper at {shown} (HTTP {status}): check it.")
        if status in _NOT_OPEN:
            raise JobTargetError(f"{shown} is not open to everybody (HTTP {status}): give its file.")
        if status in _AGAIN or response.is_server_error:
            raise _AgainError(f"the server answered HTTP {status}", _retry_after_s(response))
        if status == HTTPStatus.BAD_REQUEST and self._location.kind == "pmc":
            self._bad_request(response)
        raise JobTargetError(f"{shown} cannot be fetched: the server answered HTTP {status}.")

    def _bad_request(self, response: httpx.Response) -> NoReturn:
        said = b"".join(self._blocks(response, limit=4_096)).lower()
        if b"api key" in said or b"api-key" in said:
            raise ConfigurationError("NCBI does not know the API key: check NCBI_API_KEY.")
        raise JobTargetError(f"NCBI cannot give {self._location.shown} (HTTP 400): check the PMCID.")

    def _save(self, response: httpx.Response) -> Path:
        try:
            handle, name = tempfile.mkstemp(dir=self._into, prefix="fetching-")
            part = Path(name)
            try:
                with os.fdopen(handle, "wb") as file:
                    self._write(response, file)
                suffix = suffix_of(part, response.headers.get("Content-Type", ""), self._location)
                return part.replace(self._into / f"{self._stem()}{suffix}")
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise UnavailableError(
                f"{self._location.shown} cannot be written to {self._into}: {error.strerror}."
            ) from error

    def _write(self, response: httpx.Response, file: BinaryIO) -> None:
        size = 0
        with suppress(ValueError):
            if int(response.headers.get("Content-Length", "0")) > self._limits.max_bytes:
                self._too_large()
        for block in self._blocks(response):
            size += len(block)
            if size > self._limits.max_bytes:
                self._too_large()
            file.write(block)

    def _blocks(self, response: httpx.Response, *, limit: int | None = None) -> Iterator[bytes]:
        """The body, decompressed a block at a time: a small one cannot become a large one at once."""
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in {"identity", "", *_ZLIB}:
            raise UnavailableError(f"{self._location.shown} is compressed in a way that was not asked for.")
        inflate = zlib.decompressobj(_ZLIB[encoding]) if encoding in _ZLIB else None
        received = 0
        for raw in response.iter_raw(_BLOCK):
            self._budget.check()
            received += len(raw)
            if inflate is None:
                yield raw
            else:
                yield from self._inflated(inflate, raw)
            if limit is not None and received >= limit:
                return
        self._budget.check()  # a connection that was shut down may look like the end
        if inflate is not None and not inflate.eof:
            raise _AgainError("the server sent only a part of it")

    def _inflated(self, inflate: zlib._Decompress, raw: bytes) -> Iterator[bytes]:
        left = raw
        while left and not inflate.eof:
            try:
                block = inflate.decompress(left, _BLOCK)
            except zlib.error:
                raise UnavailableError(f"{self._location.shown} arrived damaged.") from None
            self._budget.check()
            yield block
            left = inflate.unconsumed_tail

    def _too_large(self) -> NoReturn:
        limit = self._limits.max_bytes
        raise ContentError(
            f"{self._location.shown} has more than {limit:,} bytes, the limit for a paper "
            "(INGEST_PAPER_MAX_MIB)."
        )

    def _stem(self) -> str:
        """The file's name says which paper it is: the PMCID, or the end of the URL."""
        if self._location.pmcid:
            return self._location.pmcid
        stem = Path(urlsplit(self._location.url).path).stem
        return _UNUSUAL.sub("-", stem).strip(".-")[:_MAX_NAME] or "paper"

    def _pause(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            self._budget.check()
            time.sleep(min(left, 0.1))  # the server asked for it, or has just failed


def _retry_after_s(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is None:
        return _well_known()
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"{ca_file} holds no certificates that can be read.") from error


@cache  # reading them takes longer than asking for a paper
def _well_known() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context(trust_env=False)
