"""What names a paper."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from ingest_assets.model import ItemError
from ingest_assets.sources.papers.article import PaperId
from ingest_assets.sources.papers.identity import doi_in, doi_of, paper_id, pmcid_in, pmcid_of, pmid_of


@pytest.mark.parametrize(
    "written",
    [
        "PMC123", "pmc123", "PMC 123", "PMC:123", "PMCID: PMC123", "PMCID:PMC123", "PMC123.2", " PMC0123 ",
        "https://www.ncbi.nlm.nih.gov/pmc/articles/PMC123/", "https://pmc.ncbi.nlm.nih.gov/articles/PMC123",
        "https://europepmc.org/articles/PMC123?x=1", "http://www.ncbi.nlm.nih.gov/pmc/articles/123/pdf/a.pdf",
    ],
)  # fmt: skip
def test_pmcids(written: str) -> None:
    assert pmcid_of(written) == "PMC123"


@pytest.mark.parametrize(
    "written", ["", "123", "PMC", "PMC0", "PMCX1", "PMC123x", "10.1/PMC123", "PMC" + "1" * 30]
)
def test_no_pmcids(written: str) -> None:
    assert pmcid_of(written) == ""


@pytest.mark.parametrize(
    "written",
    [
        "123", "PMID: 123", "pmid:123", "PMID 123", "https://pubmed.ncbi.nlm.nih.gov/123/",
        "https://www.ncbi.nlm.nih.gov/pubmed/123",
    ],
)  # fmt: skip
def test_pmids(written: str) -> None:
    assert pmid_of(written) == "123"


@pytest.mark.parametrize("written", ["", "0", "PMC123", "12a", "1" * 12])
def test_no_pmids(written: str) -> None:
    assert pmid_of(written) == ""


@pytest.mark.parametrize(
    "written",
    [
        "10.1000/AbC(1)", "doi:10.1000/abc(1)", "DOI: 10.1000/abc(1)", "https://doi.org/10.1000/abc(1)",
        "http://dx.doi.org/10.1000/abc(1)", "doi.org/10.1000/abc(1)", "https://doi.org/10.1000%2Fabc(1)",
    ],
)  # fmt: skip
def test_dois(written: str) -> None:
    assert doi_of(written) == "10.1000/abc(1)"


@pytest.mark.parametrize("written", ["", "10.1000", "10.1000/", "11.1000/x", "10.1000/a b", "x10.1000/y"])
def test_no_dois(written: str) -> None:
    assert doi_of(written) == ""


def test_dois_of_the_nineties() -> None:
    sici = "10.1002/(SICI)1097-0258(19980815)17:15<1661::AID-SIM968>3.0.CO;2-2"
    assert doi_of(sici) == sici.lower()
    assert paper_id("", doi_of(sici)).startswith(
        "doi-10.1002-(sici)1097-0258(19980815)17-15-1661-aid-sim968-3.0.co-2-"
    )


def test_ids_in_running_text() -> None:
    assert doi_in("See (https://doi.org/10.1000/A(1)b). More 10.2000/c") == "10.1000/a(1)b"
    assert doi_in("A dose of 10.5/kg and 10.12/x.") == ""
    assert pmcid_in("As in PMC1234567, and XPMC99999.") == "PMC1234567"


def test_the_best_id_names_a_paper() -> None:
    assert paper_id("PMC1", "10.1000/x", "5", "a") == "PMC1"
    assert paper_id("", "10.1000/x", "5", "a") == "doi-10.1000-x"
    assert paper_id("", "", "5", "a") == "pmid-5"
    assert paper_id("", "", "", "a") == "a"
    with pytest.raises(ItemError, match="no id"):
        paper_id()


def test_dois_that_look_alike_have_names_of_their_own() -> None:
    dois = [
        "10.1000/a-b",
        "10.1000/a/b",
        "10.1000/a<b",
        "10.1000/a>b",
        "10.1000/" + "x" * 300,
        "10.1000/" + "x" * 301,
    ]
    assert len({paper_id("", doi) for doi in dois}) == len(dois)


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1), st.text(min_size=1))
def test_names_of_files_are_safe_and_apart(one: str, other: str) -> None:
    made = []
    for name in (one.strip(), other.strip()):
        if name:
            made.append(paper_id(name=name))
            TypeAdapter(PaperId).validate_python(made[-1])
    if len(made) == 2:
        assert (made[0] == made[1]) == (one.strip() == other.strip())
