"""`ingest entity train`."""

from __future__ import annotations

import pytest

from ingest_assets.entities import training
from ingest_assets.stages.match_models import models_in_use
from ingest_assets.stages.origins import recorded_origin
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import IngestHere


def test_training_is_on_these_records_and_only_when_asked(
    built: Home, ingest_here: IngestHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "MIN_RECORDS", 5)
    assert _origins(built) == {"default"}
    said = ingest_here(built, "entity", "train", "--json")
    assert said.status == 0, said.err
    with built.bench() as bench, bench.ledger.reading() as connection:
        [model, *_] = [m for m in models_in_use(connection, "crm").values() if m.origin == "trained"]
        assert model.trained_on >= training.MIN_RECORDS
        assert model.system == (recorded_origin(connection, "crm") or "")


def test_a_source_without_entities_cannot_be_trained_on(built_once: Home, ingest_here: IngestHere) -> None:
    assert ingest_here(built_once, "entity", "train", "--source", "nothing").status == 2


def _origins(home: Home) -> set[str]:
    with home.bench() as bench, bench.ledger.reading() as connection:
        return {model.origin for model in models_in_use(connection, "crm").values()}
