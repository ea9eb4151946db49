"""What is not read of the workspace is said by `ingest doctor` and with the assets."""

from __future__ import annotations

from pathlib import Path

from ingest_assets.sources.papers import metadata
from ingest_assets.sources.papers.bundle_states import BundleStates, bundle_states
from ingest_assets.sources.papers.doctor import findings
from ingest_assets_tests.sources.papers.paper_bench import PaperBench, jats
from ingest_assets_tests.sources.papers.small_benches import refresh, rest


def test_bundles_that_are_not_read_are_said(tmp_path: Path) -> None:
    with PaperBench(tmp_path) as bench:
        bench.add("one.xml", jats("One", {"Results": "Aspirin reduces fever."}, pmcid="PMC1"))
        folder = tmp_path / "workspace" / "pass1_bundles"
        rest(folder / "paper_PMC2.json", "{")
        rest(folder / "paper_my paper.json", "{}")
        assert bundle_states(bench) == BundleStates(0, 1, ())
        refresh(bench)
        states = bundle_states(bench)
        assert (states.read, states.waiting, [paper for paper, _ in states.unreadable]) == (1, 0, ["PMC2"])
        said = [(each.state, each.message) for each in findings(bench)]
        wrong = [message for state, message in said if state == "wrong"]
        assert [message.split(":")[0] for message in wrong] == ["paper_my paper.json", "PMC2"]
        assert ("ok", f"1 bundles in {tmp_path / 'workspace'}.") in said
        shown = metadata.bundles_metadata(bench, bench.stage("papers", "bundles"))
        assert "paper_my paper.json" in str(shown["left_out"])
