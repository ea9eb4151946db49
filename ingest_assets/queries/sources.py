"""What each source is and can be filtered by, for programs and the search page.

What belongs here: the definitions in the form that interfaces show. What does not: what the index holds
(status).
"""

from __future__ import annotations

from dataclasses import dataclass

from ingest_assets.fields import FieldType
from ingest_assets.queries.reach import Reach, sources_within
from ingest_assets.sources.definition import SourceDefinition
from ingest_assets.workbench import Workbench


@dataclass(frozen=True, slots=True)
class FieldDescription:
    """A field that a search can be narrowed by."""

    name: str
    label: str
    type: FieldType
    description: str
    form: str  # how its values are written
    on_hits: bool  # a hit shows its value


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """A source, as people and programs see it."""

    name: str
    title: str
    about: str
    layout: str  # how a hit reads: text or code
    fields: list[FieldDescription]


def describe_sources(bench: Workbench, reach: Reach | None = None) -> list[SourceDescription]:
    """The sources that are within reach, in order."""
    return [_described(bench, bench.sources[name]) for name in sources_within(bench, reach)]


def _described(bench: Workbench, source: SourceDefinition) -> SourceDescription:
    words = source.words
    common = {*words.common_fields, *(["entity_ids"] if source.names_entities else [])}
    shown = [
        each
        for each in source.filter_fields(bench.settings)
        if each.name in common or each in source.search_fields(bench.settings)
    ]
    fields = [
        FieldDescription(each.name, each.shown, each.type, each.description, each.form, each.on_hits)
        for each in shown
    ]
    return SourceDescription(source.name, source.title, words.about, words.layout, fields)
