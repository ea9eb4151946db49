"""The demo works on sample data, and on nothing else."""

from __future__ import annotations

import sys

from ingest_assets_tests.support.built_index import ROOT, Home, run_command


def test_the_demo_refuses_to_run_if_real_systems_are_configured(empty: Home) -> None:
    before = sorted(empty.path.rglob("*"))
    home = empty.with_settings(qdrant_url="http://127.0.0.1:6333")
    said = run_command([sys.executable, "-m", "tools.demo"], home, env={"PYTHONPATH": str(ROOT)})
    assert said.status == 1
    assert "sample data only, but CRM_DB_PATH, QDRANT_URL is set" in said.err
    assert not said.out
    assert sorted(empty.path.rglob("*")) == before
