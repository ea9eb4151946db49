"""Vectors that came along with records, for the texts of their chunks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.spool_tables import spool_record as _record
from ingest_assets.model import Float32Array
from ingest_assets.sources.spool.intake.facts import NOT_FINITE, OTHER_DIMENSION, Record
from ingest_assets.sources.spool.settings import NAME, SpoolSettings
from ingest_assets.stages.vectors import UNIT_TOLERANCE

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

_FLOAT_BYTES = 4
USED, NOT_UNIT = "vectors_used", "vectors_not_of_length_1"
OTHER_MODEL = "vectors_of_another_model"  # by SPOOL_VECTORS_MODEL
# What is wrong with vectors that came along, as a batch's `extra` counts it, and in words.
_WRONG = {
    OTHER_DIMENSION: "of another dimension than the index's",
    NOT_FINITE: "not lists of finite numbers, or all 0",
    NOT_UNIT: "not of length 1",
}


def usable(records: Sequence[Record], dimension: int) -> tuple[list[bytes | None], Counter[str]]:
    """The vector of each record, if an index of this dimension can use it, and counts of what came."""
    counts = Counter({USED: 0} | dict.fromkeys(_WRONG, 0))
    counts.update(filter(None, (each.wrong for each in records)))
    came = {number: each.vector for number, each in enumerate(records) if each.vector is not None}
    fit = {number: vector for number, vector in came.items() if len(vector) == _FLOAT_BYTES * dimension}
    numbers = np.frombuffer(b"".join(fit.values()), "<f4").reshape(-1, dimension)
    lengths = np.linalg.norm(numbers.astype("f8"), axis=1)  # squares of large ones do not fit into f4
    is_unit = np.abs(lengths - 1) < UNIT_TOLERANCE
    kept: list[bytes | None] = [None] * len(records)
    for number, keeps in zip(fit, is_unit, strict=True):
        kept[number] = fit[number] if keeps else None
    counts[USED] = int(is_unit.sum())
    counts[OTHER_DIMENSION] += len(came) - len(fit)
    counts[NOT_UNIT] = len(fit) - counts[USED]
    return kept, counts


def unused(extra: Mapping[str, Any]) -> str:
    """A sentence about the vectors of a batch that should have been used and could not be; "" if all were."""
    wrong = {said: extra[name] for name, said in _WRONG.items() if extra.get(name)}
    if not wrong:
        return ""
    each = ", ".join(f"{count:,} {said}" for said, count in wrong.items())
    lost = sum(wrong.values())
    return (
        f"{lost:,} of {lost + extra.get(USED, 0):,} vectors that came along could not be used: {each}. The "
        "texts of their records were embedded instead."
    )


def cause(source: str) -> str:
    """What people are alerted of once, until all vectors of a batch of the source can be used."""
    return f"{NAME} vectors {source}".rstrip()


@dataclass(frozen=True, slots=True)
class RecordVectors:
    """Those of the records that were loaded. A record in several chunks has none that could be used."""

    ledger: Ledger
    identity: str

    def vectors(self, texts: Mapping[str, str]) -> Mapping[str, Float32Array]:
        """Of several records with one text, the first one's by tag and number."""
        query = sa.select(_record.c.text_digest, _record.c.vector).where(
            _record.c.text_digest.in_(texts), _record.c.vector.is_not(None)
        )
        last_first = query.order_by(_record.c.batch_tag.desc(), _record.c.number.desc())
        with self.ledger.reading() as connection:
            rows = connection.execute(last_first).all()
        return {row.text_digest: np.frombuffer(row.vector, "<f4") for row in rows}


def supplied_vectors(bench: Workbench) -> RecordVectors | None:
    """Those of the spool, if its setting names the model that they were made by."""
    model = bench.settings_of(SpoolSettings).spool_vectors_model
    return RecordVectors(bench.ledger, model) if model else None
