"""A home with two small papers, extracted and searchable, for the tests of interfaces."""

from __future__ import annotations

from pathlib import Path

from ingest_assets.interfaces.cli.runs import run_sources
from ingest_assets.sources.papers.adding import add_all
from ingest_assets_tests.sources.papers.paper_bench import jats
from ingest_assets_tests.support.built_index import Home

TEXT = "Metformin is used to treat type 2 diabetes mellitus in most patients."


def home_of_papers(path: Path) -> Home:
    """PMC1 and PMC2, indexed by the real job below this folder."""
    home = Home(path).with_settings(crm_db_path=None, ingest_workspace_root=str(path / "workspace"))
    home.dagster.mkdir()
    (home.dagster / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    with home.bench() as bench:
        for number in (1, 2):
            file = path / f"{number}.xml"
            file.write_text(jats(f"Paper {number}", {"Results": TEXT}, pmcid=f"PMC{number}"))
            assert not any(each.error for each in add_all(bench, [str(file)]))
    report = run_sources(home.load(), sources=["papers"], overrides=home.overrides)
    assert report.success, report.errors
    assert all(check["passed"] for check in report.checks.values()), report.checks
    return home
