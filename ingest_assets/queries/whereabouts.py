"""Where a document is: on record, in chunks, in the index; and why it, or a part of it, is not found.

What belongs here: looking, and the sentences that say what is missing and what to do. What does not: the
document's content (`documents`), and mending anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from ingest_assets.collection.base import Payload
from ingest_assets.ledger import tables
from ingest_assets.model import IngestError, when
from ingest_assets.queries.documents import FoundDocument, find
from ingest_assets.queries.older_versions import older_versions
from ingest_assets.queries.reach import Reach, documents_within, parked_within, parts_within
from ingest_assets.queries.status import source_meant, sources_in_use
from ingest_assets.stages.collection import point_digest
from ingest_assets.stages.hidden import hidden_parts, shown_documents, shown_parked
from ingest_assets.stages.ids_meant import spellings
from ingest_assets.stages.removals import held
from ingest_assets.stages.shapes import CHUNKS, DENSE_VECTORS, SPARSE_VECTORS
from ingest_assets.workbench import Workbench

NEAR = 5  # ids that are named when there is none like the one asked for
AROUND = 50  # ids before and after it, among which they are sought

_document, _chunk, _point, _parked = tables.document, tables.chunk, tables.point, tables.parked

# "of an older version": a point that no chunk of the document stands for any more
State = Literal["indexed", "out of date", "refused", "not indexed", "of an older version", "unknown"]


@dataclass(frozen=True, slots=True)
class Passage:
    """One chunk of a document, or a point of an older version, and what the index holds for it."""

    chunk_id: str
    state: State
    position: int | None  # None for one of an older version
    characters: int


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a document is. `missing` says why search does not find it, or not all of it; empty if it does."""

    asked: str
    source: str
    found: FoundDocument | None
    entity_id: str | None  # of which it is a record itself
    passages: tuple[Passage, ...]
    missing: tuple[str, ...]
    near: tuple[str, ...]  # ids like the one that was asked for, if there is no such document


def whereabouts(bench: Workbench, asked: str, source: str | None = None) -> Whereabouts:
    """Where a document is, by its id as people type it: of a source, or of the first that has it."""
    names = [source] if source else [source_meant(bench, None), *sources_in_use(bench)]
    for name in dict.fromkeys(names):
        if (found := find(bench, name, asked)) is not None:
            return _of_document(bench, name, asked, found)
    return _of_nothing(bench, bench.sources[names[0]].name, asked)


def _of_document(bench: Workbench, source: str, asked: str, found: FoundDocument) -> Whereabouts:
    document_id = found.document.id
    with bench.ledger.reading() as connection:
        member = sa.select(tables.entity_member.c.entity_id)
        entity = connection.scalar(member.filter_by(source=source, document_id=document_id))
    passages, problem = _passages(bench, source, document_id)
    missing = _lacks(bench, source, found, passages, problem)
    return Whereabouts(asked, source, found, entity, tuple(passages), tuple(missing), ())


def missing_of(bench: Workbench, source: str, found: FoundDocument, reach: Reach | None = None) -> list[str]:
    """Why search does not find a document, or not all of it; empty if it does.

    Says nothing of what else a run was stopped for, if not all of the source is within reach.
    """
    passages, problem = _passages(bench, source, found.document.id)
    alone = parts_within(bench, source, reach) is not None
    return list(_lacks(bench, source, found, passages, problem, alone=alone))


def _of_nothing(bench: Workbench, source: str, asked: str) -> Whereabouts:
    missing = tuple(_absent(bench, source, asked))
    return Whereabouts(asked, source, None, None, (), missing, tuple(near(bench, source, asked)))


