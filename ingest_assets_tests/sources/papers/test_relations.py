"""What sentences say of the names in them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest_assets.sources.papers.extraction.relations import (
    COOCCURRENCE_CONFIDENCE,
    PATTERN_CONFIDENCE,
    Argument,
    statements,
)
from ingest_assets.sources.papers.extraction.sentences import MAX_SENTENCE_CHARS, sentences

CLASSES = {
    "metformin": "Drug",
    "olaparib": "Drug",
    "BRCA1": "Gene",
    "TP53": "Gene",
    "MDM2": "Gene",
    "diabetes": "Disease",
    "obesity": "Disease",
    "cancer": "Disease",
}


def _arguments(sentence: str) -> list[Argument]:
    found = [
        Argument(at, at + len(name), name, entity_class)
        for name, entity_class in CLASSES.items()
        for at in range(len(sentence))
        if sentence.startswith(name, at)
    ]
    return sorted(found)


def _said(sentence: str) -> list[tuple[str, str, str, float]]:
    return [tuple(each) for each in statements(sentence, _arguments(sentence))]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("sentence", "subject", "predicate", "other"),
    [
        ("metformin treats diabetes.", "metformin", "TREATS", "diabetes"),
        ("metformin is effective in obesity.", "metformin", "TREATS", "obesity"),
        ("diabetes was treated with metformin.", "metformin", "TREATS", "diabetes"),
        ("metformin prevents cancer.", "metformin", "PREVENTS", "cancer"),
        ("obesity increases the risk of cancer.", "obesity", "INCREASES_RISK", "cancer"),
        ("obesity is a risk factor for diabetes.", "obesity", "INCREASES_RISK", "diabetes"),
        ("metformin reduces the risk of cancer.", "metformin", "REDUCES_RISK", "cancer"),
        ("obesity leads to diabetes.", "obesity", "CAUSES", "diabetes"),
        ("diabetes is caused by obesity.", "obesity", "CAUSES", "diabetes"),
        ("MDM2 inhibits TP53.", "MDM2", "INHIBITS", "TP53"),
        ("TP53 is inhibited by MDM2.", "MDM2", "INHIBITS", "TP53"),
        ("BRCA1 activates TP53.", "BRCA1", "ACTIVATES", "TP53"),
        ("MDM2 phosphorylates TP53.", "MDM2", "PHOSPHORYLATES", "TP53"),
        ("metformin downregulates MDM2.", "metformin", "DOWNREGULATES", "MDM2"),
        ("BRCA1 interacts directly with TP53.", "BRCA1", "INTERACTS_WITH", "TP53"),
        ("BRCA1 is associated with cancer.", "BRCA1", "ASSOCIATED_WITH", "cancer"),
    ],
)
def test_a_pattern_says_who_does_what(sentence: str, subject: str, predicate: str, other: str) -> None:
    assert _said(sentence) == [(subject, predicate, other, PATTERN_CONFIDENCE)]


def test_names_that_merely_stand_together_are_associated_with_low_confidence() -> None:
    assert _said("We looked at cancer, then at olaparib.") == [
        ("olaparib", "ASSOCIATED_WITH", "cancer", COOCCURRENCE_CONFIDENCE)
    ]
    # Of one class they say nothing.
    assert _said("We looked at cancer, then at obesity.") == []


@pytest.mark.parametrize(
    "sentence",
    [
        "metformin did not treat cancer.",
        "We found no association between BRCA1 and obesity.",
        "Without metformin, no diabetes.",
        "BRCA1 is not associated with diabetes.",
        "metformin failed to prevent cancer.",
        "We asked whether metformin treats cancer.",
        "The aim was to evaluate metformin for cancer.",
        "Does metformin treat cancer?",
    ],
)
def test_what_is_denied_or_asked_is_not_said(sentence: str) -> None:
    assert _said(sentence) == []


def test_a_list_shares_what_is_said_of_it() -> None:
    said = {each[:3] for each in _said("obesity causes diabetes and cancer.")}
    assert said == {("obesity", "CAUSES", "diabetes"), ("obesity", "CAUSES", "cancer")}
    said = {each[:3] for each in _said("BRCA1, TP53 and MDM2 cause cancer.")}
    assert said == {(gene, "CAUSES", "cancer") for gene in ("BRCA1", "TP53", "MDM2")}


def test_a_contrary_word_after_the_verb_makes_it_a_co_occurrence() -> None:
    assert _said("metformin induced a decrease in diabetes.") == [
        ("metformin", "ASSOCIATED_WITH", "diabetes", COOCCURRENCE_CONFIDENCE)
    ]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two.", ["One.", "Two."]),
        ("Smith et al. Found it. Then", ["Smith et al. Found it.", "Then"]),
        ("P < 0.05 was. It", ["P < 0.05 was.", "It"]),
        ("Title\n\nText here.", ["Title", "Text here."]),
        ("As in Fig. 2 it rose (e.g. IL-6). β-cells", ["As in Fig. 2 it rose (e.g. IL-6).", "β-cells"]),
        ("E. coli grew. Good.", ["E. coli grew.", "Good."]),
        ("They had hepatitis C.\n\nOthers died.", ["They had hepatitis C.", "Others died."]),
        ("As in Smith et al.\n\n(Next) one.", ["As in Smith et al.", "(Next) one."]),
        ("  ", []),
    ],
)
def test_sentences(text: str, parts: list[str]) -> None:
    assert [text[start:end] for start, end in sentences(text)] == parts


@example("word " * 1_000 + "." + "x" * 9_000)
@given(st.text(alphabet="aB. !?\n", max_size=60))
def test_sentences_hold_every_character_that_is_no_space(text: str) -> None:
    found = list(sentences(text))
    assert "".join(text[start:end] for start, end in found).replace(" ", "").replace("\n", "") == (
        text.replace(" ", "").replace("\n", "")
    )
    assert all(0 < end - start <= MAX_SENTENCE_CHARS for start, end in found)
