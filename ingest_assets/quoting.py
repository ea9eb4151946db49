"""Whether messages may quote what people wrote: not while a source is at work that keeps its words to itself.

Errors, refusals and samples are kept for long, by the ledger, by Dagster and in logs, and nobody takes them
back when what they quote must no longer be seen.

What belongs here: the rule, and what stands in for words. What does not: which sources have it
(`SourceDefinition.quoting`), and secrets, which are hidden always (`redaction`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

NOT_SHOWN = "(not shown)"

_allowed: ContextVar[bool] = ContextVar("quotes_allowed", default=True)


def quotes_allowed() -> bool:
    """Whether a message may quote a text of a source, or what a server said of one."""
    return _allowed.get()


def quoted(value: object) -> str:
    """A value as a message shows it, or what stands in for it."""
    return repr(value) if quotes_allowed() else NOT_SHOWN


@contextmanager
def without_quotes() -> Iterator[None]:
    """Messages that are made meanwhile, in this thread, quote nothing."""
    token = _allowed.set(False)
    try:
        yield
    finally:
        _allowed.reset(token)
