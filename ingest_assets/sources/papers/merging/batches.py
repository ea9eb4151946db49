"""Rows that are rendered together: many at once are fast, and all at once would all be in memory.

What belongs here: how many. What does not: what becomes of them (`merged_files`, `graph_bundle`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 1_000


def batched(items: Iterable[T]) -> Iterator[list[T]]:
    """Lists of at most AT_ONCE, in order. Without the ledger, whose own needs a database."""
    remaining = iter(items)
    while part := list(islice(remaining, AT_ONCE)):
        yield part
