"""docs/coming-from.md: what it says is here is here, and no setting of the earlier systems is left out."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from ingest_assets.interfaces.cli.app import app
from ingest_assets.interfaces.http.app import OPERATIONS
from ingest_assets.interfaces.http.declared import routes_of
from ingest_assets.interfaces.mcp.tools import tools_of
from ingest_assets.ledger import tables
from ingest_assets.settings import load_settings
from ingest_assets.sources.registry import load_sources
from ingest_assets_tests.support.built_index import ROOT
from ingest_assets_tests.support.data_sets import REQUIRED, SHARED
from ingest_assets_tests.support.variables import fields

PAGE = (ROOT / "docs/coming-from.md").read_text("utf-8")
SYSTEMS = 5


def rows() -> list[tuple[str, str, str]]:
    """The cells of every row, without the heads of the tables."""
    found = []
    for line in PAGE.splitlines():
        if line.startswith("| ") and not line.startswith("| before |"):
            before, here, otherwise = (cell.strip() for cell in line.strip("|").split("|"))
            found.append((before, here, otherwise))
    return found


def names() -> list[str]:
    """Everything between backticks in the middle column."""
    return sorted({name for _, here, _ in rows() for name in re.findall(r"`([^`]+)`", here)})


@cache
def source_text() -> str:
    return "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "ingest_assets").rglob("*.py")))


@cache
def routes() -> set[str]:
    rows = [*OPERATIONS, *routes_of(load_sources())]
    return {f"{each.method} {each.path}" for each in rows}


@cache
def views() -> set[str]:
    migrations = (ROOT / "ingest_assets/ledger/migrations/versions").glob("*.py")
    return {view for path in migrations for view in re.findall(r"CREATE VIEW (\w+)", path.read_text("utf-8"))}


def command_faults(line: str) -> str | None:
    command: Any = typer.main.get_command(app)
    for word in line.split()[1:]:
        if hasattr(command, "commands") and not word.startswith("-"):
            if word not in command.commands:
                return f"there is no command {word}"
            command = command.commands[word]
        elif word.startswith("--") and word not in {option for p in command.params for option in p.opts}:
            return f"there is no option {word}"
    return None


def fault_of(name: str) -> str | None:
    """Why a name of the page stands for nothing; None if it stands for something."""
    if name.startswith("ingest "):
        return command_faults(name)
    if re.fullmatch(r"(GET|POST|DELETE) /\S*", name):
        return None if name in routes() else "there is no such route"
    if re.fullmatch(r"[A-Z][A-Z0-9_]+", name):
        return None if name.lower() in fields() else "there is no such setting"
    if name.startswith("deploy/"):
        return None if (ROOT / name).is_file() else "there is no such file"
    sources = load_sources()
    there = {*tables.metadata.tables, *views(), *tools_of(sources, load_settings(_env_file=None))}
    there |= {each.collection for each in sources.values()}
    # What else has a name: a file of a workspace, a key of Redis, an event, a job of Dagster.
    return None if name in there or name in source_text() else "the package does not know it"


@pytest.mark.parametrize("name", names())
def test_what_the_page_names_is_here(name: str) -> None:
    assert fault_of(name) is None, name


@pytest.mark.parametrize(
    "name",
    ["ingest refesh", "ingest build --sauce", "GET /nothing", "NO_SUCH", "deploy/nothing", "no_such_table"],
)  # fmt: skip
def test_what_is_not_here_would_be_found(name: str) -> None:
    assert fault_of(name)


def test_the_page_is_about_each_system() -> None:
    assert len(re.findall(r"^## ", PAGE, re.MULTILINE)) == SYSTEMS
    kinds = {
        "command": lambda n: n.startswith("ingest "),
        "setting": lambda n: n.isupper(),
        "route": lambda n: n in routes(),
        "table": lambda n: n in tables.metadata.tables,
        "view": lambda n: n in views(),
    }
    for kind, of in kinds.items():
        assert sum(map(of, names())) > 1, kind


def test_every_setting_of_the_contracts_is_on_the_page() -> None:
    contracts = SHARED / "contracts.md"
    if not contracts.is_file() and not os.environ.get(REQUIRED):
        pytest.skip("the contracts are not there")
    named = contracts.read_text("utf-8")
    settings = {
        each
        for span in re.findall(r"`([^`]+)`", named)
        for each in re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", span)
    } - {"SAME_AS"}  # a relationship
    assert len(settings) > 20
    left_out = {each for each in settings if not re.search(rf"\b{each}\b", " ".join(b for b, _, _ in rows()))}
    assert not left_out


def test_the_links_of_the_page_lead_somewhere() -> None:
    for target, anchor in re.findall(r"\]\(([\w.-]+\.md)(?:#([\w-]+))?\)", PAGE):
        page: Path = ROOT / "docs" / target
        heads = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
        assert not anchor or anchor in anchors, f"{target}#{anchor}"
