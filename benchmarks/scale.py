"""Whether a large index is built as fast, by item, as a small one: the rates of its stages at two sizes."""

from __future__ import annotations

import resource
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from benchmarks.embed import postgres
from benchmarks.processes import home
from ingest_assets.ledger import tables
from ingest_assets.reconcile import reconcile
from ingest_assets.settings import Settings
from ingest_assets.sources.crm.definition import SOURCE as CRM
from ingest_assets.workbench import Workbench

TIMES = 10  # as large
WARM_UP = 500  # documents
UNMEASURED = ("match_models", "entities")  # they have benchmarks of their own
ALIKE = 0.8  # of its rate at the small size, at least, a stage should have at the large one


def measure(documents: int, seed: int, _repeat: int, *, on_postgres: bool = False) -> dict[str, Any]:
    """A tenth of the documents, then all of them, each from scratch, in one process and without Dagster.

    People and organisations are not matched. `on_postgres`: with ledgers of a server that is started for it.
    The time of processors is that of all processes, the server's too.
    """
    _built(WARM_UP, seed, on_postgres=on_postgres)  # models are loaded, libraries imported
    sizes = [_built(each, seed, on_postgres=on_postgres) for each in (documents // TIMES, documents)]
    ratios = {}
    for figure in ("items_per_second", "items_per_cpu_second"):
        small, large = (each[figure] for each in sizes)
        ratios[figure] = {stage: round(large[stage] / small[stage], 2) for stage in small}
    slower = [stage for stage, ratio in ratios["items_per_second"].items() if ratio < ALIKE]
    ledger = "postgres" if on_postgres else "sqlite"
    return {"ledger": ledger, "sizes": sizes, "ratios": ratios, "slower": slower}


def _built(documents: int, seed: int, *, on_postgres: bool) -> dict[str, Any]:
    with (
        home(documents, seed) as folder,
        postgres() if on_postgres else nullcontext() as url,
        _bench(folder, url) as bench,
    ):
        server = _server(bench) if on_postgres else None
        rates, seconds, by_cpu, chunks = {}, {}, {}, 0
        for stage in CRM.stage_names:
            began, used = time.perf_counter(), _cpu_s(server)
            outcomes = reconcile(bench.stage("crm", stage), bench.ledger, bench.run())
            took = time.perf_counter() - began
            if stage == CRM.documents:
                _identify_nobody(bench)
            if stage not in UNMEASURED:
                chunks = outcomes.added
                seconds[stage] = round(took, 1)
                rates[stage] = round(outcomes.added / took)
                by_cpu[stage] = round(outcomes.added / (_cpu_s(server) - used))
        return {
            "documents": documents,
            "chunks": chunks,
            "seconds": seconds,
            "items_per_second": rates,
            "items_per_cpu_second": by_cpu,
        }


def _cpu_s(server: psutil.Process | None) -> float:
    """Of this process, a database server, and the children of both. What else runs hardly changes it."""
    spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    own = sum(each.ru_utime + each.ru_stime for each in spent)
    if server is None:
        return own
    ended = server.cpu_times()
    running = (each.cpu_times() for each in server.children())
    return (
        own + ended.children_user + ended.children_system + sum(each.user + each.system for each in running)
    )


def _server(bench: Workbench) -> psutil.Process:
    """The process whose children serve the ledger's connections."""
    with bench.ledger.reading() as connection:
        serving = connection.scalar(sa.text("SELECT pg_backend_pid()"))
    server = psutil.Process(serving).parent()
    assert server is not None
    return server


def _bench(folder: Path, ledger_url: str | None = None) -> Workbench:
    ledger = {"ingest_ledger_url": ledger_url} if ledger_url else {}
    return Workbench(Settings(_env_file=None, ingest_home=folder / ".ingest", **ledger))


def _identify_nobody(bench: Workbench) -> None:
    with bench.ledger.transaction() as connection:
        connection.execute(sa.update(tables.document).values(identity=None))
