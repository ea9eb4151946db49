"""Papers as documents: what is found, by what, what is said of retractions, and what removes a paper."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.ledger.graph_tables import paper_file
from ingest_assets.model import SourceUnavailableError
from ingest_assets.queries.search import QueryError
from ingest_assets.sources.papers.inbox import QUIET_S
from ingest_assets.sources.papers.listing import paper_details
from ingest_assets.sources.papers.papers import UnknownPaperError
from ingest_assets.sources.papers.places import library_of, papers_of, workspace_of
from ingest_assets_tests.sources.papers.paper_bench import PaperBench, jats
from ingest_assets_tests.sources.papers.pdf_samples import pdf
from ingest_assets_tests.sources.papers.small_benches import (
    found,
    hits,
    names,
    parked,
    put_bundle,
    refresh,
    rest,
)

METHODS = "Patients with diabetes received metformin for six months."
RESULTS = "Metformin lowered glucose in most patients."
ONE = jats(
    "Metformin for all",
    {"Study Population": METHODS, "Results": RESULTS},
    pmcid="PMC101",
    doi="10.1000/One",
    pmid="11",
    abstract="We treated patients.",
    authors="<contrib-group>"
    + "".join(
        f'<contrib contrib-type="author"><name><surname>Author{i}</surname>'
        f"<given-names>Ann</given-names></name></contrib>"
        for i in range(8)
    )
    + "</contrib-group>",
)
TWO = jats("Aspirin reviewed", {"Results": "Aspirin was given to patients."}, pmcid="PMC102",
           doi="10.1000/two", kind="review-article").replace("Journal of Tests", "Other Journal").replace(
               "<year>2020", "<year>2011")  # fmt: skip
MARKDOWN = "---\ntitle: Metformin for all\ndoi: 10.1000/one\n---\n# Results\n\nAs text: patients did well.\n"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PaperBench]:
    with PaperBench(tmp_path) as bench:
        yield bench


def with_inbox(tmp_path: Path, **given: Any) -> PaperBench:
    inbox = tmp_path / "inbox"
    inbox.mkdir(exist_ok=True)
    return PaperBench(tmp_path, ingest_papers_inbox=inbox, **given)


def test_sections_are_documents_that_say_where_they_are_from(bench: PaperBench) -> None:
    bench.add("one.xml", ONE)
    refresh(bench)
    body = {f"PMC101/{each}" for each in ("abstract", "study-population", "results")}
    assert found(bench) - {"PMC101/title"} == body
    [hit] = hits(bench, "patients", section="study population")
    assert hit.document_id == "PMC101/study-population"
    assert hit.kind == "body"
    assert hit.uri == "https://pmc.ncbi.nlm.nih.gov/articles/PMC101/"
    lines = hit.text.splitlines()
    assert "Metformin for all" in lines[0]
    assert METHODS in hit.text
    assert "Journal: Journal of Tests" in lines
    assert "Year: 2020" in lines
    assert "Section: Study Population" in lines
    [authors] = [line for line in lines if line.startswith("Authors: ")]
    assert authors.endswith("Ann Author5 et al.")
    attributes = hit.attributes
    assert attributes["pmcid"] == attributes["paper_id"] == "PMC101"
    assert (attributes["doi"], attributes["pmid"], attributes["year"]) == ("10.1000/one", "11", 2020)
    assert len(attributes["authors"]) == 8
    assert attributes["section"] == ["body", "study population"]
    assert "notice" not in attributes


@pytest.mark.parametrize(
    ("filters", "papers"),
    [
        ({"pmcid": "PMC101"}, {"PMC101"}),
        ({"pmcid": "pmc101"}, {"PMC101"}),
        ({"pmcid": "PMC999"}, set()),
        ({"doi": "10.1000/ONE"}, {"PMC101"}),
        ({"doi": "https://doi.org/10.1000/two"}, {"PMC102"}),
        ({"paper_id": "PMC102"}, {"PMC102"}),
        ({"journal": "Other Journal"}, {"PMC102"}),
        ({"journal": "other"}, set()),
        ({"year": "2020"}, {"PMC101"}),
        ({"year": "2010..2015"}, {"PMC102"}),
        ({"year": "..2020"}, {"PMC101", "PMC102"}),
        ({"section": "Abstract"}, {"PMC101"}),
        ({"section": "results"}, {"PMC101", "PMC102"}),
        ({"section": " Study  POPULATION "}, {"PMC101"}),
        ({"study_type": "Review-Article"}, {"PMC102"}),
        ({"notice": "retraction"}, set()),
        ({"pmcid": "PMC101", "year": "2011"}, set()),
    ],
)
def test_filters(two_papers: PaperBench, filters: dict[str, str], papers: set[str]) -> None:
    assert {each.partition("/")[0] for each in found(two_papers, **filters)} == papers


@pytest.fixture(scope="module")
def two_papers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperBench]:
    with PaperBench(tmp_path_factory.mktemp("two")) as bench:
        bench.add("one.xml", ONE)
        bench.add("two.xml", TWO)
        refresh(bench)
        yield bench


def test_filters_that_are_none(two_papers: PaperBench) -> None:
    for wrong in ({"year": "soon"}, {"colour": "red"}):
        with pytest.raises(QueryError):
            found(two_papers, **wrong)


def test_papers_of_an_entity_are_found_also_by_an_id_that_gave_way(bench: PaperBench) -> None:
    theirs = '{"paper": {"title": "T"}, "entities": [{"id": "d", "class": "Drug", "name": "Zzyzxol"%s, '
    theirs += '"mentions": [{"section": "results", "start_offset": 0, "end_offset": 7, "text": "Zzyzxol"}]}]}'
    bench.add("two.xml", jats("Two", {"Results": "Zzyzxol works."}, pmcid="PMC2"))
    put_bundle(bench, "PMC2", theirs % "")
    refresh(bench)
    old = names(bench)["Zzyzxol"]
    assert found(bench, "works", entity_ids=old) == {"PMC2/results"}
    put_bundle(bench, "PMC2", theirs % ', "rxnorm_id": "4711"')
    refresh(bench)
    new = names(bench)["Zzyzxol"]
    assert (new, old != new) == ("RxNorm:4711", True)
    for asked in (new, old):
        assert found(bench, "works", entity_ids=asked) == {"PMC2/results"}
    assert found(bench, "works", entity_ids="RxNorm:1") == set()


@pytest.mark.parametrize(
    ("first", "run_between"),
    [
        ("xml", False),
        ("md", True),
        pytest.param("xml", True, marks=pytest.mark.thorough),
        pytest.param("md", False, marks=pytest.mark.thorough),
    ],
)
def test_a_paper_as_xml_and_as_text_is_one_and_its_xml_is_read(
    bench: PaperBench, first: str, run_between: bool
) -> None:
    files = [("one.xml", ONE), ("one.md", MARKDOWN)]
    for name, content in files if first == "xml" else files[::-1]:
        bench.add(name, content)
        if run_between:
            refresh(bench)
    refresh(bench)
    [kept] = papers_of(bench).all()
    assert (kept.paper_id, kept.files) == ("PMC101", ("PMC101.xml", "PMC101.md"))
    assert {each.partition("/")[0] for each in found(bench)} == {"PMC101"}
    assert not any("As text" in hit.text for hit in hits(bench, "patients"))
    assert [path for path in bench.files() if path.startswith("pass1_bundles/")] == [
        "pass1_bundles/paper_PMC101.json"
    ]


def test_a_paper_as_pdf_and_as_xml_is_one(bench: PaperBench) -> None:
    bench.add("one.pdf", pdf([["Metformin for all", "doi: 10.1000/one", "Results", RESULTS]]))
    [before] = papers_of(bench).all()
    assert before.paper_id == "doi-10.1000-one"
    refresh(bench)
    bench.add("one.xml", ONE)
    refresh(bench)
    [kept] = papers_of(bench).all()
    assert (kept.paper_id, kept.files) == ("PMC101", ("PMC101.xml", "PMC101.pdf"))
    assert {each.partition("/")[0] for each in found(bench)} == {"PMC101"}


def said_of(bench: PaperBench, paper: str = "PMC101") -> tuple[set[str], set[str]]:
    """The notices of a paper's hits, as attributes and as lines of their text."""
    mine = [hit for hit in hits(bench, "patients metformin", limit=100) if hit.document_id.startswith(paper)]
    assert mine
    attributes = {each for hit in mine for each in hit.attributes.get("notice", ["none"])}
    lines = {
        next((line for line in hit.text.splitlines() if line.startswith("Notice: ")), "none") for hit in mine
    }
    return attributes, lines


