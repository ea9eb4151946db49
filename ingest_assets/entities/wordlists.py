"""Lists of words that ship with the package, in `lists`: one entry a line, "#" begins a comment.

What belongs here: reading them. What does not: what they are used for.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def lines(name: str) -> tuple[str, ...]:
    """The entries of a list, in its order."""
    text = files(__package__).joinpath(f"lists/{name}.txt").read_text("utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


@cache
def words(name: str) -> frozenset[str]:
    """The entries of a list."""
    return frozenset(lines(name))
