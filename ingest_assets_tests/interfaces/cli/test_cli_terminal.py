"""No character of the data acts on a terminal, whatever command shows it and however.

The commands run in a pseudo-terminal, on an index full of hostile texts and beside a package whose help and
output are hostile too, and the bytes that arrive are looked at.
"""

from __future__ import annotations

import ast
import json
import os
import pty
import re
import sqlite3
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets import audit_log
from ingest_assets.characters import visible, visible_json
from ingest_assets.ledger import tables
from ingest_assets.sources.spool import write_batch
from ingest_assets.sources.spool.places import Spool
from ingest_assets_tests.interfaces.cli.test_cli_help import LEAVES
from ingest_assets_tests.support.built_index import ROOT, Home, command

# A title, a colour that no command of ours uses, a clipboard, C1, backspaces, marks, isolates, separators.
HOSTILE = (
    "Bo\x1b]0;TITLE\x07\x1b[58;5;99mX\x1b[2J\x1b]52;c;Ym8=\x1b\\\x9b31m\x90q\x08\x7f\r\x0b\x0c\x00"
    "\u202egpj.\u2066a\u2069\u200e\u200f\u061c\u2028n\u2029m"
)
TEXT = HOSTILE.replace("\x00", "")  # as far as a command's argument, or Postgres, can hold it
FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# What rich writes itself: colours, and what a progress bar needs. The terminal makes \r\n of \n.
OUR_OWN = re.compile(r"\x1b\[(?!58)[0-9;]*m|\x1b\[[12]?K|\x1b\[1?A|\x1b\[\?25[lh]|\r")
PLUGIN = f"""
from dataclasses import replace
import sys
import typer
import folder_source

HOSTILE = {HOSTILE!r}

def commands(app, sample):
    @app.command(help=HOSTILE, epilog=HOSTILE)
    def evil(name: str = typer.Option(HOSTILE, help=HOSTILE, metavar=HOSTILE)) -> None:
        print(HOSTILE)
        typer.echo(HOSTILE)
        typer.echo(HOSTILE, err=True)
        typer.secho(HOSTILE)
        sys.stdout.write(HOSTILE + "\\n")
        sys.stderr.writelines([HOSTILE, "\\n"])
        from rich.console import Console
        Console().print(HOSTILE, markup=False)
        Console(stderr=True).print(HOSTILE, markup=False)
        import logging, warnings
        logging.getLogger("evil").error("%s", HOSTILE)
        warnings.warn(HOSTILE)
        raise RuntimeError(HOSTILE)

SOURCE = replace(folder_source.SOURCE, commands=commands)
"""
BROKEN = f"raise RuntimeError({HOSTILE!r})"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with two packages that add sources."""
    folder = tmp_path_factory.mktemp("packages")
    for name, program in (("hostile_source", PLUGIN), ("broken_source", BROKEN)):
        (folder / f"{name}.py").write_text(program, "utf-8")
        info = folder / f"{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[ingest_assets.sources]\n{name} = {name}:SOURCE\n")
    return folder


@pytest.fixture(scope="module")
def hostile_once(built_once: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """An index with hostile texts in every place that a command shows. For reading only."""
    built = built_once.copy(tmp_path_factory.mktemp("hostile") / "home")
    with sqlite3.connect(built.crm) as crm:
        crm.execute("UPDATE people SET name = name || ?, title = ?", (TEXT, TEXT))
        crm.execute("UPDATE interactions SET subject = ?, body = body || ?", (TEXT, TEXT))
    assert built.refresh().success
    (built.path / "paper.md").write_text(f"# {TEXT}\n\nAspirin {TEXT} treats pain.\n", encoding="utf-8")
    everywhere = {"source": "crm", "part": "", "item_id": f"people/{TEXT}"}
    digest = "0" * 32
    with built.bench() as bench, bench.ledger.transaction() as connection:
        connection.execute(
            tables.parked.insert(),
            everywhere
            | {"stage": "records", "digest": digest, "fingerprint": digest, "error": TEXT, "attempts": 1}
            | {"first_at": 1.0, "last_at": 1.0},
        )
        connection.execute(
            tables.skipped_item.insert(),
            everywhere
            | {"source": "repositories", "part": "h/r", "item_id": f"h/r/{TEXT}", "reason": TEXT, "size": 1}
            | {"detail": TEXT},
        )
        logged = {"who": TEXT, "transport": TEXT, "tool": TEXT, "message": TEXT}
        audit_log.append(connection, **logged, arguments={"a": TEXT}, outcome="ok")
        _fill(connection, tables.note)
        _fill(connection, tables.repository, id="h/r", location=f"https://h/{TEXT}", ref=TEXT)
    spool = Spool(built.path / "spool")
    spool.prepare()
    record = {"text": f"The parcel is late. {TEXT}", "metadata": {"title": TEXT, "kind": TEXT}}
    write_batch(spool.root, [record], source=TEXT)
    write_batch(spool.root, [record], source=TEXT, pii=True).rename(built.path / "batch.msgpack")
    texts = built.path / "texts"
    texts.mkdir()
    (texts / "a\u202eb.md").write_text(TEXT)
    return built


@pytest.fixture
def hostile(hostile_once: Home, tmp_path: Path) -> Home:
    """A copy of it, which may be changed."""
    return hostile_once.copy(tmp_path / "home")


def env_of(home: Home, packages: Path) -> dict[str, str]:
    path = os.pathsep.join([str(packages), str(ROOT / "examples" / "folder_source"), str(ROOT)])
    texts = str(home.path / "texts")
    own = {"FOLDER_SOURCE_PATH": texts, "SPOOL_DIR": str(home.path / "spool")}
    return home.env | {"PYTHONPATH": path, "TERM": "xterm-256color"} | own


def _fill(connection: object, table: object, **given: str) -> None:
    """A row whose texts are hostile wherever no other value is needed."""
    row: dict[str, object] = {}
    for column in table.columns:  # type: ignore[attr-defined]
        if column.name in given:
            row[column.name] = given[column.name]
        elif not column.nullable and column.server_default is None:
            kind = column.type.python_type
            row[column.name] = TEXT if kind is str else kind(1)
    if "kind" in row:
        row["kind"] = "note"
    connection.execute(table.insert(), row)  # type: ignore[attr-defined]


def in_terminal(arguments: list[str], home: Home, env: dict[str, str]) -> str:
    """What arrives at a terminal that is standard output and standard error of a command."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command(*arguments), stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=env, cwd=home.path
    )
    os.close(theirs)
    said = bytearray()
    while True:
        try:
            block = os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not block:
            break
        said += block
    os.close(ours)
    process.wait(timeout=100)
    return said.decode("utf-8")


