"""Every word of a paper is in exactly one section: counted by other means, over real papers and made ones.

The count takes the XML as a text and replaces its tags: those of markup within a line by nothing, the others
by a space. It shares no code with the parser.
"""

from __future__ import annotations

import html
import os
import re
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_assets.sources.papers.article import Article
from ingest_assets.sources.papers.formats import jats
from ingest_assets_tests.sources.papers.jats_samples import article
from ingest_assets_tests.support.data_sets import REQUIRED, SHARED

_WITHIN_LINE = (
    "italic|bold|sub|sup|sc|underline|monospace|xref|ext-link|uri|email|named-content|styled-content|"
    "inline-formula|inline-graphic|inline-supplementary-material|alternatives|object-id|institution|"
    "funding-source|award-id|country|article-title|source|year|volume|fpage|lpage|pub-id"
)
_TAG = re.compile(r"<(/?)([\w:.-]+)[^>]*>")
_FORMULA = re.compile(r"<((?:mml:)?math|tex-math)[ >].*?</\1>", re.DOTALL)
_LEFT_OUT = re.compile(
    r"<!--.*?-->|<\?.*?\?>|<!DOCTYPE[^>]*>|<(ref-list)[ >].*?</\1>|<ref-list[^>]*/>", re.DOTALL
)
_PARTS = re.compile(r"<(body|floats-group|back)[ >].*?</\1>", re.DOTALL)
_REPORT_TITLES = re.compile(r"<sub-article.*?<article-title>(.*?)</article-title>", re.DOTALL)


@pytest.fixture(scope="module")
def papers() -> list[tuple[str, Article]]:
    """The XML and the article of every real paper."""
    files = sorted((SHARED / "data/papers/xml").glob("*.xml"))
    if not files and os.environ.get(REQUIRED, "0") not in {"", "0"}:
        pytest.fail(f"shared/data/papers is absent beside the repository, and {REQUIRED} demands it")
    if not files:
        pytest.skip("there is no substitute for shared/data/papers; made papers are counted below")
    return [(file.read_text("utf-8"), _only(file)) for file in files]


def _only(file: Path) -> Article:
    ((found, content),), error = jats.parse(file.read_bytes())
    assert (content, error) == (None, "")
    assert found.pmcid == file.stem
    return found


def text_of_xml(xml: str) -> str:
    """What stands in body, floating parts and back matter, also of reports on a paper, without references."""
    xml = _LEFT_OUT.sub("", xml)
    parts = [found[0] for found in _PARTS.finditer(xml)] + _REPORT_TITLES.findall(xml)
    return "\n".join(parts)


def words(xml: str) -> Counter[str]:
    text = _TAG.sub(lambda tag: "" if re.fullmatch(_WITHIN_LINE, tag[2]) else " ", xml)
    return Counter(html.unescape(text).split())


def texts_of(found: Article) -> list[str]:
    """The texts of all sections but the title and the abstracts, one of which may be a picture."""
    return [
        section.text
        for section in found.sections
        if section.kind not in {"title", "abstract"} and not section.id.startswith("graphical-abstract/")
    ]


def words_of(found: Article) -> Counter[str]:
    return Counter(word for text in texts_of(found) for word in text.split())


def test_the_words_of_real_papers_without_formulas(papers: list[tuple[str, Article]]) -> None:
    counted = 0
    for xml, found in papers:
        text = text_of_xml(xml)
        # Names within affiliations of reports are records, whose parts are words.
        if not _FORMULA.search(text) and "institution-wrap" not in text and "<surname" not in text:
            counted += 1
            assert words_of(found) == words(text), found.pmcid
    assert counted > 70


def test_the_characters_of_all_real_papers(papers: list[tuple[str, Article]]) -> None:
    """With formulas, which are set by rules of their own; TeX beside MathML is the same formula again."""
    for xml, found in papers:
        text = re.sub(r"<(tex-math)[ >].*?</\1>", "", text_of_xml(xml), flags=re.DOTALL)
        plain = html.unescape(_TAG.sub("", text))
        expected = Counter("".join(plain.split()))
        assert Counter("".join("".join(texts_of(found)).split())) == expected, found.pmcid


def test_sections_of_real_papers_are_well_formed(papers: list[tuple[str, Article]]) -> None:
    for _, found in papers:
        ids = [section.id for section in found.sections]
        assert len(set(ids)) == len(ids)
        for section in found.sections:
            assert section.text
            assert section.text == section.text.strip(" \n")
            assert not re.search(r"  | \n|\n |\n{3}|\r", section.text), (found.pmcid, section.id)


