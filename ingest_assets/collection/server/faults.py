"""What the client raises, as errors of ours that name the server, the collection and the remedy.

What belongs here: telling one failure from another. What does not: trying again (`connection`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from ingest_assets.certificates import is_refused
from ingest_assets.json_client import retry_after_s
from ingest_assets.model import ConfigurationError, IngestError, ItemError, UnavailableError
from ingest_assets.quoting import NOT_SHOWN, quotes_allowed
from ingest_assets.redaction import redact

_MAX_READ, _EXCERPT = 20_000, 300  # bytes of an answer that are looked at, and characters that are shown
# What a status of gRPC is over HTTP. FAILED_PRECONDITION and OUT_OF_RANGE are complaints about the request.
_STATUS_OF = {
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "DEADLINE_EXCEEDED": 408,
    "ALREADY_EXISTS": 409,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
}


class TooLargeError(UnavailableError):
    """A request is longer than the server, or a proxy before it, takes. Shorter ones may be taken."""


class CutError(UnavailableError):
    """The connection was closed in the middle of a request, again and again."""


class GoneError(UnavailableError):
    """The server has no such collection."""


class TakenError(UnavailableError):
    """The server has something of this name already."""


class LimitedError(ConfigurationError):
    """The server's strict mode does not allow the request."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt."""

    error: IngestError
    passes: bool = False  # whether the same request may succeed later, or at another node
    after_s: float | None = None  # how long the server asked us to wait


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What an answer other than a result means, and what can be done about it."""

    kind: type[IngestError]
    remedy: str = ""
    passes: bool = False


_NO_ROOM = _Meaning(
    UnavailableError, "It has no room left: free disk space there. The next run continues from here."
)
_TOO_OFTEN = _Meaning(
    UnavailableError,
    "It takes no more requests for now: its rate limit is reached. Try later, or raise it there.",
    passes=True,
)
_TOO_LARGE = _Meaning(
    TooLargeError,
    "It, or a proxy before it, takes no longer request: raise that limit (service.max_request_size_mb).",
)
_TAKEN = _Meaning(TakenError)
_FAILED = _Meaning(UnavailableError, "See its log.", passes=True)
_REFUSED = _Meaning(ItemError)
_REDIRECTS = _Meaning(ConfigurationError, "It redirects: set QDRANT_URL to where it leads.")
_ANOTHER_PROGRAM = _Meaning(ConfigurationError)
_LIMITED = _Meaning(
    LimitedError,
    "That is its strict mode: a limit that was just lowered is kept from now on, so try again; otherwise "
    "raise the limit there.",
)
_BY_WORDS = (
    (
        # The last is a limit of strict mode.
        (
            "no space left",
            "out of disk",
            "disk is full",
            "not enough disk",
            "insufficient storage",
            "disk usage is at",
        ),
        _NO_ROOM,
    ),
    # The last is a request of more points than its rate limit lets through in a minute.
    (("larger than allowed", "larger than max", "split your request"), _TOO_LARGE),
    (("already exists",), _TAKEN),
)
# Most of its refusals say how to help oneself.
_BY_STRICT_MODE = ("limit exceeded", "limit reached", "limit of ", "strict mode", "search disabled", "help: ")
_OF_QDRANT = ('"result"', "not found", "doesn't exist")
_BY_STATUS = {
    401: _Meaning(ConfigurationError, "Check QDRANT_API_KEY."),
    403: _Meaning(
        ConfigurationError,
        "Check QDRANT_API_KEY: it may not do this. A reader needs a key that may read the collection, a run "
        "one that may manage collections.",
    ),
    404: _Meaning(
        GoneError, "If it was deleted or restored from a snapshot there, `ingest refresh` builds it again."
    ),
    408: _Meaning(UnavailableError, "It is overloaded.", passes=True),
    409: _TAKEN,
    413: _TOO_LARGE,
    429: _TOO_OFTEN,
    501: _Meaning(ConfigurationError, "This version of it is too old: upgrade it."),
    507: _NO_ROOM,
}


def failure_of(
    error: Exception, where: str, timeout_s: float, days: Callable[[], str] = lambda: ""
) -> Failure | None:
    """What went wrong; None for an exception that the client does not raise.

    `where` names the server and the collection. `days` says, as a clause, whether the certificate of a server
    that is refused is not valid today.
    """
    from pydantic import ValidationError
    from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

    if isinstance(error, ResponseHandlingException):
        strange = isinstance(error.source, ValidationError)
        return _not_qdrant(where) if strange else _unreachable(error.source, where, timeout_s, days)
    if isinstance(error, UnexpectedResponse):
        raw = error.content[:_MAX_READ].decode(errors="replace")
        after_s = retry_after_s(error.headers.get("Retry-After") if error.headers else None)
        return _answered(error.status_code or 0, raw, where, after_s)
    if isinstance(error, ResourceExhaustedResponse):
        after_s = retry_after_s(str(error.retry_after_s))
        return _answered(HTTPStatus.TOO_MANY_REQUESTS, error.message, where, after_s)
    # Not UTF-8, not JSON, nested too deeply, of another form; where a result is missing the client asserts.
    if isinstance(
        error, UnicodeDecodeError | json.JSONDecodeError | RecursionError | ValidationError | AssertionError
    ):
        return _not_qdrant(where)
    if type(error).__module__.startswith("grpc"):
        return _of_grpc(error, where, timeout_s, days)
    return None


def _unreachable(cause: Any, where: str, timeout_s: float, days: Callable[[], str]) -> Failure:
    import httpx

    if is_refused(cause):
        return Failure(ConfigurationError(_certificate(where, shown(str(cause)), days())))
    if isinstance(cause, httpx.ReadTimeout | httpx.WriteTimeout | httpx.PoolTimeout):
        return _silent(where, timeout_s)
    if isinstance(cause, httpx.RemoteProtocolError) and "illegal" in str(cause):  # "illegal request line"
        said = f"{where} does not speak HTTP. If it uses TLS, QDRANT_URL has to begin with https://."
        return Failure(ConfigurationError(said))
    why = shown(str(cause)) or type(cause).__name__
    said = f"{where} does not answer ({why}). Check QDRANT_URL, and that it runs."
    cut = isinstance(cause, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError)
    return Failure(CutError(said) if cut else UnavailableError(said), passes=True)


def _silent(where: str, timeout_s: float) -> Failure:
    said = (
        f"{where} did not answer within {timeout_s:g} s. Check that it runs and is not overloaded, or raise "
        "the time: QDRANT_SEARCH_TIMEOUT_S, QDRANT_WRITE_TIMEOUT_S or QDRANT_ADMIN_TIMEOUT_S."
    )
    return Failure(UnavailableError(said), passes=True)


def _of_grpc(error: Any, where: str, timeout_s: float, days: Callable[[], str]) -> Failure:
    said = error.details() if hasattr(error, "details") else str(error)  # the error itself fills five lines
    said = said or ""
    code = error.code().name if hasattr(error, "code") and error.code() else ""
    if any(
        word in said.lower() for word in ("certificate", "ssl", "handshake failed", "hostname verification")
    ):
        return Failure(ConfigurationError(_certificate(where, shown(said), days())))
    if code == "DEADLINE_EXCEEDED" and "timed out" not in said:  # else the server says which operation did
        return _silent(where, timeout_s)
    if (status := _STATUS_OF.get(code)) is not None:
        return _answered(status, said, where)
    said = (
        f"{where} does not answer ({shown(said)}). Check QDRANT_URL and QDRANT_GRPC_PORT, and that it runs."
    )
    return Failure(UnavailableError(said), passes=True)


def _answered(status: int, raw: str, where: str, after_s: float | None = None) -> Failure:
    meaning = _meaning(status, raw)
    if meaning is _ANOTHER_PROGRAM:
        return _not_qdrant(where)
    excerpt = f": {words}" if (words := shown(raw)) else ""
    said = f"{where} answered {status}{excerpt}. {meaning.remedy}".rstrip()
    return Failure(meaning.kind(said), meaning.passes, after_s)


def _meaning(status: int, raw: str) -> _Meaning:
    low = raw.lower()
    for words, meaning in _BY_WORDS:
        if any(word in low for word in words):
            return meaning
    if status == HTTPStatus.BAD_REQUEST and any(word in low for word in _BY_STRICT_MODE):
        return _LIMITED
    if status == HTTPStatus.NOT_FOUND and not any(word in low for word in _OF_QDRANT) and raw[:1] != "{":
        return _ANOTHER_PROGRAM
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _BY_STATUS.get(status, _FAILED)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return _REDIRECTS
    return _BY_STATUS.get(status, _REFUSED)


def shown(text: str) -> str:
    """What a server said, on one line, without secrets; not the text of a source that keeps its words."""
    if not quotes_allowed():
        return NOT_SHOWN
    # Redacted before it is shortened: a part of a secret could not be recognised.
    text = redact(text)
    try:
        status = json.loads(text).get("status")
        text = status["error"] if isinstance(status, dict) and isinstance(status.get("error"), str) else text
    except (ValueError, AttributeError, KeyError, RecursionError):
        pass
    return " ".join(text.split())[:_EXCERPT].rstrip(". ")


def _not_qdrant(where: str) -> Failure:
    place = where.removeprefix("Qdrant at ")
    return Failure(ConfigurationError(f"What answers at {place} is not Qdrant: is QDRANT_URL right?"))


def _certificate(where: str, said: str, days: str) -> str:
    if days:
        return f"{where}: {days}."
    return (
        f"{where}: the TLS connection was refused ({said}). Check that its certificate is valid and for this "
        "host. If it is from your own authority, name that one's file in QDRANT_CA_FILE; if the server asks "
        "for a client certificate, set QDRANT_CLIENT_CERT_FILE and QDRANT_CLIENT_KEY_FILE."
    )
