"""Every command explains itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from ingest_assets.interfaces.cli.app import app
from ingest_assets_tests.support.built_index import Home, ingest

ROOT: Any = typer.main.get_command(app)


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, sub in getattr(command, "commands", {}).items():
        yield from walk(sub, (*path, name))


COMMANDS = dict(walk(ROOT))
# Those that do something; `audit-log` does so without a further word too.
LEAVES = {
    path: command
    for path, command in COMMANDS.items()
    if not hasattr(command, "commands") or (path and command.invoke_without_command)
}


def test_the_commands() -> None:
    assert {" ".join(path) for path in LEAVES} == {
        "search",
        "status",
        "parked",
        "doctor",
        "daemon",
        "worker",
        "serve",
        "adopt",
        "audit",
        "refresh",
        "build",
        "sample crm",
        "sample spool",
        *(f"mapping {name}" for name in ("init", "check", "preview")),
        "watch",
        "embed",
        "embed status",
        "embed give-up",
        *(f"spool {name}" for name in ("add", "list", "show", "retry", "remove", "deliver", "maintain")),
        *(f"gate {name}" for name in ("list", "open", "close", "wait")),
        "entity show",
        "entity why",
        "entity search",
        "entity export",
        "entity train",
        "document show",
        "document kinds",
        "repository add",
        "repository remove",
        "repository list",
        "repository skips",
        "mcp",
        "audit-log",
        "audit-log verify",
        "ui",
        "job start",
        "job cancel",
        "job list",
        "job run",
        "job show",
        *(f"paper {name}" for name in ("add", "list", "show", "remove", "pass1", "pass2", "pass3")),
        *(f"graph {name}" for name in ("entity", "search", "neighbours", "relationships", "within", "path")),
        "graph stats",
        "graph links",
        "note list",
        "note remove",
    }


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "ingest")
def test_every_command_option_and_argument_is_described(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert re.match(r"[A-Z].{20,}", command.help), "a command without help"
    for parameter in command.params:
        if parameter.name != "help":
            assert re.match(r"\w.{10,}", parameter.help or ""), f"{parameter.name} has no help"


# `ingest mcp` always speaks JSON.
@pytest.mark.parametrize("path", sorted(LEAVES.keys() - {("mcp",)}), ids=" ".join)
def test_every_command_can_print_json(path: tuple[str, ...]) -> None:
    assert any("--json" in parameter.opts for parameter in LEAVES[path].params)


def test_help_is_printed_and_documents_the_exit_statuses(empty: Home) -> None:
    said = ingest(empty, "--help")
    assert said.status == 0
    assert not said.err
    text = " ".join(said.out.split())
    for status in (
        "0 done",
        "1 failed or something is wrong",
        "2 wrong usage",
        "3 done but items are parked",
    ):
        assert status in text
    for path in LEAVES:
        assert path[0] in said.out
    assert "FIELD=VALUE" in ingest(empty, "search", "--help").out


def test_the_module_can_be_run_when_the_script_is_not_on_the_path(empty: Home) -> None:
    assert "Write sample data" in ingest(empty, "sample").everything
