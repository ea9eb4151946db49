"""Dense vectors made ahead of the stage that needs them, by as many workers as one likes.

The memo of vectors is keyed by text and model, so anybody may fill it. Each worker takes a shard: the texts
whose digests lie in one of N ranges, of all sources that it is asked for. No text is in two shards, and a
worker waits neither for another nor for a run. What it made, the stage finds. A text that the model refuses
is left to the stage, which parks it.

A model that no generation was built with yet is on record while its vectors are made, because a run that
publishes deletes the vectors of models that nobody uses (`generations`).

What belongs here: shards, and models that are to come. What does not: embedding itself (`vectors`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.store import upsert
from ingest_assets.model import ConfigurationError
from ingest_assets.stages.shapes import DENSE_VECTORS
from ingest_assets.stages.vectors import DenseVectors, model_key

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

MAX_SHARDS = 1_000
_DIGITS = 8  # of the hexadecimal digests, by which they are divided: enough for even shards
_ahead, _generation, _dense = tables.model_ahead, tables.generation, tables.dense_vector
FORGET_BATCH = 10_000


class Shard(NamedTuple):
    """One of `of` shares of all texts; `number` counts from 1."""

    number: int
    of: int

    @property
    def bounds(self) -> tuple[str, str]:
        """The digests in it: greater than the first, and less than the second. Neither is a digest."""
        low, high = (each * 16**_DIGITS // self.of for each in (self.number - 1, self.number))
        # Beyond the last digest, whatever the digits of the others: a letter that none of them has.
        return f"{low:0{_DIGITS}x}", "g" if self.number == self.of else f"{high:0{_DIGITS}x}"

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


ALL = Shard(1, 1)


def shard_of(text: str) -> Shard:
    """The shard that "3/8" names. Raises ConfigurationError."""
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
    shard = Shard(*map(int, found.groups())) if found else None
    if shard is None or not 1 <= shard.number <= shard.of <= MAX_SHARDS:
        raise ConfigurationError(
            f"{text!r} names no shard: write I/N, such as 1/4 for the first of four. I counts from 1 to N, "
            f"and N is at most {MAX_SHARDS:,}."
        )
    return shard


@dataclass(frozen=True, slots=True)
class Made:
    """What a worker did. Counts are of distinct texts."""

    shard: str
    model: str  # its identity
    ahead: bool  # whether no generation was built with this model yet
    embedded: int
    refused: int  # by the model; the next run of the stage parks them
    seconds: float


def make_ahead(
    bench: Workbench,
    sources: Sequence[str],
    shard: Shard = ALL,
    told: Callable[[int], None] = lambda _made: None,
) -> Made:
    """Embed the texts of a shard that lack a vector, batch by batch; `told` hears how many it was so far.

    Each batch is recorded on its own, so that a worker that dies loses one. Raises what the model raises, and
    ConfigurationError if the ledger is another installation's.
    """
    began = time.monotonic()
    bench.installation  # noqa: B018 - raises if the ledger is another installation's
    ahead = _note_ahead(bench.ledger, bench.dense_model.identity)
    embedded = refused = 0
    for source in sources:
        stage = bench.stage(source, DENSE_VECTORS)
        assert isinstance(stage, DenseVectors)
        for texts in stage.without(bench.ledger, within=shard.bounds):
            step = stage.embedded(texts)
            with bench.ledger.transaction() as connection:
                embedded += step.record(connection).outcomes.added
            refused += len(step.refused)
            told(embedded)
    seconds = round(time.monotonic() - began, 3)
    return Made(str(shard), bench.dense_model.identity, ahead, embedded, refused, seconds)


def missing(bench: Workbench, source: str) -> int:
    """How many distinct texts of a source lack a vector of the configured model, without those parked."""
    stage = bench.stage(source, DENSE_VECTORS)
    assert isinstance(stage, DenseVectors)
    with bench.ledger.reading() as connection:
        return stage.lacking(connection)


class Model(NamedTuple):
    """A dense model with vectors in the ledger, or that is to have some."""

    identity: str
    vectors: int
    ahead: bool  # no generation was built with it yet


def models(ledger: Ledger) -> list[Model]:
    """Those of which vectors are kept, by identity: of generations, and those to come."""
    with ledger.reading() as connection:
        built = set(connection.scalars(sa.select(_generation.c.dense_model).distinct()))
        to_come = set(connection.scalars(sa.select(_ahead.c.identity)))
        count = sa.select(_dense.c.model, sa.func.count()).group_by(_dense.c.model)
        counts = dict(connection.execute(count).tuples().all())
    return [
        Model(each, counts.get(model_key(each), 0), each not in built) for each in sorted(built | to_come)
    ]


def give_up(ledger: Ledger, identity: str) -> int:
    """Delete the vectors of a model that is not to come after all. Returns how many they were.

    Raises ConfigurationError if it is none that was to come.
    """
    with ledger.transaction() as connection:
        if _is_built(connection, identity):
            raise ConfigurationError(
                f"A generation of the index was built with {identity}: its vectors are needed."
            )
        if not connection.execute(_ahead.delete().filter_by(model=model_key(identity))).rowcount:
            raise ConfigurationError(
                f"No vectors are made ahead for a model {identity!r}: `ingest embed status` lists the models."
            )
    key, gone = model_key(identity), 0
    part = sa.select(_dense.c.text_digest).where(_dense.c.model == key).limit(FORGET_BATCH).scalar_subquery()
    mine = _dense.delete().where(_dense.c.model == key, _dense.c.text_digest.in_(part))
    while True:  # many at once would keep other writers waiting
        with ledger.transaction() as connection:
            found = connection.execute(mine).rowcount
        if not found:
            return gone
        gone += found


def forget_arrived(connection: sa.Connection) -> None:
    """Models that a generation was built with are to come no longer."""
    built = sa.select(_generation.c.dense_model)
    connection.execute(_ahead.delete().where(_ahead.c.identity.in_(built)))


def keys_ahead(connection: sa.Connection) -> list[str]:
    """The keys of the models that are to come."""
    return list(connection.scalars(sa.select(_ahead.c.model)))


def _note_ahead(ledger: Ledger, identity: str) -> bool:
    """Keep the model's vectors until it has come, if it has not."""
    with ledger.transaction() as connection:
        if _is_built(connection, identity):
            return False
        row = {"model": model_key(identity), "identity": identity}
        upsert(connection, _ahead, [row])
        return True


def _is_built(connection: sa.Connection, identity: str) -> bool:
    built = sa.exists().where(_generation.c.dense_model == identity)
    return bool(connection.scalar(sa.select(built)))
