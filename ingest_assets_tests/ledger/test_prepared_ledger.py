"""What other tests start from is what the migrations make."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ingest_assets.ledger import Ledger
from ingest_assets_tests.support.prepared_ledger import prepare_ledgers


def made(path: Path) -> list[str]:
    Ledger(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        return list(connection.iterdump())


def test_a_prepared_ledger_is_a_migrated_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    migrated = made(tmp_path / "migrated.sqlite")
    prepare_ledgers(monkeypatch)
    for number in range(2):  # the first one may be migrated too
        assert made(tmp_path / f"{number}.sqlite") == migrated
