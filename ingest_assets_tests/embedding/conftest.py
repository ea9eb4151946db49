"""Fixtures for all tests in this folder."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers of these tests are on this machine; a company's proxy cannot reach them."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