SAYS = {"Notice: This paper was retracted."}


def test_a_paper_that_says_it_was_retracted(bench: PaperBench) -> None:
    own = '<related-article related-article-type="retraction-forward" ext-link-type="doi"/>'
    bench.add("one.xml", ONE.replace("</article-meta>", f"{own}</article-meta>"))
    refresh(bench)
    assert said_of(bench) == ({"retraction"}, SAYS)
    assert found(bench, notice="retraction") == found(bench) != set()
    bench.add("one.xml", ONE)  # a mistake of the publisher's
    refresh(bench)
    assert said_of(bench) == ({"none"}, {"none"})
    assert found(bench, notice="retraction") == set()


@pytest.mark.parametrize(
    ("kind", "value", "notice_first"),
    [
        ("doi", "10.1000/ONE", False),
        ("pmid", "11", True),
        pytest.param("doi", "10.1000/ONE", True, marks=pytest.mark.thorough),
        pytest.param("pmid", "11", False, marks=pytest.mark.thorough),
    ],
)
def test_a_notice_of_retraction_is_about_another_paper(
    bench: PaperBench, kind: str, value: str, notice_first: bool
) -> None:
    link = (
        f'<related-article related-article-type="retracted-article" ext-link-type="{kind}" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="{value}"/>'
    )
    notice = jats("Retraction of a paper", {"Notice": "The editors retract it: patients were made up."},
                  pmcid="PMC900", kind="retraction", related=link)  # fmt: skip
    both = [("one.xml", ONE), ("notice.xml", notice)]
    for name, content in both[::-1] if notice_first else both:
        bench.add(name, content)
        refresh(bench)
    assert said_of(bench) == ({"retraction"}, SAYS)
    assert said_of(bench, "PMC900")[1] == {"none"}  # the notice itself stands
    papers_of(bench).remove("PMC900")
    refresh(bench)
    assert said_of(bench) == ({"none"}, {"none"})


