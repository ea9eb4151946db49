"""Two files that claim to be one paper, and whose other ids contradict each other: the first one stays."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest

from ingest_assets.sources.papers.papers import Added
from ingest_assets.sources.papers.places import papers_of
from ingest_assets_tests.sources.papers.paper_bench import PaperBench, jats
from ingest_assets_tests.sources.papers.pdf_samples import pdf
from ingest_assets_tests.sources.papers.small_benches import found, refresh

METFORMIN = "Metformin is used to treat type 2 diabetes mellitus in most patients."
ASPIRIN = "Aspirin reduces the risk of myocardial infarction in the patients."

FILES: dict[str, tuple[str, str | bytes]] = {
    "xml": ("a.xml", jats("A", {"Results": METFORMIN}, pmcid="PMC101", doi="10.1000/one", pmid="11")),
    "another doi": ("b.xml", jats("B", {"Results": ASPIRIN}, pmcid="PMC101", doi="10.1000/two")),
    "another pmid": ("c.md", f"---\ntitle: C\ndoi: 10.1000/one\npmid: 12\n---\n# Results\n\n{ASPIRIN}\n"),
    "a pdf": ("d.pdf", pdf([["D", "PMC101, doi: 10.1000/three", "Results", ASPIRIN]])),
}
PAIRS = [pair for pair in permutations(FILES, 2) if "xml" in pair]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PaperBench]:
    with PaperBench(tmp_path) as bench:
        yield bench


def add(bench: PaperBench, which: str) -> Added:
    [added] = bench.add(*FILES[which])
    return added


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_the_first_stays_and_nothing_of_the_second_is_kept(
    bench: PaperBench, tmp_path: Path, first: str, second: str
) -> None:
    kept = add(bench, first)
    refresh(bench)
    before = bench.files(), bench.rows()
    refused = add(bench, second)
    assert not kept.error
    assert refused.error.startswith(f"It claims to be {kept.paper_id}, but their ids contradict each other: ")
    refresh(bench)
    assert (bench.files(), bench.rows()) == before
    (tmp_path / "again").mkdir()
    with PaperBench(tmp_path / "again") as other:  # a build from nothing, of the files that are kept
        for path in papers_of(bench).library.folder.iterdir():
            other.add(path.name, path.read_bytes())
        refresh(other)
        assert (other.files(), other.rows()) == before


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_the_other_one_is_taken_once_the_first_is_removed(bench: PaperBench, first: str, second: str) -> None:
    kept = add(bench, first)
    add(bench, second)
    papers_of(bench).remove(kept.paper_id)
    assert add(bench, second).state == "added"
    refresh(bench)
    [paper] = papers_of(bench).all()
    assert [Path(each).suffix for each in paper.files] == [Path(FILES[second][0]).suffix]
    assert {each.partition("/")[0] for each in found(bench)} == {paper.paper_id}


def test_of_those_that_come_together_it_is_the_first_by_path(tmp_path: Path) -> None:
    """Whichever was written first, or is listed first by the file system."""
    from ingest_assets.sources.papers.adding import add_all

    for order in (list(FILES), list(FILES)[::-1]):
        home = tmp_path / order[0]
        (home / "given").mkdir(parents=True)
        for which in order:
            name, content = FILES[which]
            data = content.encode() if isinstance(content, str) else content
            (home / "given" / name).write_bytes(data)
        with PaperBench(home) as bench:
            done = list(add_all(bench, [str(home / "given")]))
            assert [each.file for each in done if not each.error] == ["a.xml"]
            assert len([each for each in done if each.error]) == 3
