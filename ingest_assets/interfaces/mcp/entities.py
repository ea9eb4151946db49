"""`get_entity`, `find_entities` and `entity_history`: entity resolution, looked up."""

from __future__ import annotations

from dataclasses import replace

from ingest_assets.entities.golden import Value
from ingest_assets.interfaces.mcp.answers import (
    EntityAnswer,
    EntityList,
    EntityRow,
    HistoryAnswer,
    HistoryEvent,
    MemberRow,
    ValueRow,
)
from ingest_assets.interfaces.mcp.arguments import EntityHistory, FindEntities, GetEntity
from ingest_assets.interfaces.mcp.calls import Call
from ingest_assets.interfaces.mcp.documents import notes_on
from ingest_assets.model import RequestError
from ingest_assets.paging import BUDGET, clip, cursor_at, fitting, offset_in, size
from ingest_assets.queries import directory
from ingest_assets.queries.status import entities_meant

# Limits on the other fields, so that there is room for the records within the size budget.
MAX_VALUES, MAX_RECORDS, MAX_IDS, MAX_DECISIONS, MAX_NOTES = 3, 3, 20, 10, 5
TEXT_CHARS = 150
MAX_FOUND = 1_000


def get_entity(call: Call, asked: GetEntity) -> EntityAnswer:
    """An entity, with one page of its records."""
    start = offset_in("get_entity", asked, asked.cursor)
    source = entities_meant(call.bench, asked.source, call.reach)
    try:
        found = directory.view(
            call.bench.ledger, source, asked.entity_id, call.bench.decisions(), explained=0, happened=0
        )
    except directory.NoEntityError as error:
        raise _unknown(asked.entity_id, gone=error.gone) from None
    answer = EntityAnswer(
        asked=asked.entity_id,
        entity_id=found.entity_id,
        kind=found.kind,
        name=clip(found.golden["name"][0].value, 300) if "name" in found.golden else "",
        earlier_ids=list(found.earlier_ids[:MAX_IDS]),
        values={field: _values(values) for field, values in found.golden.items()},
        records=[],
        records_count=len(found.members),
        decisions=[replace(d, why=clip(d.why, TEXT_CHARS)) for d in found.decisions[:MAX_DECISIONS]],
        notes=notes_on(
            call, [found.entity_id, *found.earlier_ids, *(m.document_id for m in found.members)], MAX_NOTES
        ),
    )
    rest = [MemberRow(document_id=m.document_id, title=clip(m.title, 200), uri=clip(m.uri, 300))
            for m in found.members[start:]]  # fmt: skip
    answer.records = fitting(rest, BUDGET - size(answer) - 500) if rest else []
    end = start + len(answer.records)
    if end < len(found.members):
        answer.next_cursor = cursor_at("get_entity", asked, end)
    return answer


def find_entities(call: Call, asked: FindEntities) -> EntityList:
    """A page of entities with such a name, closest first."""
    start = offset_in("find_entities", asked, asked.cursor)
    source = entities_meant(call.bench, asked.source, call.reach)
    if start >= MAX_FOUND:
        raise RequestError(f"At most {MAX_FOUND:,} entities are returned. Give more of the name.")
    found = directory.find(call.bench.ledger, source, asked.name, start + asked.limit + 1)
    rest = [
        EntityRow(entity_id=hit.entity_id, kind=hit.kind, name=clip(hit.name, 200), records=hit.records)
        for hit in found[start:]
    ]
    shown = fitting(rest[: asked.limit], BUDGET - 1_000)
    cursor = cursor_at("find_entities", asked, start + len(shown)) if len(rest) > len(shown) else None
    return EntityList(entities=shown, next_cursor=cursor)


def entity_history(call: Call, asked: EntityHistory) -> HistoryAnswer:
    """A page of an entity's history, newest first."""
    before = offset_in("entity_history", asked, asked.cursor)
    source = entities_meant(call.bench, asked.source, call.reach)
    try:
        entity_id, events = directory.history(
            call.bench.ledger, source, asked.entity_id, limit=asked.limit + 1, before=before or None
        )
    except directory.NoEntityError as error:
        raise _unknown(asked.entity_id, gone=error.gone) from None
    rest = [HistoryEvent(number=number, event=event) for number, event in events]
    shown = fitting(rest[: asked.limit], BUDGET - 1_000)
    cursor = cursor_at("entity_history", asked, shown[-1].number) if len(rest) > len(shown) else None
    return HistoryAnswer(asked=asked.entity_id, entity_id=entity_id, events=shown, next_cursor=cursor)


def _values(values: list[Value]) -> list[ValueRow]:
    return [
        ValueRow(value=clip(v.value, TEXT_CHARS), records=list(v.records[:MAX_RECORDS]))
        for v in values[:MAX_VALUES]
    ]


def _unknown(asked: str, *, gone: bool) -> RequestError:
    if gone:
        return RequestError(
            f"The entity {clip(asked, 100)!r} no longer exists: its records were deleted. Use "
            "entity_history to see what happened."
        )
    return RequestError(
        f"There is no entity, and no record of a person or organisation, {clip(asked, 100)!r}. Use "
        "find_entities to find them by name."
    )