def test_papers_of_the_inbox_are_taken_in(tmp_path: Path) -> None:
    with with_inbox(tmp_path) as bench:
        inbox = tmp_path / "inbox"
        rest(inbox / "one.xml", ONE)
        rest(inbox / "broken.xml", "<article><front>")
        rest(inbox / ".hidden.xml", TWO)
        rest(inbox / "two.xml.part", TWO)
        fresh = inbox / "fresh.xml"
        fresh.write_text(TWO)
        os.utime(fresh, (time.time() + 3_600,) * 2)  # still being written, however long a refresh takes
        refresh(bench)
        left = {path.name for path in inbox.iterdir()}
        assert left == {"broken.xml", ".hidden.xml", "two.xml.part", "fresh.xml"}
        assert {each.paper_id for each in papers_of(bench).all()} == {"PMC101"}
        assert set(parked(bench, "articles")) == {"inbox/broken.xml"}
        # Nothing new: nothing is done, and what is broken is not parsed again.
        assert not any(outcomes.moved for outcomes in refresh(bench).values())
        os.utime(fresh, (time.time() - 2 * QUIET_S,) * 2)
        rest(inbox / "broken.xml", jats("Mended", {"Results": "Patients."}, pmcid="PMC103"), 1_700_000_000)
        refresh(bench)
        assert {path.name for path in inbox.iterdir()} == {".hidden.xml", "two.xml.part"}
        assert {each.paper_id for each in papers_of(bench).all()} == {"PMC101", "PMC102", "PMC103"}
        assert parked(bench) == {}
        assert {each.partition("/")[0] for each in found(bench)} == {"PMC101", "PMC102", "PMC103"}


def test_a_file_of_the_inbox_that_is_not_named_as_a_paper_waits_for_its_name(tmp_path: Path) -> None:
    with with_inbox(tmp_path) as bench:
        other = rest(tmp_path / "inbox" / "doses.csv", "dose,cortisol\n1,2\n")
        rest(tmp_path / "inbox" / "one.xml", ONE)
        refresh(bench)
        assert set(parked(bench)) == {"inbox/doses.csv"}
        assert ".nxml, .pdf" in parked(bench)["inbox/doses.csv"]
        assert {each.paper_id for each in papers_of(bench).all()} == {"PMC101"}
        other.rename(other.with_suffix(".txt"))
        refresh(bench)
        assert parked(bench) == {}
        assert {each.paper_id for each in papers_of(bench).all()} == {"PMC101", "doses"}


