"""Tries the serverless handler, here or on an endpoint, against what the contract promises.

    python -m tools.try_serverless                       # here, with a repository that is made for it
    python -m tools.try_serverless --repo https://github.com/owner/name     # here, with yours
    RUNPOD_API_KEY=... python -m tools.try_serverless https://api.runpod.ai/v2/ENDPOINT_ID --repo https://...

An endpoint is one of RunPod's queue-based API, or what `python -m deploy.serverless.runpod_worker
--rp_serve_api` serves. It is asked by /runsync, by /run and /status, and by /stream. Exit status: 0 if all
holds, 1 if something does not, 2 if the call itself is wrong.

What belongs here: calls, and what is printed. What does not: what an answer must be (serverless_contract).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from ingest_assets.terminal import complain, say
from tools.serverless_contract import faults_of_error, faults_of_success

if TYPE_CHECKING:
    import httpx

    from deploy.serverless.handler import Handler

EXAMPLE = "https://github.com/pypa/sampleproject"
KEY = "RUNPOD_API_KEY"
TIMEOUT_S = 300.0  # the handler's own limit
QUEUE_S = 300.0  # until a worker has started and takes the call
WAIT_MS = 300_000  # the longest that /runsync can be asked to wait
POLL_S = 1.0
_WAITING = frozenset({"IN_QUEUE", "IN_PROGRESS", "RUNNING"})
_ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"})
_STEPS = 6  # looks at the clock, of which the last ones are between files
_BAD_URL = "ftp://host.example/owner/name"

Call = Callable[[dict[str, Any]], Any]


class CallError(Exception):
    """No answer of the handler was got. The message is a sentence."""


class NotThatWayError(CallError):
    """The endpoint knows the path, and another method."""


@dataclass(slots=True)
class Trial:
    """What was tried, as it is printed."""

    failed: int = 0

    def hold(self, name: str, faults: list[str], note: str = "") -> None:
        """Print whether one promise holds."""
        self.failed += bool(faults)
        say(f"{'WRONG' if faults else 'ok':<6} {name}{f' ({note})' if note and not faults else ''}")
        for fault in faults:
            say(f"       {fault}")

    def call(
        self, name: str, call: Call, given: dict[str, Any], faults_of: Callable[[Any], list[str]]
    ) -> Any:
        """Call the handler, and print whether its answer is as it must be. Returns the answer, or None."""
        began = time.monotonic()
        try:
            answer = call(given)
        except CallError as error:
            self.hold(name, [str(error)])
            return None
        took = time.monotonic() - began
        self.hold(name, faults_of(answer), f"{_counts(answer)}{took:.1f} s")
        return answer


def main(arguments: list[str] | None = None) -> int:
    """Try everything. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.try_serverless", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "url", nargs="?", help="an endpoint, https://api.runpod.ai/v2/ENDPOINT_ID; none: here"
    )
    parser.add_argument("--repo", help=f"the repository (default: one made here; for an endpoint {EXAMPLE})")
    parser.add_argument("--ref", help="its branch, tag or commit (default: the remote's default branch)")
    given = parser.parse_args(arguments)
    trial = Trial()
    if given.url is None:
        _try_here(trial, given.repo, given.ref)
    else:
        url = _checked(parser, given.url)
        _try_endpoint(trial, url, _input(given.repo or EXAMPLE, given.ref))
    say("\nAll of it holds." if not trial.failed else f"\n{trial.failed} of it did not hold.")
    return 1 if trial.failed else 0


