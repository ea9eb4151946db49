"""Taking over on purpose: what `ingest adopt` would make this installation's own, and doing it.

What belongs here: the ledger's name, where a source is read from, and its collection. What does not: asking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ingest_assets.collection.owned import OwnedStore
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.installation import Installation, printable, rename
from ingest_assets.ledger.store import batched
from ingest_assets.stages.origins import record_origin, recorded_origin

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

_generation, _point, _stage = tables.generation, tables.point, tables.stage
GENERATIONS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Takeover:
    """One thing that would change hands."""

    what: str
    source: str  # "" for the ledger as a whole
    whose: str  # so far
    whose_then: str


def takeovers(bench: Workbench, source: str) -> list[Takeover]:
    """What adopting a source would change. Writes nothing. Raises UnavailableError if the store is down."""
    definition, installation = bench.sources[source], _named(bench)
    found = []
    before = bench.unchecked_installation
    if before.name != installation.name:
        found.append(Takeover("the name of the ledger", "", before.name, installation.name))
    with bench.ledger.reading() as connection:
        recorded = recorded_origin(connection, source)
    origin = definition.origin(bench)
    if origin is not None and recorded not in (None, origin.name):
        found.append(Takeover("what it reads", source, str(recorded), origin.name))
    strange = bench.store_of(installation).not_ours(definition.collection)
    if strange is not None:
        numbers = ", ".join(map(str, strange.generations)) or "none"
        what = f"the index {strange.collection} (generations: {numbers}; live: {strange.live or 'none'})"
        found.append(Takeover(what, source, ", ".join(strange.owners), str(installation)))
    return found


def adopt(bench: Workbench, source: str) -> None:
    """Make the ledger, what the source reads and its collection this installation's own.

    The next run builds a generation beside one that another ledger made, and then switches to it. Until then
    the adopted one is searched.
    """
    definition, installation = bench.sources[source], _named(bench)
    with bench.ledger.lock(source, bench.settings.ingest_lock_timeout_s):
        with bench.ledger.transaction() as connection:
            rename(connection, installation.name)
            record_origin(connection, source, definition.origin(bench))
        _adopt_collection(
            bench.ledger, bench.store_of(installation), source=source, collection=definition.collection
        )
    bench.forget_installation()


def _named(bench: Workbench) -> Installation:
    """This installation, with the name that the settings give it."""
    found, named = bench.unchecked_installation, bench.settings.ingest_installation_name
    return Installation(found.id, printable(named)) if named else found


def _adopt_collection(ledger: Ledger, store: OwnedStore, *, source: str, collection: str) -> None:
    strange = store.not_ours(collection)
    if strange is None:
        return
    # First of all: what is recorded of generations with the same numbers is not about these.
    with ledger.transaction() as connection:
        for numbers in batched(strange.strange, GENERATIONS_AT_ONCE):
            mine = {"collection": collection}
            connection.execute(
                _generation.delete().filter_by(**mine).where(_generation.c.number.in_(numbers))
            )
            connection.execute(_point.delete().filter_by(**mine).where(_point.c.generation.in_(numbers)))
        stage = sa.and_(_stage.c.source == source, _stage.c.stage == "collection")
        connection.execute(_stage.update().where(stage).values(input_digest_at_success=None))
    store.adopt(collection)
