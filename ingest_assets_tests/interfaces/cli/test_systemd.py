"""The units in deploy/systemd: they are well-formed, and what they name exists."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest
import typer

from ingest_assets.interfaces.cli.app import app
from ingest_assets.interfaces.cli.options import DONE, FAILED, PARKED, WRONG
from ingest_assets.sources.spool.waiting import is_batch
from ingest_assets_tests.support.built_index import ROOT

UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]


def read(unit: Path) -> dict[str, dict[str, str]]:
    parser = RawConfigParser(strict=True, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names are as they are written
    parser.read_string(unit.read_text("utf-8"))
    return {name: dict(parser[name]) for name in parser.sections()}


def test_the_path_unit_starts_the_service_for_batches_and_nothing_else() -> None:
    [path] = [unit for unit in UNITS if unit.suffix == ".path"]
    section = read(path)["Path"]
    assert section["Unit"] in {unit.name for unit in SERVICES}
    folder, _, pattern = section["PathExistsGlob"].rpartition("/")
    assert folder.endswith("/incoming")
    assert is_batch(pattern.replace("*", "name"))
    assert not is_batch(pattern.replace("*", ".name"))  # and a glob's * matches no leading dot


def test_a_timer_does_what_no_file_tells_of() -> None:
    [path] = [unit for unit in UNITS if unit.suffix == ".path"]
    [timer] = [unit for unit in UNITS if unit.suffix == ".timer"]
    assert read(timer)["Timer"]["Unit"] == read(path)["Path"]["Unit"]
    # From the end of a refresh: one that takes long is not followed by another at once.
    assert {"OnActiveSec", "OnUnitInactiveSec"} < set(read(timer)["Timer"])
    assert read(path)["Install"]["Also"] == timer.name
    [watch] = [unit for unit in SERVICES if read(unit)["Service"]["ExecStart"].split()[1] == "watch"]
    assert set(read(watch)["Unit"]["Conflicts"].split()) == {path.name, timer.name}


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_service_runs_a_command_that_there_is(unit: Path) -> None:
    service = read(unit)["Service"]
    program, *words = service["ExecStart"].split()
    assert program.endswith("/bin/ingest")
    command: Any = typer.main.get_command(app)
    found = command.commands[words[0]]
    assert found.make_context(words[0], words[1:], resilient_parsing=False).params["source"] == "spool"
    statuses = service.get("SuccessExitStatus", "") + service.get("RestartPreventExitStatus", "")
    assert {int(status) for status in re.findall(r"\d", statuses)} <= {DONE, FAILED, WRONG, PARKED}
    assert service["UMask"] == "0077"
    assert service["WorkingDirectory"] == service["ReadWritePaths"]


def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    for unit in UNITS:
        program = unit.read_text("utf-8").replace("/opt/ingest/bin/ingest", sys.executable)
        (tmp_path / unit.name).write_text(program, "utf-8")
    for unit in UNITS:
        named = re.findall(r"[\w-]+\.(?:service|path|timer)", unit.read_text("utf-8"))
        assert {name for name in named if name.startswith("ingest-")} <= {each.name for each in UNITS}
    if analyze := shutil.which("systemd-analyze"):  # without it, the tests above are all that can be said
        said = subprocess.run(
            [analyze, "verify", "--man=no", *(str(tmp_path / unit.name) for unit in UNITS)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (said.returncode, said.stderr) == (0, "")
