"""Vectors that came along with records, for the texts of their chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.spool_tables import spool_record as _record
from ingest_assets.model import Float32Array, digest_of
from ingest_assets.sources.spool.settings import SpoolSettings

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench


@dataclass(frozen=True, slots=True)
class RecordVectors:
    """Those of the records that were loaded. A record in several chunks has none that could be used."""

    ledger: Ledger
    identity: str

    def vectors(self, texts: Sequence[str]) -> Mapping[str, Float32Array]:
        """By text. Of several records with one text, the first one's by tag and number."""
        asked = {digest_of(text): text for text in texts}
        query = sa.select(_record.c.text_digest, _record.c.vector).where(
            _record.c.text_digest.in_(asked), _record.c.vector.is_not(None)
        )
        last_first = query.order_by(_record.c.batch_tag.desc(), _record.c.number.desc())
        with self.ledger.reading() as connection:
            rows = connection.execute(last_first).all()
        return {asked[row.text_digest]: np.frombuffer(row.vector, "<f4") for row in rows}


def supplied_vectors(bench: Workbench) -> RecordVectors | None:
    """Those of the spool, if its setting names the model that they were made by."""
    model = bench.settings_of(SpoolSettings).spool_vectors_model
    return RecordVectors(bench.ledger, model) if model else None
