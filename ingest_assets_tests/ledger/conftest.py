"""The tests of the ledger migrate every ledger, as the product does."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def ledgers_are_prepared() -> None:
    """They are not."""
