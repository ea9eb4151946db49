"""A built index to start from: made once per test process by the real jobs, copied for each test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from ingest_assets.collection.files import copy_sparse
from ingest_assets.interfaces.cli.runs import Asked, RunReport, run_sources
from ingest_assets.settings import Settings, load_settings
from ingest_assets.sources.crm.sample import edit_sample, write_sample
from ingest_assets.stages.adoption import adopt
from ingest_assets.workbench import Workbench
from ingest_assets_tests.support.variables import fields

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS, SEED = 60, 5


@dataclass
class Home:
    """A CRM, an index and a Dagster instance in one folder, and the settings that name them."""

    path: Path
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def crm(self) -> Path:
        return self.path / "crm.sqlite"

    @property
    def dagster(self) -> Path:
        return self.path / "dagster"

    @property
    def user(self) -> Path:
        """Where other processes find their user's own files. Nothing of ours belongs there."""
        return self.path / "user"

    @property
    def overrides(self) -> dict[str, Any]:
        """For code in this process: the settings, by field name."""
        places = {
            "ingest_home": self.path / "ingest",
            "ingest_workspace_root": self.path / "workspace",
            "dagster_home": self.dagster,
            "crm_db_path": self.crm,
        }
        given = {name: str(value) for name, value in places.items()} | self.settings
        return {name: value for name, value in given.items() if value is not None}

    @property
    def env(self) -> dict[str, str]:
        """For other processes: an environment with these settings and no others."""
        mine = {name.upper(): str(value) for name, value in self.overrides.items()}
        outer = {key: value for key, value in os.environ.items() if key.lower() not in fields()}
        return outer | {"HOME": str(self.user)} | mine

    def with_settings(self, **settings: Any) -> Home:
        """The same folder, other settings."""
        return Home(self.path, self.settings | settings)

    def load(self) -> Settings:
        return load_settings(**self.overrides)

    def bench(self) -> Workbench:
        return Workbench(self.load())

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        with dg.DagsterInstance.from_config(str(self.dagster)) as instance:
            yield instance

    def edit(self, seed: int = 1, *, changes: int = 0, deletes: int = 0, inserts: int = 0) -> list[str]:
        return edit_sample(self.crm, seed, changes=changes, deletes=deletes, inserts=inserts)

    def refresh(self, *, retry_parked: bool = False) -> RunReport:
        asked = Asked(retry_parked=retry_parked)
        return run_sources(self.load(), sources=["crm"], asked=asked, overrides=self.overrides)

    def build(self) -> RunReport:
        asked = Asked(rebuild=True, retry_parked=True)
        return run_sources(self.load(), sources=["crm"], asked=asked, overrides=self.overrides)

    def copy(self, target: Path) -> Home:
        """As after a move to another folder."""
        shutil.copytree(self.path, target, copy_function=_copied)
        moved = Home(target, dict(self.settings))
        if "crm_db_path" in moved.overrides:
            with moved.bench() as bench:
                adopt(bench, "crm")
        return moved


def _copied(source: str, target: str) -> None:
    """As shutil.copy2, but the holes of the engine's files stay holes."""
    copy_sparse(Path(source), Path(target))
    shutil.copystat(source, target)


def new_home(path: Path, documents: int = DOCUMENTS, seed: int = SEED) -> Home:
    """A folder with a CRM and a Dagster instance like the product's, and no index yet."""
    home = Home(path)
    home.dagster.mkdir(parents=True)
    shutil.copy(ROOT / "dagster.yaml", home.dagster)
    write_sample(home.crm, documents, seed)
    return home


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def everything(self) -> str:
        return self.out + self.err


def command(*arguments: str | bytes) -> list[str | bytes]:
    """`ingest …` as an argument list."""
    return [sys.executable, "-m", "ingest_assets", *arguments]


def ingest(
    home: Home, *arguments: str | bytes, cwd: Path | None = None, env: dict[str, str] | None = None
) -> Said:
    """Run `ingest …` in a process of its own. It never ends in a traceback, whatever it is given."""
    said = run_command(command(*arguments), home, cwd=cwd, env=env)
    assert "Traceback" not in said.everything, said.everything
    return said


def run_command(
    arguments: Sequence[str | bytes],
    home: Home,
    *,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    timeout_s: float = 100,
) -> Said:
    result = subprocess.run(
        arguments,
        check=False,
        capture_output=True,
        env=home.env | (env or {}),
        cwd=cwd or home.path,
        timeout=timeout_s,
    )
    encoding = (env or {}).get("PYTHONIOENCODING", "utf-8")
    return Said(result.returncode, result.stdout.decode(encoding), result.stderr.decode(encoding))
