"""Papers: JATS XML, PDF, Markdown and text, in this process and confined; and what the confined one answers.

What belongs here: bytes of papers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ingest_assets.model import ItemError
from ingest_assets.sandbox import Sandbox
from ingest_assets.sandbox.answers import PART
from ingest_assets.sources.papers.article import Article
from ingest_assets.sources.papers.formats.parsing import checked, parse_files, parsed_here
from ingest_assets_tests.fuzz.target import Parse, Place, Target, plain
from ingest_assets_tests.sources.papers.jats_samples import DOCTYPE, article, wrapped
from ingest_assets_tests.sources.papers.pdf_samples import encrypted, pdf, pdf_of_streams

_BODY = (
    "<p>A<sub>1</sub> &lt; <xref rid='b'>2</xref><disp-formula><label>1</label><mml:math><mml:mi>x</mml:mi>"
    "</mml:math></disp-formula>on.</p><sec><title>M</title><list><list-item><p>l</p></list-item></list><fig>"
    "<label>F</label><caption><p>c</p></caption></fig><boxed-text><p>b</p></boxed-text><p>more</p></sec>"
    "<table-wrap><table>"
    "<tr><td>1</td><td>2</td></tr></table><table-wrap-foot><fn><p>n</p></fn></table-wrap-foot>"
    "</table-wrap>"
)
_META = (
    "<contrib-group><contrib><name><surname>S</surname><given-names>G</given-names></name>"
    "<xref ref-type='aff' rid='a c'/></contrib></contrib-group><aff id='a'>U</aff>"
    "<author-notes><corresp id='c'>S "
    "<email>s@x.example"
    "</email></corresp></author-notes><pub-date><year>2020</year></pub-date><abstract><p>s</p></abstract>"
)
_REST = (
    "<back><ref-list><ref><element-citation><source>J</source><pub-id pub-id-type='doi'>10.1/x</pub-id>"
    "</element-citation></ref></ref-list><glossary><def-list><def-item><term>A</term><def><p>b</p></def>"
    "</def-item>"
    "</def-list></glossary></back><sub-article><body><p>r</p></body></sub-article>"
)


def _tried(name: str) -> Callable[[bytes], None]:
    def parse(data: bytes) -> None:
        found, error = parsed_here(data, name)
        if not found:
            raise ItemError(error)
        for one, content in found:
            _promised(one)
            if content is not None:
                assert parsed_here(content, name) == ([(one, None)], "")
        assert len({one.paper_id for one, _ in found}) == len(found)

    return parse


def _promised(one: Article) -> None:
    """What a parser promises of an article."""
    assert Article.model_validate_json(one.model_dump_json()) == one
    assert len({section.id for section in one.sections}) == len(one.sections)
    for section in one.sections:
        assert section.text.strip()
        assert not re.search(r"\n{3}|[\0-\x08]", section.text)


@contextmanager
def _confined(place: Place) -> Iterator[Parse]:
    box = Sandbox(place.folder / "tmp")
    file = place.folder / "paper"

    def parse(data: bytes) -> None:
        file.write_bytes(data)
        (parsed,) = parse_files(box, [file])
        assert parsed.articles or parsed.error
        if not parsed.articles:
            raise ItemError(parsed.error)

    yield parse
    box.close()


def _answer(data: bytes) -> None:
    parsed = checked(Path("x"), data, b"")
    assert parsed.articles or parsed.error
    if not parsed.articles:
        raise ItemError(parsed.error)


def _xml() -> list[bytes]:
    whole = article(_BODY, meta=_META, rest=_REST)
    return [whole.encode(), wrapped(whole, article(ids='<article-id pub-id-type="pmid">7</article-id>')),
            (DOCTYPE + article()).encode()]  # fmt: skip


def _pdfs() -> list[bytes]:
    pages = [
        ["10.1000/x", "Abstract", "Some words of a text about cor-", "tisol."],
        ["1 Introduction", "And more."],
    ]
    stream = b"BT (a b c d e f g h i j k l m n o p q r s t u v) Tj ET"
    twice = pdf_of_streams([stream], filters="/FlateDecode/FlateDecode")
    return [pdf(pages, title="A b c"), encrypted(pdf(pages), ""), twice]


def _answers() -> list[bytes]:
    ((one, _),) = parsed_here(article(_BODY, meta=_META).encode(), "a.xml")[0]
    parts = [(b"a", one.model_dump_json().encode()), (b"c", b"<article/>"), (b"x", b"Why.")]
    return [b"".join(PART.pack(kind, len(part)) + part for kind, part in parts)]


_PIECES = tuple(
    f"<{name}>".encode() + end
    for name in ("p", "sec", "title", "boxed-text", "fig", "table", "tr", "td", "disp-formula", "fn",
    "mml:math",
                 "def-item", "term", "ref", "name", "article", "sub-article", "front", "article-meta",
                 "email")
    for end in (b"", f"</{name}>".encode())
)  # fmt: skip

_XML_TOKENS = (
    *_PIECES, b"&x;", b"&#0;", b"&#x10FFFF;", b"<![CDATA[", b"]]>", b"<!--", b"<?x ?>", b"]]", b"xmlns='x'",
    b"<!DOCTYPE a [", b"<!ENTITY a 'b'>", b"\xff\xfe", b"encoding='utf-7'", b"\xe2\x80\xa8", b"PMC1",
)  # fmt: skip
_PDF_TOKENS = (
    b"obj", b"endobj", b"stream", b"endstream", b"<<", b">>", b"[", b"]", b"/Kids", b"/Parent 2 0 R",
    b"/Count -1",
    b"/Length 999999999", b"/Encrypt", b"/Filter/LZWDecode", b"/ObjStm", b"startxref\n0", b"1 0 R", b"2 0 R",
    b"BT", b"Tj", b"/Contents 5 0 R", b"/Type/Pages",
)  # fmt: skip
_MARKDOWN = b"""---
title: T
authors: [A <a@b.c>, B]
doi: 10.1/x
---
# H

