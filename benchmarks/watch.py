"""Seconds from a batch's rename into `incoming` until it is found, while `ingest watch` runs.

python -m benchmarks.watch [--batches 20]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ingest_assets.queries.search import Searcher
from ingest_assets.settings import load_settings
from ingest_assets.sources.spool import write_batch
from ingest_assets.sources.spool.places import Spool
from ingest_assets.workbench import Workbench

RECORDS = 10
POLL_S = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batches", type=int, default=20)
    batches = parser.parse_args().batches
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ |= {"SPOOL_DIR": str(Path(folder) / "spool"), "SPOOL_MIN_FILES": "1"}
        Spool(Path(folder) / "spool").prepare()
        # The first run builds the collection, and is not counted.
        write_batch("spool", [{"text": "Whatever comes first."}], source="desk")
        subprocess.run(
            [sys.executable, "-m", "ingest_assets", "refresh", "--source", "spool"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        with subprocess.Popen(
            [sys.executable, "-m", "ingest_assets", "watch", "--source", "spool"]
        ) as process:
            time.sleep(5)
            took = [measured(number) for number in range(-2, batches)][2:]
            process.terminate()
    took.sort()
    last = took[int(len(took) * 0.95) - 1]
    print(
        f"{len(took)} batches of {RECORDS} records: median {statistics.median(took):.2f} s, 95th {last:.2f} s"
    )


def measured(number: int) -> float:
    """One batch's; the first two find a process that has not run yet."""
    word = f"parcel{number + 10:04}"
    texts = [{"text": f"The {word} came late, says customer {each}."} for each in range(RECORDS)]
    write_batch("spool", texts, source="desk")
    renamed = time.perf_counter()
    with Workbench(load_settings()) as bench:
        searcher = Searcher(bench, "spool")
        while not any(word in hit.text for hit in searcher.search(word, mode="sparse", limit=1).hits):
            time.sleep(POLL_S)
    return time.perf_counter() - renamed


if __name__ == "__main__":
    main()
