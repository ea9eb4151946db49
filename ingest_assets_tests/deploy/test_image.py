"""The image: what its files say, and the tool that makes it without an engine, and tries it whole."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
import typer

from ingest_assets.interfaces.cli.app import app
from ingest_assets.model import IngestError
from ingest_assets_tests.support.built_index import ROOT
from tools.image_check import __main__ as image_check
from tools.image_check import buildah
from tools.image_check.apart import remove
from tools.image_check.containerfile import Copy, stages, words
from tools.lock import blocks
from tools.sbom import bill

FOLDER = ROOT / "deploy" / "image"
STAGES = stages((FOLDER / "Containerfile").read_text("utf-8"))
STEPS = (FOLDER / "steps.sh").read_text("utf-8")
ENTRYPOINT = FOLDER / "ingest-entrypoint"
ROLES = {"web": "ui", "daemon": "daemon", "serve": "serve", "worker": "worker", "job": "doctor"}


def test_every_run_is_a_step_that_there_is() -> None:
    steps = [step for stage in STAGES for step in stage.steps if isinstance(step, str)]
    named = [re.fullmatch(r"sh /opt/image/steps\.sh (\w+)", step) for step in steps]
    assert all(named)
    defined = set(re.findall(r"^(\w+)\(\) \{", STEPS, re.MULTILINE)) - {"install_debian", "pip_install"}
    assert {each[1] for each in named if each} == defined


def test_all_that_is_copied_from_the_checkout_is_there() -> None:
    copied = [step for stage in STAGES for step in stage.steps if isinstance(step, Copy) and not step.stage]
    assert copied
    for each in copied:
        assert all((ROOT / name).exists() for name in each.sources), each


def test_it_runs_as_a_user_without_rights_and_says_how_it_is() -> None:
    image = STAGES[-1]
    user = image.start["USER"][-1].split(":")[0]
    assert user.isdigit()
    assert user != "0"
    assert f"--uid {user}" in STEPS
    assert image.start["VOLUME"] == [image.environment["INGEST_HOME"]]
    assert "ingest-health" in image.start["HEALTHCHECK"][0]
    assert words(image, "ENTRYPOINT")[-1] == ENTRYPOINT.name


def test_an_instruction_that_is_not_known_is_refused() -> None:
    with pytest.raises(IngestError, match="does not know ADD"):
        stages("FROM debian:bookworm-slim\nADD https://example.org/x /x\n")


# What `buildah inspect` 1.28 says of the start of an image from a Containerfile that is not the project's.
INSPECTED = {
    "User": "7:8",
    "WorkingDir": "/state",
    "Volumes": {"/state": {}},
    "ExposedPorts": {"53/udp": {}, "80/tcp": {}},
    "Healthcheck": {
        "Test": ["CMD", "well", "--now"],
        "Interval": 90_000_000_000,
        "Timeout": 2_000_000_000,
        "StartPeriod": 0,
        "Retries": 4,
    },
    "Labels": {"io.buildah.version": "1.28.2", "title": "A name=value of words"},
    "Entrypoint": ["/usr/bin/tini", "--", "a"],
    "Cmd": ["b"],
    "Env": ["PATH=/bin", "OPTIONS=a=1 b=2"],
}


def inspected(**changed: object) -> str:
    return json.dumps({"Docker": {"config": INSPECTED | changed}})


def test_what_an_image_says_of_its_start_is_told_in_the_words_of_a_containerfile() -> None:
    image = buildah.said_by(inspected())
    assert image.environment == {"PATH": "/bin", "OPTIONS": "a=1 b=2"}
    assert words(image, "ENTRYPOINT") == ["/usr/bin/tini", "--", "a"]
    assert image.start == {
        "USER": ["7:8"],
        "WORKDIR": ["/state"],
        "VOLUME": ["/state"],
        "EXPOSE": ["53/udp", "80"],
        "HEALTHCHECK": ['--interval=90s --timeout=2s --start-period=0s --retries=4 CMD ["well", "--now"]'],
        "LABEL": ['title="A name=value of words"'],
        "ENTRYPOINT": ['["/usr/bin/tini", "--", "a"]'],
        "CMD": ['["b"]'],
    }


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"User": ""}, "USER"),
        ({"Env": ["PATH=/bin", "OPTIONS=a=1 b=2", "PIP_CERT=/left/behind"]}, "PIP_CERT"),
        ({"Labels": None}, "LABEL"),
        ({"Healthcheck": None}, "HEALTHCHECK"),
        ({"ExposedPorts": None}, "EXPOSE"),
    ],
)
def test_an_image_that_says_something_else_than_its_containerfile_is_refused(
    changed: dict[str, object], named: str
) -> None:
    written = buildah.said_by(inspected())
    buildah.require_same(buildah.said_by(inspected()), written)
    with pytest.raises(IngestError, match=named):
        buildah.require_same(buildah.said_by(inspected(**changed)), written)


def test_settings_of_pip_are_one_file(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("[global]\ntimeout = 9\ncert = /old\n[install]\nuser = no\n", "utf-8")
    environment = {
        "PIP_CERT": "/new%20",
        "PIP_NO_INDEX": "1",
        "SSL_CERT_FILE": "/x",
    }
    made = ConfigParser(interpolation=None)
    made.read_string(buildah.pip_settings(environment, [str(tmp_path / "pip.conf"), "/none"]))
    assert dict(made["global"]) == {
        "timeout": "9", "cert": "/new%20", "no-index": "1"
    }  # fmt: skip
    assert dict(made["install"]) == {"user": "no"}


def test_a_buildah_that_fails_is_a_sentence_with_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "buildah"
    program.write_text("#!/bin/sh\necho 'Error: mounting: operation not permitted' >&2\nexit 125\n", "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    said = "buildah from ended with exit status 125 on this machine: Error: mounting: operation not permitted"
    with pytest.raises(IngestError, match=said):
        buildah.build(STAGES, ROOT, tmp_path, "amd64")


def test_without_buildah_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(sys, "argv", ["image_check", "--buildah"])
    assert image_check.main() == 2
    said = capsys.readouterr().err
    assert "buildah not found: apt-get install " in said


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs that say what they were called with, in the place of the image's."""
    folder = tmp_path_factory.mktemp("programs")
    for name in ("ingest", "dagster", "python"):
        (folder / name).write_text('#!/bin/sh\necho "${0##*/} $*"\n', "utf-8")
        (folder / name).chmod(0o755)
    return folder