def _checked(parser: argparse.ArgumentParser, url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        _refuse(parser, f"{url!r} is not a URL such as https://api.runpod.ai/v2/ENDPOINT_ID.")
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme == "http" and not local and os.environ.get(KEY):
        _refuse(parser, f"{KEY} is not sent over http: use https.")
    if not local and not os.environ.get(KEY):
        _refuse(parser, f"{KEY} is not set. Put the API key of the endpoint's account there.")
    return url.rstrip("/").removesuffix("/runsync").removesuffix("/run")


def _refuse(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    complain(message)
    parser.exit(2)


def _input(repo: str, ref: str | None) -> dict[str, Any]:
    return {"repo_url": repo} | ({} if ref is None else {"git_ref": ref})


def _counts(answer: Any) -> str:
    if not isinstance(answer, dict) or not isinstance(answer.get("summary"), dict):
        return ""
    summary = answer["summary"]
    return f"{summary.get('files_processed')} files, {summary.get('chunks_created')} chunks, "


# --- Here ---------------------------------------------------------------------------------------------------


def _try_here(trial: Trial, repo: str | None, ref: str | None) -> None:
    from deploy.serverless.handler import by_settings

    if repo is not None:
        _try_handler(trial, by_settings(), _input(repo, ref))
        return
    with _made() as (folder, allowed):
        _try_handler(trial, allowed, {"repo_url": str(folder), "git_ref": "main"})


def _try_handler(trial: Trial, handler: Handler, given: dict[str, Any]) -> None:
    """As RunPod calls it, and as Lambda does."""
    trial.call("a call", handler, {"id": "try-1", "input": given}, faults_of_success)
    first, again = (
        [event.get("event_id") for event in handler({"id": "try-2", "input": given})["events"]]
        for _ in range(2)
    )
    trial.hold("a call that is repeated has the same ids", [] if first == again else ["they differ"])
    wrong = {"repo_url": _BAD_URL}
    trial.call("a repository that may not be read", handler, {"input": wrong}, faults_of_error)
    trial.call("an input without repo_url", handler, {"input": {}}, faults_of_error)
    for name, steps in (("the time is up at the start", 0), ("the time is up on the way", _STEPS)):
        seconds = count()  # as if each look at the clock came a second after the one before
        hasty = replace(handler, timeout_s=float(steps), clock=partial(next, seconds))
        trial.call(name, hasty, {"input": given}, _faults_of_timeout)


def _faults_of_timeout(answer: Any) -> list[str]:
    faults = faults_of_error(answer)
    if not faults and "time is up" not in answer["message"]:
        faults.append(f"its message does not say so: {answer['message'][:200]}")
    return faults


@contextmanager
def _made() -> Iterator[tuple[Path, Handler]]:
    """A small repository, and the handler, which may read it."""
    from dulwich import porcelain

    from deploy.serverless.handler import Handler
    from ingest_assets.sources.repositories.policy import Policy

    with tempfile.TemporaryDirectory(prefix="try-serverless-") as made:
        folder = Path(made).resolve() / "example"
        folder.mkdir()
        files = {
            "app.py": b"def total(amounts):\n    return sum(amounts)\n",
            "lib.rs": b"pub fn id(x: u8) -> u8 {\n    x\n}\n",
        }
        for name, content in {**files, "logo.bin": b"\0\1\2"}.items():
            (folder / name).write_bytes(content)
        with porcelain.init(folder) as repo:
            repo.refs.set_symbolic_ref(b"HEAD", b"refs/heads/main")  # type: ignore[arg-type]
            porcelain.add(repo, [str(folder / name) for name in (*files, "logo.bin")])
            someone = b"Example <example@host.example>"
            porcelain.commit(repo, b"An example", author=someone, committer=someone)
        policy = Policy(protocols=frozenset({"file"}), local_roots=(folder.parent,))
        yield folder, Handler(policy)


# --- An endpoint --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Endpoint:
    """An endpoint of RunPod's API (https://docs.runpod.io/serverless/endpoints/operation-reference)."""

    url: str
    client: httpx.Client
    poll_s: float
    patience_s: float = QUEUE_S + TIMEOUT_S
    ask_by: str = "GET"

    def runsync(self, given: dict[str, Any]) -> Any:
        """One request, which waits. What takes longer than that may is asked for by its status."""
        job = self._request("POST", f"/runsync?wait={WAIT_MS}", {"input": given})
        return self._output(job if job.get("status") in _ENDED else self._status(job))

    def run(self, given: dict[str, Any]) -> Any:
        """A request that starts, then its status until it has ended."""
        return self._output(self._status(self._request("POST", "/run", {"input": given})))

    def stream(self, given: dict[str, Any]) -> Any:
        """As `run`, but asked for the parts of the answer meanwhile.

        This handler has one part, or none: the platform streams what a worker sends in parts.
        """
        job = self._request("POST", "/run", {"input": given})
        ends = time.monotonic() + self.patience_s
        while True:
            part = self._ask(f"/stream/{_id(job)}")
            sent = part.get("stream", [])
            if not isinstance(sent, list) or not all(
                isinstance(each, dict) and "output" in each for each in sent
            ):
                raise CallError(f"/stream answered with no list of parts: {str(part)[:300]}")
            if part.get("status") not in _WAITING:
                break
            self._wait(ends)
        return self._output(self._status(job))

    def _status(self, job: dict[str, Any]) -> dict[str, Any]:
        ends = time.monotonic() + self.patience_s
        job_id = _id(job)
        while True:
            job = self._ask(f"/status/{job_id}")
            if job.get("status") in _ENDED:
                return job
            if job.get("status") not in _WAITING:
                raise CallError(f"/status answered with no known status: {str(job)[:300]}")
            self._wait(ends)

    def _wait(self, ends: float) -> None:
        if time.monotonic() > ends:
            raise CallError(f"The call has not ended after {self.patience_s:.0f} s.")
        time.sleep(self.poll_s)  # the platform has no other way to be asked

    def _output(self, job: dict[str, Any]) -> Any:
        if job.get("status") != "COMPLETED" or "output" not in job:
            said = str(job.get("error") or job)[:300]
            raise CallError(f"The platform ended the call as {job.get('status')}: {said}")
        return job["output"]

    def _ask(self, path: str) -> dict[str, Any]:
        """By GET, as documented; the server that comes with RunPod's package knows POST alone."""
        try:
            return self._request(self.ask_by, path)
        except NotThatWayError:
            self.ask_by = "POST"
            return self._request(self.ask_by, path)

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        import httpx

        try:
            answer = self.client.request(method, self.url + path, json=body)
        except httpx.HTTPError as error:
            raise CallError(f"The endpoint cannot be reached: {error or type(error).__name__}") from None
        name = path.partition("?")[0]
        if answer.is_error:
            kind = NotThatWayError if answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED else CallError
            raise kind(f"{name} answered {answer.status_code}: {answer.text[:200] or answer.reason_phrase}")
        try:
            found = answer.json()
        except ValueError:
            raise CallError(f"{name} answered with something else than JSON: {answer.text[:200]}") from None
        if not isinstance(found, dict):
            raise CallError(f"{name} answered with something else than an object: {answer.text[:200]}")
        return found


def _id(job: dict[str, Any]) -> str:
    if not isinstance(job.get("id"), str) or not job["id"]:
        raise CallError(f"The endpoint named no job: {str(job)[:300]}")
    return str(job["id"])


def _try_endpoint(trial: Trial, url: str, given: dict[str, Any]) -> None:
    import httpx

    key = os.environ.get(KEY)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    timeout = httpx.Timeout(WAIT_MS / 1000 + 30, connect=10)
    with httpx.Client(headers=headers, timeout=timeout) as client:
        endpoint = Endpoint(url, client, poll_s=POLL_S)
        first = trial.call("/runsync", endpoint.runsync, given, faults_of_success)
        second = trial.call("/run and /status", endpoint.run, given, faults_of_success)
        if first is not None and second is not None:
            same = _chunks(first) == _chunks(second)
            trial.hold("both have the same chunks", [] if same else ["they differ"])
        trial.call("/stream", endpoint.stream, given, faults_of_success)
        trial.call(
            "a repository that may not be read", endpoint.runsync, {"repo_url": _BAD_URL}, faults_of_error
        )
        trial.call("an input without repo_url", endpoint.runsync, {"git_ref": "main"}, faults_of_error)
    say(f"       The limit of {TIMEOUT_S:.0f} s is tried here only: a call cannot change it.")


def _chunks(answer: Any) -> list[str]:
    events = answer.get("events", []) if isinstance(answer, dict) else []
    return [event["payload"].get("chunk_id") for event in events if "chunk" in str(event.get("event_type"))]


if __name__ == "__main__":
    sys.exit(main())