def test_a_broken_file_that_is_taken_out_of_the_inbox_is_forgotten(tmp_path: Path) -> None:
    with with_inbox(tmp_path) as bench:
        bench.add("one.xml", ONE)
        broken = rest(tmp_path / "inbox" / "broken.pdf", b"%PDF-1.7 nothing")
        refresh(bench)
        assert set(parked(bench)) == {"inbox/broken.pdf"}
        broken.unlink()
        refresh(bench)
        assert parked(bench) == {}
        assert found(bench)


def test_without_its_inbox_nothing_is_removed(tmp_path: Path) -> None:
    with with_inbox(tmp_path) as bench:
        rest(tmp_path / "inbox" / "one.xml", ONE)
        refresh(bench)
        there = found(bench)
        (tmp_path / "inbox").rmdir()
        with pytest.raises(SourceUnavailableError, match="INGEST_PAPERS_INBOX"):
            refresh(bench)
        assert found(bench) == there != set()
        (tmp_path / "inbox").mkdir()
        assert not any(outcomes.moved for outcomes in refresh(bench).values())


def test_without_the_folder_of_papers_nothing_is_removed(bench: PaperBench) -> None:
    bench.add("one.xml", ONE)
    refresh(bench)
    folder = library_of(bench).folder
    folder.rename(folder.with_name("away"))
    there = found(bench)
    with pytest.raises(SourceUnavailableError, match="kept papers"):
        refresh(bench)
    assert found(bench) == there != set()
    folder.with_name("away").rename(folder)
    assert not any(outcomes.moved for outcomes in refresh(bench).values())


