"""From nothing to searchable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.processes import home, run


def measure(documents: int, seed: int, _repeat: int) -> dict[str, Any]:
    """One build: seconds by stage, rates, and peak memory. Once, because it is long enough to be steady."""
    with home(documents, seed) as folder:
        finished = run(folder, ["ingest_assets", "build", "--json"])
        assets = json.loads(finished.stdout)["assets"]
        size = {p.name: _size(p) for p in (folder / ".ingest").iterdir() if p.name != "dagster"}
    stages = {
        name: {
            "items": a["added"],
            "seconds": a["seconds"],
            "items_per_second": round(a["added"] / a["seconds"]),
        }
        for name, a in assets.items()
    }
    return {
        "documents": assets["crm/records"]["added"],
        "chunks": assets["crm/collection"]["added"],
        "seconds": finished.seconds,
        "documents_per_second": round(documents / finished.seconds),
        "peak_rss_mib": finished.peak_rss_mib,
        "peak_private_mib": finished.peak_private_mib,
        "stages": stages,
        "disk_mib": size,
    }


def _size(path: Path) -> float:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return round(sum(p.stat().st_blocks * 512 for p in files) / (1 << 20), 1)
