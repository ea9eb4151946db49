"""One pass over a source's items: what was read, what of it has to be looked at, and what is gone.

What belongs here: keeping count. What does not: the ledger, and what is done about it (`records`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ingest_assets.model import SourceItem
from ingest_assets.reconcile import content_of
from ingest_assets.stages.read_batches import batch_digest
from ingest_assets.stages.removals import Loss

# Bump when a document's row is made differently from the same item.
VERSION = "1"


@dataclass(slots=True)
class SourcePass:
    """The batches that were read, of which the `known` ones were skipped."""

    known: Mapping[str, int] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)  # each batch's digest and content
    skipped: bool = False
    items: int = 0
    new: int = 0  # of the items: those that have no row
    chars: int = 0  # of what was rendered
    # If every item was looked at: documents without an item, with digest and kind; and ids that are parked.
    gone: Sequence[tuple[str, str, str]] = ()
    not_parked: Sequence[str] = ()
    losses: Sequence[Loss] = ()
    told: tuple[int, int] = (0, 0)  # how many items and left-out items `run.read` knows of
    ids: list[str] = field(default_factory=list)  # of the items read that it does not know of

    def begin(self) -> None:
        """Forget what was read so far."""
        self.read, self.skipped, self.items, self.new, self.chars = {}, False, 0, 0, 0
        self.ids = []

    def missed(self, recorded: int) -> int:
        """How many of so many recorded documents no item stands for, if known batches are recorded."""
        return recorded - (self.items - self.new)

    @property
    def content(self) -> str:
        """The stage's content if exactly the items that were read are recorded."""
        return f"{sum(self.read.values()) % (1 << 128):032x}"

    def unknown(self, read: Iterator[list[SourceItem]], at_once: int) -> Iterator[list[SourceItem]]:
        """The items that have to be looked at, so many or more at a time, and fewer than twice as many."""
        waiting: list[SourceItem] = []
        for batch in read:
            first = max(0, self.told[0] - self.items)
            self.items += len(batch)
            self.ids += [item.id for item in batch[first:]]
            digest = batch_digest(VERSION, batch)
            if digest in self.known:
                self.read[digest] = self.known[digest]
                self.skipped = True
                continue
            self.read[digest] = sum(content_of(item.id, recorded_digest(item)) for item in batch) % (1 << 128)
            waiting += batch
            if len(waiting) >= at_once:
                yield waiting
                waiting = []
        if waiting:
            yield waiting


def recorded_digest(item: SourceItem) -> str:
    """An item's digest as the ledger has it: it begins with the version of how rows are made."""
    return VERSION + item.digest[len(VERSION) :]
