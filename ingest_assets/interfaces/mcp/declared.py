"""The operations that sources declare for agents, as tools.

What belongs here: a declared operation as a tool. What does not: what all interfaces do with one
(`interfaces.declared`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel

from ingest_assets.interfaces.declared import answer_of
from ingest_assets.interfaces.mcp.calls import Call, Tool
from ingest_assets.model import RequestError
from ingest_assets.paging import BUDGET, size
from ingest_assets.queries.reach import sees
from ingest_assets.sources.operations import Asking, SourceOperation
from ingest_assets.sources.registry import Sources


def declared_tools(sources: Sources) -> list[Tool]:
    """The tools that these sources add."""
    return [_tool(each, source) for source, each in sources.operations_by_source() if each.for_agents]


def _log(call: Call, connection: sa.Connection, message: str) -> None:
    call.log(connection, "ok", message)


def _tool(declared: SourceOperation, source: str) -> Tool:
    def run(call: Call, given: Any) -> BaseModel:
        asking = Asking(
            call.bench,
            call.caller.name,
            call.transport,
            agent=True,
            log=partial(_log, call),
            sees=partial(sees, call.reach),
        )
        answered = answer_of(declared, asking, given)
        # What has been changed must not be called refused, however long the answer about it is.
        if declared.scope == "read" and size(answered) > BUDGET:
            raise RequestError(
                f"The answer is longer than {BUDGET:,} characters. Ask for less at a time, or more precisely."
            )
        return answered

    return Tool(
        declared.name,
        declared.title,
        declared.description,
        declared.scope,
        declared.takes,
        declared.answers,
        run,
        destructive=declared.destructive,
        idempotent=declared.idempotent,
        reaches_outside=declared.reaches_outside,
        of_sources=frozenset({source}),
    )
