"""A source, or a part of one, that should have nothing in the index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ingest_assets.model import SkippedItem, SourceItem, digest_of


@dataclass(frozen=True, slots=True)
class EmptySource:
    """Stands for a part that is being removed: whatever is recorded of it must go."""

    name: str
    part: str
    repaired: int = 0
    skipped: Sequence[SkippedItem] = ()

    def signature(self) -> str:
        return digest_of("empty", self.name, self.part)

    @contextmanager
    def read(self) -> Iterator[Iterator[SourceItem]]:
        yield iter(())
