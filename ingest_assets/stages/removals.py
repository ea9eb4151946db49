"""The guard against removals that nobody meant: how much of a source may leave the index with one run.

A wrong condition in a mapping, or a folder that was not mounted, looks like the removal of most documents. So
a run that would remove more than a share and a number is stopped before it changes anything, and goes on when
somebody has allowed it.

What belongs here: the limits, what exceeds them, and the record of runs that were stopped. What does not:
which documents are gone (`records`), and which points would be (`collection`).
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from ingest_assets.ledger.guard_tables import held_removal
from ingest_assets.ledger.store import upsert
from ingest_assets.model import IngestError
from ingest_assets.quoting import quotes_allowed
from ingest_assets.reconcile import Delta, Named, Step, key_of
from ingest_assets.setting_forms import RemovalLimit, removal_limits
from ingest_assets.settings import Settings, listed

EXAMPLES = 5  # ids of each kind that a message names
KINDS_SAID = 10
ALLOW = "--allow-removals"

OnPurpose = Callable[[str], bool]


def nothing(_document_id: str) -> bool:
    """No document was removed on purpose."""
    return False


class Loss(NamedTuple):
    """How many documents of a kind would leave, of how many."""

    kind: str
    gone: int
    of: int
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.gone:,} of {self.of:,} {self.kind}"


class RemovalsHeldError(IngestError):
    """A run was stopped because it would remove too much. Nothing was changed."""

    def __init__(self, source: str, losses: Sequence[Loss], verb: str) -> None:
        gone, of = sum(each.gone for each in losses), sum(each.of for each in losses)
        lost = sorted((each for each in losses if each.gone), key=lambda each: -each.gone)
        kinds = ", ".join(str(each) for each in lost[:KINDS_SAID])
        more = f" and {len(lost) - KINDS_SAID} more kinds" if len(lost) > KINDS_SAID else ""
        named = [example for each in lost for example in each.examples][:EXAMPLES]
        self._lost = lost
        examples = f" For example: {', '.join(named)}." if named else ""
        super().__init__(
            f"This run would {verb} {gone:,} of {of:,} documents of {source} ({kinds}{more}), which is more "
            "than INGEST_REMOVAL_GUARD_SHARE and INGEST_REMOVAL_GUARD_COUNT let go unasked. It was stopped "
            f"before it changed anything.{examples} If that is a mistake, look at what the source is read "
            f"from, and at its settings. If it is right, run `ingest refresh --source {source} {ALLOW}`, or "
            "launch the job in Dagster with the tag ingest/allow_removals: true."
        )

    @property
    def metadata(self) -> dict[str, Any]:
        """What an operator sees of it, by kind."""
        return {
            each.kind: {"would_be_removed": each.gone, "of": each.of, "examples": list(each.examples)}
            for each in self._lost
        }


@dataclass(frozen=True, slots=True)
class Guard:
    """What may leave a source with one run. A kind without a limit of its own has the source's."""

    source: str
    limit: RemovalLimit
    kinds: Mapping[str, RemovalLimit] = field(default_factory=dict)
    on_purpose: OnPurpose = nothing  # what its source says somebody has removed

    @property
    def least(self) -> int:
        """Fewer, or as many, are never held."""
        return min(each.count for each in (self.limit, *self.kinds.values()))

    def require(self, losses: Sequence[Loss], verb: str = "remove") -> None:
        """Raises RemovalsHeldError if they are too many: of a kind, or of all kinds without own limits."""
        shared = [each for each in losses if each.kind not in self.kinds]
        total = Loss("", sum(each.gone for each in shared), sum(each.of for each in shared))
        own = any(self.kinds.get(each.kind, self.limit).exceeded(each.gone, each.of) for each in losses)
        if own or self.limit.exceeded(total.gone, total.of):
            raise RemovalsHeldError(self.source, losses, verb)

    def losses(self, gone: Iterable[tuple[str, str]], recorded: Mapping[str, int]) -> list[Loss]:
        """What the removal of documents, by id and kind, means; `recorded` counts those there are by kind."""
        lost: Counter[str] = Counter()
        examples: dict[str, list[str]] = defaultdict(list)
        for document_id, kind in gone:
            if self.on_purpose(document_id):
                continue
            lost[kind] += 1
            if quotes_allowed() and len(examples[kind]) < EXAMPLES:
                examples[kind].append(document_id)
        return [Loss(kind, lost[kind], of, tuple(examples[kind])) for kind, of in recorded.items()]


def guard_of(settings: Settings, source: str, on_purpose: OnPurpose = nothing) -> Guard:
    """The guard of a source by the settings."""
    s = settings
    own = removal_limits(listed(s.ingest_removal_guard_kinds))
    common = RemovalLimit(s.ingest_removal_guard_share, s.ingest_removal_guard_count)
    limit = own.get((source, ""), common)
    kinds = {kind: each for (name, kind), each in own.items() if name == source and kind}
    return Guard(source, limit, kinds, on_purpose)


class Held(NamedTuple):
    """A run that was stopped, and not let go on since."""

    stage: str
    part: str
    at: float  # seconds since 1970
    message: str
    losses: dict[str, Any]


def stopping(stage: Named, judge: Callable[[], None]) -> Iterator[Step]:
    """Judge what a run would remove. If it is too much, that is recorded, and the run ends with an error."""
    try:
        judge()
    except RemovalsHeldError as error:
        yield Step(partial(_hold, stage=stage, error=error))
        raise


def let_go(stage: Named, connection: sa.Connection) -> Delta:
    """The stage was brought up to date: nothing of it is held any longer."""
    connection.execute(held_removal.delete().filter_by(**key_of(stage)))
    return Delta()


def held(connection: sa.Connection, source: str, part: str | None = None) -> list[Held]:
    """The runs of a source, or on one of its parts, that were stopped and not let go on since."""
    t = held_removal
    query = sa.select(t).filter_by(source=source).order_by(t.c.at.desc(), t.c.stage, t.c.part)
    if part is not None:
        query = query.filter_by(part=part)
    return [
        Held(row.stage, row.part, row.at, row.message, json.loads(row.losses))
        for row in connection.execute(query)
    ]


def _hold(connection: sa.Connection, stage: Named, error: RemovalsHeldError) -> Delta:
    row = key_of(stage) | {"at": time.time(), "message": str(error), "losses": json.dumps(error.metadata)}
    upsert(connection, held_removal, [row])
    return Delta()
