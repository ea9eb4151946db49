"""The types of JSON responses that no dataclass of the library describes, for the OpenAPI document only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ingest_assets.interfaces.job_service import JobStatus
from ingest_assets.queries.sources import SourceDescription
from ingest_assets.queries.status import SourceStatus


@dataclass(frozen=True, slots=True)
class Alive:
    """The process responds."""

    status: Literal["ok"]


@dataclass(frozen=True, slots=True)
class Status:
    """What the index holds, by source, and the id of the installation that it belongs to."""

    installation: str
    sources: dict[str, SourceStatus]


@dataclass(frozen=True, slots=True)
class SourceList:
    """All sources, in order."""

    sources: list[SourceDescription]


@dataclass(frozen=True, slots=True)
class JobList:
    """Jobs, newest first."""

    jobs: list[JobStatus]


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong: a code for programs, a sentence for people.

    `id` is there if the operator finds the details in the server's log, under that id.
    """

    code: str
    message: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Error:
    """Any error response."""

    error: Fault
