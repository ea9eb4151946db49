"""A small repository of code, and a home that may index it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest_assets.interfaces.cli.runs import RunReport, run_sources
from ingest_assets_tests.sources.repositories.repos import TestRepo
from ingest_assets_tests.support.built_index import Home

PYTHON = b'''"""Prices."""


def discount(amount: float, rate: float) -> float:
    """The amount less the share of it that the rate says."""
    if not 0 <= rate <= 1:
        raise ValueError("a rate is a share")
    return amount * (1 - rate)
'''
GO = b"""package main

// Frobnicate turns the crank of the quaternion until it is warm.
func Frobnicate(turns int) int {
	total := 0
	for i := 0; i < turns; i++ {
		total += i
	}
	return total
}
"""


@pytest.fixture
def repo(tmp_path: Path) -> TestRepo:
    repo = TestRepo(tmp_path / "code" / "shop")
    repo.commit({"shop/price.py": PYTHON, "crank.go": GO, "logo.png": b"\x89PNG\r\n\x1a\n\0\0"})
    return repo


@pytest.fixture
def home(tmp_path: Path, repo: TestRepo) -> Home:
    (tmp_path / "home").mkdir()
    home = Home(tmp_path / "home").with_settings(
        crm_db_path=None,
        ingest_repository_protocols="file",
        ingest_repository_roots=str(repo.path.parent),
        cancellation_check_interval_seconds=0.01,
        progress_update_interval_seconds=0.01,
    )
    home.dagster.mkdir()
    (home.dagster / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    return home


def refresh(home: Home) -> RunReport:
    report = run_sources(home.load(), sources=["repositories"], overrides=home.overrides)
    assert report.success, report.errors
    assert all(check["passed"] for check in report.checks.values()), report.checks
    return report
