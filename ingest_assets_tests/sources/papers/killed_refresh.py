"""A refresh of papers in a process of its own, which is killed when it has replaced or removed N files."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

EVENTS = ("os.rename", "os.remove")


def main(home: str, deaths_at: str) -> None:
    from ingest_assets_tests.sources.papers.paper_bench import PaperBench
    from ingest_assets_tests.sources.papers.small_benches import refresh

    left = int(deaths_at)

    def count(event: str, _arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in EVENTS:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    with PaperBench(Path(home)) as bench:
        sys.addaudithook(count)
        refresh(bench)


if __name__ == "__main__":
    main(*sys.argv[1:])
