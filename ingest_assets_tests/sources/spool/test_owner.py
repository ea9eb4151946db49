"""A spool belongs to one installation."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.sources.spool.owner import OWNER
from ingest_assets_tests.sources.spool.spool_bench import SpoolBench


def test_another_installation_is_refused_and_takes_nothing(tmp_path: Path) -> None:
    with SpoolBench(tmp_path / "one") as one, SpoolBench(tmp_path / "two", spool_dir=one.spool.root) as two:
        one.run_all()
        one.write(["mine"])
        with pytest.raises(ConfigurationError, match="another installation"):
            two.run_all()
        assert len(one.files()["incoming"]) == 1
        one.run_all()
        assert list(one.texts().values()) == ["mine"]
        (one.spool.root / OWNER).unlink()
        two.run_all()
        with pytest.raises(ConfigurationError, match="another installation"):
            one.run_all()


@pytest.mark.parametrize("content", ["", "[]", "{}", "\x00"])
def test_a_damaged_note_of_the_owner_is_named(tmp_path: Path, content: str) -> None:
    with SpoolBench(tmp_path) as bench:
        bench.run_all()
        (bench.spool.root / OWNER).write_text(content)
        with pytest.raises(ConfigurationError, match=OWNER):
            bench.run_all()


def test_a_full_disk_leaves_nothing_that_stops_later_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with SpoolBench(tmp_path) as bench:
        bench.write(["mine"])
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(UnavailableError, match=r"spool\.owner.*No space left"):
                bench.run_all()
        assert not [path for path in bench.spool.root.iterdir() if path.is_file()]
        bench.run_all()
        assert list(bench.texts().values()) == ["mine"]
