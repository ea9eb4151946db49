"""Markdown and plain text to articles."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_assets.model import ItemError
from ingest_assets.sources.papers.article import Article, Author
from ingest_assets.sources.papers.formats import prose

MARKDOWN = """\
---
title: "Cortisol: a study"
doi: https://doi.org/10.1000/X.1
pmid: PMID 12
authors:
  - Ada Lo <ada@x.example>
  - Bo Chun
journal: J. Tests
date: 2020-05-01
study-type: case-report
keywords: [a, b]
---

# Cortisol: a study

Before any heading.

## Abstract

In *short*,
two lines.

## Methods

### 2.1 Patients

- one
- two

| a | b |
|---|---|
| 1 | 2 |

[link]: https://x.example

## References

1. First. doi:10.1000/ref.1
"""


METHODS = """\
Methods

2.1 Patients

- one
- two

| a | b |
|---|---|
| 1 | 2 |

[link]: https://x.example"""


def parsed(text: str, name: str = "a.md") -> Article:
    return prose.parse(text.encode(), name)


def brief(text: str, name: str = "a.txt") -> list[tuple[str, str, str]]:
    return [(each.id, each.kind, each.text) for each in parsed(text, name).sections]


def test_markdown_with_front_matter() -> None:
    found = parsed(MARKDOWN)
    assert (found.paper_id, found.doi, found.pmid, found.title) == (
        "doi-10.1000-x.1", "10.1000/x.1", "12", "Cortisol: a study",
    )  # fmt: skip
    assert found.authors == (Author(name="Ada Lo", email="ada@x.example"), Author(name="Bo Chun"))
    assert (found.journal, found.year, found.study_type) == ("J. Tests", 2020, "case-report")
    assert [(each.id, each.kind, each.text) for each in found.sections] == [
        ("title", "title", "Cortisol: a study"),
        ("body", "body", "Before any heading."),
        ("abstract", "abstract", "Abstract\n\nIn *short*, two lines."),
        ("methods/patients", "body", METHODS),
    ]
    assert found.sections[3].path == ("Methods", "2.1 Patients")
    assert [each.doi for each in found.references] == ["10.1000/ref.1"]


def test_a_first_heading_above_all_others_is_the_title() -> None:
    assert parsed("# On it\n\nText\n\n## Part\n\nMore").title == "On it"
    assert parsed("# One\n\nText\n\n# Two\n\nMore").title == ""
    assert parsed("# Introduction\n\nText").title == ""
    assert parsed("On it\n=====\n\nText").title == "On it"


def test_a_heading_without_text_has_its_own_path_and_lists_in_references_are_references() -> None:
    found = parsed("# On it\n\n## Abstract\n\n## Introduction\n\nText")
    assert [(each.path, each.text) for each in found.sections[1:]] == [
        (("Abstract",), "Abstract"),
        (("Introduction",), "Introduction\n\nText"),
    ]
    text = "---\ntitle: On it\n---\n# Its second title\n\nText\n\n## References\n\n### Books\n\nAda. PMID: 5"
    found = parsed(text)
    assert [each.text for each in found.sections[1:]] == ["Its second title\n\nText"]
    assert [each.pmid for each in found.references] == ["5"]


def test_plain_text_has_sections_under_names_that_are_known() -> None:
    text = (
        "A line.\n\nAbstract\n\nIn\nshort.\n\n1. Introduction\n\nText.\n\n2 Our own part\n\nMore.\n\n"
        "7 No part\n\nReferences\n\nAda. PMID: 5"
    )
    found = parsed(text, "b.txt")
    assert brief(text) == [
        ("body", "body", "A line."),
        ("abstract", "abstract", "Abstract\n\nIn short."),
        ("introduction", "body", "1. Introduction\n\nText."),
        ("our-own-part", "body", "2 Our own part\n\nMore.\n\n7 No part"),
    ]
    assert [(each.text, each.pmid) for each in found.references] == [("Ada. PMID: 5", "5")]


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("authors: Ada Lo, Bo Chun", ["Ada Lo", "Bo Chun"]),
        ("authors: Lo, Ada; Chun, Bo", ["Lo, Ada", "Chun, Bo"]),
        ("authors:\n  - Lo, Ada B.", ["Lo, Ada B."]),
        ("author: Lo, Chun and Ng", ["Lo", "Chun", "Ng"]),
        ("author: [Ada Lo, 'Bo Chun']", ["Ada Lo", "Bo Chun"]),
        ("Authors:\n- Ada Lo\n- Bo Chun", ["Ada Lo", "Bo Chun"]),
        ("authors: Ada Lo and Bo Chun", ["Ada Lo", "Bo Chun"]),
        ("authors:", []),
    ],
)
def test_authors_as_people_write_them(written: str, names: list[str]) -> None:
    assert [each.name for each in parsed(f"---\n{written}\n---\nText").authors] == names


def test_a_file_without_an_id_has_its_name() -> None:
    assert parsed("Text", "notes-1.md").paper_id == "notes-1"
    assert (parsed("Text", "PMC77.md").paper_id, parsed("Text", "PMC77.md").pmcid) == ("PMC77", "PMC77")
    for written in ("pmc 9", "9", "https://pmc.ncbi.nlm.nih.gov/articles/PMC9/"):
        assert parsed(f"---\npmcid: {written}\n---\nText", "x.md").paper_id == "PMC9"


def test_front_matter_without_an_end_is_text() -> None:
    assert "title: x" in parsed("---\ntitle: x\n\nText", "a.txt").sections[0].text


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no text"),
        (b" \n\n", "no text"),
        (b"# Title", "no text but a title"),
        (b"\x00\x01\x02", "control characters"),
        (b"PK\x03\x04zip", "control characters"),
        (b"\xff\xd8\xff\xe0", "neither XML nor PDF nor text"),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE}".encode("latin-1"), "neither XML nor PDF nor text"),
    ],
)
def test_what_is_no_text_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ItemError, match=said):
        prose.parse(data, "a.md")


def test_text_in_utf_16_or_with_a_mark() -> None:
    for encoding in ("utf-16", "utf-8-sig"):
        assert prose.parse("Text é".encode(encoding), "a.txt").sections[0].text == "Text é"


def test_long_and_nested_markup_takes_linear_time() -> None:
    texts = (
        "[" * 20_000,
        "> " * 2_000 + "a",
        "*a_ " * 8_000,
        "- " * 1_000 + "x",
        "`" * 50_000 + "a",
        "#" * 50_000,
    )
    for text in texts:
        assert parsed(text).sections


_LINES = st.lists(
    st.sampled_from(
        ["# One w{}", "## Two w{}", "w{} text", "", "", "- item w{}", "> quote w{}", "    code w{}", "```",
         "w{}", "---", "| w{} | b |", "[w{}]: x", "<div>w{}", "* * *", "Abstract", "References", "1. w{}"]
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(_LINES, st.sampled_from(["a.md", "a.txt"]))
def test_every_word_is_in_one_section_or_reference(lines: list[str], name: str) -> None:
    text = "w0\n\n" + "\n".join(line.format(number) for number, line in enumerate(lines, 1))
    found = parsed(text, name)
    said = " ".join([*(each.text for each in found.sections), *(each.text for each in found.references)])
    assert sorted(re.findall(r"w\d+", said)) == sorted(re.findall(r"w\d+", text))
    assert len({each.id for each in found.sections}) == len(found.sections)
