"""PDFs to articles."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_assets.model import ItemError
from ingest_assets.sources.papers.article import Article
from ingest_assets.sources.papers.formats import pdf as parser
from ingest_assets_tests.sources.papers.pdf_samples import Line, encrypted, pdf, pdf_of_streams

TITLE = "Cortisol in adrenal insufficiency"
PAPER: list[list[Line]] = [
    ["J. Tests 2020; 1", (18, "Cortisol in adrenal"), (18, "insufficiency"), "Ada Lo, Bo Chun",
     "https://doi.org/10.1000/Test.1. PMC1234567", "Abstract",
     "We measured cortisol in patients with adrenal insuf-", "ficiency, and saw a well-known pattern.",
     "1 of 3"],
    ["J. Tests 2020; 2", "1 Introduction",
     "Long lines are usual in papers, and end where the column ends; so a",
     "paragraph goes on in the next.",
     "Another paragraph, whose words tell us of a cortisol that is well-",
     "known in all the world.", "1.1 Aims and scope", "To know more.", "2 of 3"],
    ["J. Tests 2020; 3", "Acknowledgements", "We thank all.", "References",
     "1. Ada L. On it. J Tests. 2001. doi:10.1000/Ref.7", "3 of 3"],
]  # fmt: skip


def parsed(data: bytes, name: str = "a paper.pdf") -> Article:
    return parser.parse(data, name)


def test_a_paper() -> None:
    found = parsed(pdf(PAPER))
    assert (found.paper_id, found.pmcid, found.doi, found.title) == (
        "PMC1234567", "PMC1234567", "10.1000/test.1", TITLE,
    )  # fmt: skip
    assert [(each.id, each.kind, each.path) for each in found.sections] == [
        ("title", "title", ()),
        ("body", "body", ()),
        ("abstract", "abstract", ("Abstract",)),
        ("introduction", "body", ("Introduction",)),
        ("introduction/aims-and-scope", "body", ("Introduction", "Aims and scope")),
        ("acknowledgements", "back", ("Acknowledgements",)),
    ]
    texts = {each.id: each.text for each in found.sections}
    assert texts["abstract"] == (
        "Abstract\n\nWe measured cortisol in patients with adrenal insufficiency, "
        "and saw a well-known pattern."
    )
    assert texts["introduction"] == (
        "1 Introduction\n\nLong lines are usual in papers, and end where the column ends; so a paragraph "
        "goes on in the next.\n\nAnother paragraph, whose words tell us of a cortisol that is well-known "
        "in all "
        "the world."
    )
    assert [(each.text, each.doi) for each in found.references] == [
        ("1. Ada L. On it. J Tests. 2001. doi:10.1000/Ref.7", "10.1000/ref.7")
    ]
    assert not any("J. Tests 2020;" in text or " of 3" in text for text in texts.values())


def test_ids_in_references_are_those_of_other_papers() -> None:
    lines = ["A short letter about cortisol.", "References", "1. Ada L. doi:10.1000/ref.7 PMC7654321"]
    found = parsed(pdf([lines]), "letter.pdf")
    assert (found.paper_id, found.doi, found.pmcid) == ("letter", "", "")


def test_a_paper_without_ids_headings_or_a_title_has_its_files_name_and_one_section() -> None:
    found = parsed(pdf([["The quick brown fox jumps over the lazy dog."]]), "My paper (2).pdf")
    assert found.paper_id.startswith("My-paper-(2)-")
    assert [(each.id, each.text) for each in found.sections] == [
        ("body", "The quick brown fox jumps over the lazy dog.")
    ]


def test_the_title_that_a_file_says_it_has_counts_if_it_is_shown() -> None:
    lines = ["Some journal of some things", "On the effects of aldosterone", "by Ada. Text of the paper."]
    assert (
        parsed(pdf([lines], title="On the effects of aldosterone")).title == "On the effects of aldosterone"
    )
    assert parsed(pdf([lines], title="Template of a publisher")).title == ""
    assert parsed(pdf([lines], title="Microsoft Word - On the effects of aldosterone.docx")).title == ""


def test_numbers_of_lists_and_places_are_no_headings() -> None:
    lines = [
        "1 Department of Medicine",
        "2 Institute of Tests",
        "Introduction",
        "We did these:",
        "1 Eat",
        "2 Sleep",
    ]
    assert [each.id for each in parsed(pdf([lines])).sections] == ["body", "introduction"]


def test_references_by_their_numbers_and_an_abstract_in_one_line() -> None:
    lines = [
        "Summary: In short, this is",
        "all of it.",
        "References",
        "[1] Ada L. On the",
        "thing. 2001",
        "[2] Bo C. 2002",
    ]
    found = parsed(pdf([lines]))
    assert [(each.id, each.text) for each in found.sections] == [
        ("summary", "Summary:\n\nIn short, this is all of it.")
    ]
    assert [each.text for each in found.references] == ["[1] Ada L. On the thing. 2001", "[2] Bo C. 2002"]


def test_lines_that_only_a_few_pages_have_are_kept() -> None:
    found = parsed(pdf([["Same words here", "and some others"], ["Same words here", "and yet others"]]))
    assert found.sections[0].text.count("Same words here") == 2


@pytest.mark.parametrize("pages", [[[]], [["1"], ["2"]], [["- 1 -"]]])
def test_pictures_without_text_say_so(pages: list[list[str]]) -> None:
    with pytest.raises(ItemError, match="its pages are pictures"):
        parsed(pdf(pages))


def test_a_password_is_asked_for_and_one_that_is_empty_is_none() -> None:
    with pytest.raises(ItemError, match="encrypted"):
        parsed(encrypted(pdf(PAPER), "secret"))
    assert parsed(encrypted(pdf(PAPER), "")) == parsed(pdf(PAPER))


def test_a_bomb_of_streams_is_refused() -> None:
    began = time.process_time()
    for times in (1, 3):
        data = pdf_of_streams([b" " * 40_000_000], filters="/FlateDecode " * times)
        assert len(data) < 100_000
        with pytest.raises(ItemError):
            parsed(data)
    assert time.process_time() - began < 5


def test_too_many_trailers_are_refused_before_they_are_read() -> None:
    with pytest.raises(ItemError, match="changed more than 100 times"):
        parsed(pdf(PAPER) + b"trailer<<" * 100_000)


def test_too_many_pages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser, "MAX_PAGES", 3)
    with pytest.raises(ItemError, match="more than 3 pages"):
        parsed(pdf([["some words of text"]] * 4))


def test_too_much_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser, "MAX_CHARS", 1_000)
    with pytest.raises(ItemError, match="more than 1,000 characters"):
        parsed(pdf([["some words of text"] * 20] * 9))


@pytest.mark.parametrize(
    "data", [b"%PDF-1.7\n", b"%PDF-1.4\n%%EOF", pdf(PAPER)[:300], b"%PDF" + b"\0" * 5_000]
)
def test_damaged_files_are_refused(data: bytes) -> None:
    with pytest.raises(ItemError):
        parsed(data)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3_000), st.binary(min_size=1, max_size=8))
def test_damage_anywhere_is_a_refusal_or_an_article(at: int, junk: bytes) -> None:
    data = pdf(PAPER)
    at %= len(data)
    with suppress(ItemError):
        assert parsed(data[:at] + junk + data[at + len(junk) :]).sections
