"""The search page in a real browser: what people see and do, and that the index cannot harm them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_assets.interfaces.cli.runs import run_sources
from ingest_assets.sources.repositories.kept import repositories_of
from ingest_assets_tests.interfaces.http.browser import Page, browser
from ingest_assets_tests.interfaces.http.served import READER, Served, served
from ingest_assets_tests.sources.repositories.repos import TestRepo
from ingest_assets_tests.support.built_index import Home

HITS = "document.querySelectorAll('#hits > li').length"
SOURCE = "document.getElementById('source').value"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One browser for all tests; each opens the page it needs."""
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


def search(page: Page, query: str) -> int:
    page.js("document.getElementById('query').select(); document.getElementById('query').focus()")
    page.js("document.getElementById('said').textContent = ''")
    page.type(query)
    page.press("Enter")
    page.until("/hit|Nothing/.test(document.getElementById('said').textContent)")
    return int(page.js(HITS))


def choose(page: Page, source: str) -> None:
    page.js(f"document.getElementById('source').value = {source!r}")
    page.js("document.getElementById('source').dispatchEvent(new Event('change', {bubbles: true}))")


def opened(page: Page, url: str) -> None:
    page.requests.clear()
    page.complaints.clear()
    page.go("about:blank")
    page.go(url)
    page.until("document.readyState === 'complete' && !!document.getElementById('index')?.querySelector('b')")


def test_what_is_found_and_what_the_index_holds(page: Page, open_server: Served) -> None:
    opened(page, open_server.url)
    assert "60 documents" in page.js("document.getElementById('index').textContent")
    assert "brought up to date" in page.js("document.getElementById('index').textContent")
    assert search(page, "renewals of the contract") == 10
    marked = page.js("[...document.querySelectorAll('#hits mark')].map(m => m.textContent.toLowerCase())")
    assert marked
    assert all(word.startswith(("renew", "contract")) for word in marked)
    legs = page.js("[...document.querySelectorAll('#hits li:first-child .score b')].map(b => b.textContent)")
    assert legs == ["both", "meaning", "words"]
    # crm://… is not a web address, and therefore not a link.
    assert page.js("document.querySelectorAll('#hits h2 a').length") == 0
    assert search(page, "zzzqqq") in range(11)
    assert page.complaints == []
    assert [
        url for url in page.requests if not url.startswith((f"{open_server.url}/", "about:", "data:"))
    ] == []


def test_modes_and_filters(page: Page, open_server: Served) -> None:
    opened(page, f"{open_server.url}/#query=contract&mode=sparse&kind=email")
    page.until(HITS)
    firsts = "[...document.querySelectorAll('#hits .meta button:first-child')]"
    kinds = f"[...new Set({firsts}.map(button => button.textContent))]"
    assert page.js(kinds) == ["email"]
    assert page.js("document.querySelectorAll('#hits li:first-child .score').length") == 1
    page.js("document.getElementById('clear').click()")
    page.until(f"{kinds}.length > 1")
    count = page.js(HITS)
    page.js("document.querySelector('#hits .meta button[title=\"Only this document\"]').click()")
    page.until("new URLSearchParams(location.hash.slice(1)).has('document_id')")
    page.until(f"{HITS} < {count}")
    page.js("history.back()")
    page.until(f"{HITS} === {count}")
    assert page.complaints == []


def test_a_link_keeps_the_source(page: Page, built: Home, tmp_path: Path) -> None:
    repository = TestRepo(tmp_path / "code" / "crank")
    repository.commit(
        {"crank.py": b'def crank(turns: int) -> int:\n    """A contract."""\n    return turns\n'}
    )
    home = built.with_settings(
        ingest_repository_protocols="file", ingest_repository_roots=str(tmp_path / "code")
    )
    with home.bench() as bench:
        repositories_of(bench).add(str(repository.path))
    assert run_sources(home.load(), sources=["repositories"], overrides=home.overrides).success
    titles = "[...document.querySelectorAll('#hits h2')].map(title => title.textContent)"
    with served(home) as server:
        opened(page, f"{server.url}/#query=contract&source=repositories")
        page.until(HITS)
        assert page.js(titles) == ["crank.py"]
        assert page.js(SOURCE) == "repositories"
        assert page.js("location.hash") == "#query=contract&source=repositories"
        choose(page, "crm")
        page.until(f"{HITS} > 1")
        assert page.js("location.hash") == "#query=contract"  # the first source is left out
        page.js("history.back()")
        page.until(f"{HITS} === 1")
        assert page.js(SOURCE) == "repositories"
        opened(page, f"{server.url}/#query=contract&source=of-another-server")
        page.until(f"{HITS} > 1")
        assert page.js(SOURCE) == "crm"
        assert page.complaints == []


