"""Folders on disk for tests, what is read of them, and git to compare with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from ingest_assets.model import SourceItem
from ingest_assets.sources.repositories.hints import Clock
from ingest_assets.sources.repositories.origin import Origin
from ingest_assets.sources.repositories.working_tree import Folder, WorkingTree

HOUR_NS = 3_600 * 10**9


def folder_at(root: Path, kept_in: Path | None = None) -> Folder:
    root.mkdir(parents=True, exist_ok=True)
    return Folder(Origin("local/x", "x", path=root.resolve()), (), kept_in or root.parent / "kept")


def write(root: Path, path: str, content: str | bytes, age_ns: int = HOUR_NS) -> Path:
    """A file that was last modified long enough ago that its time says something."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    at = Clock.now().wall_ns - age_ns
    os.utime(file, ns=(at, at))
    return file


def items(tree: WorkingTree) -> dict[str, SourceItem]:
    tree.grants()
    with tree.read() as found:
        return {item.id: item for item in found}


def state(folder: Folder, **options: Any) -> dict[str, tuple[str, str]]:
    """Digest and text of every document."""
    tree = WorkingTree("repositories", folder, **options)
    tree.grants()
    with tree.read() as found:
        return {item.id: (item.digest, item.render().body) for item in found}


def read_files(folder: Folder) -> int:
    tree = WorkingTree("repositories", folder)
    items(tree)
    return tree.read_files


def skipped(folder: Folder, **options: Any) -> dict[str, tuple[str, str]]:
    tree = WorkingTree("repositories", folder, **options)
    items(tree)
    return {skip.id: (skip.reason, skip.detail) for skip in tree.skipped}


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.com", *arguments]
    environment = {"HOME": str(root.parent), "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"]}
    return subprocess.run(
        command, cwd=root, env=environment, check=True, capture_output=True, text=True
    ).stdout


NAMES = st.sampled_from(["a.py", "b.md", "log", "keep", "x"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
PATTERNS = st.sampled_from(
    ["*.py", "!a.py", "/x", "x/", "log", "!log", "keep/b.md", "**/x/a.py", "# x", "b.*", "!keep/", "\\!x"]
)
