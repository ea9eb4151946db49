"""Chunks of source files: what a chunk is in every language, and where it is in its file."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from ingest_assets.chunking import ChunkBudget
from ingest_assets.chunking.code import LANGUAGES, CodeChunker
from ingest_assets.chunking.code.grammar import SymbolKind
from ingest_assets.chunking.code.parse import load
from ingest_assets.embedding.bundled import TOKENIZER
from ingest_assets.model import Chunk, Document
from ingest_assets_tests.chunking.code.samples import SAMPLES

KINDS = set(SymbolKind.__args__)  # type: ignore[attr-defined]


def file(body: str, language: str, path: str = "src/harbour.x", encoding: str = "utf-8") -> Document:
    return Document(
        id="repository/src/harbour.x",
        kind="file",
        title=path,
        uri=path,
        time=None,
        context=(),
        body=body,
        attributes={"path": path, "language": language, "encoding": encoding, "repository": "harbour"},
    )


def cut(body: str, language: str, size: int = 1_000, path: str = "src/harbour.x") -> list[Chunk]:
    return CodeChunker("code", ChunkBudget(size)).chunks(file(body, language, path))


def check(body: str, chunks: list[Chunk], size: int) -> None:
    """What holds for the chunks of any file."""
    at = 0
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    assert [chunk.position for chunk in chunks] == list(range(len(chunks)))
    for chunk in chunks:
        assert at <= chunk.start < chunk.end
        assert not body[at : chunk.start].strip()
        own = body[chunk.start : chunk.end]
        assert len(own) <= size
        assert own.strip()
        assert own == own.rstrip()
        assert chunk.text.endswith(own)
        scope = chunk.text[: len(chunk.text) - len(own)]
        assert scope == "" or scope.endswith("\n")
        assert len(scope) < 700
        assert chunk.attributes["symbol_kind"] in KINDS
        assert "\n" not in str(chunk.attributes["context"])
        assert chunk.attributes["start_line"] == body.count("\n", 0, chunk.start) + 1
        assert chunk.attributes["end_line"] == body.count("\n", 0, chunk.end) + 1
        at = chunk.end
    assert not body[at:].strip()


def symbols(chunks: list[Chunk]) -> set[tuple[str, str]]:
    """(kind, name) of every symbol, also where several share a chunk."""
    return {
        (str(chunk.attributes["symbol_kind"]), name)
        for chunk in chunks
        for name in str(chunk.attributes["symbol_name"]).split(", ")
    }


def test_every_language_has_a_sample() -> None:
    assert set(SAMPLES) == set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_tables_name_only_what_the_grammars_know(language: str) -> None:
    grammar, known = LANGUAGES[language], load(language).language
    kinds = {known.node_kind_for_id(i) for i in range(known.node_kind_count)}
    fields = {known.field_name_for_id(i) for i in range(1, known.field_count + 1)}
    assert set(grammar.rules) | grammar.wraps | grammar.opens | grammar.bodies | grammar.ends <= kinds
    for rule in grammar.rules.values():
        assert set(rule.name) <= fields | kinds, rule
        assert {rule.by, rule.owner, rule.prefix} - {None} <= fields
        assert set(rule.kinds) <= kinds
        assert rule.inner is None or rule.inner in kinds


@pytest.mark.parametrize("language", SAMPLES)
@pytest.mark.parametrize("size", [20, 60, 150, 1_000])
def test_samples_are_covered_once(language: str, size: int) -> None:
    body, _ = SAMPLES[language]
    check(body, cut(body, language, size), size)
    assert cut(body, language, size) == cut(body, language, size)


@pytest.mark.parametrize("language", SAMPLES)
def test_samples_have_the_symbols_that_a_reader_sees(language: str) -> None:
    body, expected = SAMPLES[language]
    # With the larger budget small values are merged, with the smaller one they are not.
    found = set[tuple[str, str]]().union(*(symbols(cut(body, language, size)) for size in (1_000, 60, 30)))
    assert set(expected) <= found


def test_a_chunk_is_a_symbol_with_what_precedes_it() -> None:
    chunks = cut(SAMPLES["Python"][0], "Python", 1_000, "src/harbour.py")
    assert [(c.attributes["symbol_kind"], c.attributes["symbol_name"]) for c in chunks] == [
        ("module", "LIMIT, Berths"),
        ("function", "distance"),
        ("class", "Crane"),
        ("method", "Crane.lift"),
        ("method", "Crane.idle"),
        ("module", "harbour"),
    ]
    assert chunks[1].text.startswith("# How far a ship may be out\n# of its lane.\n@cached\ndef distance(")
    assert chunks[2].text == (
        '@dataclass\nclass Crane(Base):\n    """Lifts containers."""\n\n    name: str = "left"'
    )
    # The enclosing scope comes first; it contains nothing else of the class.
    assert chunks[4].text == (
        "class Crane(Base):\n    @property\n    def idle(self) -> bool:\n        return not self.name"
    )
    assert chunks[3].attributes["context"] == (
        "src/harbour.py > class Crane(Base): > def lift(self, weight: int) -> bool:"
    )
    assert (chunks[4].attributes["start_line"], chunks[4].attributes["end_line"]) == (34, 36)


def test_scopes_are_repeated_outermost_first() -> None:
    text = next(
        c.text for c in cut(SAMPLES["C++"][0], "C++") if c.attributes["symbol_name"] == "harbour.Crane.lift"
    )
    assert text.splitlines()[:3] == [
        "namespace harbour",
        "template <typename T> class Crane : public Base",
        "  // Whether it can.",
    ]


def test_small_neighbours_are_merged_and_others_are_not() -> None:
    body = "import os\nimport sys\n\nA = 1\nB = 2\n\ndef one(): return 1\ndef two(): return 2\n"
    body += "\n\ndef long():\n    x = 1\n    return x\n"
    chunks = cut(body, "Python")
    assert [c.attributes["symbol_name"] for c in chunks] == ["one, two", "long"]
    assert chunks[0].attributes["symbol_kind"] == "function"
    check(body, chunks, 1_000)


def test_a_large_function_is_cut_between_its_statements() -> None:
    lines = [f"    if ready_{i}:\n        lift(berth_{i},\n             depth_{i})\n" for i in range(60)]
    body = '@cached\ndef work(self):\n    """All of it."""\n' + "".join(lines)
    chunks = cut(body, "Python", 500)
    check(body, chunks, 500)
    assert 8 <= len(chunks) <= 15
    assert all(c.attributes["symbol_name"] == "work" for c in chunks)
    assert all(c.text.startswith("def work(self):\n    if ready_") for c in chunks[1:])
    assert all(c.text.endswith(")") for c in chunks)


def test_nested_functions_of_a_large_one_are_named_after_it() -> None:
    body = "function outer() {\n" + "".join(
        f"  function inner{i}(a) {{\n    let b = a;\n    return b + {i};\n  }}\n" for i in range(30)
    )
    chunks = cut(body + "}\n", "JavaScript", 400)
    assert ("function", "outer.inner7") in symbols(chunks)
    check(body + "}\n", chunks, 400)


def test_what_does_not_parse_is_kept_and_what_does_is_named() -> None:
    body = "def fine():\n    a = 1\n    return a\n\nx = = what is )\n\ndef good():\n    b = 2\n    return b\n"
    chunks = cut(body, "Python")
    check(body, chunks, 1_000)
    assert {("function", "fine"), ("function", "good")} <= symbols(chunks)


@pytest.mark.parametrize("language", ["Makefile", "Dockerfile", "Text", ""])
def test_languages_without_a_grammar_are_cut_as_prose(language: str) -> None:
    body = "all: build test\n\tmake build\n\n" * 80
    chunks = cut(body, language, 300, "deploy/Makefile")
    check(body, chunks, 300)
    assert len(chunks) > 5
    assert {c.attributes["symbol_name"] for c in chunks} == {"Makefile"}
    assert {c.attributes["context"] for c in chunks} == {"deploy/Makefile"}


@pytest.mark.parametrize("language", [*LANGUAGES, "Text"])
@pytest.mark.parametrize("body", ["", " ", "\n\n\t\r\n", "\u00a0\u2028"])
def test_a_file_without_text_has_no_chunks(language: str, body: str) -> None:
    assert cut(body, language) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_file_of_comments_only(language: str) -> None:
    comments = {"Python": "# a\n# b\n", "SQL": "-- a\n", "HTML": "<!-- a -->\n", "CSS": "/* a */\n"}
    body = comments.get(language, "// a\n\n# b\n")
    chunks = cut(body, language)
    check(body, chunks, 1_000)
    assert len(chunks) == 1


def test_a_budget_of_tokens() -> None:
    from ingest_assets.chunking.prose import measure

    budget = ChunkBudget(60, 0, "tokens", TOKENIZER)
    for language, (body, _) in SAMPLES.items():
        chunks = CodeChunker("code", budget).chunks(file(body, language))
        assert "".join("".join(body[c.start : c.end].split()) for c in chunks) == "".join(body.split())
        assert max(measure(budget)([body[c.start : c.end] for c in chunks])) <= 66, language


def test_ids_depend_on_source_document_and_content() -> None:
    body = SAMPLES["Go"][0]
    ids = [c.id for c in cut(body, "Go")]
    assert all(uuid.UUID(each).version == 5 for each in ids)
    other = CodeChunker("other", ChunkBudget(1_000)).chunks(file(body, "Go"))
    assert not set(ids) & {c.id for c in other}


def test_fingerprints_differ_with_everything_that_affects_cuts(tmp_path: Path) -> None:
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_bytes(TOKENIZER.read_bytes() + b"\n")
    budgets = [
        ChunkBudget(200),
        ChunkBudget(201),
        ChunkBudget(200, 0, "tokens", TOKENIZER),
        ChunkBudget(200, 0, "tokens", tokenizer),
    ]
    assert len({CodeChunker("code", budget).fingerprint for budget in budgets}) == len(budgets)
    # Nothing is repeated, so the overlap has no effect.
    assert (
        CodeChunker("code", ChunkBudget(200, 50)).fingerprint
        == CodeChunker("code", ChunkBudget(200)).fingerprint
    )
