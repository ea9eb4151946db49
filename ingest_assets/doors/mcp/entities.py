"""`get_entity`, `find_entities` and `entity_history`: who is who in the CRM."""

from __future__ import annotations

from dataclasses import replace

from ingest_assets import directory
from ingest_assets.catalog import CRM
from ingest_assets.doors.mcp.answers import (
    EntityAnswer,
    EntityList,
    EntityRow,
    HistoryAnswer,
    HistoryEvent,
    MemberRow,
)
from ingest_assets.doors.mcp.arguments import EntityHistory, FindEntities, GetEntity
from ingest_assets.doors.mcp.calls import Call
from ingest_assets.doors.mcp.documents import notes_on
from ingest_assets.doors.mcp.paging import BUDGET, after, clip, fitting, number_in, size
from ingest_assets.entities.golden import Value
from ingest_assets.model import ConfigurationError

# So that what stands beside the records leaves them room within the budget.
MOST_VALUES, MOST_RECORDS, MOST_IDS, MOST_DECISIONS, MOST_NOTES = 3, 3, 20, 10, 5
TEXT_CHARS = 150
MOST_FOUND = 1_000


def get_entity(call: Call, asked: GetEntity) -> EntityAnswer:
    """One entity, with a page of its records."""
    start = number_in("get_entity", asked, asked.cursor)
    try:
        found = directory.view(
            call.bench.ledger, CRM.name, asked.entity_id, call.bench.decisions(), explained=0, happened=0
        )
    except directory.NoEntityError as error:
        raise _unknown(asked.entity_id, gone=error.gone) from None
    answer = EntityAnswer(
        asked=asked.entity_id,
        entity_id=found.entity_id,
        kind=found.kind,
        name=clip(found.golden["name"][0].value, 300) if "name" in found.golden else "",
        earlier_ids=list(found.earlier_ids[:MOST_IDS]),
        values={field: _values(values) for field, values in found.golden.items()},
        records=[],
        records_count=len(found.members),
        decisions=[replace(d, why=clip(d.why, TEXT_CHARS)) for d in found.decisions[:MOST_DECISIONS]],
        notes=notes_on(
            call, [found.entity_id, *found.earlier_ids, *(m.document_id for m in found.members)], MOST_NOTES
        ),
    )
    rest = [MemberRow(document_id=m.document_id, title=clip(m.title, 200), uri=clip(m.uri, 300))
            for m in found.members[start:]]  # fmt: skip
    answer.records = fitting(rest, BUDGET - size(answer) - 500) if rest else []
    end = start + len(answer.records)
    if end < len(found.members):
        answer.next_cursor = after("get_entity", asked, end)
    return answer


def find_entities(call: Call, asked: FindEntities) -> EntityList:
    """A page of entities by name."""
    start = number_in("find_entities", asked, asked.cursor)
    if start >= MOST_FOUND:
        raise ConfigurationError(f"The closest {MOST_FOUND:,} are given: ask for more of the name.")
    found = directory.find(call.bench.ledger, CRM.name, asked.name, start + asked.limit + 1)
    rest = [
        EntityRow(entity_id=hit.entity_id, kind=hit.kind, name=clip(hit.name, 200), records=hit.records)
        for hit in found[start:]
    ]
    shown = fitting(rest[: asked.limit], BUDGET - 1_000)
    cursor = after("find_entities", asked, start + len(shown)) if len(rest) > len(shown) else None
    return EntityList(entities=shown, next_cursor=cursor)


def entity_history(call: Call, asked: EntityHistory) -> HistoryAnswer:
    """A page of what happened to an entity, the newest first."""
    before = number_in("entity_history", asked, asked.cursor)
    try:
        entity_id, events = directory.history(
            call.bench.ledger, CRM.name, asked.entity_id, limit=asked.limit + 1, before=before or None
        )
    except directory.NoEntityError as error:
        raise _unknown(asked.entity_id, gone=error.gone) from None
    rest = [HistoryEvent(number=number, event=event) for number, event in events]
    shown = fitting(rest[: asked.limit], BUDGET - 1_000)
    cursor = after("entity_history", asked, shown[-1].number) if len(rest) > len(shown) else None
    return HistoryAnswer(asked=asked.entity_id, entity_id=entity_id, events=shown, next_cursor=cursor)


def _values(values: list[Value]) -> list[Value]:
    return [Value(clip(v.value, TEXT_CHARS), v.records[:MOST_RECORDS]) for v in values[:MOST_VALUES]]


def _unknown(asked: str, *, gone: bool) -> ConfigurationError:
    if gone:
        return ConfigurationError(
            f"Nothing is left of the entity {clip(asked, 100)!r}: its records were deleted. entity_history "
            "says what happened."
        )
    return ConfigurationError(
        f"There is no entity, and no record of a person or organisation, {clip(asked, 100)!r}: find_entities "
        "finds them by name."
    )
