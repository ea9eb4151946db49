"""A repository's chunks from a serverless function: one call, one repository, no state, no database.

    from deploy.serverless.handler import handler

    handler({"repo_url": "https://github.com/owner/name", "git_ref": "main"})
    {"status": "success", "summary": {"status": "success", "files_detected": 40, ...}, "events": [...]}

    handler({"repo_url": "https://github.com/owner/gone"})
    {"status": "error", "message": "...", "events": [...]}

It takes calls as platforms make them: AWS Lambda's `handler(event, context)`; an API gateway's event, with
the input in its body (base64 or not) or its query, which is answered as a gateway expects; and RunPod's
`{"id": ..., "input": {...}}`. It never raises.

Deploying: install the project (`pip install .`) and this folder into the image, and name
`deploy.serverless.handler.handler` as the function; for RunPod, start `deploy.serverless.runpod_worker`.
Only public hosts over https may be fetched; the settings INGEST_REPOSITORY_* say otherwise, name tokens and
allowed hosts, and set the limits (INGEST_REPOSITORY_MAX_MIB, INGEST_REPOSITORY_FILE_MAX_KIB). It needs a
writable temporary folder with room for the repository (100 MiB by default), which it empties after each
call. Platforms limit the size of answers (Lambda: 6 MB, including the texts of the chunks): larger
repositories need the HTTP stream or a background job.
"""

from __future__ import annotations

import base64
import json
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from ingest_assets.chunking.code import CodeChunker
from ingest_assets.chunking.prose import ChunkBudget
from ingest_assets.interfaces.failures import shown, withhold
from ingest_assets.jobs.events import NAMESPACE, Context, Draft, JobEvent, summary_of
from ingest_assets.jobs.streaming import failure_in, stream
from ingest_assets.model import (
    Chunker,
    IngestError,
    RequestError,
    UnavailableError,
    digest_of,
)
from ingest_assets.sandbox import Sandbox
from ingest_assets.sandbox.chunking import ConfinedChunker
from ingest_assets.settings import load_settings
from ingest_assets.sources.repositories.definition import PARSER
from ingest_assets.sources.repositories.fetch import FetchLimits
from ingest_assets.sources.repositories.kept import bounds_of
from ingest_assets.sources.repositories.language_table import NO_TABLE, LanguageTable
from ingest_assets.sources.repositories.mirror import Mirror
from ingest_assets.sources.repositories.origin import checked_ref, parse_origin
from ingest_assets.sources.repositories.policy import Policy
from ingest_assets.sources.repositories.source import ConfinedRepository, RepositorySource
from ingest_assets.sources.repositories.streaming import ingest_events
from ingest_assets.sources.repositories.tree import TreeLimits

TIMEOUT_S = 300.0
# Reserved, of the time that the platform leaves, to write and send the answer.
ANSWER_S = 2.0
CHUNK_CHARS = 1_000  # as INGEST_CHUNK_SIZE is by default
MAX_BODY = 65_536  # characters of a body; the input is two short texts
EXAMPLE = 'send {"repo_url": "https://github.com/owner/name", "git_ref": "main"}.'

Response = dict[str, Any]


def code_chunker(sandbox: Sandbox) -> Chunker:
    """The chunker for files. Chunks have the ids that they have in an index with default settings."""
    return ConfinedChunker(CodeChunker("repositories", ChunkBudget(CHUNK_CHARS)), sandbox, PARSER)


class TimeIsUpError(RequestError, UnavailableError):
    """The repository takes longer than a call may."""


class Request(NamedTuple):
    """What a call asks for."""

    repo_url: str
    git_ref: str | None
    id: str  # the platform's, or ""


@dataclass(frozen=True, slots=True)
class Handler:
    """A function for a platform to call, with its bounds."""

    policy: Policy = field(default_factory=Policy)
    fetch_limits: FetchLimits = field(default_factory=FetchLimits)
    tree_limits: TreeLimits = field(default_factory=TreeLimits)
    patterns: Sequence[str] = ()  # of files to leave out
    languages: LanguageTable = NO_TABLE
    timeout_s: float = TIMEOUT_S
    chunker: Callable[[Sandbox], Chunker] = code_chunker
    clock: Callable[[], float] = time.monotonic

    def __call__(self, event: Any, context: Any = None) -> Response:
        """Never raises: any failure is an answer with status "error"."""
        by_gateway = _is_gateway(event)
        events: list[JobEvent] = []
        try:
            seconds = self._time_left(context)
            message = self._run(_request(event, context), seconds, events)
            status = HTTPStatus.OK if message is None else HTTPStatus.BAD_GATEWAY
        # The platform would retry a function that raises, and bill for it.
        except Exception as error:  # noqa: BLE001 - the platform always gets an answer
            status, message = _refusal(error)
        if message is None:
            answer: Response = {"status": "success", "summary": summary_of(events[-1:]), "events": events}
        else:
            answer = {"status": "error", "message": message, "events": events}
        return _gateway_answer(status, answer) if by_gateway else answer

    def _time_left(self, context: Any) -> float:
        """Seconds for the work: our limit, or what the platform leaves if that is less."""
        remaining = getattr(context, "get_remaining_time_in_millis", None)
        if not callable(remaining):
            return self.timeout_s
        left: float = remaining() / 1000
        return min(self.timeout_s, left - min(ANSWER_S, left / 10))

    def _run(self, request: Request, seconds: float, events: list[JobEvent]) -> str | None:
        """Fill `events`. Returns why it failed, or None. Raises IngestError if there are no events yet."""
        ends = self.clock() + seconds
        origin, ref = parse_origin(request.repo_url, self.policy), checked_ref(request.git_ref)
        url = origin.url or str(origin.path)

        def check() -> None:
            if self.clock() >= ends:
                raise TimeIsUpError(f"The time is up: the repository takes more than {seconds:.0f} s.")

        check()
        with tempfile.TemporaryDirectory(prefix="ingest-") as workspace, ExitStack() as stack:
            limits = replace(self.fetch_limits, seconds=min(self.fetch_limits.seconds, ends - self.clock()))
            sandbox = stack.enter_context(closing(Sandbox(Path(workspace) / "tmp")))
            mirror = Mirror(origin, Path(workspace), self.policy, limits, sandbox=sandbox)
            mirror.fetch(ref)
            check()
            left = min(self.tree_limits.seconds, ends - self.clock())
            source = RepositorySource(
                "repositories",
                mirror,
                prefix=f"{origin.id}/",
                ref=ref,
                patterns=self.patterns,
                limits=replace(self.tree_limits, seconds=left),
                table=self.languages,
            )
            drafts = ingest_events(
                ConfinedRepository(source, sandbox),
                self.chunker(sandbox),
                repo_url=url,
                git_ref=ref,
                check=check,
            )
            anchor = digest_of("serverless", request.id, url, ref)
            context = Context(job_id=str(uuid.uuid5(NAMESPACE, anchor)), repo_url=url, git_ref=ref)
            for event in stream(_shown_failures(drafts), context):
                events.append(event)  # noqa: PERF402  # one by one: those before a failure are kept
        return failure_in(events)


