"""What the JSON answers are, where no dataclass of the library says it. For the OpenAPI document only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ingest_assets.doors.jobs_port import JobStatus
from ingest_assets.status import SourceStatus


@dataclass(frozen=True, slots=True)
class Alive:
    """The process answers."""

    status: Literal["ok"]


@dataclass(frozen=True, slots=True)
class Status:
    """What the index holds, by source."""

    sources: dict[str, SourceStatus]


@dataclass(frozen=True, slots=True)
class JobList:
    """Jobs, the newest first."""

    jobs: list[JobStatus]


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong: a code for programs, a sentence for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Error:
    """Any answer that is not what was asked for."""

    error: Fault
