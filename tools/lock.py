"""Make the lock files: exact versions with hashes for every platform, without any registry's address.

requirements.lock holds what runs, requirements-dev.lock what `make` installs: that and the tools.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ingest_assets.terminal import say

COMMAND = "uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header"
QUIET = "--no-emit-index-url --no-emit-find-links --no-annotate --quiet"
HEADER = "# Made by `make lock` from pyproject.toml. Do not edit.\n"


def main() -> None:
    """Write both files."""
    for output, extra in (("requirements-dev.lock", "--extra dev"), ("requirements.lock", "")):
        # What runs has the versions that were tested.
        constraint = "" if extra else "--constraint requirements-dev.lock"
        arguments = f"-m {COMMAND} {QUIET} {extra} {constraint}".split()
        result = subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True)
        Path(output).write_text(HEADER + result.stdout, encoding="utf-8")
        say(f"{output} {result.stdout.count('==')} packages")


if __name__ == "__main__":
    main()
