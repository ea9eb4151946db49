"""A bench of toys on either ledger, with a store in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_assets.stages import read_batches
from ingest_assets_tests.engines import local_store
from ingest_assets_tests.toy import ToyBench


@pytest.fixture(autouse=True, scope="module")
def _batches_are_short() -> Iterator[None]:
    """A few records are several batches, some of which are known and some of which are not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_batches, "MASK", 1)
        yield


@pytest.fixture
def bench(tmp_path: Path, ledger_url: str) -> Iterator[ToyBench]:
    store = local_store()
    with ToyBench(tmp_path, ledger_url=ledger_url, store=store) as bench:
        yield bench
    store.close()
