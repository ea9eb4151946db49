"""Look for a history that breaks the property of `histories`, for as long as you like.

    python -m ingest_assets_tests.soak --seed 1 --minutes 10 [--engine server|embedded]

Prints the seed of each round; a history that breaks the property is shrunk and shown, and the exit status
is 1.
"""

from __future__ import annotations

import argparse
import time

from hypothesis import HealthCheck, given, seed, settings

from ingest_assets_tests.support.engines import Engines
from ingest_assets_tests.support.histories import Operation, histories, run_history, small_batches

ROUND = {"server": 100, "embedded": 25}


def soak(first: int, minutes: float, engine: str) -> int:
    """The number of histories that were tried."""
    engines = Engines(embedded=engine == "embedded")
    tried = 0

    def check(history: list[Operation]) -> None:
        nonlocal tried
        tried += 1
        run_history(engines, history)

    options = settings(
        max_examples=ROUND[engine],
        deadline=None,
        derandomize=False,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    end = time.monotonic() + minutes * 60
    number = first
    with small_batches():
        while time.monotonic() < end:
            print(f"seed {number}, {tried} histories so far", flush=True)  # noqa: T201 - a command: it prints
            seed(number)(options(given(histories)(check)))()
            number += 1
    engines.close()
    return tried


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--engine", choices=list(ROUND), default="server")
    given_ = parser.parse_args()
    print(f"{soak(given_.seed, given_.minutes, given_.engine)} histories, and the property held")  # noqa: T201 - a command: it prints


if __name__ == "__main__":
    main()