Text

## Methods

- a
- b

```
code
```

| a | b |
|---|---|
| 1 | 2 |

## References

1. R
"""
_MARKDOWN_TOKENS = (
    b"---\n", b"# ", b"\n===\n", b"\n", b"> ", b"- ", b"1. ", b"```", b"[a]: b", b"|", b"\xe2\x80\xa8",
    b"\x0c",
    b"\x85", b"\xff\xfe", b"\xef\xbb\xbf", b"<div>", b"&amp;", b"\\", b"![", b"](", b": ", b"References\n\n",
)  # fmt: skip
_TEXT = (
    b"A line.\n\nAbstract\n\nShort.\n\n"
    b"1 Introduction\n\nText.\n\n1.1 Sub\n\nMore.\n\nReferences\n\nR. PMID: 1"
)
_TEXT_TOKENS = (
    b"\n\n", b"Methods\n\n", b"2 ", b"1.1 ", b"99.99.99.99 ", b"References\n\n", b"10.1000/x", b"\xc2\xa0",
    b"\xff",
)  # fmt: skip
_ANSWER_TOKENS = (
    b"a\0\0\0\2{}", b"c\0\0\0\0", b"x\0\0\0\1y", b"\xff\xff\xff\xff", b'"paper_id"', b"null", b"[", b"1e999",
)  # fmt: skip

TARGETS = (
    Target(name="papers_xml", open=plain(_tried("a.xml")), seeds=_xml, tokens=_XML_TOKENS, brief=300),
    Target(name="papers_pdf", open=plain(_tried("a.pdf")), seeds=_pdfs, tokens=_PDF_TOKENS, brief=120),
    Target(
        name="papers_markdown",
        open=plain(_tried("a.md")),
        seeds=lambda: [_MARKDOWN],
        tokens=_MARKDOWN_TOKENS,
        brief=60,
    ),
    Target(
        name="papers_text",
        open=plain(_tried("a.txt")),
        seeds=lambda: [_TEXT],
        tokens=_TEXT_TOKENS,
        brief=200,
    ),
    Target(
        name="papers_confined", open=_confined, seeds=lambda: [*_xml()[:1], *_pdfs()[:1], b"Text"], brief=3
    ),
    Target(name="papers_answers", open=plain(_answer), seeds=_answers, tokens=_ANSWER_TOKENS, brief=200),
)
