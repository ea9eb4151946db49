"""XML that is made to harm: nothing besides it is read or fetched, and nothing grows beyond what it is."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ingest_assets.model import ItemError
from ingest_assets.sources.papers.formats import jats
from ingest_assets_tests.sources.papers.jats_samples import IDS, article

_CPU_S = 2.0  # of the slowest of these, on a slow machine


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    began = time.process_time()
    yield
    assert time.process_time() - began < _CPU_S


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A listener that nobody must contact."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.setblocking(False)
        yield listener
        with pytest.raises(BlockingIOError):
            listener.accept()


def said(xml: str | bytes) -> str:
    """Why it is refused."""
    try:
        found, error = jats.parse(xml.encode() if isinstance(xml, str) else xml)
    except ItemError as fault:
        found, error = [], str(fault)
    assert not found
    assert 0 < len(error) < 600
    return error


def body(text: str) -> str:
    return article(f"<p>{text}</p>")


def laughs(depth: int = 12) -> str:
    lines = ['<!ENTITY l0 "lol">']
    lines += [f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, depth)]
    return "".join(lines)


@pytest.mark.parametrize(
    "declarations",
    [
        laughs(),
        f'<!ENTITY a "{"x" * 100_000}">',
        '<!ENTITY e SYSTEM "file:///etc/passwd">',
        '<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;',
        "<!ATTLIST p x CDATA 'y'>",
        "<!ELEMENT p ANY>",
        " ",
    ],
)
def test_declarations_in_the_doctype_are_refused(declarations: str) -> None:
    for name in ("l11", "a", "e"):
        content = f"&{name};" * 1_000
        assert "DOCTYPE has declarations" in said(f"<!DOCTYPE article [{declarations}]>{body(content)}")


def test_declarations_behind_much_else_are_refused() -> None:
    prolog = f"<?xml version='1.0'?><!--{'x' * 300_000}--><?pi {'y' * 300_000}?>"
    assert "DOCTYPE has declarations" in said(f"{prolog}<!DOCTYPE article [{laughs()}]>{body('&l11;')}")


@pytest.mark.parametrize(
    "encoding", ["utf-16", "iso-8859-1", "utf-8", "cp1252", "utf-32", "shift_jis", "no-such"]
)
def test_declarations_in_any_encoding_expand_nothing(encoding: str) -> None:
    for content in (body("&l11;"), article("<p id='&l11;'>text</p>")):
        xml = f"<?xml version='1.0' encoding='{encoding}'?><!DOCTYPE article [{laughs()}]>{content}"
        said(xml.encode("utf-8" if encoding == "no-such" else encoding))


@pytest.mark.parametrize("name", ["alpha", "nbsp", "x", "l11"])
def test_entities_that_only_a_dtd_explains_are_refused_by_name(name: str) -> None:
    doctype = '<!DOCTYPE article PUBLIC "-//NLM//DTD JATS//EN" "JATS.dtd">'
    assert f"&{name};" in said(doctype + body(f"an &{name}; here"))


def test_predefined_entities_and_numbers_are_characters() -> None:
    ((found, _),), _ = jats.parse(body("a &lt; b &amp; c &#946; &#x3b2;").encode())
    assert found.sections[-1].text == "a < b & c β β"


@pytest.mark.parametrize("where", ["<!DOCTYPE article SYSTEM '{}'>", "<!DOCTYPE article PUBLIC 'x' '{}'>"])
def test_no_dtd_is_fetched(server: socket.socket, where: str) -> None:
    for scheme in ("http", "https", "ftp"):
        address = f"{scheme}://127.0.0.1:{server.getsockname()[1]}/JATS.dtd"
        ((found, _),), _ = jats.parse((where.format(address) + body("text")).encode())
        assert found.sections[-1].text == "text"


def test_no_dtd_is_read(tmp_path: Path) -> None:
    file = tmp_path / "JATS.dtd"
    file.write_text('<!ENTITY secret "read"><!ATTLIST article article-type CDATA "read">')
    doctypes = [f"<!DOCTYPE article SYSTEM '{place}'>" for place in (file, file.as_uri(), file.name)]
    for doctype in doctypes:
        assert "&secret;" in said(doctype + body("&secret;"))
        root = jats.tree_of((doctype + "<article/>").encode())
        assert root.getroottree().docinfo.externalDTD is None
        assert root.get("article-type") is None


def test_nothing_is_included(server: socket.socket, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("read")
    for href in ((tmp_path / "secret").as_uri(), f"http://127.0.0.1:{server.getsockname()[1]}/x"):
        include = f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{href}" parse="text"/>'
        ((found, _),), _ = jats.parse(body(f"a {include} b").encode())
        assert found.sections[-1].text == "a\n\nb"


@pytest.mark.parametrize("name", ["sec", "p", "list", "boxed-text", "fig", "italic", "table", "x"])
@pytest.mark.parametrize("depth", [200, 2_000, 100_000])
def test_deep_nesting_is_refused(name: str, depth: int) -> None:
    reason = said(body(f"<{name}>" * depth + "deep" + f"</{name}>" * depth))
    assert "nested more than" in reason or "not well-formed" in reason


@pytest.mark.parametrize(
    "name", ["sec", "p", "list", "boxed-text", "fig", "italic", "table-wrap", "td", "fn", "math"]
)
def test_what_is_allowed_to_nest_is_read(name: str) -> None:
    depth = jats.MAX_DEPTH - 5
    ((found, _),), _ = jats.parse(body(f"<{name}>" * depth + "deep" + f"</{name}>" * depth).encode())
    assert "deep" in "".join(section.text for section in found.sections)


def test_a_huge_attribute_and_a_huge_text_are_refused() -> None:
    huge = "x" * 11_000_000
    assert "not well-formed" in said(article(f'<p id="{huge}">text</p>'))
    assert "not well-formed" in said(body(huge)) or "exceeds a bound" in said(body(huge))


def test_a_section_beyond_the_bound_is_refused() -> None:
    _, error = jats.parse(body("word " * 500_000).encode())
    assert error.startswith("PMC1 exceeds a bound: text")


def test_too_many_tags_and_bytes_are_refused_before_they_are_parsed() -> None:
    assert "tags" in said(b"<a>" + b"<b/>" * jats.MAX_TAGS)
    assert "larger than 32 MiB" in said(b"<" + b" " * jats.MAX_BYTES)


def test_many_attributes_and_names_take_linear_time() -> None:
    attributes = " ".join(f'a{i}="x"' for i in range(10_000))
    jats.parse(article(f"<p {attributes}>text</p>").encode())


def test_many_sections_of_one_name_take_linear_time() -> None:
    found, error = jats.parse(article("<sec><title>A</title><p>b</p></sec>" * 8_000).encode())
    assert not error
    assert len(found[0].article.sections) == 8_001


def test_many_articles_with_one_id_take_linear_time() -> None:
    found, error = jats.parse(f"<pmc-articleset>{article() * 2_000}</pmc-articleset>".encode())
    assert not found
    assert error == "Two of its articles have the id PMC1. Keep one of them."


def test_ids_that_are_none() -> None:
    for text in ("", "x", "../../etc/passwd", "PMC", "0", "1" * 40, "PMC12/34"):
        assert "no id" in jats.parse(article(ids=IDS.replace("PMC1", text)).encode())[1]
    strange = '<article-id pub-id-type="doi">10.1000/../../etc/passwd%00</article-id>'
    ((found, _),), _ = jats.parse(article(ids=strange).encode())
    assert "/" not in found.paper_id
    assert found.paper_id.startswith("doi-10.1000-")
