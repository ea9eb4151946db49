"""One call of a tool: permission, validation, the answer, and its row in the log.

Every call is logged, refused or not. A tool that writes is logged in the same transaction; any other call is
logged before it is answered, so that there is no answer without a row in the log.

What belongs here: what all tools share. What does not: the protocol (`server`) and what a tool does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, ValidationError

from ingest_assets import audit_log
from ingest_assets.audit_log import Outcome
from ingest_assets.document_text import cleaned
from ingest_assets.interfaces.failures import shown, withhold
from ingest_assets.interfaces.tokens import Caller, Scope
from ingest_assets.model import RequestError
from ingest_assets.queries.reach import OutOfReachError, Reach
from ingest_assets.redaction import redact_values
from ingest_assets.tracing import span
from ingest_assets.workbench import Workbench

MAX_ERROR = 600  # characters


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool. `run` returns the answer, or raises a RequestError whose message says what to do."""

    name: str
    title: str
    description: str
    scope: Scope
    takes: type[BaseModel]
    answers: type[BaseModel]
    run: Callable[[Call, Any], BaseModel]
    destructive: bool = False  # undoes what others may rely on
    idempotent: bool = False  # the same call again changes nothing more
    reaches_outside: bool = False  # beyond this installation
    # Whether it keeps within the reach of a caller that is bound to projects. Any other tool is closed to
    # them, unless it is of a source that is within their reach.
    keeps_within: bool = False
    of_sources: frozenset[str] = frozenset()

    def is_open_to(self, caller: Caller) -> bool:
        """Whether the caller may use it, as far as its scopes allow."""
        return caller.reach is None or self.keeps_within or bool(self.of_sources & caller.reach.sources)

    @property
    def reads_only(self) -> bool:
        return self.scope == "read"


@dataclass(slots=True)
class Call:
    """A call in progress."""

    bench: Workbench
    caller: Caller
    transport: str
    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    logged: bool = False

    @property
    def reach(self) -> Reach | None:
        """What the caller is bound to."""
        return self.caller.reach

    def log(self, connection: sa.Connection, outcome: Outcome, message: str) -> None:
        """Log the call in the tool's own transaction, together with what the tool writes."""
        audit_log.append(
            connection,
            who=self.caller.name,
            transport=self.transport,
            tool=self.tool,
            arguments=self.arguments,
            outcome=outcome,
            message=message,
        )
        self.logged = True


@dataclass(frozen=True, slots=True)
class Answer:
    """`text` is the content as JSON, or a sentence that says what is wrong and what to do."""

    text: str
    content: dict[str, Any] | None = None

    @property
    def is_error(self) -> bool:
        return self.content is None


def answer(tools: Mapping[str, Tool], call: Call) -> Answer:
    """Execute a call, log it, and return the answer. Never raises."""
    outcome, answered = _execute(tools, call)
    if call.logged and outcome == "ok":
        return answered
    try:
        with call.bench.ledger.transaction() as connection:
            call.log(connection, outcome, "" if outcome == "ok" else answered.text)
    except Exception as error:  # noqa: BLE001 - whatever it is, a call that cannot be logged is not answered
        failure = withhold(error, f"logging a call of {call.tool[:100]!r}")
        return Answer(
            f"{failure.code}: The call could not be logged, and is therefore not answered. Try again in a "
            f"minute. (The server's log has the reason under {failure.id}.)"
        )
    return answered


def _execute(tools: Mapping[str, Tool], call: Call) -> tuple[Outcome, Answer]:
    try:
        tool = _permitted(tools, call)
        with span("tool", tool=tool.name):
            answered = tool.run(call, _arguments(tool, call.arguments)).model_dump(mode="json")
        content = cleaned(redact_values(answered))
        return "ok", Answer(json.dumps(content, ensure_ascii=False, separators=(",", ":")), content)
    except Exception as error:  # noqa: BLE001 - a call is answered and logged whatever goes wrong in it
        if (message := shown(error)) is not None:
            return "refused", Answer(_clean(message))
        return "failed", withheld(error, f"the tool {call.tool}")


def withheld(error: BaseException, what: str) -> Answer:
    """An error that is not about the request: its code, a sentence, and the id of its details in the log."""
    failure = withhold(error, what)
    return Answer(f"{failure.code}: {failure.sentence}")


def _permitted(tools: Mapping[str, Tool], call: Call) -> Tool:
    tool = tools.get(call.tool)
    if tool is None:
        raise RequestError(f"There is no such tool. Tools: {', '.join(tools)}.")
    if tool.scope not in call.caller.scopes:
        raise RequestError(
            f"{tool.name} needs the scope {tool.scope}, which your token lacks. Ask for a token that has it."
        )
    if not tool.is_open_to(call.caller):
        raise OutOfReachError(f"Your token is bound to projects, and {tool.name} is outside of its reach.")
    return tool


def _arguments(tool: Tool, given: Mapping[str, Any]) -> BaseModel:
    try:
        return tool.takes.model_validate(given)
    except ValidationError as error:
        wrong = error.errors(include_url=False)
        said = [f"{_place(each['loc'])}: {_requirement(each)}" for each in wrong[:3]]
        raise RequestError(
            f"The arguments of {tool.name} are invalid. {'; '.join(said)}. Arguments: "
            f"{', '.join(tool.takes.model_fields) or 'none'}."
        ) from None


def _place(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part)[:60] for part in loc)[:200] or "arguments"


def _requirement(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "is unknown"
    if error["type"] in {"too_long", "string_too_long"}:
        unit = "characters" if isinstance(error["input"], str) else "items"
        return f"may have at most {error['ctx']['max_length']:,} {unit}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _clean(text: str) -> str:
    """A message as one short paragraph of valid text."""
    plain = str(cleaned(" ".join(text.split())))
    plain = plain.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return plain if len(plain) <= MAX_ERROR else f"{plain[: MAX_ERROR - 1]}…"
