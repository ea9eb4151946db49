"""What is said when a request cannot be answered: a status, a code for programs, a sentence for people.

What of our own failures may be told to whom: a sentence about the request is shown; one about this machine,
which may name files, hosts and settings, goes to the log, and the caller gets a plainer one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

from starlette.responses import JSONResponse

from ingest_assets.doors.jobs_port import JobRefusedError
from ingest_assets.jobs.errors import JobStateError, UnknownJobError
from ingest_assets.model import ConfigurationError, IngestError, NotPublishedError, UnavailableError
from ingest_assets.search import QueryError

log = logging.getLogger(__name__)


class Problem(Exception):  # noqa: N818 - an answer, not a fault of ours
    """An answer that is an error."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})

    def response(self) -> JSONResponse:
        """As it goes out."""
        body = {"error": {"code": self.code, "message": self.message}}
        return JSONResponse(body, self.status, self.headers)


def invalid(message: str) -> Problem:
    """The request is wrong."""
    return Problem(400, "invalid_request", message)


def busy(message: str, seconds: float) -> Problem:
    """Too much at once; it may be asked again."""
    return Problem(503, "busy", message, {"Retry-After": str(math.ceil(seconds))})


# Failures whose sentence is about the request: status and code.
_TOLD: dict[type[IngestError], tuple[int, str]] = {
    QueryError: (400, "invalid_request"),
    JobRefusedError: (400, "invalid_request"),
    UnknownJobError: (404, "unknown_job"),
    JobStateError: (409, "job_settled"),
    NotPublishedError: (503, "not_published"),
}


def problem_of(error: Exception) -> Problem:
    """How a failure of the library is told."""
    if isinstance(error, Problem):
        return error
    told = _TOLD.get(type(error))  # type: ignore[arg-type]  # another exception is none of them
    if told is not None:
        return Problem(*told, str(error))
    if isinstance(error, UnavailableError):
        log.warning("Something does not answer: %s", error)
        return busy("A system that this server depends on does not answer; its log says which.", 5)
    if isinstance(error, ConfigurationError):
        log.warning("The settings do not fit: %s", error)
        return Problem(503, "not_configured", "The server's settings do not fit the index; see its log.")
    log.error("A request failed.", exc_info=error)
    return Problem(500, "internal_error", "Something went wrong here; the server's log has the details.")
