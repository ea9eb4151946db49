"""What README.md, CONTRIBUTING.md and docs/ mention exists.

That is: commands, options, make targets, settings, checks and files.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from ingest_assets.interfaces.cli.app import app
from ingest_assets_tests.support.built_index import ROOT
from ingest_assets_tests.support.variables import fields

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
    ROOT / ".env.example",
]
MARKDOWN = PAGES[:-1]
PREFIXES = ("CRM_", "QDRANT_", "SPARK_", "INGEST_", "NCBI_", "PASS1_LLM_")


@cache
def code(page: Path) -> list[str]:
    """Lines of code blocks, fenced or indented, and text between backticks."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    indented = [line.strip() for line in prose.splitlines() if line.startswith("    ")]
    spans = re.findall(r"`([^`\n]+)`", prose)
    return [line.strip() for block in fenced for line in block.splitlines()] + indented + spans


def lines_of(program: str) -> Iterator[tuple[Path, list[str]]]:
    """Command lines of a program, split as a shell does, from every page."""
    for page in PAGES:
        for line in code(page):
            bare = re.sub(r"^\$ |^(\.venv/bin/|python -m )", "", line)
            if re.match(rf"{program}( |$)", bare):
                yield page, shlex.split(bare, comments=True)[1:]


INGEST = [(page.name, tuple(line)) for page, line in lines_of("ingest")]
MAKE = [(page.name, tuple(line)) for page, line in lines_of("make")]


def test_the_pages_name_commands() -> None:
    assert {line[0] for _, line in INGEST if line} >= {
        "search",
        "refresh",
        "build",
        "audit",
        "status",
        "parked",
    }
    assert {line[0] for _, line in MAKE if line} >= {"demo", "test", "dev"}


@pytest.mark.parametrize(("page", "line"), sorted(set(INGEST)), ids=str)
def test_every_ingest_command_line_exists(page: str, line: tuple[str, ...]) -> None:
    command: Any = typer.main.get_command(app)
    words = list(line)
    while words and hasattr(command, "commands"):
        if words[0] == "--help":
            return
        if words[0].startswith("-") and command.invoke_without_command:
            break  # its own options
        name = words.pop(0)
        assert name in command.commands, f"{page}: there is no `ingest {' '.join(line)}`"
        command = command.commands[name]
    options = {option: p for p in command.params for option in p.opts if option.startswith("-")}
    takes = 0
    while words:
        word = words.pop(0)
        if word.startswith("--"):
            name, _, value = word.partition("=")
            assert name in options or name == "--help", f"{page}: {name} in `ingest {' '.join(line)}`"
            if name in options and not options[name].is_flag and not value:
                assert words, f"{page}: {name} needs a value in `ingest {' '.join(line)}`"
                words.pop(0)
        elif word not in {"…", "..."}:
            takes += 1
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    assert takes <= len(arguments), f"{page}: too many words in `ingest {' '.join(line)}`"


@pytest.mark.parametrize(("page", "line"), sorted(set(MAKE)), ids=str)
def test_every_make_target_exists(page: str, line: tuple[str, ...]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    variables = set(re.findall(r"^([A-Z]+) [?:]?=", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for word in line:
        name = word.partition("=")[0]
        assert name in (variables if "=" in word else targets), f"{page}: make {word}"


def test_make_help_lists_what_a_user_needs() -> None:
    documented = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert documented >= {"help", "demo", "dev", "test", "clean"}


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: page.name)
def test_every_setting_named_exists(page: Path) -> None:
    # Those of the tests themselves are read where they are used.
    of_tests = (ROOT / "ingest_assets_tests/support/server.py").read_text(encoding="utf-8")
    known = {name.upper() for name in fields()} | set(re.findall(r"\bINGEST_TEST_[A-Z_]+", of_tests))
    named = {
        name
        for span in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")) + code(page)
        for name in re.findall(r"\b[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+\b", span)
        if name.startswith(PREFIXES)
    }
    assert named <= known, f"{page.name} names settings that do not exist: {sorted(named - known)}"


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: page.name)
def test_every_link_and_file_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    for link in links:
        if link and not re.match(r"[a-z]+:", link):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
    for span in re.findall(r"`([^`\n ]+)`", text):
        if re.fullmatch(r"(ingest_assets|ingest_assets_tests|tools|docs|benchmarks)/[\w./-]+", span):
            assert (ROOT / span).exists(), f"{page.name} names {span}"


def test_every_job_check_and_schedule_named_exists() -> None:
    from ingest_assets.definitions import build_defs

    definitions = build_defs({})
    known = {job.name for job in definitions.resolve_all_job_defs()}
    known |= {schedule.name for schedule in definitions.get_repository_def().schedule_defs}
    for page in MARKDOWN:
        named = set(re.findall(r"\b[a-z]+_search_index(?:_schedule)?\b", page.read_text(encoding="utf-8")))
        assert named <= known, f"{page.name}: {sorted(named - known)}"
        for check in re.findall(r"[Cc]hecks? `(\w+)`", page.read_text(encoding="utf-8")):
            assert check in {key.name for key in definitions.resolve_asset_graph().asset_check_keys}, check