def started(programs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    home = programs / "home"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").touch()
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "DAGSTER_HOME": str(home)}
    return subprocess.run(
        ["bash", str(ENTRYPOINT), *arguments], check=False, capture_output=True, text=True, env=environment
    )


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_a_command_that_there_is(role: str, programs: Path) -> None:
    ran = started(programs, role, *(["doctor"] if role == "job" else []), "--json")
    assert ran.stdout == f"ingest {ROLES[role]} --json\n"
    command = typer.main.get_command(app)
    assert ROLES[role] in command.commands  # type: ignore[attr-defined]


def test_what_dagster_launches_is_passed_on(programs: Path) -> None:
    ran = started(programs, "dagster", "api", "execute_run", "{}")
    assert ran.stdout == "dagster api execute_run {}\n"


def test_the_serverless_role_is_a_module_that_there_is(programs: Path) -> None:
    module = started(programs, "serverless").stdout.split()[-1]
    assert (ROOT / (module.replace(".", "/") + ".py")).exists()


@pytest.mark.parametrize("arguments", [(), ("sevre",), ("--help",)])
def test_a_role_that_there_is_not_is_a_sentence(arguments: tuple[str, ...], programs: Path) -> None:
    ran = started(programs, *arguments)
    assert ran.returncode == 2
    assert "all-in-one" in ran.stderr


def test_all_in_one_ends_when_one_of_them_does(tmp_path: Path) -> None:
    (tmp_path / "ingest").write_text('#!/bin/sh\n[ "$1" = serve ] && exit 7\nexec sleep 60\n', "utf-8")
    (tmp_path / "ingest").chmod(0o755)
    (tmp_path / "dagster.yaml").touch()
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "DAGSTER_HOME": str(tmp_path)}
    ran = subprocess.run(["bash", str(ENTRYPOINT), "all-in-one"], check=False, env=environment, timeout=30)
    assert ran.returncode == 7


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="only root may mount")
def test_what_is_mounted_below_is_never_removed(tmp_path: Path) -> None:
    """A build that was interrupted may leave a folder of this machine below its root."""
    others, made = tmp_path / "others", tmp_path / "made"
    (made / "dev" / "shm").mkdir(parents=True)
    others.mkdir()
    (others / "kept").touch()
    script = (
        "import subprocess, sys; from pathlib import Path; from tools.image_check.apart import remove\n"
        "subprocess.run(['mount', '--bind', sys.argv[1], sys.argv[2] + '/dev/shm'], check=True)\n"
        "try: remove(Path(sys.argv[2]))\n"
        "except Exception as error: print(error)\n"
    )
    apart = ["unshare", "--mount", "--propagation=private"]
    ran = subprocess.run(
        [*apart, sys.executable, "-c", script, str(others), str(made)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert "mounted below it" in ran.stdout
    assert (others / "kept").exists()
    remove(made)  # seen from here nothing is mounted
    assert not made.exists()
    assert (others / "kept").exists()


def test_a_bill_of_materials_is_what_is_locked_for_this_system() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    found = bill([lock])
    assert found == bill([lock])
    assert {each["name"] for each in found["components"]} >= {"dagster", "qdrant-client", "landlockpy"}
    assert "pywin32" not in {each["name"] for each in found["components"]}
    [dagster] = [each for each in found["components"] if each["name"] == "dagster"]
    assert f"dagster=={dagster['version']} " in lock
    assert all(f"--hash=sha256:{each['content']}" in lock for each in dagster["hashes"])
    json.dumps(found)


def test_a_package_without_a_hash_is_no_bill() -> None:
    with pytest.raises(ValueError, match="example is not pinned"):
        bill(["example==1.0\n"])


def test_what_the_image_adds_agrees_with_what_was_tested() -> None:
    tested: dict[str, set[str]] = {}
    for path in (ROOT / "requirements-dev.lock", ROOT / "requirements.lock"):
        for name, version in pins(path):
            tested.setdefault(name, set()).add(version)
    added = pins(FOLDER / "extras.lock") + pins(FOLDER / "build.lock")
    assert {"dagster-k8s", "runpod", "hatchling"} <= {name for name, _ in added}
    assert [each for each in added if each[1] not in tested.get(each[0], {each[1]})] == []


def pins(lock: Path) -> list[tuple[str, str]]:
    found = blocks(lock.read_text("utf-8"))
    assert all("--hash=sha256:" in block for block in found)
    pinned = [block.split()[0].partition("==") for block in found]
    return [(name, version) for name, _, version in pinned]
