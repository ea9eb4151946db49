"""Runs a tool where its mounts are seen by nobody else, and removes what it made.

What belongs here: namespaces and removal. What does not: what is mounted and made.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ingest_assets.model import IngestError

CHECKOUT = Path(__file__).resolve().parents[2]


def apart(module: str, *arguments: str) -> int:
    """Run a module in namespaces of its own, and end with it, however either ends; its exit status.

    Folders of this machine are mounted below what is made (mmdebstrap shows it /dev/shm and /sys): were they
    left behind, whoever removes the folder would remove what is in them.
    """
    bound = ["setpriv", "--pdeathsig=KILL"]
    spaces = [
        "unshare",
        "--mount",
        "--propagation=private",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]
    whole = [*bound, *spaces, sys.executable, "-m", module, *arguments]
    return subprocess.run(whole, check=False, cwd=CHECKOUT).returncode


def remove(folder: Path) -> None:
    """Remove what was made, and nothing that is mounted below it. Raises IngestError if something is."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text("utf-8").splitlines()]
    if below := [each for each in mounted if Path(each).is_relative_to(folder.resolve())]:
        raise IngestError(
            f"{folder} is left as it is, because these are mounted below it: {', '.join(below)}"
        )
    subprocess.run(["rm", "-r", "--one-file-system", str(folder)], check=True)
