"""Fixtures on top of `built_index.py`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from ingest_assets_tests.support.built_index import Home, Said, new_home

IngestHere = Callable[..., Said]


@pytest.fixture
def ingest_here(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> IngestHere:
    """`ingest …` in this process, many times faster than in its own; `main` is all that the script calls."""
    from ingest_assets.interfaces.cli import main

    def run(home: Home, *arguments: str) -> Said:
        with monkeypatch.context() as patch:
            for name, value in home.overrides.items():
                patch.setenv(name.upper(), str(value))
            patch.chdir(home.path)
            capfd.readouterr()
            with pytest.raises(SystemExit) as end:
                main(list(arguments))
        printed = capfd.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return Said(int(end.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A CRM and the index made of it. For reading only."""
    return _built_below(tmp_path_factory.getbasetemp())


@cache  # pytest has the fixture once per folder of tests that imports it
def _built_below(folder: Path) -> Home:
    home = new_home(folder / "built")
    report = home.build()
    assert report.success, report.errors
    assert all(check["passed"] for check in report.checks.values())
    return home


@pytest.fixture
def built(built_once: Home, tmp_path: Path) -> Home:
    """A copy of it, which may be changed."""
    return built_once.copy(tmp_path / "home")


@pytest.fixture
def empty(tmp_path: Path) -> Home:
    """A CRM with no index yet."""
    return new_home(tmp_path / "home")
