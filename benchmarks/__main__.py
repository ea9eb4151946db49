"""`python -m benchmarks build|cache|confinement|embed|folder|jobs|…`: print figures, write JSON.

`entities`, `folder` and `jobs` have options of their own.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path

from benchmarks import (
    build,
    cache,
    confinement,
    embed,
    entities,
    folder,
    jobs,
    papers,
    papers_extraction,
    papers_merging,
    refresh,
    scale,
    search,
    serve,
    server,
    spool,
)

COMMANDS = {
    "build": build.measure,
    "cache": cache.measure,
    "confinement": confinement.measure,
    "embed": embed.measure,
    "papers": papers.measure,
    "papers_extraction": papers_extraction.measure,
    "papers_merging": lambda _documents, seed, repeat: papers_merging.measure(seed=seed, repeat=repeat),
    "refresh": refresh.measure,
    "scale": scale.measure,
    "search": search.measure,
    "serve": serve.measure,
    "spool": spool.measure,
}
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Run one benchmark."""
    for name, with_options in (
        ("entities", entities.main),
        ("folder", folder.main),
        ("jobs", jobs.main),
    ):
        if sys.argv[1:2] == [name]:
            with_options(sys.argv[2:])
            return
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--documents", type=int, default=20_000, help="records of the sample CRM (20,000)")
    parser.add_argument("--seed", type=int, default=1, help="of the sample CRM (1)")
    parser.add_argument("--repeat", type=int, default=5, help="runs whose median counts (5)")
    parser.add_argument(
        "--json", type=Path, help="where to write the figures (benchmarks/results/COMMAND.json)"
    )
    parser.add_argument("--store", help="build, search: the URL of a Qdrant server, which alone is measured")
    parser.add_argument("--postgres", action="store_true", help="scale: with the ledger on Postgres")
    options = parser.parse_args()
    if options.store and options.command == "build":
        figures = server.build(options.store, options.documents, options.seed)
    elif options.store and options.command == "search":
        figures = server.search(options.store, options.documents, options.seed, options.repeat)
    elif options.postgres and options.command == "scale":
        figures = scale.measure(options.documents, options.seed, options.repeat, on_postgres=True)
    else:
        figures = COMMANDS[options.command](options.documents, options.seed, options.repeat)
    figures = {"command": options.command, "machine": platform.machine(), **figures}
    target = options.json or RESULTS / f"{options.command}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
