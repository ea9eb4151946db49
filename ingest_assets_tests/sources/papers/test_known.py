"""Lists of papers and evidence know what other papers say of one, and lists are read a page at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_assets.ledger import Ledger
from ingest_assets.sources.papers.graph.edges import papers_of
from ingest_assets.sources.papers.known import KnownNotice, notices_of
from ingest_assets.sources.papers.listing import listed_papers, paper_details
from ingest_assets_tests.sources.papers.paper_bench import PaperBench, jats
from ingest_assets_tests.support.plans import plan_of, statements_of

RELATED = (
    '<related-article related-article-type="retracted-article" ext-link-type="doi" '
    'xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="10.1000/one"/>'
)
NOTICE = jats("Retraction", {"Notice": "It is retracted."}, pmcid="PMC2", kind="retraction", related=RELATED)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PaperBench]:
    with PaperBench(tmp_path) as found:
        found.add("one.xml", jats("One", {"Results": "Text."}, pmcid="PMC1", doi="10.1000/one"))
        found.add("two.xml", NOTICE)
        found.add("three.xml", jats("Three", {"Results": "Text."}, pmcid="PMC3", doi="10.1000/three"))
        yield found


def test_a_notice_of_another_paper_is_shown_with_whose_it_is(bench: PaperBench) -> None:
    assert {row["paper_id"]: row["notice"] for row in listed_papers(bench)} == {
        "PMC1": "retraction (says PMC2)",
        "PMC2": "",
        "PMC3": "",
    }
    assert paper_details(bench, "PMC1")["notices"] == ["retraction (says PMC2)"]
    assert paper_details(bench, "PMC2")["notices"] == []


def test_evidence_of_a_paper_that_another_one_retracts(bench: PaperBench) -> None:
    with bench.ledger.reading() as connection:
        found = papers_of(connection, ["PMC1", "PMC2", "PMC3", "PMC4"])
    said = {key: (each.retracted, each.retraction_said_by) for key, each in found.items()}
    assert said == {"PMC1": (True, "PMC2"), "PMC2": (False, ""), "PMC3": (False, ""), "PMC4": (False, "")}


def test_what_a_paper_says_itself_needs_no_other(bench: PaperBench) -> None:
    facts = {"doi": "https://doi.org/10.1000/ONE", "notices": [{"kind": "retraction", "about_this": True}]}
    with bench.ledger.reading() as connection:
        assert notices_of(connection, {"X": facts}) == {"X": [KnownNotice("retraction")]}
        assert notices_of(connection, {"X": facts | {"notices": []}}) == {
            "X": [KnownNotice("retraction", "PMC2")]
        }


@pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
def test_notices_are_not_looked_for_among_all_papers(ledger: Ledger) -> None:
    with statements_of(ledger) as selects, ledger.reading() as connection:
        notices_of(connection, {"PMC1": {"doi": "10.1000/one"}})
    ((statement, parameters),) = selects.items()
    assert "ix_paper_file_notices" in plan_of(ledger, statement, parameters)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_of_a_list_are_the_list(bench: PaperBench, limit: int) -> None:
    [again] = bench.add("PMC1.md", "# One\n\nThe same paper, PMC1, as text.\n")
    assert again.paper_id == "PMC1"
    bundles = bench_bundles(bench, ["PMC0", "PMC1", "PMC9"])
    every = listed_papers(bench)
    assert [row["paper_id"] for row in every] == ["PMC0", "PMC1", "PMC2", "PMC3", "PMC9"]
    found, after = [], ""
    while page := listed_papers(bench, after=after, limit=limit):
        assert len(page) <= limit
        found += page
        after = page[-1]["paper_id"]
    assert found == every
    bundles["PMC0"].unlink()
    bundles["PMC1"].unlink()
    assert [row["paper_id"] for row in listed_papers(bench, limit=2)] == ["PMC1", "PMC2"]


def bench_bundles(bench: PaperBench, ids: list[str]) -> dict[str, Path]:
    """Bundles that the ledger knows."""
    from ingest_assets.sources.papers.bundles import Bundle
    from ingest_assets.sources.papers.merging.bundle_files import write_bundle
    from ingest_assets.sources.papers.places import workspace_of
    from ingest_assets_tests.sources.papers.small_benches import refresh

    workspace = workspace_of(bench)
    workspace.create()
    for paper_id in ids:
        empty = {"paper": {"title": paper_id}, "entities": [], "relationships": [], "evidence_entities": []}
        write_bundle(workspace, paper_id, Bundle.model_validate(empty))
    refresh(bench)
    return {paper_id: workspace.bundle_path(paper_id) for paper_id in ids}