def refusals(bench: Workbench, source: str, asked: str, reach: Reach | None = None) -> Iterator[str]:
    """Why there is no document with an id, if it was refused or left out.

    Says nothing of hidden parts, nor of what is out of reach.
    """
    definition, within = bench.sources[source], parts_within(bench, source, reach)
    skipped, hidden = tables.skipped_item, hidden_parts(bench, source)
    with bench.ledger.reading() as connection:
        refused = _first(
            connection,
            sa.select(_parked.c.item_id, _parked.c.error, _parked.c.attempts)
            .where(shown_parked(bench, source), *parked_within(bench, source, reach))
            .where(_parked.c.stage == definition.documents),
            _parked.c.item_id,
            asked,
        )
        left_out = _first(connection, sa.select(skipped).filter_by(source=source), skipped.c.item_id, asked)
    if refused is not None:
        tries = "once" if refused.attempts == 1 else f"{refused.attempts} times"
        yield (
            f"It was refused when it was read ({tries}): {refused.error} It is tried again when it changes, "
            "or with `ingest refresh --retry-parked`."
        )
    elif left_out is not None and left_out.part not in hidden and (within is None or left_out.part in within):
        yield f"{source} leaves it out on purpose: {left_out.reason}. {left_out.detail}".strip()


def _first(connection: sa.Connection, query: sa.Select[Any], id_: sa.Column[str], asked: str) -> Any:
    """The row of the first id that a text may stand for, and that there is; None if there is none."""
    possible = spellings(asked)
    rows = {row.item_id: row for row in connection.execute(query.where(id_.in_(possible)))}
    return next((rows[each] for each in possible if each in rows), None)


def _absent(bench: Workbench, source: str, asked: str) -> Iterator[str]:
    """Why there is no document with an id, for the operator."""
    reasons = list(refusals(bench, source, asked))
    with bench.ledger.reading() as connection:
        parts = sa.select(_document.c.part).where(_document.c.source == source)
        part = connection.scalar(parts.where(_document.c.document_id.in_(spellings(asked))).limit(1))
        stage = {"source": source, "stage": bench.sources[source].documents}
        read = connection.scalar(sa.select(sa.func.max(tables.stage.c.last_success)).filter_by(**stage))
        stopped = held(connection, source)
    yield from reasons
    if part is not None:
        yield f"It is of a part of {source} that no answer may show at present."
    elif not reasons and read is None:
        yield f"{source} was never read completely: run `ingest refresh --source {source}`."
    elif not reasons:
        yield f"{source} had no such document when it was last read completely, at {when(read)}."
    yield from (each.message for each in stopped[:1])


def _lacks(
    bench: Workbench,
    source: str,
    found: FoundDocument,
    passages: Sequence[Passage],
    problem: str | None,
    *,
    alone: bool = False,
) -> Iterator[str]:
    document_id = found.document.id
    refused = older_versions(bench, source, [document_id]).get(document_id)
    with bench.ledger.reading() as connection:
        cut = connection.scalar(
            sa.select(tables.chunked.c.document_id).filter_by(source=source, document_id=document_id)
        )
        stopped = held(connection, source)
    if problem is not None:
        yield problem
    if found.stale:
        yield found.stale
    if refused is not None and refused.stage == CHUNKS:
        yield f"Its present version cannot be cut into passages: {refused.error}"
    elif cut is None:
        yield f"It was read, and not cut into passages yet: run `ingest refresh --source {source}`."
    elif not any(each.position is not None for each in passages):
        yield "It has no text to search."
    states = [each.state for each in passages if each.position is not None]
    if number := states.count("refused"):
        error = _text_error(bench, source, document_id)
        yield f"The model refuses the text of {number} of {len(states)} passages: {error}"
    if number := states.count("not indexed") + states.count("out of date"):
        yield (
            f"{number} of {len(states)} passages are not in the index as they are now: run `ingest refresh "
            f"--source {source}`."
        )
    yield from (each.message for each in stopped[:1] if not alone)


def _text_error(bench: Workbench, source: str, document_id: str) -> str:
    query = (
        sa.select(_parked.c.error)
        .join(_chunk, _chunk.c.text_digest == _parked.c.item_id)
        .where(_chunk.c.source == source, _chunk.c.document_id == document_id)
        .where(_parked.c.source == source, _parked.c.stage.in_([DENSE_VECTORS, SPARSE_VECTORS]))
    )
    with bench.ledger.reading() as connection:
        return connection.scalar(query.limit(1)) or ""


