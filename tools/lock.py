"""Make the lock files: exact versions with hashes for every platform, without any registry's address.

requirements.lock holds what runs, requirements-dev.lock what `make` installs: that and the tools. For the
image, deploy/image/extras.lock holds what its roles need beside the first, and build.lock what makes the
project's wheel.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from ingest_assets.terminal import say

COMMAND = "uv pip compile --universal --python-version 3.11 --generate-hashes --no-header"
QUIET = "--no-emit-index-url --no-emit-find-links --no-annotate --quiet"
HEADER = "# Made by `make lock` from pyproject.toml. Do not edit.\n"


IMAGE = Path("deploy/image")
# Optional dependencies that every image has.
IMAGE_EXTRAS = ("celery", "kubernetes", "runpod", "tracing")


def main() -> None:
    """Write all files."""
    _write(Path("requirements-dev.lock"), _compiled("pyproject.toml --extra dev"))
    # What runs has the versions that were tested.
    tested = "--constraint requirements-dev.lock"
    runs = _compiled(f"pyproject.toml {tested}")
    _write(Path("requirements.lock"), runs)
    known = set(blocks(runs))
    extras = _compiled(f"pyproject.toml {tested} {' '.join(f'--extra {name}' for name in IMAGE_EXTRAS)}")
    _write(IMAGE / "extras.lock", "".join(each for each in blocks(extras) if each not in known))
    pyproject = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    builders = "\n".join(pyproject["build-system"]["requires"])
    _write(IMAGE / "build.lock", _compiled(f"- {tested}", builders))


def blocks(lock: str) -> list[str]:
    """A package each: its version, marker and hashes."""
    return re.findall(r"^[^\s#].*\n(?:[ \t]+.*\n)*", lock, re.MULTILINE)


def _compiled(what: str, given: str | None = None) -> str:
    arguments = f"-m {COMMAND} {QUIET} {what}".split()
    result = subprocess.run(
        [sys.executable, *arguments], check=True, capture_output=True, text=True, input=given
    )
    return result.stdout


def _write(path: Path, lock: str) -> None:
    path.write_text(HEADER + lock, encoding="utf-8")
    say(f"{path} {len(blocks(lock))} packages")


if __name__ == "__main__":
    main()
