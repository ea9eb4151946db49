"""Which words of a sentence name an entity."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.sources.papers.merging.words import Names, Sentence


@pytest.mark.parametrize(
    ("sentence", "names", "expected"),
    [
        ("Hydrocortisone treats it.", ["hydrocortisone"], "Hydrocortisone"),
        ("Oral biofilms are thick", ["biofilm"], "biofilms"),
        ("It is said to be rare.", ["AI"], None),  # an abbreviation is not any "ai"
        ("AI is rare, and AIs too", ["AI"], "AI"),
        ("(primary) adrenal insufficiency (AI)", ["AI", "adrenal insufficiency"], "adrenal insufficiency"),
        ("Interleukin", ["interleukin-6", "leukin"], None),  # a word of its own
        ("the IL-6 level", ["IL-6"], "IL-6"),
        ("p53_mutant, but p53", ["p53"], "p53"),
        ("a", ["a"], None),
        ("İstanbul has hydrocortisone", ["hydrocortisone"], "hydrocortisone"),
        ("", ["x"], None),
    ],
)
def test_words_are_found_as_they_are(sentence: str, names: list[str], expected: str | None) -> None:
    assert Names([("E1", names)]).named_in(Sentence(sentence)).get("E1") == expected


@given(st.text(max_size=30), st.lists(st.text(max_size=4), max_size=4))
def test_what_is_found_is_in_the_sentence(sentence: str, names: list[str]) -> None:
    for found in Names([("E1", names)]).named_in(Sentence(sentence)).values():
        assert found in sentence


@given(st.lists(st.sampled_from(["gene", "genes", "Gene A", "gene-b", "AI", "ai s", "(x) y"]), max_size=6))
def test_each_name_is_found_in_a_sentence_that_is_made_of_it(names: list[str]) -> None:
    for name in names:
        assert Names([("E1", [name])]).named_in(Sentence(f"We saw {name}.")) == {"E1": name}


def test_names_that_all_begin_alike_do_not_take_for_ever() -> None:
    names = Names((f"E{number}", [f"gene number {number}"]) for number in range(20_000))
    started = time.process_time()
    for _ in range(50_000):
        names.named_in(Sentence("gene"))
    assert time.process_time() - started < 20
