"""Languages that users add: which files they concern, and that no others are touched."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ingest_assets.chunking.code import LANGUAGES, CodeChunker
from ingest_assets.chunking.prose import ChunkBudget
from ingest_assets.model import ConfigurationError
from ingest_assets.settings import Settings
from ingest_assets.sources.repositories.attributes import FileAttributes
from ingest_assets.sources.repositories.kept import bounds_of
from ingest_assets.sources.repositories.language_table import NO_TABLE, language_table
from ingest_assets.sources.repositories.languages import spelled
from ingest_assets.sources.repositories.source import RepositorySource
from ingest_assets_tests.sources.repositories.repos import TestRepo, digests, documents, local_mirror

GLSL = b"""#version 450
layout(location = 0) in vec3 position;

/* The light that a surface throws back,
   by Lambert. */
vec3 lambert(in vec3 normal, in vec3 light) {
    float cosine = max(dot(normal, light), 0.0);
    return vec3(cosine) * albedo;
}
"""
FILES = {
    "a.py": b"a = 1\n",
    "b.acme": b"run\n",
    "page.html.ejs": b"<p><%= a %></p>\n",
    "Justfile": b"all:\n\techo\n",
    "c.csv": b"a,b\n",
}


def _source(repo: TestRepo, *entries: str) -> RepositorySource:
    return RepositorySource("repositories", local_mirror(repo.path), table=language_table(entries))


@pytest.mark.parametrize(
    ("entry", "path", "label"),
    [
        (".acme=Tcl", "x/b.acme", "Tcl"), (".ACME=tcl", "b.Acme", "Tcl"), (".acme=text", "b.acme", "Text"),
        (".acme=Acme:text", "b.acme", "Acme"), (".acme=Acme:python", "b.acme", "Acme:Python"),
        (".acme=Python:Python", "b.acme", "Python"), (".py=Python:text", "b.py", "Python:text"),
        (".acme=golang", "b.acme", "Go"), ("Justfile=Makefile", "x/Justfile", "Makefile"),
        ("Justfile=Makefile", "justfile", None), (".acme=GLSL", "b.acme", "GLSL:C"),
        (".acme=GLSL:text", "b.acme", "GLSL:text"), (".html.x=HTML", "b.html.x", "HTML"),
        (".html.x=HTML", "b.x", None), (".x=HTML", "a.b.x", "HTML"), (".profile=Shell", ".profile", "Shell"),
        (".png=text", "b.png", "Text"), (".acme=Visual Basic .NET", "b.acme", "Visual Basic .NET"),
    ],
)  # fmt: skip
def test_an_entry(entry: str, path: str, label: str | None) -> None:
    table = language_table([entry])
    assert table.named(path) == label
    if label:  # also where the file's own repository says otherwise
        assert table.of(path, b"x\n", FileAttributes(language="Rust")) == label


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        (".acme=Pyhton", "did you mean Python"), (".acme=Acme", "Acme:text"),
        (".acme=Acme:pyhton", "Python?"), (".acme=Acme:Tcl", "no such one"),
        (".acme", ".EXTENSION=LANGUAGE"), ("=Tcl", ".EXTENSION=LANGUAGE"),
        ("src/.acme=Tcl", ".EXTENSION=LANGUAGE"), (".acme=", "not a name"), (".acme=:C", "not a name"),
        (".acme=a\nb:C", "not a name"), (f".acme={'x' * 100}:C", "not a name"),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_refused_at_start(entry: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=r"^(has|names) ") as raised:
        language_table([".tcl=Tcl", entry])
    assert complaint in str(raised.value)
    with pytest.raises(ConfigurationError, match="INGEST_REPOSITORY_LANGUAGES") as refused:
        bounds_of(Settings(_env_file=None, ingest_repository_languages=entry))
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("a.tcl", "Tcl"), ("a.y", "Yacc"), ("a.glsl", "GLSL:C"), ("a.vert", "GLSL:C"), ("a.ejs", "EJS:HTML"),
        ("a.abap", "ABAP"), ("a.g4", "ANTLR"), ("SConstruct", "Python"), ("a.adb", "Ada"), ("a.f", None),
        ("a.eps", None), ("a.gcode", None), ("a.geojson", "JSON"),
    ],
)  # fmt: skip
def test_what_is_known_without_a_table(path: str, label: str | None) -> None:
    assert NO_TABLE.of(path, b"x\n", FileAttributes()) == label


def test_names_are_spelled_as_github_spells_them() -> None:
    assert [spelled(name) for name in ("glsl", " EJS ", "golang", "viml", "no such")] == [
        "GLSL", "EJS", "Go", "Vim Script", "no such",
    ]  # fmt: skip
    assert set(LANGUAGES) <= {spelled(name) for name in LANGUAGES}


def test_a_change_of_the_table_concerns_its_files_and_no_others(repo: TestRepo) -> None:
    repo.commit(FILES)
    before, after = _source(repo), _source(repo, ".acme=Acme:Shell", ".ejs=text", ".csv=text")
    first, second = digests(before), digests(after)
    assert {path for path in first | second if first.get(path) != second.get(path)} == {
        "b.acme", "page.html.ejs", "c.csv",
    }  # fmt: skip
    assert before.signature() != after.signature()
    assert digests(_source(repo, ".py=Python", ".ejs=ejs")) == first
    assert documents(after)["b.acme"].attributes["grammar"] == "Shell"
    assert "grammar" not in documents(after)["a.py"].attributes


def test_a_change_of_the_repositorys_own_table_does_the_same(repo: TestRepo) -> None:
    repo.commit(FILES)
    source = _source(repo)
    first = digests(source)
    repo.commit(
        FILES | {".gitattributes": b"Just* linguist-language=Makefile\n*.py linguist-language=python\n"}
    )
    second = digests(source)
    assert {path for path in first | second if first.get(path) != second.get(path)} == {"Justfile"}


def test_a_language_without_a_grammar_is_split_as_another_ones(repo: TestRepo) -> None:
    repo.commit({"a.frag": GLSL, "b.lamp": GLSL})
    found = documents(_source(repo, ".lamp=Lamp:c", ".frag=GLSL:text"))
    chunker = CodeChunker("repositories", ChunkBudget(400))
    symbols = {
        path: [(c.attributes["symbol_kind"], c.attributes["symbol_name"]) for c in chunker.chunks(document)]
        for path, document in found.items()
    }
    assert symbols["b.lamp"][-1] == ("function", "lambert")
    assert found["b.lamp"].attributes["language"] == "Lamp"
    assert symbols["a.frag"] == [("module", "a")]


def test_the_manual_lists_the_grammars() -> None:
    manual = (Path(__file__).parents[3] / "docs/operating.md").read_text("utf-8")
    listed = re.search(r"one of (Python.*?), or `text`", manual, re.DOTALL)
    assert listed
    assert re.split(r", | and ", " ".join(listed[1].split())) == list(LANGUAGES)
