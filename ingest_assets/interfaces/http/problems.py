"""Error responses: a status, a code for programs, a sentence for people, and an id for the operator.

What belongs here: which status and code an error has. What does not: which errors a client may see the
message of (`interfaces.failures`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from starlette.responses import JSONResponse

from ingest_assets.interfaces.failures import Code, shown, withhold
from ingest_assets.jobs.errors import JobStateError, TooManyJobsError, UnknownJobError
from ingest_assets.model import IngestError, NotFoundError, NotPublishedError, StateError
from ingest_assets.queries.reach import OutOfReachError


class Problem(Exception):  # noqa: N818 - a response to the client, not a failure of ours
    """An error response."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: Mapping[str, str] | None = None,
        id: str | None = None,  # noqa: A002 - as clients see it
    ) -> None:
        """`id` is that of the line in the operator's log that has the details, if there is one."""
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})
        self.id = id

    def response(self) -> JSONResponse:
        """The response to send."""
        error = {"code": self.code, "message": self.message} | ({"id": self.id} if self.id else {})
        return JSONResponse({"error": error}, self.status, self.headers)


def invalid(message: str) -> Problem:
    """The request is wrong."""
    return Problem(400, "invalid_request", message)


def busy(message: str, seconds: float) -> Problem:
    """Too much at once; the client may try again after so many seconds."""
    return Problem(503, "busy", message, {"Retry-After": str(math.ceil(seconds))})


# Errors about the request: status and code. Any other one is a wrong request.
_OF_REQUESTS: dict[type[IngestError], tuple[int, str]] = {
    OutOfReachError: (403, "out_of_reach"),
    UnknownJobError: (404, "unknown_job"),
    NotFoundError: (404, "not_found"),
    JobStateError: (409, "job_ended"),
    StateError: (409, "conflict"),
    TooManyJobsError: (429, "too_many_jobs"),
    NotPublishedError: (503, "not_published"),
}
_STATUSES: dict[Code, int] = {"unavailable": 503, "not_configured": 503, "failed": 500, "internal_error": 500}
RETRY_S = 5


def problem_of(error: Exception, what: str) -> Problem:
    """The response to any exception. `what` failed ("GET /jobs") is logged with what clients may not see."""
    if isinstance(error, Problem):
        return error
    if (message := shown(error)) is not None:
        status, code = next(
            (found for kind, found in _OF_REQUESTS.items() if isinstance(error, kind)),
            (400, "invalid_request"),
        )
        return Problem(status, code, message)
    withheld = withhold(error, what)
    headers = {"Retry-After": str(RETRY_S)} if withheld.code == "unavailable" else {}
    return Problem(_STATUSES[withheld.code], withheld.code, withheld.sentence, headers, withheld.id)