ARGUMENTS = {
    "search": [TEXT],
    "status": [],
    "parked": [],
    "doctor": [],
    "daemon": [],
    "worker": [],
    "serve": [],
    "audit": [],
    "sample crm": ["--path", "sample\u202e\x1b[58;5;99m.sqlite", "--documents", "20"],
    "mapping init": ["crm.sqlite"],
    "mapping check": [],
    "mapping preview": ["interactions"],
    "embed": ["--shard", "1/2"],
    "embed status": [],
    "embed give-up": [TEXT],
    "entity show": ["people/1"],
    "entity why": ["people/1", "people/2"],
    "entity search": ["Bo"],
    "entity export": [],
    "entity train": [],
    "document show": ["people/1"],
    "document kinds": [],
    "repository add": [f"https://h/{TEXT}"],
    "repository remove": [TEXT],
    "repository list": [],
    "repository skips": ["h/r"],
    "spool add": ["batch.msgpack", TEXT],
    "spool list": [],
    "spool show": [TEXT],
    "spool retry": [TEXT],
    "spool deliver": [],
    "spool maintain": [],
    "gate list": [],
    "gate open": [TEXT, "--why", TEXT],
    "gate close": [TEXT, "--why", TEXT],
    "gate wait": [TEXT, "--timeout", "0"],
    "watch": ["--source", TEXT],  # it would not end
    "mcp": [],
    "audit-log": [],
    "audit-log verify": [],
    "adopt": ["--yes"],
    "job start": [f"https://h/{TEXT}"],
    "job cancel": [TEXT],
    "job list": [],
    "job run": [TEXT],
    "job show": [TEXT],
    "ui": [],
    "paper add": ["paper.md", TEXT],
    "paper list": [],
    "paper show": ["paper"],
    "paper pass1": ["--input-dir", ".", "--output-dir", "passes/pass1_bundles"],
    "paper pass2": ["--bundle-dir", "passes/pass1_bundles", "--output-dir", "passes/medlit_merged"],
    "paper pass3": [
        *("--merged-dir", "passes/medlit_merged", "--bundles-dir", "passes/pass1_bundles"),
        *("--output-dir", "passes/medlit_bundle"),
    ],
    "graph entity": [TEXT],
    "graph search": [TEXT],
    "graph neighbours": ["aspirin"],
    "graph relationships": ["--subject", TEXT],
    "graph within": ["aspirin"],
    "graph path": ["aspirin", TEXT],
    "graph stats": [],
    "graph links": ["paper"],
    "note list": [],
    "note remove": [TEXT],
    # Last, because they forget a repository that is to be removed.
    "refresh": [],
    "build": [],
    "paper remove": [TEXT],
    "spool remove": [TEXT, "--why", TEXT],
    "sample spool": ["samples"],
}


def test_every_command_is_run() -> None:
    assert set(ARGUMENTS) == {" ".join(path) for path in LEAVES}