@cache
def by_settings() -> Handler:
    """What the settings allow whoever waits for a result."""
    bounds = bounds_of(load_settings(), streamed=True)
    return Handler(bounds.policy, bounds.fetch, bounds.tree, bounds.patterns, bounds.languages)


def handler(event: Any, context: Any = None) -> Response:
    """One call, within the limits of the settings. Never raises."""
    try:
        called = by_settings()
    except IngestError as error:  # wrong settings: the platform's log says which
        answer: Response = {"status": "error", "message": _refusal(error)[1], "events": []}
        return _gateway_answer(HTTPStatus.BAD_GATEWAY, answer) if _is_gateway(event) else answer
    return called(event, context)


def _refusal(error: Exception) -> tuple[HTTPStatus, str]:
    """The answer to a failure: callers see what is wrong with their request, the log has the rest."""
    if (message := shown(error)) is not None:
        return HTTPStatus.BAD_REQUEST, message
    withheld = withhold(error, "A call")
    if withheld.code == "internal_error":
        return HTTPStatus.INTERNAL_SERVER_ERROR, withheld.sentence
    message = f"The repository cannot be processed. (The log has the details under {withheld.id}.)"
    return HTTPStatus.BAD_GATEWAY, message


def _shown_failures(drafts: Generator[Draft, None, None]) -> Generator[Draft, None, None]:
    """The drafts; a failure among them says no more than callers may know, as it becomes an event."""
    try:
        yield from drafts
    except IngestError as error:
        raise IngestError(_refusal(error)[1]) from error


def _request(event: Any, context: Any) -> Request:
    """Raises RequestError for an invalid request."""
    outer = event
    if _is_gateway(event):
        event = _body(event) or event.get("queryStringParameters")
    if isinstance(event, str | bytes):
        event = _parsed(event)
    inner = event.get("input", event) if isinstance(event, Mapping) else event
    if not isinstance(inner, Mapping):
        raise RequestError(f"The input is not an object: {EXAMPLE}")
    url, ref = inner.get("repo_url"), inner.get("git_ref")
    if not isinstance(url, str) or not url:
        raise RequestError(f'The input has no "repo_url": {EXAMPLE}')
    if ref is not None and not isinstance(ref, str):
        raise RequestError(f'"git_ref" is not a string: {EXAMPLE}')
    given = getattr(context, "aws_request_id", None) or (
        outer.get("id") if isinstance(outer, Mapping) else None
    )
    return Request(url, ref, str(given or ""))


def _is_gateway(event: Any) -> bool:
    """Whether an HTTP request came through an API gateway, of either version, or a function's URL."""
    return (
        isinstance(event, Mapping)
        and "repo_url" not in event
        and ("requestContext" in event or "httpMethod" in event or "body" in event)
    )


def _body(event: Mapping[str, Any]) -> Any:
    body = event.get("body")
    if not body or isinstance(body, Mapping):
        return body
    if not isinstance(body, str) or len(body) > MAX_BODY:
        raise RequestError(f"The body is not a string of up to {MAX_BODY:,} characters.")
    if not event.get("isBase64Encoded"):
        return _parsed(body)
    try:
        return _parsed(base64.b64decode(body, validate=True))
    except ValueError:  # binascii.Error is one
        raise RequestError("The body is not base64, though the event says so.") from None


def _parsed(text: str | bytes) -> Any:
    if len(text) > MAX_BODY:
        raise RequestError(f"The input has over {MAX_BODY:,} characters.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise RequestError("The input is not JSON.") from None


def _gateway_answer(status: HTTPStatus, answer: Response) -> Response:
    return {
        "statusCode": int(status),
        "headers": {"content-type": "application/json"},
        "isBase64Encoded": False,
        "body": json.dumps(answer),
    }
