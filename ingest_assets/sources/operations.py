"""What a source offers to programs and agents besides search: operations, as data.

An operation becomes a route over HTTP, and a tool over MCP if it is for agents, each with the checks that all
routes and tools go through. Long answers come in pages (`ingest_assets.paging`); text of documents is a
`DocumentText` in an answer that is `FromDocuments` (`ingest_assets.document_text`).

What belongs here: the shape of an operation. What does not: any source's operations (its folder), what keeps
one from working (`operation_faults`), and how they are served (`interfaces`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ingest_assets.paging import MAX_CURSOR

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ingest_assets.workbench import Workbench

Method = Literal["GET", "POST", "DELETE"]
OperationScope = Literal["read", "ingest", "write", "gate"]
MAX_ID = 1_000

_IN_PATH = re.compile(r"{(\w+)}")


def _text(value: str) -> str:
    if "\0" in value or value.encode("utf-8", "replace").decode() != value:
        raise ValueError("must be valid text, without NUL characters or lone surrogates")
    if not value.strip():
        raise ValueError("must not be empty")
    return value


# Types of arguments.
Text = Annotated[str, Field(min_length=1), AfterValidator(_text)]
Id = Annotated[Text, Field(max_length=MAX_ID)]
Cursor = Annotated[
    str | None,
    Field(
        max_length=MAX_CURSOR,
        description="next_cursor of the previous answer. The other arguments must be the same.",
    ),
]


class Arguments(BaseModel):
    """Unknown names are refused, so that a misspelt one is never ignored."""

    model_config = ConfigDict(extra="forbid")


class Asking(NamedTuple):
    """Who asks, and the workbench to answer with."""

    bench: Workbench
    caller: str  # the name of the token's owner, or of the local user
    transport: str  # "http" or "stdio"
    # Whether it is an agent, which may follow instructions in a document: only what the operator has listed
    # for agents may be fetched, and a request to anywhere else must not even be made (see `reaches_outside`).
    agent: bool
    # To be called in the transaction that writes to the ledger, with a few words on what is written: an
    # agent's call is then logged if, and only if, that is written. Other calls are logged after `run`.
    log: Callable[[Connection, str], None] = lambda _connection, _message: None
    # Whether the caller may see all that is of a source. What an operation shows of other sources than its
    # own depends on it: a token may be bound to some.
    sees: Callable[[str], bool] = lambda _source: True


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOperation:
    """One operation.

    `run` returns an answer of the type `answers`, or raises a RequestError whose message callers see, such
    as NotFoundError; any other error is withheld from them. It is called in a thread, with a workbench that
    is its own until it returns, and goes on when its caller has gone.
    """

    name: str  # of the tool, and in the API: "find_relationships"
    title: str  # a few words: "Find relationships"
    description: str  # for agents: when to use it, what it returns, and an example
    scope: OperationScope
    takes: type[BaseModel]  # forbids unknown arguments (`Arguments`)
    answers: type[BaseModel]
    run: Callable[[Asking, Any], BaseModel]
    method: Method  # GET, which only reads: arguments in the query string; else in a JSON body
    # "/letters/{letter_id}": each name in it is a field of `takes`, a text. A value cannot contain a slash.
    path: str
    status: int = 200  # 201 and 202 where something is created, or queued
    for_agents: bool = True
    destructive: bool = False  # undoes what others may rely on
    idempotent: bool = False  # the same call again changes nothing more
    # Has something fetched, now or by a job. For agents (`Asking.agent`) only from hosts that the operator
    # has listed, because whatever is asked of another server is a message to whoever reads its log.
    reaches_outside: bool = False

    @property
    def in_path(self) -> tuple[str, ...]:
        """The arguments that are in the path."""
        return tuple(_IN_PATH.findall(self.path))

    @property
    def place(self) -> str:
        """The first part of its path, which no other source may have."""
        return self.path.split("/")[1]

    @property
    def shape(self) -> str:
        """Its path, whatever the names in it."""
        return _IN_PATH.sub("{}", self.path)


class StreamEvent(NamedTuple):
    """One event of a stream."""

    sequence: int  # rises with each event; a client that was cut off goes on after the last one it received
    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStream:
    """Events of a source that programs can follow over HTTP (server-sent events), kept for a while."""

    name: str  # in the API: "manifest_events"
    title: str
    description: str
    scope: OperationScope
    path: str  # "/manifest/events"
    # Those after a sequence, in order, at most so many. It is called in a thread.
    after: Callable[[Workbench, int, int], Sequence[StreamEvent]]
    newest: Callable[[Workbench], int]  # the sequence of the last event, where a client without one begins
    method: Literal["GET"] = "GET"

    @property
    def place(self) -> str:
        """The first part of its path, which no other source may have."""
        return self.path.split("/")[1]

    @property
    def shape(self) -> str:
        """Its path, in which there are no names."""
        return self.path
