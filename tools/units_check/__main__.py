"""Install deploy/systemd as docs/operating.md says, in a root of its own, and try it under a real systemd.

    python -m tools.units_check                  # a few minutes
    python -m tools.units_check --folder /tmp/u  # keep what is made; what is there already is only tried

systemd is the first process of a container without a network (`systemd-nspawn`), with every unit and its
hardening. Needs root, and Debian's `mmdebstrap` and `systemd-container`. Exit status 1: something is wrong.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from ingest_assets.model import IngestError
from ingest_assets.terminal import complain, say
from tools.image_check.apart import apart, remove
from tools.units_check.guest import Guest
from tools.units_check.installed import install
from tools.units_check.trial import Trial

MADE = "made"  # a file beside the root that is whole


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="keep what is made here")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)  # in namespaces of its own
    asked = parser.parse_args()
    if os.geteuid() != 0:
        complain("units_check: it mounts file systems and starts a systemd: run it as root.")
        return 2
    if missing := [
        each for each in ("mmdebstrap", "systemd-nspawn", "unshare") if shutil.which(each) is None
    ]:
        complain(f"units_check: {', '.join(missing)} not found: apt-get install mmdebstrap systemd-container")
        return 2
    os.umask(0o022)
    if asked.inside:
        return _make_and_try(asked.folder)
    folder = asked.folder.absolute() if asked.folder else Path(tempfile.mkdtemp(prefix="units-check-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return apart("tools.units_check", "--inside", "--folder", str(folder))
    finally:
        if not asked.folder:
            remove(folder)


def _make_and_try(folder: Path) -> int:
    began = time.monotonic()
    root = folder / "root"
    try:
        if not (folder / MADE).exists():
            install(root)
            (folder / MADE).touch()
            say(f"made in {time.monotonic() - began:.0f} s")
        with Guest(root, folder / "console.log") as guest:
            for line in Trial(guest).all():
                say(f"ok  {line}")
    except IngestError as error:
        complain(f"units_check: {error}")
        return 1
    say(f"units_check: the units are right ({time.monotonic() - began:.0f} s).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
