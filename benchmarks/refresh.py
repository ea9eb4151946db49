"""What a refresh costs beyond an empty Dagster job of the same shape."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.processes import Finished, home, run
from ingest_assets.settings import SAMPLE_CRM
from ingest_assets.sources.crm.sample import edit_sample

REFRESH = ["ingest_assets", "refresh", "--json"]
EMPTY = ["benchmarks.empty_job"]


def measure(documents: int, seed: int, repeat: int) -> dict[str, Any]:
    """Medians over `repeat` rounds of: the empty job, nothing changed, one record, 1 % of the records."""
    rounds: dict[str, list[Finished]] = {
        "empty_job": [],
        "unchanged": [],
        "one_record": [],
        "one_percent": [],
    }
    with home(documents, seed) as folder:
        crm = folder / ".ingest" / SAMPLE_CRM
        run(folder, ["ingest_assets", "build", "--json"])
        run(folder, EMPTY)
        for i in range(repeat):
            rounds["empty_job"].append(run(folder, EMPTY))
            rounds["unchanged"].append(run(folder, REFRESH))
            edit_sample(crm, seed + i, changes=1, deletes=0, inserts=0)
            rounds["one_record"].append(run(folder, REFRESH))
            edit_sample(crm, seed + 1_000 + i, changes=documents // 100, deletes=0, inserts=0)
            rounds["one_percent"].append(run(folder, REFRESH))
    seconds = {name: statistics.median(f.seconds for f in each) for name, each in rounds.items()}
    beyond = {name: round(value - seconds["empty_job"], 3) for name, value in seconds.items()}
    return {
        "documents": documents,
        "repeat": repeat,
        "seconds": seconds,
        "seconds_beyond_empty_job": beyond,
        "unchanged_ms_per_document": round(beyond["unchanged"] * 1000 / documents, 4),
        "peak_rss_mib": max(f.peak_rss_mib for each in rounds.values() for f in each),
    }
