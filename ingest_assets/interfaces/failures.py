"""Failures as callers see them: a code for programs, a sentence for people, and an id to find in the log.

A sentence about the request is shown as it is. One about this machine may name files, hosts, settings or what
a backend said; it goes to the operator's log under a new id, and the caller gets a general sentence with that
id.

What belongs here: which errors a caller may see. What does not: how an interface writes them.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from typing import Literal

from ingest_assets.model import ConfigurationError, IngestError, RequestError, UnavailableError

Code = Literal["unavailable", "not_configured", "failed", "internal_error"]
log = logging.getLogger(__name__)

_SENTENCES: dict[Code, str] = {
    "unavailable": "A system that this server depends on does not respond. Try again in a minute.",
    "not_configured": "The server's settings do not fit the index. Tell the operator.",
    "failed": "The server cannot do this now. Tell the operator.",
    "internal_error": "Something went wrong in the server. Tell the operator.",
}


@dataclass(frozen=True, slots=True)
class Withheld:
    """A failure whose details are in the operator's log only."""

    code: Code
    id: str  # 12 hexadecimal digits, also in the log's line

    @property
    def sentence(self) -> str:
        """What the caller may know."""
        return f"{_SENTENCES[self.code]} (The server's log has the details under {self.id}.)"


def shown(error: BaseException) -> str | None:
    """The message of an error that is about the request; None for one whose details are not for callers."""
    return str(error) if isinstance(error, RequestError) else None


def withhold(error: BaseException, what: str) -> Withheld:
    """Log an error, with what failed ("GET /jobs", "the tool search"); returns what its caller may see."""
    failure = Withheld(_code(error), secrets.token_hex(6))
    if failure.code == "internal_error":
        log.error("%s: %s failed.", failure.id, what, exc_info=error)
    else:
        log.warning("%s: %s failed: %s", failure.id, what, error)
    return failure


def told(what: str, error: BaseException) -> str:
    """What a caller may know of an error, which is logged if that is not all of it."""
    return shown(error) or withhold(error, what).sentence


def _code(error: BaseException) -> Code:
    if isinstance(error, UnavailableError):
        return "unavailable"
    if isinstance(error, ConfigurationError):
        return "not_configured"
    return "failed" if isinstance(error, IngestError) else "internal_error"
