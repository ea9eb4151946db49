"""Check that every dependency of the product has wheels for every platform that its users have.

Asks the registry that pip is set up for, through `uv pip compile` of the lock file, for each platform and
Python version, with building from source forbidden. Prints what is missing, with exit status 1.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

from ingest_assets.terminal import say

PLATFORMS = (
    "x86_64-manylinux_2_28",
    "aarch64-manylinux_2_28",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
)
# onnxruntime's wheels for Apple silicon begin at macOS 14.
ENVIRONMENT = os.environ | {"MACOSX_DEPLOYMENT_TARGET": "14.0"}
PYTHONS = ("3.11", "3.12", "3.13")
COMMAND = "-m uv pip compile requirements.lock --only-binary :all: --no-deps --quiet"


def main() -> int:
    """Print a line per platform and Python version; return the exit status."""
    failed = 0
    for platform, python in itertools.product(PLATFORMS, PYTHONS):
        arguments = [*COMMAND.split(), "--python-platform", platform, "--python-version", python]
        command = [sys.executable, *arguments]
        result = subprocess.run(command, check=False, capture_output=True, text=True, env=ENVIRONMENT)
        verdict = "every dependency has a wheel" if result.returncode == 0 else result.stderr.strip()
        say(f"{platform:<24} Python {python}: {verdict}")
        failed += result.returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
