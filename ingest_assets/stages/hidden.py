"""Parts of a source that no answer may show, though their documents and points may still be recorded.

A source says which (`SourceDefinition.hidden`). Whatever answers asks here, once per request, and before it
reads anything else: what is hidden after that was not hidden yet when the request came.

What belongs here: what a hidden part means to a search and to the tables. What does not: why one is hidden.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.fields import Condition
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.json_lists import strings_in

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

_document, _chunk, _parked = tables.document, tables.chunk, tables.parked


def hidden_parts(bench: Workbench, source: str) -> Sequence[str]:
    """The parts of a source that no answer may show."""
    return bench.sources[source].hidden(bench)


def hiding(bench: Workbench, source: str) -> list[Condition]:
    """What every search of a source has to meet, so that it finds nothing of its hidden parts."""
    parts = hidden_parts(bench, source)
    # `sources.faults` requires that points carry the field, and that it is indexed.
    return [Condition(bench.sources[source].hidden_by, values=tuple(parts), negated=True)] if parts else []


def shown_documents(bench: Workbench, source: str) -> list[sa.ColumnElement[bool]]:
    """SQL: a row of `document` of this source is not of a hidden part. Empty if none is hidden."""
    parts = hidden_parts(bench, source)
    return [_document.c.part.not_in(_listed(bench.ledger, parts))] if parts else []


def shown_parked(bench: Workbench, source: str) -> sa.ColumnElement[bool]:
    """SQL: a row of `parked` is of this source, and neither a document nor a text of a hidden part."""
    mine = _parked.c.source == source
    parts = hidden_parts(bench, source)
    if not parts:
        return mine
    listed = _listed(bench.ledger, parts)
    hidden = (_document.c.source == source, _document.c.part.in_(listed))
    of_document = sa.exists().where(*hidden, _document.c.document_id == _parked.c.item_id)
    its_chunks = (_chunk.c.source == source, _chunk.c.document_id == _document.c.document_id)
    of_text = sa.exists().where(*hidden, *its_chunks, _chunk.c.text_digest == _parked.c.item_id)
    return sa.and_(mine, _parked.c.part.not_in(listed), ~of_document, ~of_text)


def _listed(ledger: Ledger, parts: Sequence[str]) -> sa.Select[Any]:
    # As one value: there may be more of them than a statement takes values.
    return strings_in(ledger, sa.literal(json.dumps(list(parts))))
