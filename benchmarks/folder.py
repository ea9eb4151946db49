"""`python -m benchmarks folder [--files 10000]`: a folder that people work in.

Seconds from a save to when a search finds it, while `ingest watch` runs on a folder of many files; and what
looking at the folder takes when nothing has changed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ingest_assets.queries.search import Searcher
from ingest_assets.settings import load_settings
from ingest_assets.sources.repositories.kept import repositories_of
from ingest_assets.workbench import Workbench

POLL_S = 0.05
IN_ONE_FOLDER = 100
SCANS = 5


def main(arguments: list[str] | None = None) -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--saves", type=int, default=10)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as made:
        os.chdir(home)
        root = Path(made).resolve()
        for number in range(options.files):
            write(root, number, f"aggregate{number}")
        print(json.dumps(measured(root, options.files, options.saves), indent=2))


def write(root: Path, number: int, word: str) -> None:
    """Saved as editors do: another file is renamed to it."""
    folder = root / f"package{number // IN_ONE_FOLDER:03}"
    folder.mkdir(exist_ok=True)
    new = folder / f".m{number}.swp"
    new.write_text(f'"""Module {number}."""\n\n\ndef {word}(amount):\n    return amount + {number}\n')
    new.replace(folder / f"m{number}.py")


def measured(root: Path, files: int, saves: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "ingest_assets", "watch", str(root), "--json"]
    figures: dict[str, Any] = {"files": files, "load before": round(os.getloadavg()[0], 1)}
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            figures["first run, s"] = round(time.monotonic() - began, 1)
            # The first two find a process that has not followed a change yet.
            took = [saved(root, number, files) for number in range(-2, saves)][2:]
        finally:
            process.terminate()
            process.stdout.read()
    figures["save to searchable, s"] = summary(took)
    return figures | {"unchanged": scans(root)}


def saved(root: Path, number: int, files: int) -> float:
    """From a save until it is found."""
    word = f"parcel{number + 10:04}"
    with Workbench(load_settings()) as bench:
        searcher = Searcher(bench, "repositories")
        searcher.search(word, mode="sparse", limit=1)
        write(root, (number * 977) % files, word)
        began = time.perf_counter()
        while not any(word in hit.text for hit in searcher.search(word, mode="sparse", limit=1).hits):
            time.sleep(POLL_S)
        return time.perf_counter() - began


def scans(root: Path) -> dict[str, Any]:
    """Of the unchanged folder: with the confined process that reads it, and without."""
    confined, alone, cpu = [], [], []
    with Workbench(load_settings()) as bench:
        watched = repositories_of(bench).watched(root)
        watched.state()
        for _ in range(SCANS):
            began = time.perf_counter()
            watched.state()
            confined.append(time.perf_counter() - began)
            tree = watched.source().origin
            began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
            with tree.read() as items:
                count = sum(1 for _ in items)
            alone.append(time.perf_counter() - began)
            cpu.append(_cpu(resource.getrusage(resource.RUSAGE_SELF)) - _cpu(used))
    return {
        "scan, s": summary(confined),
        "scan without its process, s": summary(alone),
        "of which processor time, s": summary(cpu),
        "documents": count,
    }


def _cpu(used: resource.struct_rusage) -> float:
    return used.ru_utime + used.ru_stime


def summary(seconds: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(seconds), 2), "most": round(max(seconds), 2)}


if __name__ == "__main__":
    main()