CODE = {
    "tools/crank.py": b"""class Crank:
    def turn(self, times: int) -> int:
        # As often as it is asked to.
        total = 0
        for one in range(times):
            total += one
        return total
""",
    "web/crank.js": b"""// Turns the crank, and says how often.
export function crank(times) {
\tlet total = 0;
\tfor (let i = 0; i < times; i += 1) total += i;
\treturn total;
}
""",
}


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a repository indexed, and no CRM."""
    folder = tmp_path_factory.mktemp("code")
    TestRepo(folder / "code" / "shop").commit(CODE)
    home = Home(folder).with_settings(
        crm_db_path=None, ingest_repository_protocols="file", ingest_repository_roots=str(folder / "code")
    )
    home.dagster.mkdir()
    (home.dagster / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    with home.bench() as bench:
        repositories_of(bench).add(str(folder / "code" / "shop"))
    assert run_sources(home.load(), sources=["repositories"], overrides=home.overrides).success
    with served(home) as server:
        yield server


def test_the_source_that_is_indexed_is_searched_by_default(page: Page, code: Served) -> None:
    opened(page, code.url)
    assert page.js(SOURCE) == "repositories"
    assert search(page, "turn the crank") > 1
    # The link still means this source once a CRM is indexed as well.
    assert page.js("location.hash") == "#query=turn+the+crank&source=repositories"
    for _ in range(2):  # the second time with the address that the page has written
        link = page.js("location.hash") if page.js(SOURCE) == "crm" else "#query=crank&source=crm"
        opened(page, f"{code.url}/{link}")
        page.until(
            "document.getElementById('said').textContent.includes('Nothing has been published as crm')"
        )
        assert page.js(SOURCE) == "crm"


def test_code_reads_as_code(page: Page, code: Served) -> None:
    opened(page, f"{code.url}/#query=crank+turns+how+often&language=JavaScript")
    page.until(f"{HITS} === 1")
    text = "document.querySelector('#hits pre.text')"
    # Lines and indentation are those of the file, on the screen and when copied.
    assert page.js(f"{text}.textContent") == CODE["web/crank.js"].decode().strip()
    assert page.js(f"{text}.innerText") == CODE["web/crank.js"].decode().strip()
    assert "monospace" in page.js(f"getComputedStyle({text}).fontFamily")
    about = page.js("document.querySelector('#hits .meta').innerText")
    assert all(one in about for one in ("function crank", "lines 1 to 6", "JavaScript", "local/shop-"))
    assert page.complaints == []


def test_a_long_piece_of_code_is_shown_around_the_words_of_the_query(page: Page, code: Served) -> None:
    opened(page, code.url)
    lines = "\\n".join(["def crank():", *(f"    step({n})" for n in range(30)), "    lever()", "    return"])
    hit = (
        f"{{score: 1, document_id: 'd', title: 't', uri: '', kind: 'file', text: '{lines}', scores: {{}}, "
        "entity_ids: [], attributes: {symbol_kind: 'function', symbol_name: 'crank', language: 'Python', "
        "start_line: 1, end_line: 33}}"
    )
    script = (
        f"import('/page/hits.js').then(hits => {{ const hit = {hit}; "
        "const source = {layout: 'code', fields: []}; "
        "const item = hits.hitElement(hit, {mode: 'dense', hits: [hit]}, source, ['lever'], null); "
        "const texts = [item.querySelector('pre').textContent]; item.open(); "
        "return [...texts, item.querySelector('pre').textContent]; })"
    )
    part, whole = page.js(script)
    assert part.split("\n") == ["…", *(f"    step({n})" for n in range(20, 30)), "    lever()", "    return"]
    assert whole.split("\n")[0] == "def crank():"


CODE_FIELDS = ("repository", "language", "document_id", "path", "symbol_kind", "symbol_name", "project_id")
CRM_FIELDS = ("kind", "document_id", "entity_ids", "since", "until")


def test_filters_are_those_of_the_source(page: Page, code: Served) -> None:
    fields = "[...document.querySelectorAll('.fields label')]"
    shown = f"{fields}.filter(field => field.checkVisibility()).map(field => field.control.id)"
    opened(page, f"{code.url}/#query=crank&source=crm")  # which is offered, because the link names it
    choose(page, "repositories")
    page.until(f"{HITS} > 1")
    page.js("document.getElementById('filters').open = true")
    assert page.js(shown) == [*(f"field-{name}" for name in CODE_FIELDS), "limit"]
    page.js("document.getElementById('field-language').focus()")
    page.type("Python")
    page.press("Enter")
    buttons = "[...document.querySelectorAll('[title=\"Only this language\"]')]"
    languages = f"[...new Set({buttons}.map(button => button.textContent))]"
    page.until(f"JSON.stringify({languages}) === '[\"Python\"]'")
    page.js("document.getElementById('clear').click()")
    page.until(f"{languages}.length === 2")
    page.js("document.querySelector('[title=\"Only this repository\"]').click()")
    page.until("new URLSearchParams(location.hash.slice(1)).get('repository')?.startsWith('local/shop-')")
    page.until(f"{HITS} > 1")
    # Filters of one source do not apply to another.
    choose(page, "crm")
    page.until("location.hash === '#query=crank&source=crm'")
    assert page.js(shown) == [*(f"field-{name}" for name in CRM_FIELDS), "limit"]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_code_fits_a_phone_and_is_readable(page: Page, code: Served, dark: bool, tmp_path: Path) -> None:
    page.look(width=360, height=800, dark=dark)
    opened(page, f"{code.url}/#query=turn+the+crank")
    page.until(HITS)
    page.js("document.getElementById('filters').open = true")
    assert page.js("document.documentElement.scrollWidth") <= 360
    assert page.js("[...document.querySelectorAll('pre')].every(pre => pre.scrollWidth <= pre.clientWidth)")
    page.picture(tmp_path / "page.png")
    for selector in ("pre.text", "pre mark", ".symbol", ".symbol b", ".meta .same"):
        assert _contrast(page, selector) >= 4.5, selector
    page.look(width=1200, height=800, dark=False)


def test_keys(page: Page, open_server: Served) -> None:
    opened(page, open_server.url)
    page.js("document.activeElement.blur()")
    page.press("/")
    assert page.js("document.activeElement.id") == "query"
    assert page.js("document.getElementById('query').value") == ""
    page.type("invoice")
    page.press("/")
    assert page.js("document.getElementById('query').value") == "invoice/"
    assert search(page, "contract") == 10
    at = "[...document.querySelectorAll('#hits > li')].indexOf(document.activeElement)"
    for key, place in (("ArrowDown", 0), ("ArrowDown", 1), ("ArrowUp", 0)):
        page.press(key)
        assert page.js(at) == place
    short = page.js("document.activeElement.querySelector('.text').textContent.length")
    page.press("Enter")
    assert page.js("document.activeElement.querySelector('.text').textContent.length") > short
    page.press("ArrowUp")
    assert page.js("document.activeElement.id") == "query"
    page.press("ArrowDown")
    page.press("Escape")
    assert page.js("document.activeElement.id") == "query"


READABLE = (
    "body", ".meta .same", ".text mark", "#index", "button[type=submit]", ".modes input:checked + span"
)  # fmt: skip
EVIL = "<img src=x onerror=\"document.title='evil'\"><script>document.title='evil'</script>"


def test_what_the_index_holds_is_text(page: Page, built: Home) -> None:
    with sqlite3.connect(built.crm) as crm:
        crm.execute(
            "UPDATE interactions SET subject = ?, body = ? WHERE id = 2", (EVIL, f"zebra {EVIL} <b>bold</b>")
        )
    assert built.refresh().success
    with served(built) as server:
        opened(page, server.url)
        search(page, "zebra <b>")
        page.until("document.querySelector('#hits li h2').textContent.includes('<img')")
        assert page.js("document.querySelector('#hits .text').textContent").count("<b>bold</b>") == 1
        assert page.js("document.querySelectorAll('#hits img, #hits script, #hits b b').length") == 0
        assert "evil" not in page.js("document.title")
        assert page.complaints == []
        # And if it did get into the page, the security policy would stop it.
        page.js(f"document.body.insertAdjacentHTML('beforeend', {EVIL!r})")
        page.js("new Promise(done => setTimeout(done, 100))")
        assert "evil" not in page.js("document.title")


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("https://example.org/a b", "https://example.org/a%20b"),
        ("http://example.org/x", "http://example.org/x"),
        ("javascript:alert(1)", None),
        ("JaVaScRiPt:alert(1)", None),
        ("\tjavascript:alert(1)", None),
        ("data:text/html,x", None),
        ("file:///etc/passwd", None),
        ("//example.org", None),
        ("crm://people/1", None),
        ("", None),
    ],
)
def test_links(page: Page, open_server: Served, uri: str, address: str | None) -> None:
    if not page.js("location.href").startswith(open_server.url):
        opened(page, open_server.url)
    script = f"import('/page/hits.js').then(hits => hits.webAddress({uri!r}))"
    assert page.js(script) == address


def test_a_hit_with_a_web_address_is_a_link_without_referrer(page: Page, open_server: Served) -> None:
    opened(page, open_server.url)
    hit = (
        "{score: 1, chunk_id: 'c', document_id: 'd', title: 't', uri: 'https://example.org/', kind: 'k', "
        "time: 'never', entity_ids: [], text: 'text', scores: {dense: 0.5}}"
    )
    script = (
        f"import('/page/hits.js').then(hits => {{ const hit = {hit}; "
        "const answer = {mode: 'hybrid', hits: [hit]}; "
        "const source = {layout: 'text', fields: []}; "
        "return hits.hitElement(hit, answer, source, [], null).querySelector('a').outerHTML; })"
    )
    link = page.js(script)
    assert 'href="https://example.org/"' in link
    assert 'rel="noopener noreferrer"' in link


def test_buttons_are_only_for_fields_of_the_source_and_values_of_the_hit(
    page: Page, open_server: Served
) -> None:
    opened(page, open_server.url)
    hit = (
        "{score: 1, document_id: 'd', title: 't', uri: '', kind: 'k', entity_ids: ['e'], text: 'text', "
        "scores: {}, attributes: {status: null, year: 0}}"
    )
    fields = "['kind', 'status', 'year'].map(name => ({name, label: name, on_hits: true}))"
    script = (
        f"import('/page/hits.js').then(hits => {{ const hit = {hit}; "
        f"const source = {{layout: 'text', fields: {fields}}}; "
        "const item = hits.hitElement(hit, {mode: 'dense', hits: [hit]}, source, [], null); "
        "return [...item.querySelectorAll('.meta button')].map(button => button.textContent); })"
    )
    assert page.js(script) == ["k", "0"]


def test_the_token_is_asked_for_and_kept_for_the_tab(page: Page, guarded: Served) -> None:
    page.go(f"{guarded.url}/#query=contract&kind=email")
    page.until("!(document.getElementById('entry')?.hidden ?? true)")
    page.js("document.getElementById('token').focus()")
    page.type("wrong")
    page.press("Enter")
    page.until("document.getElementById('index').textContent.includes('does not know this token')")
    page.js("document.getElementById('token').focus()")
    page.type(READER)
    page.press("Enter")
    page.until("document.getElementById('entry').hidden && !!document.querySelector('#index b')")
    page.until(HITS)  # of the search in the link
    assert page.js("location.hash") == "#kind=email&query=contract"
    page.call("Page.reload")
    page.until(HITS)
    assert READER not in page.js("document.cookie + JSON.stringify(localStorage) + location.href")
    page.js("sessionStorage.clear()")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360], ids=["desktop", "phone"])
def test_it_fits_the_screen_and_is_readable(
    page: Page, open_server: Served, width: int, dark: bool, tmp_path: Path
) -> None:
    page.look(width=width, height=800, dark=dark)
    opened(page, f"{open_server.url}/#query=renewal+of+the+contract&kind=email")
    page.until(HITS)
    assert page.js("document.documentElement.scrollWidth") <= width
    page.picture(tmp_path / "page.png")
    for selector in READABLE:
        assert _contrast(page, selector) >= 4.5, selector


def _contrast(page: Page, selector: str) -> float:
    """The contrast ratio of text and background, as WCAG defines it."""
    script = f"""(() => {{
      let at = document.querySelector({selector!r}); const ink = getComputedStyle(at).color;
      while (at && getComputedStyle(at).backgroundColor === 'rgba(0, 0, 0, 0)') at = at.parentElement;
      const numbers = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
      return [numbers(ink), numbers(getComputedStyle(at).backgroundColor)];
    }})()"""
    lights = sorted(sum(w * _linear(c / 255) for w, c in zip((0.2126, 0.7152, 0.0722), colour, strict=True))
                    for colour in page.js(script))  # fmt: skip
    return float((lights[1] + 0.05) / (lights[0] + 0.05))


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)
