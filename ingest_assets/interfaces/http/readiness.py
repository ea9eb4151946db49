"""Whether a search would be answered, component by component.

What belongs here: the checks. What does not: how the result is served (`health`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import sqlalchemy as sa

from ingest_assets.interfaces.failures import told
from ingest_assets.model import NotPublishedError
from ingest_assets.queries.doctor import daemon
from ingest_assets.queries.search import open_search
from ingest_assets.queries.status import sources_to_search
from ingest_assets.workbench import Workbench

Heartbeat = Callable[[], float | None]  # seconds since the last heartbeat of Dagster's daemon; None: never
# /ready needs no token and is not rate limited, so its result is reused for this long.
MAX_AGE_S = 2.0


@dataclass(frozen=True, slots=True)
class Component:
    """Something that a search or a refresh needs."""

    state: Literal["ok", "missing", "failed"]
    message: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the server can search, with the state of each component. Searching needs no daemon."""

    status: Literal["ready", "not_ready"]
    parts: dict[str, Component]


def check_readiness(bench: Workbench, heartbeat: Heartbeat | None) -> Readiness:
    """Check every component. Nothing else may use the workbench meanwhile."""
    parts = {
        "ledger": _checked("ledger", lambda: _ledger(bench)),
        "dense_model": _checked("dense model", lambda: _dense_model(bench)),
    }
    sources = sources_to_search(bench) if parts["ledger"].state == "ok" else ()
    for source in sources:
        parts[f"collection_{source}"] = _checked(
            f"collection of {source}", partial(_collection, bench, source)
        )
    ready = all(part.state == "ok" for part in parts.values())
    parts["daemon"] = _checked("daemon", lambda: _daemon(heartbeat))
    return Readiness("ready" if ready else "not_ready", parts)


def _checked(what: str, check: Callable[[], Component]) -> Component:
    try:
        return check()
    except NotPublishedError as error:
        return Component("missing", str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, this component failed; the others are reported
        return Component("failed", told(f"Checking the {what}", error))


def _ledger(bench: Workbench) -> Component:
    with bench.ledger.reading() as connection:
        connection.execute(sa.text("select 1"))
    return Component("ok", "The ledger can be read.")


def _dense_model(bench: Workbench) -> Component:
    bench.dense_model.embed_query("ready")
    return Component("ok", "The model embeds text.")


def _daemon(heartbeat: Heartbeat | None) -> Component:
    found = daemon(heartbeat() if heartbeat else None)
    return Component("ok" if found.state == "ok" else "missing", found.message)


def _collection(bench: Workbench, source: str) -> Component:
    hits = open_search(bench, source, cached=False).search("ready", limit=1)
    return Component("ok", f"Generation {hits.generation} of {hits.collection} can be searched.")
