"""A fresh home with a sample CRM, and commands run in it with their time and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from ingest_assets.sources.crm.sample import write_sample
from ingest_assets.sources.crm.settings import SAMPLE

SAMPLE_EVERY_S = 0.05
MIB = 1 << 20


@dataclass(frozen=True)
class Finished:
    """One process that succeeded. Memory in MiB, of the process and its children together."""

    seconds: float
    peak_rss_mib: float  # with pages of mapped files, which the system may reclaim
    peak_private_mib: float  # without them
    stdout: str


@contextmanager
def home(documents: int, seed: int) -> Iterator[Path]:
    """A folder with a sample CRM where `ingest` finds it."""
    with tempfile.TemporaryDirectory(prefix="ingest-benchmark-") as folder:
        (Path(folder) / ".ingest").mkdir()
        write_sample(Path(folder) / ".ingest" / SAMPLE, documents, seed)
        yield Path(folder)


def run(folder: Path, arguments: Sequence[str], settings: Mapping[str, str] | None = None) -> Finished:
    """Run `python -m ARGUMENTS` in the folder. Raises CalledProcessError when it fails."""
    command = [sys.executable, "-m", *arguments]
    began = time.perf_counter()
    with started(folder, command, settings) as process:
        rss, private = _watch(psutil.Process(process.pid), process)
        stdout = process.stdout.read() if process.stdout else ""
    seconds = time.perf_counter() - began
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stdout)
    return Finished(round(seconds, 3), round(rss / MIB, 1), round(private / MIB, 1), stdout)


def started(
    folder: Path, command: Sequence[str], settings: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a command in the folder; its output can be read."""
    repository = str(Path(__file__).parents[1])
    # Bytecode is kept, as in a user's installation; some build machines forbid it.
    ordinary = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = ordinary | {"PYTHONPATH": repository, "DAGSTER_HOME": str(folder / ".ingest" / "dagster")}
    environment |= settings or {}
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE)


def _watch(watched: psutil.Process, process: subprocess.Popen[str]) -> tuple[int, int]:
    rss = private = 0
    while process.poll() is None:
        try:
            family = [watched, *watched.children(recursive=True)]
            memory = [member.memory_info() for member in family]
        except psutil.NoSuchProcess:
            continue
        rss = max(rss, sum(m.rss for m in memory))
        private = max(private, sum(m.rss - getattr(m, "shared", 0) for m in memory))
        # Reports are a few kilobytes, less than a pipe holds, so the process never waits for us.
        time.sleep(SAMPLE_EVERY_S)
    return rss, private
