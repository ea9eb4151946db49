"""`python -m benchmarks serve`: hybrid searches over HTTP by many clients at once.

Each client keeps one connection and sends its next query when it has an answer. They run in a process that
does as little as possible: the server is what is measured, though both share the machine.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from benchmarks.processes import home, run
from benchmarks.search import WORDS

CLIENTS = (1, 16)
SECONDS = 10.0
STARTED_WITHIN_S = 60


def measure(documents: int, seed: int, _repeat: int) -> dict[str, Any]:
    """Requests per second, and milliseconds: median and 95th percentile, for each number of clients."""
    with home(documents, seed) as folder:
        run(folder, ["ingest_assets", "build", "--json"])
        return {"documents": documents, **of_home(folder, seed)}


def of_home(folder: Path, seed: int) -> dict[str, Any]:
    """The figures for an existing index."""
    with server(folder) as port:
        _load(port, seed, clients=4, seconds=3)  # so that both search processes open the index
        return {
            f"{clients}_clients": _load(port, seed, clients, SECONDS) | {"clients": clients}
            for clients in CLIENTS
        }


@contextmanager
def server(folder: Path, **settings: str) -> Iterator[int]:
    """`ingest serve` in a folder, with these settings besides; gives its port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "INGEST_HTTP_PORT": str(port),
        "INGEST_HTTP_RATE_PER_S": "100000",  # per address, which all clients share here
        **settings,
    }
    command = [sys.executable, "-m", "ingest_assets", "serve", "--json"]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_until_it_answers(process, port)
            yield port
        finally:
            process.terminate()


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)  # it is starting
        else:
            return
    raise TimeoutError(f"`ingest serve` did not answer within {STARTED_WITHIN_S} s.")


def _load(port: int, seed: int, clients: int, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.serve", *map(str, (port, seed, clients, seconds))]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _clients(port: int, seed: int, clients: int, seconds: float) -> dict[str, Any]:
    took: list[float] = []
    errors: list[int] = []
    end = time.perf_counter() + seconds

    def ask(number: int) -> None:
        rng = Random(seed * 1_000 + number)  # noqa: S311 - for queries, not for secrets
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while (started := time.perf_counter()) < end:
            connection.request("GET", f"/search?query={quote(' '.join(rng.sample(WORDS, 4)))}")
            answer = connection.getresponse()
            answer.read()
            took.append((time.perf_counter() - started) * 1_000)
            if answer.status != HTTPStatus.OK:
                errors.append(answer.status)
        connection.close()

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(ask, range(clients)))  # raises what a client raised
    cuts = statistics.quantiles(took, n=20)
    return {
        "requests_per_s": round(len(took) / (time.perf_counter() - began), 1),
        "median_ms": round(cuts[9], 1),
        "p95_ms": round(cuts[18], 1),
        "errors": len(errors),
    }


if __name__ == "__main__":
    port, seed, clients = (int(each) for each in sys.argv[1:4])
    json.dump(_clients(port, seed, clients, float(sys.argv[4])), sys.stdout)
