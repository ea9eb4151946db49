"""Documents as they will read, and what becomes of a CRM's values, before anything is indexed.

What belongs here: the side inside the confined process. What does not: how it is shown (`output`), and how
rows are rendered and values counted, which is as in a refresh (`render`, `readings`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

from ingest_assets.model import Document, ItemError
from ingest_assets.sources.crm.databases import Snapshot
from ingest_assets.sources.crm.extract import Extract
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets.sources.crm.readings import EXAMPLES, Readings, kind_of


@dataclass(slots=True)
class Preview:
    """One kind of document."""

    kind: str
    complete: bool  # whether all rows were looked at
    readings: Readings
    refused: int = 0  # rows that would be parked
    why_refused: list[str] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)  # the first ones


def previewed(
    source: CrmSource, snapshot: Snapshot, kinds: Sequence[str], limit: int | None, shown: int
) -> list[Preview]:
    """Of each kind the first `limit` rows, or all, and of these the first `shown` as documents.

    Whether a reference leads somewhere is looked up among all rows of the kind that it leads to.
    """
    extracts = {entry.name: Extract(entry, source.mapping, snapshot) for entry in source.mapping.documents}
    chosen = [name for name in extracts if name in kinds]
    wanted = None if limit is None else _references(source, [extracts[name] for name in chosen], limit)
    targets = {ref.to for name in chosen for ref in extracts[name].entry.refs}
    ids = {name: _known(extracts[name].ids(), None if wanted is None else wanted[name]) for name in targets}
    return [
        _preview(source, extracts[name], limit, shown, lambda ref: ref in ids[kind_of(ref)])
        for name in chosen
    ]


def _preview(
    source: CrmSource, extract: Extract, limit: int | None, shown: int, known: Callable[[str], bool]
) -> Preview:
    name = extract.entry.name
    found = Preview(name, limit is None, Readings(name))
    with closing(source.items_of(extract, None if limit is None else limit + 1)) as items:
        for item in islice(items, limit):
            try:
                document = item.render()
            except ItemError as error:
                found.refused += 1
                if len(found.why_refused) < EXAMPLES:
                    found.why_refused.append(str(error))
                continue
            found.readings.count(document, known)
            if len(found.documents) < shown:
                found.documents.append(document)
        found.complete = found.complete or next(items, None) is None
    return found


def _references(source: CrmSource, extracts: Iterable[Extract], limit: int) -> dict[str, set[str]]:
    """What the first rows refer to, by kind."""
    found: dict[str, set[str]] = defaultdict(set)
    for extract in extracts:
        if not extract.entry.refs:
            continue
        for item in source.items_of(extract, limit):
            try:
                refs = item.render().refs
            except ItemError:
                continue
            for ref in refs:
                found[kind_of(ref)].add(ref)
    return found


def _known(ids: Generator[str], wanted: set[str] | None) -> set[str]:
    """Those of the ids that are wanted, or all; no more is read than it takes to find them."""
    with closing(ids):
        if wanted is None:
            return set(ids)
        found: set[str] = set()
        for each in ids if wanted else ():
            if each in wanted:
                found.add(each)
                if len(found) == len(wanted):
                    break
        return found