# What shows each kind of text; `make thorough` runs every command.
SHOWING = (
    "search",
    "mapping preview",
    "entity show",
    "parked",
    "repository skips",
    "audit-log",
    "note list",
    "refresh",
)
LIKE_ALL = ("search", "refresh", "entity show", "note remove")


def _check(said: str) -> None:
    left = OUR_OWN.sub("", said)
    found = FORBIDDEN.search(left)
    assert found is None, (found, left[max(0, found.start() - 200) : found.end() + 50])


@pytest.mark.parametrize(
    ("how", "names"),
    [
        pytest.param("text", SHOWING, id="text"),
        pytest.param("text", tuple(ARGUMENTS), id="every-text", marks=pytest.mark.thorough),
        pytest.param("json", tuple(ARGUMENTS), id="json", marks=pytest.mark.thorough),
        # What help and usage errors repeat is the same for all: names of sources, parts, fields, input.
        pytest.param("help", LIKE_ALL, id="help"),
        pytest.param("wrong", LIKE_ALL, id="wrong"),
    ],
)
def test_nothing_that_is_shown_acts_on_the_terminal(
    hostile: Home, packages: Path, how: str, names: tuple[str, ...]
) -> None:
    home = hostile
    # A server that cannot start says why, and so ends; agents' input is empty, and so ends.
    env = env_of(home, packages) | {"INGEST_HTTP_HOST": "192.0.2.1", "INGEST_UI_HOST": "192.0.2.1"}
    env |= {"INGEST_DAEMON_HOST": "192.0.2.1"}
    shown = {}
    for name in names:
        arguments = ARGUMENTS[name]
        if how in {"help", "wrong"}:
            given = ["--help"] if how == "help" else [f"--{TEXT}", TEXT]
        else:
            given = [*arguments, *(["--json"] if how == "json" and name != "mcp" else [])]
        said = in_terminal([*name.split(), *given], home, env)
        _check(said)
        shown[name] = said[said.index("broken_source is left out") :].partition("\n")[2]
    if how in {"text", "json"}:
        # It was there to be shown, and is shown as what it is.
        for name in ("search", "entity show"):  # the CRM's texts are cleaned when they are read
            assert "58;5;99m" in shown[name], (name, shown[name])
        for name in ("parked", "repository skips", "audit-log", "note list"):
            assert ("\\u001b" if how == "json" else "\\x1b") in shown[name], name


@pytest.mark.parametrize(
    "arguments", [["evil"], ["evil", "--help"], ["--help"], [TEXT], ["search", "--limit", TEXT]]
)
def test_another_packages_commands_and_help(hostile_once: Home, packages: Path, arguments: list[str]) -> None:
    home, env = hostile_once, env_of(hostile_once, packages)
    said = in_terminal(arguments, home, env)
    _check(said)
    assert "58;5;99m" in said
    assert in_terminal(arguments, home, env | {"TYPER_USE_RICH": "0"}).count("\x1b[58") == 0


@given(st.text())
def test_only_such_characters_change_and_json_keeps_its_value(text: str) -> None:
    shown = visible(text)
    assert FORBIDDEN.search(shown) is None
    assert visible(shown) == shown
    if not FORBIDDEN.search(text) and "\r" not in text and not any(0xD800 <= ord(c) < 0xE000 for c in text):
        assert shown == text
    assert json.loads(visible_json(json.dumps(text, ensure_ascii=False))) == text
    assert FORBIDDEN.search(visible_json(json.dumps(text, ensure_ascii=False))) is None


# --- One place to print through -----------------------------------------------------------------------------

PRINTERS = ("ingest_assets/terminal.py", "ingest_assets/process.py")
WRITERS = ("ingest_assets/collection/files.py", "ingest_assets/sources/spool/notifier/lines.py")  # of files
PAST_IT = re.compile(
    r"print|pprint|(typer|click)\.(secho|echo)|sys\.(__)?std(out|err)(__)?(\.buffer)?\.write(lines)?|"
    r"(rich\.)?(console\.)?Console|rich\.print|os\.write"
)


def past_it(program: str) -> list[str]:
    """The calls in a program that print past `terminal`."""
    calls = [node for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Call)]
    return [ast.unparse(call) for call in calls if PAST_IT.fullmatch(ast.unparse(call.func))]


def test_nothing_prints_past_the_one_place() -> None:
    for folder in ("ingest_assets", "tools", "deploy", "examples"):
        for file in (ROOT / folder).rglob("*.py"):
            if file.relative_to(ROOT).as_posix() not in (*PRINTERS, *WRITERS):
                assert past_it(file.read_text("utf-8")) == [], file


@pytest.mark.parametrize(
    "line", ["print(x)", "typer.echo(x)", "sys.stdout.write(x)", "rich.print(x)", "Console().print(x)"]
)
def test_printing_past_it_is_found(line: str) -> None:
    assert past_it(f"def f(x):\n    {line}") != []
