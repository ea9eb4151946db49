"""Where the data lies that tests may use and the product does not ship."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared_dir(*parts: str) -> Path:
    """A path in the folder `shared` beside the repository.

    Where it is absent the test is skipped, except in continuous integration, where it fails: there a missing
    folder is a mistake.
    """
    path = Path(__file__).resolve().parents[2].joinpath("shared", *parts)
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{path} is absent")
        pytest.skip(f"{path} is absent")
    return path
