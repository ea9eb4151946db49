from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_assets.sandbox import Sandbox


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Sandbox]:
    box = Sandbox(tmp_path / "tmp")
    yield box
    box.close()
    left = sorted(path.name for path in (tmp_path / "tmp").glob("*"))
    assert not left, "a process left its folder"
