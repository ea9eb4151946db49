"""A refresh after any history gives what a build from nothing gives. See `histories`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from ingest_assets_tests.engines import embedded_store, local_store, sqlite_ledger
from ingest_assets_tests.histories import Engines, Operation, histories, run_history, small_batches

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
PHASES = [Phase.explicit, Phase.generate]  # shrinking takes minutes; the soak command does it


@pytest.fixture(autouse=True, scope="module")
def batches() -> Iterator[None]:
    with small_batches():
        yield


@settings(max_examples=200, phases=PHASES, suppress_health_check=SLOW)
@given(histories)
def test_on_a_server_and_sqlite(history: list[Operation]) -> None:
    run_history(Engines(lambda _home: local_store(), sqlite_ledger), history)


@settings(max_examples=30, phases=PHASES, suppress_health_check=SLOW)
@given(histories)
def test_on_the_embedded_engine_and_sqlite(history: list[Operation]) -> None:
    run_history(Engines(embedded_store, sqlite_ledger), history)