def _store(
    bench: Workbench, source: str, document_id: str
) -> tuple[Mapping[str, Payload] | None, str | None]:
    """What the live generation holds for a document, by chunk; None, and why, if that cannot be said."""
    ids = sa.select(_chunk.c.chunk_id).filter_by(source=source, document_id=document_id)
    collection = bench.sources[source].collection
    try:
        with bench.store.reader(collection) as reader:
            here = {"collection": collection, "generation": reader.generation, "document_id": document_id}
            with bench.ledger.reading() as connection:
                recorded = sa.select(_point.c.chunk_id).filter_by(**here)
                wanted = sorted({*connection.scalars(ids), *connection.scalars(recorded)})
            return (reader.payloads(wanted) if wanted else {}), None
    except IngestError as error:
        return None, str(error)


def _passages(bench: Workbench, source: str, document_id: str) -> tuple[list[Passage], str | None]:
    """A document's chunks and points, and why the index cannot be asked for them."""
    stored, problem = _store(bench, source, document_id)
    about = tables.document_entities
    refused = sa.exists().where(
        _parked.c.source == source,
        _parked.c.stage.in_([DENSE_VECTORS, SPARSE_VECTORS]),
        _parked.c.part == "",
        _parked.c.item_id == _chunk.c.text_digest,
    )
    query = sa.select(_chunk, refused.label("refused")).filter_by(source=source, document_id=document_id)
    with bench.ledger.reading() as connection:
        rows = connection.execute(query.order_by(_chunk.c.position)).all()
        entities = connection.scalar(
            sa.select(about.c.digest).filter_by(source=source, document_id=document_id)
        )
    passages = [
        Passage(row.chunk_id, _state(row, entities or "", stored), row.position, len(row.text))
        for row in rows
    ]
    current = {row.chunk_id for row in rows}
    passages += [
        Passage(chunk_id, "of an older version", None, len(payload["text"]))
        for chunk_id, payload in sorted((stored or {}).items())
        if chunk_id not in current
    ]
    return passages, problem


def _state(row: Any, entities: str, stored: Mapping[str, Payload] | None) -> State:
    if stored is None:
        return "unknown"
    point = stored.get(row.chunk_id)
    if point is None:
        return "refused" if row.refused else "not indexed"
    return "indexed" if point["digest"] == point_digest(row.digest, entities) else "out of date"


def near(bench: Workbench, source: str, asked: str, reach: Reach | None = None) -> list[str]:
    """Ids of documents within reach that are like one that there is not, the most alike first."""
    from jellyfish import jaro_winkler_similarity

    d = _document.c.document_id
    shown = [*shown_documents(bench, source), *documents_within(bench, source, reach)]
    mine = sa.select(d).where(_document.c.source == source, *shown)
    found: set[str] = set()
    alike = spellings(asked)
    with bench.ledger.reading() as connection:
        for spelling in dict.fromkeys((*alike, *map(str.lower, alike))):
            kind, slash, _ = spelling.partition("/")
            found |= {
                *connection.scalars(mine.where(d >= spelling).order_by(d).limit(AROUND)),
                *connection.scalars(mine.where(d < spelling).order_by(d.desc()).limit(AROUND)),
                # Those that begin alike: 4200 lies far from 42, though it looks alike.
                *connection.scalars(mine.where(d >= kind + slash).order_by(d).limit(AROUND)),
            }

    def likeness(each: str) -> float:
        return max(jaro_winkler_similarity(spelling, each) for spelling in alike)

    return sorted(found, key=lambda each: (-likeness(each), each))[:NEAR]


def kinds(bench: Workbench, source: str) -> dict[str, int]:
    """How many documents of each kind a source has on record, those of hidden parts left out."""
    query = sa.select(_document.c.kind, sa.func.count()).where(_document.c.source == source)
    query = query.where(*shown_documents(bench, source)).group_by(_document.c.kind)
    with bench.ledger.reading() as connection:
        return dict(connection.execute(query.order_by(_document.c.kind)).tuples().all())
