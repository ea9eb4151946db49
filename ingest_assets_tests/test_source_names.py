"""Outside its own folder no module names a source: what others need to know is in its definition."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import ingest_assets
from ingest_assets.sources.registry import load_sources

PACKAGE = Path(ingest_assets.__file__).parent
# What the sources that ship, and their parts, are called.
WORDS = re.compile(r"(?<![a-z])(crm|papers?|repositor(?:y|ies)|spool)(?![a-z])", re.IGNORECASE)
# A column of the table of jobs, whose names the contract with its users fixes: the id of what a job is for.
COLUMN = "repository_id"
EXCEPTIONS = {
    "settings.py": "two variables keep the names that users know",
    "ledger/graph_tables.py": "all tables are in one room, also those of a source",
    "ledger/job_tables.py": "as above",
    "ledger/spool_tables.py": "as above",
    "ledger/tables.py": "all tables are in one place, also those of a source",
    "ledger/migrations/": "migrations of the past do not change",
    "interfaces/job_service.py": "the fields of a job are fixed by a contract",
    "interfaces/http/app.py": "the contract has GET /ingest?repo_url=…, and jobs of repositories",
    "interfaces/http/events.py": "as above",
    "interfaces/http/openapi.py": "as above",
    "interfaces/http/requests.py": "as above",
    "interfaces/mcp/arguments.py": "the contract has tools that index repositories",
    "interfaces/mcp/fetching.py": "as above",
    "interfaces/mcp/indexing.py": "as above",
    "interfaces/mcp/tools.py": "as above",
}


def names(tree: ast.AST) -> Iterator[str]:
    """Every identifier, imported module and text of a module, those of its documentation included."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)):
                yield text
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name
            case ast.keyword(arg=str(name)):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.alias(name=name):
                yield name
            case ast.ImportFrom(module=str(name)):
                yield name


def words(text: str) -> set[str]:
    """The names of sources in a text; an underscore is not a letter."""
    return {found.lower() for found in WORDS.findall(text.replace(COLUMN, "").replace("_", " "))}


def modules() -> list[str]:
    found = (path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
    return sorted(name for name in found if not re.match(r"sources/[^/]+/", name))


@pytest.mark.parametrize("module", modules())
def test_a_module_names_no_source(module: str) -> None:
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    named = {text.strip()[:80] for text in names(tree) if words(text)}
    if any(module.startswith(exception) for exception in EXCEPTIONS):
        return
    assert named == set(), f"{module} names a source"


def test_every_exception_is_needed() -> None:
    """A module that no longer names a source must leave the list."""
    for exception in EXCEPTIONS:
        path = PACKAGE / exception
        files = path.rglob("*.py") if path.is_dir() else [path]
        texts = [text for file in files for text in names(ast.parse(file.read_text(encoding="utf-8")))]
        assert any(words(text) for text in texts), exception


def test_the_words_cover_all_sources() -> None:
    """Also one that is added later."""
    for source in load_sources().values():
        nouns = {source.name} | ({source.partitions.noun} if source.partitions else set())
        assert all(words(noun) for noun in nouns), f"WORDS lacks {nouns}"


@pytest.mark.parametrize(
    "code",
    [
        "if source == 'crm': pass",
        "from ingest_assets.sources.repositories import kept",
        "bench.repositories.all()",
        "settings.crm_db_path",
        "def open_crm(): ...",
        "run(repository=1)",
        '"""What the CRM has."""',
    ],
)
def test_it_finds_each_way_to_name_one(code: str) -> None:
    assert any(words(text) for text in names(ast.parse(code)))


def test_it_finds_no_other_word() -> None:
    assert not words("a scrmble of microm repositorial_id")