def test_what_is_known_of_real_papers(papers: list[tuple[str, Article]]) -> None:
    """Against the table that came with them."""
    lines = (SHARED / "data/papers/MANIFEST.tsv").read_text("utf-8").splitlines()
    head = lines[0].split("\t")
    rows = {
        row["pmcid"]: row for row in (dict(zip(head, line.split("\t"), strict=True)) for line in lines[1:])
    }
    for xml, found in papers:
        row = rows[found.pmcid]
        assert found.pmid == (row["pmid"] or "")
        assert found.doi == row["doi"].lower() or "<sub-article" in xml  # the table has a report's DOI there
        assert found.study_type == row["type"]
        assert len(found.references) >= int(row["refs"]) * 0.95, found.pmcid
        assert found.journal
        assert found.year is not None
        assert 1990 < found.year < 2027
        assert found.authors
    assert sum(any(author.email for author in found.authors) for _, found in papers) > 85
    assert {
        found.pmcid
        for _, found in papers
        if any(each.kind == "retraction" and each.about_this for each in found.notices)
    } == {"PMC9279083"}


# --- Made papers --------------------------------------------------------------------------------------------

_INLINE = ("italic", "sub", "xref", "bold", "named-content")
_BLOCKS = ("p", "disp-quote", "verse-group", "statement", "preformat", "list", "unheard-of")
_SECTIONS = ("sec", "boxed-text")


class _Maker:
    """Makes elements with numbered words, so that each occurs once and their order is known."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data
        self._numbers = count()

    def choose(self, *options: str) -> str:
        return self._data.draw(st.sampled_from(options))

    def words(self) -> str:
        made = " ".join(f"w{next(self._numbers)}" for _ in range(self._data.draw(st.integers(0, 2))))
        return self.choose(" ", "\n  ", "").join(("", made, "")) if made else ""

    def line(self, depth: int) -> str:
        """What may stand in a paragraph."""
        parts = [self.words()]
        for _ in range(self._data.draw(st.integers(0, 2))):
            name = self.choose(
                *_INLINE, "break", "disp-formula", "fig", "table-wrap", "fn", "list", "boxed-text"
            )
            parts += [self.element(name, depth + 1), self.words()]
        return "".join(parts)

    def element(self, name: str, depth: int) -> str:
        if depth > 5 or name == "break":
            return "<break/>"
        inner: dict[str, Callable[[], str]] = {
            "list": lambda: f"<list-item><label>{self.words()}</label><p>{self.line(depth)}</p></list-item>",
            "fig": lambda: (
                f"<label>{self.words()}</label><caption><title>{self.words()}</title>"
                f"<p>{self.line(depth)}</p></caption>"
            ),
            "table-wrap": lambda: (
                f"<label>{self.words()}</label><caption><p>{self.line(depth)}</p></caption>"
                f"<table><tr><td>{self.words()}</td><td/><td>{self.line(5)}</td></tr></table>"
                f"<table-wrap-foot><p>{self.words()}</p></table-wrap-foot>"
            ),
            "fn": lambda: f"<p>{self.words()}</p>",
            "sec": lambda: f"<title>{self.words()}</title>{self.blocks(depth)}",
            "boxed-text": lambda: f"<caption><title>{self.words()}</title></caption>{self.blocks(depth)}",
        }
        return f"<{name}>{inner.get(name, lambda: self.line(depth))()}</{name}>"

    def blocks(self, depth: int) -> str:
        names = [self.choose(*_BLOCKS, *_SECTIONS, "fig", "table-wrap", "disp-formula") for _ in range(3)]
        return "".join(self.element(name, depth + 1) for name in names[: self._data.draw(st.integers(0, 3))])


def _article(xml: str) -> Article:
    (found,), error = jats.parse(article(f"<p>first</p>{xml}").encode())
    assert not error
    return found.article


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_words_of_made_papers(data: st.DataObject) -> None:
    xml = _Maker(data).blocks(0)
    assert words_of(_article(xml)) == words(f"<p>first</p>{xml}")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_prose_is_in_document_order(data: st.DataObject) -> None:
    made = _Maker(data)
    names = [made.choose(*_BLOCKS, *_SECTIONS) for _ in range(6)]
    blocks = [
        f"<sec><title>{made.words()}</title><p>{made.words()}</p></sec>" if name == "sec" else
        f"<boxed-text><p>{made.words()}</p></boxed-text>" if name == "boxed-text" else
        f"<{name}><p>{made.words()} <italic>{made.words()}</italic></p></{name}>"
        for name in names
    ]  # fmt: skip
    found = _article("".join(blocks))
    said = [
        word for section in found.sections for word in section.text.split() if re.fullmatch(r"w\d+", word)
    ]
    assert said == sorted(said, key=lambda word: int(word[1:]))


@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(0, 3))
def test_a_section_is_unchanged_when_another_one_changes(data: st.DataObject, changed: int) -> None:
    made = _Maker(data)
    parts = [f"<sec><title>Part {letter}</title>{made.blocks(1)}</sec>" for letter in "abcd"]
    before = _article("".join(parts)).sections
    parts[changed] = f"<sec><title>Part {'abcd'[changed]}</title>{made.blocks(1)}<p>new</p></sec>"
    after = _article("".join(parts)).sections
    own = f"part-{'abcd'[changed]}"
    others = [section for section in before if section.id.split("/")[0] != own]
    assert others == [section for section in after if section.id.split("/")[0] != own]
