"""What the index holds, by source, as the ledger has it; and which source is meant when none is named.

What belongs here: looking, without loading a model. What does not: writing.

Counts are the ledger's; which generation is live, and whose it is, is the store's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa

from ingest_assets.collection.base import Health
from ingest_assets.ledger import tables
from ingest_assets.model import IngestError, UnavailableError, when
from ingest_assets.queries.reach import (
    OutOfReachError,
    Reach,
    documents_within,
    parked_within,
    require_source,
    sources_within,
)
from ingest_assets.sources.registry import UnknownSourceError
from ingest_assets.stages.collection import UNKNOWN
from ingest_assets.stages.removals import held
from ingest_assets.workbench import Workbench


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """Counts, and the live generation. `last_success` is when its collection last completed (UTC).

    `store` is what a server says of the live generation: its state, points, indexed vectors and segments.
    It is None if it does not answer, and with the engine in this process. `problem` is a sentence if the
    index is not what the ledger says, cannot be asked, or belongs to somebody else, or the last run was
    stopped because it would have removed too much.
    """

    documents: int
    chunks: int
    points: int
    parked: int
    generation: int | None
    fingerprint: str | None
    last_success: str | None
    store: str | None
    store_answers: bool  # else `points` and `generation` are what the ledger has, and may not be searchable
    problem: str | None


def status(
    bench: Workbench, tell: Callable[[IngestError], str] = str, reach: Reach | None = None
) -> dict[str, Any]:
    """The installation's id, and the status of every source in use that is within reach.

    `tell` says what the reader may know of an error, which may name files, hosts and installations.
    """
    names = [name for name in sources_in_use(bench) if name in sources_within(bench, reach)]
    sources = {name: asdict(source_status(bench, name, tell, reach)) for name in names}
    return {"installation": bench.unchecked_installation.id, "sources": sources}


def last_refreshes(bench: Workbench) -> dict[str, str | None]:
    """When the collection of each source in use last completed (UTC, ISO 8601); None if it never did."""
    query = sa.select(tables.stage.c.source, tables.stage.c.last_success).filter_by(stage="collection")
    with bench.ledger.reading() as connection:
        succeeded = {row.source: row.last_success for row in connection.execute(query)}
    return {name: when(at) if (at := succeeded.get(name)) else None for name in sources_in_use(bench)}


def sources_in_use(bench: Workbench) -> list[str]:
    """The sources that ever ran or have something to run; if there are none, the first of all."""
    run = sources_run(bench)
    used = [name for name in bench.sources if name in run or _is_configured(bench, name)]
    return used or [bench.sources.first.name]


def require_usable(bench: Workbench) -> None:
    """What a process that runs things asks when it starts: may ledger and store be used as they are?

    Raises ConfigurationError if not: another installation's, of a version that is too old or too new, with a
    key or a certificate that is refused. Raises UnavailableError while one of them does not answer.
    """
    bench.installation  # noqa: B018 - raises
    for source in sources_in_use(bench):
        bench.store.live(bench.sources[source].collection)


def sources_run(bench: Workbench) -> set[str]:
    """The sources that a run has recorded something of."""
    with bench.ledger.reading() as connection:
        recorded = set(connection.scalars(sa.select(tables.stage.c.source).distinct()))
    return recorded & set(bench.sources)


# Made once: most searches ask, and making it takes longer than the answer.
_PUBLISHED = sa.select(tables.generation.c.collection).filter_by(state="live")


def sources_to_search(bench: Workbench) -> list[str]:
    """The published sources: one that is being indexed for the first time does not affect the others.

    If none is published, those that ever ran, else the first: there must be something to search.
    """
    published = bench.ledger.remembered("published", partial(_published, bench))
    there = [name for name, source in bench.sources.items() if source.collection in published]
    if there:
        return there
    run = sources_run(bench)
    return [name for name in bench.sources if name in run] or [bench.sources.first.name]


def _published(bench: Workbench) -> frozenset[str]:
    with bench.ledger.reading() as connection:
        return frozenset(connection.scalars(_PUBLISHED))


def source_meant(bench: Workbench, asked: str | None, reach: Reach | None = None) -> str:
    """The source that is meant: the one asked for, else the first that is published and holds something.

    It is within reach. Raises UnknownSourceError when there is no such source, OutOfReachError when it is out
    of reach.
    """
    if asked is not None:
        require_source(bench, bench.sources[asked].name, reach)
        return bench.sources[asked].name
    there = sources_to_search(bench)
    if reach is not None:
        within = sources_within(bench, reach)
        there = [name for name in there if name in within] or within
        if not there:
            raise OutOfReachError("Your token is bound to sources that there are not.")
    if len(there) == 1:
        return there[0]
    return next((name for name in there if _holds_points(bench, name)), there[0])


def _holds_points(bench: Workbench, name: str) -> bool:
    point, generation = tables.point, tables.generation
    live = sa.and_(
        generation.c.collection == bench.sources[name].collection,
        generation.c.state == "live",
        point.c.collection == generation.c.collection,
        point.c.generation == generation.c.number,
    )
    with bench.ledger.reading() as connection:
        return bool(connection.scalar(sa.select(sa.exists().where(live))))


def entities_meant(bench: Workbench, asked: str | None = None, reach: Reach | None = None) -> str:
    """The source whose entities are meant: the one asked for, else the first indexed one that has any.

    Raises OutOfReachError when it is out of reach.
    """
    found = _entities_meant(bench, asked)
    require_source(bench, found, reach)
    return found


def _entities_meant(bench: Workbench, asked: str | None) -> str:
    resolved = [source.name for source in bench.sources.with_entities()]
    if asked is None and resolved:
        indexed = sources_run(bench)
        return next((name for name in resolved if name in indexed), resolved[0])
    name = asked or bench.sources.first.name
    if name not in resolved and name in bench.sources:
        raise UnknownSourceError(f"The source {name} has no entities. Those that do: {', '.join(resolved)}.")
    return bench.sources[name].name


def jobs_meant(bench: Workbench, asked: str | None = None) -> str:
    """The source whose background jobs are meant: the one asked for, else the default one or the first."""
    sources = bench.sources.with_jobs()
    with_jobs = [source.name for source in sources]
    if asked is None and with_jobs:
        return next((each.name for each in sources if each.jobs and each.jobs.default), with_jobs[0])
    if asked is None:
        raise UnknownSourceError("No source has background jobs.")
    if bench.sources[asked].name not in with_jobs:
        raise UnknownSourceError(
            f"The source {asked} has no background jobs. Those that do: {', '.join(with_jobs) or 'none'}."
        )
    return asked


def _is_configured(bench: Workbench, name: str) -> bool:
    try:
        return bench.missing(name) is None
    except IngestError:
        return True  # wrongly, which a refresh reports


def source_status(
    bench: Workbench, source: str, tell: Callable[[IngestError], str] = str, reach: Reach | None = None
) -> SourceStatus:
    """The status of one source; counts are of what is within reach."""
    chunk, point = tables.chunk, tables.point
    mine, refused = documents_within(bench, source, reach), parked_within(bench, source, reach)
    name = bench.sources[source].collection
    live, problem = _live(bench, name)
    health = None
    if live is not None and problem is None:
        try:
            health = bench.store.health(name, live)
        except IngestError as error:
            problem = error
    stage = {"source": source, "stage": "collection"}
    with bench.ledger.reading() as connection:
        here = {"collection": name, "number": live}
        generation = connection.execute(sa.select(tables.generation).filter_by(**here)).one_or_none()
        succeeded = connection.scalar(sa.select(tables.stage.c.last_success).filter_by(**stage))
        acknowledged = point.c.chunk_digest != UNKNOWN
        points = {"collection": name, "generation": live}
        written = _count(
            connection, point, *_among(point.c.document_id, source, mine), acknowledged, **points
        )
        if health is not None and problem is None:
            # The server counts points of all documents: not compared with those of some.
            problem = _unhealthy(f"{bench.store.place}: {name}", health, 0 if mine else written)
        return SourceStatus(
            documents=_count(connection, tables.document, *mine, source=source),
            chunks=_count(connection, chunk, *_among(chunk.c.document_id, source, mine), source=source),
            points=written,
            parked=_count(connection, tables.parked, *refused, source=source),
            generation=live,
            fingerprint=generation.fingerprint if generation else None,
            last_success=None if succeeded is None else when(succeeded),
            # What the store says, and why a run was stopped, is also of what is out of reach.
            store=str(health) if health and not mine else None,
            store_answers=not isinstance(problem, UnavailableError),
            problem=tell(problem) if problem else None if mine else _held(connection, source),
        )


def _held(connection: sa.Connection, source: str) -> str | None:
    stopped = held(connection, source)
    return stopped[0].message if stopped else None


def _unhealthy(which: str, health: Health, acknowledged: int) -> IngestError | None:
    """What is wrong with a live generation, if it is worse than being indexed.

    A server that is green has counted its points. It may have more than were recorded, from a run that was
    stopped; fewer are there only for the moment in which a run removes some.
    """
    if health.status == "red" or health.replicas:
        return IngestError(f"{which} is {health}. {health.remedy}")
    if health.is_ready and health.points < acknowledged:
        return IngestError(
            f"{which} has {health.points:,} points of {acknowledged:,} that were written, as "
            "after an older snapshot was restored there. Unless a run is removing points now, `ingest audit "
            "--repair` writes what is missing."
        )
    return None


def _live(bench: Workbench, collection: str) -> tuple[int | None, IngestError | None]:
    """The live generation if it is ours, and what is wrong with it."""
    query = sa.select(tables.generation.c.number).filter_by(collection=collection, state="live")
    with bench.ledger.reading() as connection:
        recorded = connection.scalar(query)
    try:
        live = bench.store.live(collection)
    except UnavailableError as error:
        return recorded, error
    except IngestError as error:
        return None, error
    if live == recorded:
        return live, None
    return live, IngestError(
        f"{bench.store.place}: {collection} is generation {live or 'none'}; in the ledger it is "
        f"{recorded or 'none'}. `ingest refresh` brings it up to date."
    )


def _among(
    document_id: sa.ColumnElement[str], source: str, documents: Sequence[sa.ColumnElement[bool]]
) -> list[sa.ColumnElement[bool]]:
    """SQL: a document is among these; nothing if all are."""
    d = tables.document
    ids = sa.select(d.c.document_id).where(d.c.source == source, *documents)
    return [document_id.in_(ids)] if documents else []


def _count(
    connection: sa.Connection, table: sa.Table, *conditions: sa.ColumnElement[bool], **where: Any
) -> int:
    query = sa.select(sa.func.count()).select_from(table).filter_by(**where).where(*conditions)
    return connection.scalar(query) or 0
