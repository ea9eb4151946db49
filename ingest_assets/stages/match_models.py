"""The models that match records, one row per model ever used."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import sqlalchemy as sa

from ingest_assets.entities import (
    Features,
    Limits,
    MatchModel,
    default_model,
    features_of,
    scoring_digest,
    train,
)
from ingest_assets.entities.model import method
from ingest_assets.ledger import Ledger, tables
from ingest_assets.model import IdentityKind, digest_of
from ingest_assets.reconcile import Delta, Run, Step
from ingest_assets.stages.document_rows import identity_of
from ingest_assets.stages.origins import recorded_origin

BATCH = 2_000
KINDS: tuple[IdentityKind, ...] = get_args(IdentityKind)

_document, _model = tables.document, tables.match_model


@dataclass(frozen=True, slots=True)
class MatchModels:
    """Keeps one model per kind in use. Trains it if there is none yet, and again only on request.

    Another model gives other entities, so a change of model must be a decision, never a side effect. A model
    of a version that compared otherwise cannot be applied, and is trained again. Outcomes count models.
    """

    source: str
    limits: Limits
    retrain: bool = False
    name: str = "match_models"
    part: str = ""

    @property
    def fingerprint(self) -> str:
        return digest_of("match-models", method())

    def input_digest(self, _connection: sa.Connection) -> str | None:
        return None if self.retrain else self.fingerprint

    def content(self, connection: sa.Connection) -> str:
        return models_digest(connection, self.source)

    def total(self, connection: sa.Connection) -> int:
        query = sa.select(sa.func.count(sa.distinct(_model.c.kind))).filter_by(source=self.source)
        return connection.scalar(query) or 0

    def steps(self, ledger: Ledger, _session: sa.Connection, _run: Run) -> Generator[Step]:
        with ledger.reading() as connection:
            numbers = dict(connection.execute(self._numbers()).tuples().all())
            versions = dict(connection.execute(self._versions(numbers)).tuples().all()) if numbers else {}
            outdated = {
                kind for kind, text in self._parameters(connection, numbers) if not MatchModel.fits(text)
            }
        for kind in KINDS:
            if kind in numbers and kind not in outdated and not self.retrain:
                continue
            with ledger.reading() as connection:
                records = list(self._records(connection, kind))
                system = recorded_origin(connection, self.source) or ""
            model = train(kind, records, self.limits, system)
            if versions.get(kind) != model.version:
                yield Step(partial(self._record, model=model, number=numbers.get(kind, 0) + 1))

    def _numbers(self) -> sa.Select[Any]:
        newest = sa.select(_model.c.kind, sa.func.max(_model.c.number)).filter_by(source=self.source)
        return newest.group_by(_model.c.kind)

    def _versions(self, numbers: dict[str, int]) -> sa.Select[Any]:
        used = sa.tuple_(_model.c.kind, _model.c.number).in_(list(numbers.items()))
        return sa.select(_model.c.kind, _model.c.version).where(_model.c.source == self.source, used)

    def _parameters(self, connection: sa.Connection, numbers: dict[str, int]) -> list[tuple[str, str]]:
        if not numbers:
            return []
        used = sa.tuple_(_model.c.kind, _model.c.number).in_(list(numbers.items()))
        query = sa.select(_model.c.kind, _model.c.parameters).where(_model.c.source == self.source, used)
        return [(kind, text) for kind, text in connection.execute(query)]

    def _records(self, connection: sa.Connection, kind: IdentityKind) -> Iterator[Features]:
        query = sa.select(_document.c.document_id, _document.c.identity).where(
            _document.c.source == self.source, _document.c.identity.is_not(None)
        )
        for row in connection.execution_options(yield_per=BATCH).execute(query):
            fields = json.loads(row.identity)
            if fields["kind"] == kind:
                yield features_of(row.document_id, identity_of(fields))

    def _record(self, connection: sa.Connection, model: MatchModel, number: int) -> Delta:
        values = {
            "source": self.source,
            "kind": model.kind,
            "number": number,
            "version": model.version,
            "at": time.time(),
            "parameters": model.to_json(),
        }
        connection.execute(_model.insert(), values)
        delta = Delta()
        if number == 1:
            delta.outcomes.added = 1
        else:
            delta.outcomes.changed = 1
        made = f"trained on {model.trained_on:,} records" if model.trained_on else "the default one"
        delta.note([f"{model.kind}: {made}"])
        return delta


def models_in_use(connection: sa.Connection, source: str) -> dict[IdentityKind, MatchModel]:
    """The model of each kind that is in use; the default one where none is recorded that fits."""
    query = sa.select(_model.c.kind, _model.c.parameters).filter_by(source=source).order_by(_model.c.number)
    recorded = {row.kind: row.parameters for row in connection.execute(query)}
    return {
        kind: MatchModel.from_json(recorded[kind])
        if kind in recorded and MatchModel.fits(recorded[kind])
        else default_model(kind)
        for kind in KINDS
    }


def models_digest(connection: sa.Connection, source: str) -> str:
    """Equal digests mean equal scores. Reads no model."""
    query = sa.select(_model.c.kind, _model.c.version).filter_by(source=source).order_by(_model.c.number)
    recorded = dict(connection.execute(query).tuples().all())
    return scoring_digest(recorded.get(kind) or default_model(kind).version for kind in sorted(KINDS))
