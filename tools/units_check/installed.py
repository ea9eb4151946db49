"""A root file system in which the program and its units are installed by the commands that the manual gives.

What belongs here: making it. What does not: starting it (`guest`).
"""

from __future__ import annotations

import platform
import re
import subprocess
from pathlib import Path

from ingest_assets.model import IngestError
from tools.image_check.apart import CHECKOUT
from tools.image_check.rootfs import ARCHITECTURES, base, run, this_machine

MANUAL = CHECKOUT / "docs" / "operating.md"
SUITE = "bookworm"
# A machine that has systemd, and what asks the services how they are.
PACKAGES = ("systemd", "systemd-sysv", "dbus", "python3", "python3-venv", "curl", "ca-certificates")
SETTINGS = "/etc/ingest/ingest.env"
STATE = "/var/lib/ingest"
# As an operator would set them; the rest is as .env.example has it.
CHOSEN = {
    "INGEST_HOME": f"{STATE}/home",
    "DAGSTER_HOME": f"{STATE}/dagster",
    "CRM_DB_PATH": f"{STATE}/crm.sqlite",
    "SPOOL_DIR": f"{STATE}/spool",
    "INGEST_WORKSPACE_ROOT": f"{STATE}/papers",
    # Who comes first: the schedule and the sensor have a sample CRM indexed, the spool is tried by itself.
    "SPOOL_MIN_FILES": "1",
}


def commands(manual: str) -> list[str]:
    """The commands of the first indented block below "With systemd". Raises IngestError if there is none."""
    found = re.search(r"^## With systemd\n(?:[^ #\n].*\n|\n)+((?:    .*\n)+)", manual, re.MULTILINE)
    if found is None:
        raise IngestError(f"{MANUAL} has no commands below 'With systemd'.")
    return [line.strip() for line in found[1].splitlines()]


def install(root: Path) -> None:
    """Make the root at this path. Raises IngestError if a step fails."""
    names = {machine: name for name, machine in ARCHITECTURES.items()}
    base(f"debian:{SUITE}-slim", root, names[platform.machine()], PACKAGES)
    source = root / "source"
    source.mkdir()
    # What git knows of, as it is in the working tree.
    pack = f"git ls-files -z | tar -c --null --no-recursion --files-from=- | tar -x -C {source}"
    subprocess.run(["bash", "-o", "pipefail", "-c", pack], cwd=CHECKOUT, check=True)
    with this_machine(root) as environment:
        script = "\n".join(("set -eux", "cd /source", *commands(MANUAL.read_text(encoding="utf-8"))))
        run(["chroot", str(root), "/bin/sh", "-c", script], environment)
    _repository(root, root / STATE.lstrip("/") / "repository")
    with (root / SETTINGS.lstrip("/")).open("a", encoding="utf-8") as file:
        file.writelines(f"{name}={value}\n" for name, value in CHOSEN.items())


def _repository(root: Path, folder: Path) -> None:
    """A small git repository with one commit, of the service's user."""
    folder.mkdir()
    (folder / "greeting.py").write_text(
        'def greeting(name):\n    """Say hello."""\n    return f"Hello {name}"\n'
    )
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    for words in (["init", "--quiet"], ["add", "."], [*who, "commit", "--quiet", "--message=A greeting"]):
        run(["git", "-C", str(folder), *words])
    run(["chroot", str(root), "chown", "--recursive", "ingest:ingest", f"{STATE}/repository"])
