"""What a refresh costs beyond an empty Dagster job of the same shape.

The empty job is run twice: in an ordinary process, and in one whose garbage collector is tuned as that of
`ingest` is, which makes Dagster itself faster. What a refresh costs is the difference from the second.
"""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.processes import Finished, home, run
from ingest_assets.sources.crm.sample import edit_sample
from ingest_assets.sources.crm.settings import SAMPLE

REFRESH = ["ingest_assets", "refresh", "--json"]
EMPTY = ["benchmarks.empty_job"]
TUNED = [*EMPTY, "--tuned"]


def measure(documents: int, seed: int, repeat: int) -> dict[str, Any]:
    """Medians over `repeat` rounds of: the empty job, nothing changed, one record, 1 % of the records."""
    rounds: dict[str, list[Finished]] = {
        "empty_job": [],
        "empty_job_tuned": [],
        "unchanged": [],
        "one_record": [],
        "one_percent": [],
    }
    with home(documents, seed) as folder:
        crm = folder / ".ingest" / SAMPLE
        run(folder, ["ingest_assets", "build", "--json"])
        run(folder, EMPTY)
        for i in range(repeat):
            rounds["empty_job"].append(run(folder, EMPTY))
            rounds["empty_job_tuned"].append(run(folder, TUNED))
            rounds["unchanged"].append(run(folder, REFRESH))
            edit_sample(crm, seed + i, changes=1, deletes=0, inserts=0)
            rounds["one_record"].append(run(folder, REFRESH))
            edit_sample(crm, seed + 1_000 + i, changes=documents // 100, deletes=0, inserts=0)
            rounds["one_percent"].append(run(folder, REFRESH))
    seconds = {name: statistics.median(f.seconds for f in each) for name, each in rounds.items()}
    beyond, beyond_tuned = (_beyond(seconds, empty) for empty in ("empty_job", "empty_job_tuned"))
    return {
        "documents": documents,
        "repeat": repeat,
        "seconds": seconds,
        "seconds_beyond_empty_job": beyond,
        "seconds_beyond_empty_job_tuned": beyond_tuned,
        "unchanged_ms_per_document": round(beyond_tuned["unchanged"] * 1000 / documents, 4),
        "peak_rss_mib": max(f.peak_rss_mib for each in rounds.values() for f in each),
    }


def _beyond(seconds: dict[str, float], empty: str) -> dict[str, float]:
    return {name: round(value - seconds[empty], 3) for name, value in seconds.items()}
