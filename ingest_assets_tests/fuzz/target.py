"""What a target is: a parser, valid inputs for it, and what it may raise.

What belongs here: the shape. What does not: any particular parser (`targets`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ingest_assets.model import IngestError
from ingest_assets_tests.support.built_index import Home

SEEDS = Path(__file__).with_name("seeds")
Parse = Callable[[bytes], object]
_BETWEEN = b"\n--8<--\n"


@dataclass(frozen=True)
class Place:
    """What a target may use while it is open."""

    folder: Path  # of its own, empty
    home: Callable[[], Home]  # a built index, for reading only


@dataclass(frozen=True, kw_only=True)
class Target:
    """A parser of outside bytes.

    `open` gives a function that parses one input and raises AssertionError where a promise is broken;
    `allowed` are the other exceptions that it may raise. `tokens` are pieces that mean something to it.
    """

    name: str
    open: Callable[[Place], AbstractContextManager[Parse]]
    seeds: Callable[[], Iterable[bytes]]
    tokens: tuple[bytes, ...] = ()
    allowed: tuple[type[Exception], ...] = (IngestError,)
    brief: int = 150  # inputs that `make test` tries
    max_bytes: int = 1 << 16

    def inputs(self) -> list[bytes]:
        """The valid inputs, and those that were saved because they once found a fault."""
        saved = sorted((SEEDS / self.name).glob("*"))
        return [*self.seeds(), *(path.read_bytes() for path in saved)]


def plain(parse: Parse) -> Callable[[Place], AbstractContextManager[Parse]]:
    """The `open` of a parser that needs nothing."""

    @contextmanager
    def opened(_place: Place) -> Iterator[Parse]:
        yield parse

    return opened


def joined(*parts: bytes) -> bytes:
    """One input for a parser that reads several files."""
    return _BETWEEN.join(parts)


def divided(data: bytes, count: int) -> list[bytes]:
    """The parts of such an input; those that a mutation cut off are empty."""
    parts = data.split(_BETWEEN, count - 1)
    return [*parts, *[b""] * (count - len(parts))]
