"""Two builds are told apart, and one is the same wherever it is installed; the version is no release's."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path

from packaging.version import Version

import ingest_assets
from ingest_assets_tests.support.built_index import ROOT

PACKAGE = Path(ingest_assets.__file__).parent
SAYS = "from ingest_assets.build_id import build_id; print(build_id())"


def _copy(folder: Path, *, more: str = "") -> Path:
    (folder / PACKAGE.name).mkdir(parents=True)
    for name in ("__init__.py", "build_id.py"):
        shutil.copy(PACKAGE / name, folder / PACKAGE.name)
    (folder / PACKAGE.name / "more.py").write_text(more, "utf-8")
    return folder


def _installed(folder: Path) -> Path:
    """As an installer records it."""
    about = folder / "ingest_assets-9.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: ingest-assets\nVersion: 9\n", "utf-8")
    rows = [f"../../bin/ingest,sha256={folder.name},200", f"{PACKAGE.name}/__pycache__/more.pyc,,"]
    for file in (folder / PACKAGE.name).glob("*.py"):
        digest = urlsafe_b64encode(sha256(file.read_bytes()).digest()).decode().rstrip("=")
        rows.append(f"{PACKAGE.name}/{file.name},sha256={digest},{file.stat().st_size}")
    (about / "RECORD").write_text("\n".join(rows), "utf-8")
    return folder


def _id_of(folder: Path) -> str:
    said = subprocess.run(
        [sys.executable, "-c", SAYS],
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"[0-9a-f]{8}\n", said.stdout)
    return said.stdout


def test_builds_are_told_apart_by_their_code(tmp_path: Path) -> None:
    one, same = _id_of(_copy(tmp_path / "a")), _id_of(_copy(tmp_path / "b"))
    changed = _id_of(_copy(tmp_path / "c", more="more = 1"))
    assert one == same
    assert changed != one
    # Installed, it is told by what the installer recorded of the modules, and of nothing else.
    installed, elsewhere = (_id_of(_installed(_copy(tmp_path / name))) for name in ("d", "e"))
    assert installed == elsewhere
    assert _id_of(_installed(_copy(tmp_path / "f", more="more = 1"))) != installed


def test_the_version_is_later_than_every_release() -> None:
    released = re.findall(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert released
    assert Version(ingest_assets.__version__) > max(map(Version, released))
