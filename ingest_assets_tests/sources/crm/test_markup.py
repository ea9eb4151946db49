"""HTML in columns: what a reader would see of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.sources.crm.markup import is_html, text_of


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>Dear&nbsp;Ms L&uuml;tz,</p><p>all <b>is</b> well &#33;</p>", "Dear Ms Lütz,\n\nall is well !"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("<div>a</div><div><div>b</div></div>c", "a\nb\nc"),
        ("<ul><li>first</li><li>second</li></ul>", "- first\n- second"),
        ("<table><tr><td>Sum</td><td>12</td></tr><tr><td>Tax</td><td>2</td></tr></table>", "Sum 12\nTax 2"),
        ("<style>p { x: y }</style><script>if (a < b) alert('</p>')</script><p>Text</p>", "Text"),
        ("<head><title>Mail</title></head><body>Hello\n   there</body>", "Hello there"),
        ("<!-- hidden -->shown", "shown"),
        ("<p>broken <b>and <i>open", "broken and open"),
        ("&lt;b&gt; is a tag", "<b> is a tag"),
        ("", ""),
        (" \n ", ""),
        ("<style>only</style>", ""),
    ],
)  # fmt: skip
def test_the_text_of_html(html: str, expected: str) -> None:
    assert text_of(html) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<p>Hello</p>", True),
        ("  <!DOCTYPE html><html><body>x</body></html>\n", True),
        ("<!-- a --><div>x<br></div>", True),
        ("<b>bold</b> and more</p>", True),
        ("Use <br> to break </p>", False),
        ("<ann@one.example>", False),
        ("<p>an example of what to write", False),
        ("<config><item/></config>", False),
        ("a < b and c > d", False),
        ("", False),
    ],
)
def test_html_is_told_from_text_only_where_it_is_plain(text: str, expected: bool) -> None:
    assert is_html(text) is expected


@pytest.mark.parametrize("nested", ["<div>", "<blockquote><p>", "<b><i>", "<table><tr><td>", "<ul><li>"])
def test_no_text_is_lost_however_deep_it_lies(nested: str) -> None:
    found = text_of(f"before{nested * 5_000}deep")
    assert found.startswith("before")
    assert found.endswith("deep")


@given(st.text(alphabet="ab <>/&;!-p\"'=\n\0", max_size=300))
def test_whatever_it_is_there_is_a_text(text: str) -> None:
    found = text_of(text)
    assert found == found.strip()
    assert "\0" not in found
    is_html(text)


def test_comments_without_an_end_take_no_time() -> None:
    assert not is_html("<!---->" * 50_000 + "<!--" * 50_000 + ">")
