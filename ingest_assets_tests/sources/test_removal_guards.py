"""What each source may remove unasked, and what somebody removed on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_assets.ledger import Ledger
from ingest_assets.sources.papers.places import library_of, papers_of
from ingest_assets.sources.spool.decisions import Decider
from ingest_assets.sources.spool.removing import remove
from ingest_assets.stages.removals import RemovalsHeldError
from ingest_assets_tests.sources.papers.paper_bench import PaperBench, jats
from ingest_assets_tests.sources.papers.small_benches import refresh, rest
from ingest_assets_tests.sources.spool.spool_bench import SpoolBench
from ingest_assets_tests.stages.test_parts import Shelves, shelf, text

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def papers(tmp_path: Path, ledger: Ledger) -> Iterator[PaperBench]:
    with PaperBench(tmp_path, ledger=ledger) as bench:
        yield bench


def paper(number: int, sections: int) -> str:
    return jats(
        f"Paper {number}",
        {f"Part {n}": f"Patients of group {n} were treated." for n in range(sections)},
        pmcid=f"PMC{number}",
        doi=f"10.1000/{number}",
    )


def test_sections_that_are_no_longer_read_are_held_and_removed_papers_are_not(
    papers: PaperBench, tmp_path: Path
) -> None:
    files = [rest(tmp_path / f"{n}.xml", paper(n, 30)) for n in (1, 2)]
    list(papers_of(papers).add_files(files))
    added = refresh(papers)["articles"].added
    rest(library_of(papers).path("PMC1.xml"), paper(1, 2))
    with pytest.raises(RemovalsHeldError, match="28 of "):
        refresh(papers)
    papers_of(papers).remove("PMC1")
    papers_of(papers).remove("PMC2")
    assert refresh(papers)["articles"].removed == added


def test_batches_that_somebody_withdraws_leave_unasked(tmp_path: Path, ledger: Ledger) -> None:
    """Of the spool, nothing is removed but what somebody or the retention has withdrawn."""
    with SpoolBench(tmp_path, ledger=ledger) as spool:
        spool.write([f"a fox, number {n}" for n in range(60)])
        spool.run_all()
        for file in spool.spool.archive.iterdir():
            file.unlink()
        assert spool.run_all()["batches"].removed == 0
        remove(spool, spool.only().batch_tag, Decider("ada", "a mistake", "command line"))
        assert spool.run_all()["batches"].removed == 60
        assert spool.texts() == {}


def test_a_part_that_vanishes_is_held_and_one_that_is_to_leave_is_not(
    tmp_path: Path, ledger_url: str
) -> None:
    """As of a source of another package: a folder that is not mounted."""
    shelves = {name: shelf(*(text(name, n, "Oats.") for n in range(30))) for name in "ab"}
    with Shelves(tmp_path, shelves, ledger_url=ledger_url) as bench:
        bench.run_all()
        lost = bench.parts.pop("a")
        with pytest.raises(RemovalsHeldError, match="30 of 30"):
            bench.run_part("a")
        bench.parts["a"] = lost
        assert bench.run_part("a")["texts"].moved == 0
        del bench.parts["b"]
        bench.leaving.append("b")
        assert bench.run_part("b")["texts"].removed == 30
