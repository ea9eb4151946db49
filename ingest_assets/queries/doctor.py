"""What a refresh and a search need, part by part, and what is wrong with it: `ingest doctor`.

What belongs here: looking at the parts that all sources share; each source adds its own. What does not:
repairing them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ingest_assets.collection.owned import NotOursError
from ingest_assets.model import IngestError
from ingest_assets.queries.status import sources_in_use
from ingest_assets.redaction import redact
from ingest_assets.settings import Settings, load_settings
from ingest_assets.sources.doubtful import doubtful_settings
from ingest_assets.stages.shapes import Finding
from ingest_assets.workbench import Workbench

# With less free space than this, a build of a small index may fail midway.
ROOM_BYTES = 1 << 30
# Dagster's daemon sends a heartbeat every 30 s, later when it is busy.
DAEMON_SILENT_S = 120.0
_WORLD_WRITABLE = 0o002
_MIB = 1 << 20

Heartbeat = Callable[[Settings], float | None]  # seconds since Dagster's daemon last sent one; None: never


def diagnose(heartbeat: Heartbeat) -> list[Finding]:
    """Look at every part. Raises nothing: a part that cannot be looked at is wrong. Shows no secrets."""
    return [replace(found, message=redact(found.message)) for found in _diagnosed(heartbeat)]


def _diagnosed(heartbeat: Heartbeat) -> list[Finding]:
    try:
        settings = load_settings()
    except IngestError as error:
        return [Finding("settings", "wrong", str(error))]
    with Workbench(settings) as bench:
        return [
            Finding("settings", "ok", "They can be read."),
            *(Finding("settings", "wrong", each) for each in doubtful_settings(bench.sources, settings)),
            *_looked_at("folders", lambda: _folders(bench)),
            *_looked_at("ledger", lambda: _ledger(bench)),
            *_looked_at("store", lambda: _store(bench)),
            *_looked_at("dense model", lambda: _dense_model(bench)),
            *_looked_at("redis", lambda: [_redis(settings)]),
            *_looked_at("parsers", lambda: [_parsers(bench)]),
            *_looked_at("daemon", lambda: [daemon(heartbeat(settings))]),
            *(Finding("sources", "wrong", str(left_out)) for left_out in bench.sources.left_out),
            *(found for name in bench.sources for found in _source(bench, name)),
        ]


def _looked_at(name: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    try:
        return list(look())
    except (IngestError, OSError) as error:
        return [Finding(name, "wrong", str(error))]
    except Exception as error:  # noqa: BLE001 - whatever it is, the other checks are made and reported
        return [Finding(name, "wrong", f"It cannot be checked ({type(error).__name__}: {error}).")]


def _folders(bench: Workbench) -> Iterator[Finding]:
    home = bench.settings.ingest_home.absolute()
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding("INGEST_HOME", "wrong", f"{there} cannot be written to: choose another folder.")
    elif _all_may_write(home):
        yield Finding("INGEST_HOME", "wrong", f"Everybody may write to {home}: run chmod o-w on it.")
    else:
        yield Finding("INGEST_HOME", "ok", f"{home} can be written to.")
    free = shutil.disk_usage(there).free
    state = "ok" if free >= ROOM_BYTES else "wrong"
    yield Finding("disk", state, f"{free // _MIB:,} MiB are free at {there}.")  # type: ignore[arg-type]


def _all_may_write(folder: Path) -> bool:
    return folder.exists() and bool(folder.stat().st_mode & _WORLD_WRITABLE)


def _ledger(bench: Workbench) -> Iterator[Finding]:
    if not bench.has_ledger:
        yield Finding("ledger", "not configured", "There is none yet: the first refresh creates it.")
        return
    with bench.ledger.reading():
        named = f" (from {name})" if (name := bench.settings.ledger_variable) else ""
        found = f"{bench.ledger.name}{named} answers; it belongs to {bench.installation}."
        yield Finding("ledger", "ok", found)


def _store(bench: Workbench) -> Iterator[Finding]:
    kind = bench.settings.qdrant_url or "the engine in this process"
    published = {}
    # A key need not cover the names of the others.
    for collection in [bench.sources[name].collection for name in sources_in_use(bench)]:
        try:
            live = bench.store.live(collection)
        except NotOursError as error:
            yield Finding(f"index {collection}", "wrong", str(error))
            continue
        if live is not None:
            published[collection] = live
    said = ", ".join(f"{name} generation {number}" for name, number in published.items())
    yield Finding("store", "ok", f"{kind} answers; published: {said or 'nothing yet'}.")


def _dense_model(bench: Workbench) -> Iterator[Finding]:
    bench.dense_model.embed_query("ready")
    yield Finding("dense model", "ok", f"{bench.dense_model.identity} embeds.")


def _redis(settings: Settings) -> Finding:
    if not settings.redis_host:
        return Finding("redis", "not configured", "REDIS_HOST is not set: no answers are cached.")
    from ingest_assets.cache.probing import probe

    found = probe(settings)
    return Finding("redis", "ok" if found.well else "wrong", found.message)


def _parsers(bench: Workbench) -> Finding:
    """Whether the processes that parse what others made are confined here."""
    from ingest_assets.sandbox.probe import out_of_reach

    kept = out_of_reach(bench.sandbox)
    if open_to := [name for name, kept_from in kept.items() if not kept_from]:
        return Finding(
            "parsers",
            "not configured",
            "Parsers run in processes of their own, but this system does not keep them from "
            f"{' and '.join(open_to)}. Linux does, with Landlock (kernel 5.13) and libseccomp.",
        )
    return Finding(
        "parsers", "ok", f"Processes that parse cannot reach {', '.join(kept)} beyond their limits."
    )


def daemon(silent_s: float | None) -> Finding:
    """Whether schedules, sensors and background jobs start by themselves."""
    if silent_s is None or silent_s > DAEMON_SILENT_S:
        return Finding(
            "daemon",
            "not configured",
            "No Dagster daemon is running: schedules, sensors and background jobs do not start.",
        )
    return Finding("daemon", "ok", f"Its last heartbeat was {silent_s:.0f} seconds ago.")


def _source(bench: Workbench, name: str) -> list[Finding]:
    source = bench.sources[name]

    def look() -> Iterator[Finding]:
        missing = bench.missing(name)
        if missing is None:
            yield Finding(f"source {name}", "ok", "It is configured.")
        else:
            yield Finding(f"source {name}", "not configured", str(missing))
        yield from source.doctor(bench)

    return _looked_at(f"source {name}", look)
