"""Error responses: a status, a code for programs and a sentence for people.

Which errors a client may see: a sentence about the request is sent as it is; one about this machine, which
may name files, hosts and settings, is logged, and the client gets a general one instead.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

from starlette.responses import JSONResponse

from ingest_assets.interfaces.job_service import JobRefusedError
from ingest_assets.jobs.errors import JobStateError, UnknownJobError
from ingest_assets.model import ConfigurationError, IngestError, NotPublishedError, UnavailableError
from ingest_assets.queries.search import QueryError

log = logging.getLogger(__name__)


class Problem(Exception):  # noqa: N818 - a response to the client, not a failure of ours
    """An error response."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})

    def response(self) -> JSONResponse:
        """The response to send."""
        body = {"error": {"code": self.code, "message": self.message}}
        return JSONResponse(body, self.status, self.headers)


def invalid(message: str) -> Problem:
    """The request is wrong."""
    return Problem(400, "invalid_request", message)


def busy(message: str, seconds: float) -> Problem:
    """Too much at once; the client may try again after so many seconds."""
    return Problem(503, "busy", message, {"Retry-After": str(math.ceil(seconds))})


# Failures whose message is about the request, so that the client may see it: status and code.
_SHOWN: dict[type[IngestError], tuple[int, str]] = {
    QueryError: (400, "invalid_request"),
    JobRefusedError: (400, "invalid_request"),
    UnknownJobError: (404, "unknown_job"),
    JobStateError: (409, "job_ended"),
    NotPublishedError: (503, "not_published"),
}


def problem_of(error: Exception) -> Problem:
    """The response to any exception."""
    if isinstance(error, Problem):
        return error
    shown = _SHOWN.get(type(error))  # type: ignore[arg-type]  # other exceptions are simply not found
    if shown is not None:
        return Problem(*shown, str(error))
    if isinstance(error, UnavailableError):
        log.warning("A system does not respond: %s", error)
        return busy("A system that this server depends on does not respond; its log says which.", 5)
    if isinstance(error, ConfigurationError):
        log.warning("The settings do not fit: %s", error)
        return Problem(503, "not_configured", "The server's settings do not fit the index; see its log.")
    log.error("A request failed.", exc_info=error)
    return Problem(500, "internal_error", "Something went wrong here; the server's log has the details.")