def test_a_kept_file_that_is_damaged_keeps_its_last_good_text(bench: PaperBench) -> None:
    bench.add("one.xml", ONE)
    refresh(bench)
    there, entities = found(bench), names(bench)
    path = library_of(bench).path("PMC101.xml")
    rest(path, ONE[: len(ONE) // 2])
    refresh(bench)
    assert set(parked(bench)) == {"PMC101.xml"}
    assert (found(bench), names(bench)) == (there, entities)
    [kept] = papers_of(bench).all()
    assert kept.error
    rest(path, ONE, 1_700_000_000)
    refresh(bench)
    assert parked(bench) == {}
    assert (found(bench), names(bench)) == (there, entities)


def test_a_file_that_is_lost_takes_no_text_with_it(bench: PaperBench) -> None:
    bench.add("one.xml", ONE)
    bench.add("two.xml", TWO)
    refresh(bench)
    there = found(bench)
    library_of(bench).remove("PMC102.xml")
    refresh(bench)
    assert found(bench) == there


def test_removing_papers_down_to_none(bench: PaperBench) -> None:
    bench.add("one.xml", ONE)
    bench.add("two.xml", TWO)
    refresh(bench)
    papers_of(bench).remove("PMC101")
    refresh(bench)
    assert {each.partition("/")[0] for each in found(bench)} == {"PMC102"}
    assert "metformin" not in {name.casefold() for name in names(bench)}
    papers_of(bench).remove("PMC102")
    with pytest.raises(UnknownPaperError):
        papers_of(bench).remove("PMC102")
    refresh(bench)
    assert found(bench) == set()
    assert names(bench) == {}
    assert not bench.points()
    rows = bench.rows()
    rows.pop("graph_state")
    assert not any(rows.values())
    assert not any(outcomes.moved for outcomes in refresh(bench).values())


def test_two_articles_with_one_id_are_one_paper_whichever_is_added_last(bench: PaperBench) -> None:
    bench.add("a.xml", ONE)
    other = jats("Another text", {"Results": "Nothing of it was true for patients."}, pmcid="PMC101")
    both = ONE.replace("</pmc-articleset>", other.partition("<pmc-articleset>")[2])
    said = bench.add("both.xml", both)
    refresh(bench)
    assert len(list(papers_of(bench).all())) == 1
    assert any(each.error for each in said) or said[-1].title == "Another text"


def test_several_articles_of_a_file_are_papers_of_their_own(bench: PaperBench) -> None:
    both = ONE.replace("</pmc-articleset>", TWO.partition("<pmc-articleset>")[2])
    assert [each.paper_id for each in bench.add("both.xml", both)] == ["PMC101", "PMC102"]
    refresh(bench)
    assert {each.partition("/")[0] for each in found(bench)} == {"PMC101", "PMC102"}


def test_papers_are_parsed_again_from_their_files_when_the_ledger_is_lost(tmp_path: Path) -> None:
    with PaperBench(tmp_path) as bench:
        bench.add("one.xml", ONE)
        refresh(bench)
        there, files = found(bench), bench.files()
    for path in (tmp_path / "home").iterdir():
        if path.name != "papers":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with PaperBench(tmp_path) as bench:
        refresh(bench)
        assert (found(bench), bench.files()) == (there, files)


THEIRS = (
    '{"paper": {"title": "T"}, "entities": [{"id": "d", "class": "Drug", "name": "%s"}, {"id": "w", "class": '
    '"Disease", "name": "Wound"}], "relationships": [{"subject": "d", "predicate": "TREATS", "object": "w"}]}'
)
DOI_ID = "doi-10.1000-one"


@pytest.mark.parametrize("asked_for", [False, True])
@pytest.mark.parametrize("content", [THEIRS % "Zyxol", "{"])
def test_a_bundle_of_others_goes_with_its_paper_to_its_better_id(
    bench: PaperBench, content: str, asked_for: bool
) -> None:
    put_bundle(bench, DOI_ID, content)
    bench.add("one.md", MARKDOWN)
    if asked_for:
        papers_of(bench).reextract(DOI_ID)
    bench.add("one.xml", ONE)
    assert bundles_of(bench) == {"paper_PMC101.json": content}
    if asked_for:  # what was asked for also goes with it
        refresh(bench)
        assert list(bundles_of(bench)) == ["paper_PMC101.json"]
        assert bundles_of(bench) != {"paper_PMC101.json": content}


def test_a_paid_bundle_goes_with_its_paper_to_its_better_id(bench: PaperBench) -> None:
    bench.add("one.md", MARKDOWN)
    paid = json.loads(THEIRS % "Zyxol") | {
        "extraction_provenance": {"extractor": "openai-1:large", "content_digest": "0" * 64}
    }
    put_bundle(bench, DOI_ID, json.dumps(paid))
    refresh(bench)
    bench.add("one.xml", ONE)
    refresh(bench)
    assert bundles_of(bench) == {"paper_PMC101.json": json.dumps(paid)}
    assert set(names(bench)) == {"Zyxol", "Wound"}


def test_of_two_bundles_of_one_paper_none_is_lost(bench: PaperBench) -> None:
    put_bundle(bench, "PMC101", THEIRS % "Zyxol")
    for each in ("Wvutol", "Uvwol"):
        put_bundle(bench, DOI_ID, THEIRS % each)
        _forget_files(bench)
        bench.add("one.md", MARKDOWN)
        refresh(bench)
        assert set(names(bench)) == {"Zyxol", each, "Wound"}
        bench.add("one.xml", ONE)
        refresh(bench)
        assert set(names(bench)) == {"Zyxol", "Wound"}
    assert bundles_of(bench) == {
        "paper_PMC101.json": THEIRS % "Zyxol",
        f"superseded-paper_{DOI_ID}.json": THEIRS % "Wvutol",
        f"superseded-2-paper_{DOI_ID}.json": THEIRS % "Uvwol",
    }


def _forget_files(bench: PaperBench) -> None:
    for path in library_of(bench).folder.glob("*"):
        path.unlink()
    with bench.ledger.transaction() as connection:
        connection.execute(paper_file.delete())


def bundles_of(bench: PaperBench) -> dict[str, str]:
    folder = workspace_of(bench).bundles
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("run_before", [False, True])
@pytest.mark.parametrize("content", [THEIRS % "Zyxol", "{"])
def test_a_paper_of_which_there_is_only_a_bundle_is_shown_and_removed(
    bench: PaperBench, content: str, run_before: bool
) -> None:
    put_bundle(bench, "PMC7", content)
    if run_before:
        refresh(bench)
    assert paper_details(bench, "PMC7")["paper_id"] == "PMC7"
    assert papers_of(bench).remove("PMC7").files == ()
    assert bundles_of(bench) == {}
    with pytest.raises(UnknownPaperError):
        papers_of(bench).remove("PMC7")
    refresh(bench)
    assert (names(bench), parked(bench)) == ({}, {})


def test_nothing_is_kept_of_a_file_without_the_paper_that_was_asked_for(
    bench: PaperBench, tmp_path: Path
) -> None:
    file = tmp_path / "fetched.xml"
    file.write_text(ONE)
    [added] = papers_of(bench).add_files([file], asked="PMC9")
    assert "PMC9 was asked for, and what came is PMC101" in added.error
    assert list(papers_of(bench).all()) == []
    [added] = papers_of(bench).add_files([file], asked="PMC101")
    assert (added.paper_id, added.error) == ("PMC101", "")
