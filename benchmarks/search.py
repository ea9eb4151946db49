"""How long a query takes in a process that keeps its models, one query at a time."""

from __future__ import annotations

import statistics
from random import Random
from typing import Any

from benchmarks.processes import home, run
from ingest_assets.queries.search import MODES, Searcher
from ingest_assets.settings import Settings
from ingest_assets.workbench import Workbench

QUERIES = 200
# fmt: off
WORDS = [
    "renewal", "price", "contract", "outage", "invoice", "migration", "onboarding", "security",
    "review", "delivery", "late", "licence", "discount", "meeting", "server", "backup", "password",
    "training", "hiring", "quarter", "budget", "signature", "storage", "truck",
]
# fmt: on


def measure(documents: int, seed: int, repeat: int) -> dict[str, Any]:
    """Milliseconds per query by mode: median and 95th percentile of 200 queries, `repeat` times over."""
    rng = Random(seed)  # noqa: S311 - for queries, not for secrets
    queries = [" ".join(rng.sample(WORDS, rng.randint(2, 6))) for _ in range(QUERIES)]
    with home(documents, seed) as folder:
        run(folder, ["ingest_assets", "build", "--json"])
        settings = Settings(ingest_home=folder / ".ingest", _env_file=None)
        with Workbench(settings) as bench:
            searcher = Searcher(bench, "crm")
            figures = {}
            for mode in MODES:
                searcher.search(queries[0], mode=mode)
                took = [searcher.search(q, mode=mode).took_ms for _ in range(repeat) for q in queries]
                cuts = statistics.quantiles(took, n=20)
                figures[mode] = {"median_ms": round(cuts[9], 2), "p95_ms": round(cuts[18], 2)}
    return {"documents": documents, "queries": QUERIES * repeat, "modes": figures}
