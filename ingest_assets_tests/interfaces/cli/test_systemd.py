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
from ingest_assets.model import IngestError
from ingest_assets.sources.spool.waiting import is_batch
from ingest_assets_tests.support.built_index import ROOT
from tools.units_check.installed import CHOSEN, MANUAL, STATE, commands

FOLDER = ROOT / "deploy" / "systemd"
WORKER = ROOT / "deploy" / "celery" / "ingest-worker.service"
ENV_EXAMPLE = (ROOT / ".env.example").read_text("utf-8")
UNITS = [*sorted(each for each in FOLDER.iterdir() if each.is_file()), WORKER]
HARDENING = FOLDER / "ingest-.service.d" / "hardening.conf"  # systemd adds it to all services of that prefix
MAX_EXPOSURE = 2.0  # of 10, by `systemd-analyze security`
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]


def read(unit: Path) -> dict[str, dict[str, str]]:
    # Not strict: systemd takes an option several times.
    parser = RawConfigParser(strict=False, interpolation=None, delimiters=("=",))
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
    service = read(HARDENING)["Service"] | read(unit)["Service"]
    program, *words = service["ExecStart"].split()
    assert program.endswith("/bin/ingest")
    command: Any = typer.main.get_command(app)
    found = command.commands[words[0]].make_context(words[0], words[1:], resilient_parsing=False)
    assert found.params.get("source", "spool") == "spool"
    statuses = service.get("SuccessExitStatus", "") + service.get("RestartPreventExitStatus", "")
    assert {int(status) for status in re.findall(r"\d", statuses)} <= {DONE, FAILED, WRONG, PARKED}
    assert service["UMask"] == "0077"
    assert service["WorkingDirectory"] == service["ReadWritePaths"]


def test_each_daemon_has_a_service() -> None:
    commands = {read(unit)["Service"]["ExecStart"].split()[1] for unit in SERVICES}
    assert {"daemon", "ui", "serve", "watch", "refresh", "worker"} == commands


def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    units = _installed(tmp_path)
    for unit in UNITS:
        named = re.findall(r"[\w-]+\.(?:service|path|timer)", unit.read_text("utf-8"))
        assert {name for name in named if name.startswith("ingest-")} <= {each.name for each in UNITS}
    said = _analyze("verify", "--man=no", *map(str, units))
    assert said is None or (said.returncode, said.stderr) == (0, "")


def test_services_may_do_little_else(tmp_path: Path) -> None:
    for unit in _installed(tmp_path):
        if unit.suffix == ".service":
            threshold = f"--threshold={int(MAX_EXPOSURE * 10)}"
            said = _analyze("security", "--offline=yes", threshold, str(unit))
            assert said is None or said.returncode == 0, said.stdout[-200:]


def test_the_manual_installs_what_the_units_need() -> None:
    """`python -m tools.units_check` runs these commands, and tries the units under a real systemd."""
    said = "\n".join(commands(MANUAL.read_text("utf-8")))
    for unit in SERVICES:
        program, folder = (
            read(unit)["Service"]["ExecStart"].split()[0],
            read(HARDENING)["Service"]["WorkingDirectory"],
        )
        assert f"venv {program.removesuffix('/bin/ingest')}\n" in said
        assert f"install -d -o ingest -g ingest -m 0700 {folder} " in said
    assert f"useradd --system --home-dir {STATE} " in said
    assert f".env.example {read(HARDENING)['Service']['EnvironmentFile']}" in said
    assert CHOSEN.keys() <= set(re.findall(r"^# ?([A-Z][A-Z0-9_]+)=", ENV_EXAMPLE, re.MULTILINE))
    with pytest.raises(IngestError, match="no commands below"):
        commands("## With systemd\n\nNothing.\n\n## Other\n\n    a command\n")


def _installed(folder: Path) -> list[Path]:
    """The units as an installation has them, with a program that is there."""
    for each in (*UNITS, HARDENING):
        place = folder / (each.name if each in UNITS else each.relative_to(FOLDER))
        place.parent.mkdir(exist_ok=True)
        place.write_text(each.read_text("utf-8").replace("/opt/ingest/bin/ingest", sys.executable), "utf-8")
    return [folder / unit.name for unit in UNITS]


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str] | None:
    """What systemd says. None where it is not installed: the other tests are all that can be said then."""
    if (analyze := shutil.which("systemd-analyze")) is None:
        return None
    return subprocess.run([analyze, *arguments], capture_output=True, text=True, check=False)
