"""What is left of a faulty [[documents]] entry without its faults, so that the rest of it can be checked.

What belongs here: leaving out. What does not: telling the faults (`check`).
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from ingest_assets.sources.crm.faults import Where, faults_of
from ingest_assets.sources.crm.mapping import DocumentMapping

_NEEDED = {"title": "", "kind": "document"}  # which say nothing that could be wrong


def usable_entry(data: Any, number: int) -> DocumentMapping | None:
    """The entry; if it has faults, what can be used of it. None if too little is left."""
    try:
        return DocumentMapping.model_validate(data)
    except ValidationError as error:
        faults = faults_of(error, data) if isinstance(data, dict) else []
    if not isinstance(data, dict) or not data.get("key") or not (data.get("table") or data.get("query")):
        return None
    rest = deepcopy(data)
    for where in sorted({fault.where for fault in faults}, key=str, reverse=True):
        _leave_out(rest, where)
    rest = {"name": f"entry-{number + 1}", **_NEEDED, **rest}
    if rest.get("table") and rest.get("query"):
        del rest["table"]
    try:
        return DocumentMapping.model_validate(rest)
    except ValidationError:
        return None


def _leave_out(entry: dict[str, Any], where: Where) -> None:
    match where:
        case ["refs", int(position), *_]:
            # The others keep their numbers.
            entry["refs"][position] = {"to": entry.get("name", ""), "columns": entry["key"]}
        case ["identity", "name" | "kind", *_] | [_]:
            entry.pop(str(where[0]), None)
        case [str(table), str(key), *_] if isinstance(entry.get(table), dict):
            entry[table].pop(key, None)
        case [str(key), *_]:
            entry.pop(key, None)
        case _:
            pass
