"""Definitions of abbreviations, by the algorithm of Schwartz and Hearst and by the paper's own list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.sources.papers.article import Article, Section
from ingest_assets.sources.papers.extraction.abbreviations import (
    best_long_form,
    definitions,
    is_short_form,
    of_article,
)


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(each.short, each.long) for each in definitions(text)]


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("the heat shock transcription factor (HSF) binds", [("HSF", "heat shock transcription factor")]),
        ("Gcn5-related N-acetyltransferase (GNAT) fold", [("GNAT", "Gcn5-related N-acetyltransferase")]),
        ("We measured tumour necrosis factor (TNF).", [("TNF", "tumour necrosis factor")]),
        ("type 2 diabetes mellitus (T2DM)", [("T2DM", "type 2 diabetes mellitus")]),
        ("interleukin-1β (IL-1β) rose", [("IL-1β", "interleukin-1β")]),
        ("pegvisomant (PEGV) was given", [("PEGV", "pegvisomant")]),
        ("small cell lung cancer [SCLC]", [("SCLC", "small cell lung cancer")]),
        # The short form first.
        (
            "APS-1 (autoimmune polyendocrine syndrome type 1)",
            [("APS-1", "autoimmune polyendocrine syndrome type 1")],
        ),
        ("TNF (tumour necrosis factor)", [("TNF", "tumour necrosis factor")]),
        # What else is in the bracket.
        ("bone mineral density (BMD; in g)", [("BMD", "bone mineral density")]),
        # No definitions.
        ("it was high (see below)", []),
        ("in patients (n = 12)", []),
        ("the control group (mean)", []),
        ("a receptor (i.e. a protein)", []),
        ("We saw this. Later it fell (TNF).", []),
        ("(TNF)", []),
        ("()", []),
    ],
)
def test_definitions_of_a_text(text: str, pairs: list[tuple[str, str]]) -> None:
    assert _pairs(text) == pairs


def test_the_long_form_is_the_shortest_that_has_all_characters_in_order() -> None:
    text = "cancers such as hepatocellular carcinoma (HCC)"
    assert _pairs(text) == [("HCC", "hepatocellular carcinoma")]
    assert best_long_form("HCC", "carcinoma") is None
    # The first character starts a word.
    assert best_long_form("AB", "cab b") is None


def test_a_definition_knows_where_its_forms_stand() -> None:
    text = "In polycystic ovary syndrome (PCOS), and in adrenal insufficiency (AI)."
    for each in definitions(text):
        assert text[each.long_start : each.long_start + len(each.long)] == each.long
        assert text[each.short_start : each.short_start + len(each.short)] == each.short


def test_the_papers_own_list_comes_first_and_then_the_first_definition() -> None:
    article = Article(
        paper_id="PMC1",
        abbreviations={"AI": "artificial intelligence"},
        sections=(
            Section(
                id="a", kind="body", path=("A",), text="Adrenal insufficiency (AI) and Cushing disease (CD)."
            ),
            Section(id="b", kind="body", path=("B",), text="Crohn disease (CD)."),
        ),
    )
    assert of_article(article) == {"AI": "artificial intelligence", "CD": "Cushing disease"}


_LIST = {
    "RAS": "Rat sarcoma",
    "DRP1": "Dynamin-related protein 1",
    "TME": "Tumor microenvironment",
    "DC": "Dendritic cell",
    "KO": "Knockout",
}


def test_a_list_that_has_slipped_by_a_row_says_what_it_meant() -> None:
    shorts, longs = list(_LIST), list(_LIST.values())
    slipped = dict(zip(shorts, ["Not detected", *longs[:-1]], strict=True)) | {"ATP": "Knockout"}
    found = of_article(Article(paper_id="PMC1", abbreviations=slipped))
    known = {short: long for short, long in found.items() if short in _LIST}
    assert known == {short: long for short, long in _LIST.items() if short != "KO"} | {"KO": "Knockout"}
    assert "ATP" not in found  # its row's long form is another's


def test_a_list_whose_long_forms_share_no_letters_is_believed() -> None:
    odd = {"D2": "Type 2 deiodinase", "NaB": "Sodium butyrate", "ICI": "Fulvestrant"}
    listed = _LIST | odd
    assert of_article(Article(paper_id="PMC1", abbreviations=listed)) == listed


@given(st.text(alphabet="abcXY12 -()[];.,αβ\n", max_size=120))
def test_any_text_gives_definitions_that_it_contains(text: str) -> None:
    for each in definitions(text):
        assert is_short_form(each.short)
        assert text[each.long_start : each.long_start + len(each.long)] == each.long
        assert text[each.short_start : each.short_start + len(each.short)] == each.short
        wanted = [character for character in each.short.lower() if character.isalnum()]
        rest = iter(each.long.lower())
        assert all(character in rest for character in wanted)
