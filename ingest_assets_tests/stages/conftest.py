"""A toy bench on either kind of ledger, with a store in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_assets.stages import read_batches
from ingest_assets_tests.support.engines import local_store
from ingest_assets_tests.support.small_parts import ToyBench


@pytest.fixture(autouse=True, scope="module")
def _batches_are_short() -> Iterator[None]:
    """A few records make several batches, some of them known and some not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_batches, "MASK", 1)
        yield


@pytest.fixture
def bench(tmp_path: Path, ledger_url: str) -> Iterator[ToyBench]:
    store = local_store()
    with ToyBench(tmp_path, ledger_url=ledger_url, store=store) as bench:
        yield bench
    store.close()
