"""Any text is covered once, an edit moves only what it touches, and positions are those in the file."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_assets.chunking import ChunkBudget
from ingest_assets.chunking.code import LANGUAGES, CodeChunker
from ingest_assets.chunking.code.parse import load, parse
from ingest_assets.model import Chunk
from ingest_assets_tests.chunking.code.samples import SAMPLES
from ingest_assets_tests.chunking.code.test_code import check, cut, file

# Inserted at the top, each in a paragraph of its own.
INSERTIONS = {
    "Python": "import insertion\n\n",
    "JavaScript": "import insertion from 'insertion';\n\n",
    "TypeScript": "import insertion from 'insertion';\n\n",
    "TSX": "import insertion from 'insertion';\n\n",
    "Rust": "use insertion::Insertion;\n\n",
    "C": "#include <insertion.h>\n\n",
    "C++": "#include <insertion.h>\n\n",
    "C#": "using Insertion;\n\n",
    "Ruby": "require 'insertion'\n\n",
    "Shell": "source insertion\n\n",
    "Scala": "import insertion.all\n\n",
    "Swift": "import Insertion\n\n",
    "SQL": "SELECT 'insertion';\n\n",
    "CSS": "@import 'insertion.css';\n\n",
    "TOML": "insertion = 1\n\n",
    "Markdown": "# Insertion\n\nNew.\n\n",
}
_BRACKETS = [
    "{",
    "}",
    "(",
    ")",
    '"',
    "'",
    "`",
    "#",
    "//",
    "/*",
    "*/",
    "<",
    ">",
    "\\",
    "\n",
    "\r\n",
    "\n\n",
    "\t",
]
_ODD = [
    "\0",
    "\ud800",
    "\ufeff",
    "é",
    "漢字",
    "👩👩👧",
    "\u2028",
    "\x0c",
    "class ",
    "def f():\n",
    "EOF\n",
    "---\n",
]
_SPICE = st.sampled_from([*_BRACKETS, *_ODD])


def number(chunk: Chunk, attribute: str) -> int:
    found = chunk.attributes[attribute]
    assert isinstance(found, int)
    return found


@pytest.mark.parametrize("language", [*LANGUAGES, "Text"])
@settings(max_examples=12, deadline=None)
@given(st.lists(_SPICE | st.text(max_size=20), max_size=40).map("".join), st.sampled_from([25, 100, 1_000]))
def test_any_text_is_covered_once(language: str, body: str, size: int) -> None:
    check(body, cut(body, language, size), size)


@pytest.mark.parametrize("language", SAMPLES)
@settings(max_examples=20, deadline=None)
@given(st.data())
def test_a_broken_file_is_covered_once(language: str, data: st.DataObject) -> None:
    body, _ = SAMPLES[language]
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        gone = data.draw(st.sampled_from([0, 1, 7, 60]))
        body = body[:at] + data.draw(_SPICE | st.just("")) + body[at + gone :]
    size = data.draw(st.sampled_from([30, 120, 1_000]))
    check(body, cut(body, language, size), size)


@pytest.mark.parametrize("language", SAMPLES)
def test_every_beginning_of_a_file_is_covered_once(language: str) -> None:
    body, _ = SAMPLES[language]
    for end in range(0, len(body), 13):
        check(body[:end], cut(body[:end], language, 90), 90)


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
@pytest.mark.parametrize("language", SAMPLES)
def test_other_line_endings(language: str, newline: str) -> None:
    body = SAMPLES[language][0].replace("\n", newline)
    for size in (60, 1_000):
        check(body, cut(body, language, size), size)


@pytest.mark.parametrize("language", INSERTIONS)
def test_an_insertion_at_the_top_keeps_the_symbols(language: str) -> None:
    body, expected = SAMPLES[language]
    before, after = cut(body, language), cut(INSERTIONS[language] + body, language)
    gone = {(c.id, c.text) for c in before} - {(c.id, c.text) for c in after}
    # At most the chunk that the insertion was merged into.
    assert len(gone) <= 1
    assert len(before) > 2 or not expected
    assert all(text.startswith(body.strip()[:10]) for _, text in gone)


def _module(rng: random.Random, functions: int) -> list[str]:
    names = ["crane", "berth", "tide", "quay", "buoy", "depth"]
    made = []
    for n in range(functions):
        steps = "".join(
            f"    {rng.choice(names)}_{rng.randrange(99)} = {rng.choice(names)}({rng.randrange(999)})\n"
            for _ in range(rng.randrange(1, 60))
        )
        made.append(f"def {rng.choice(names)}_{n}(a, b):\n{steps}    return a\n\n\n")
    return made


@pytest.mark.parametrize("seed", range(5))
def test_an_edit_moves_only_the_symbol_that_it_is_in(seed: int) -> None:
    rng = random.Random(seed)
    made = _module(rng, 30)
    at = rng.randrange(30)
    edited = [*made[:at], made[at].replace("    return a", "    b += 1\n    return a"), *made[at + 1 :]]
    before = {c.id: c for c in cut("".join(made), "Python", 400)}
    after = {c.id: c for c in cut("".join(edited), "Python", 400)}
    name = made[at].split("(")[0].removeprefix("def ")
    gone = [c.attributes["symbol_name"] for key, c in before.items() if key not in after]
    assert gone
    assert set(gone) == {name}
    assert all(before[key].text == after[key].text for key in before.keys() & after.keys())


def test_one_more_line_in_a_large_function_moves_little_of_it() -> None:
    lines = [f"    step_{n}({n * n}, tide_{n % 7})\n" for n in range(600)]
    before = {c.id for c in cut("def work():\n" + "".join(lines), "Python")}
    lines.insert(5, "    one_more()\n")
    after = {c.id for c in cut("def work():\n" + "".join(lines), "Python")}
    assert len(before) > 15
    assert len(before - after) <= 5


@pytest.mark.parametrize("language", [*SAMPLES, "Text"])
def test_a_renamed_file_keeps_its_chunks(language: str) -> None:
    body, _ = SAMPLES.get(language, ("all: build\n" * 9, []))
    one = cut(body, language, 200, "src/harbour.x")
    two = cut(body, language, 200, "elsewhere/port/quay.y")
    assert [(c.id, c.text) for c in one] == [(c.id, c.text) for c in two]
    assert all(str(c.attributes["context"]).startswith("elsewhere/port/quay.y") for c in two)


def test_equal_symbols_have_different_ids() -> None:
    body = "def same():\n    a = 1\n    return a\n\n\n" * 4
    ids = [c.id for c in cut(body, "Python")]
    assert len(set(ids)) == 4
    assert [c.id for c in cut(body + "def other():\n    b = 1\n    return b\n", "Python")][:4] == ids


@pytest.mark.parametrize(
    "encoding",
    [
        "utf-8",
        "utf-8-sig",
        "ascii",
        "cp1252",
        "latin-1",
        "utf-16",
        "utf-16-le",
        "utf-16-be",
        "utf-32",
        "shift_jis",
        "gb18030",
        "koi8-r",
    ],
)
def test_bytes_and_lines_are_those_in_the_file(encoding: str) -> None:
    words = {"shift_jis": "埠頭", "gb18030": "码头", "koi8-r": "причал", "ascii": "quay"}
    word = words.get(encoding, "café 1€" if encoding != "latin-1" else "café")
    body = SAMPLE.replace("\n", "\r\n").replace("WORD", word)
    if encoding.endswith(("-le", "-be")) or encoding == "utf-8":
        body = "\ufeff" + body
    data = body.encode(encoding)
    for size in (50, 1_000):
        chunks = CodeChunker("code", ChunkBudget(size)).chunks(file(body, "Python", encoding=encoding))
        check(body, chunks, size)
        lines = body.split("\n")
        at = 0
        for chunk in chunks:
            start, end = number(chunk, "start_byte"), number(chunk, "end_byte")
            own = body[chunk.start : chunk.end]
            assert at <= start < end <= len(data)
            assert data[start:end].decode(encoding) == own
            first, last = number(chunk, "start_line"), number(chunk, "end_line")
            assert own in "\n".join(lines[first - 1 : last])
            at = end


SAMPLE = '''"""WORD."""

LIMIT = "WORD"  # WORD


class Crane:
    """WORD."""

    def lift(self):
        # WORD
        return "WORD"


def tide():
    return "WORD" + """
    WORD
    """
'''


@pytest.mark.parametrize("encoding", ["utf-7", "iso2022_jp", "no such thing", "rot13", "cp037"])
def test_odd_encodings_do_not_fail(encoding: str) -> None:
    body = SAMPLE.replace("WORD", "埠頭")
    check(body, CodeChunker("code", ChunkBudget(50)).chunks(file(body, "Python", encoding=encoding)), 50)


HOSTILE: dict[str, Callable[[int], str]] = {
    "one line of data": lambda n: "[" + ",".join(str(i) for i in range(n // 6)) + "]",
    "one word": lambda n: "a" * n,
    "minified": lambda n: "var a=1;function f(b){return b+1};" * (n // 34),
    "opening brackets": lambda n: "(" * n,
    "nested brackets": lambda n: "[" * (n // 2) + "]" * (n // 2),
    "nested blocks": lambda n: "".join(" " * i + "if a:\n" for i in range(int((2 * n) ** 0.5))),
    "nested items": lambda n: "- " * (n // 2),
    "nested quotes": lambda n: "> " * (n // 2),
    "a long sum": lambda n: "x = " + "a + " * (n // 4) + "a\n",
    "backslashes": lambda n: "\\" * n,
    "comments opened": lambda n: "/*" * (n // 2),
    "zeros": lambda n: "\0" * n,
    "tags": lambda n: "<a>" * (n // 3),
    "odd spaces": lambda n: "\u2028" * (n // 3),
    "lone surrogates": lambda n: "\ud800x = 1\n" * (n // 7),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("language", LANGUAGES)
def test_hostile_files_are_cut_in_time(kind: str, language: str) -> None:
    body = HOSTILE[kind](20_000)
    started = time.process_time()
    check(body, cut(body, language), 1_000)
    assert time.process_time() - started < 10


@pytest.mark.parametrize("kind", ["one line of data", "minified", "a long sum"])
def test_a_very_long_line(kind: str) -> None:
    body = HOSTILE[kind](1_000_000 if kind == "minified" else 200_000)
    check(body, cut(body, "JavaScript"), 1_000)


def test_parsing_that_is_too_much_work_is_abandoned() -> None:
    assert parse(b"/*" * 20_000, load("Kotlin").language) is None
    assert parse(b"- " * 5_000, load("YAML").language) is None
    assert parse(b"<a>" * 30_000, load("HTML").language) is None
    assert parse(b"a<" * 50_000, load("Java").language) is None
