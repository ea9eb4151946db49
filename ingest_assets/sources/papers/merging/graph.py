"""Pass 3: the rows of the knowledge graph, from what was merged and from each paper's bundle.

What belongs here: what becomes a row. What does not: the rows' form (`graph_rows`), and files
(`graph_bundle`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ingest_assets.sources.papers.merging import authorities
from ingest_assets.sources.papers.merging.excerpts import Excerpt
from ingest_assets.sources.papers.merging.graph_rows import (
    EntityRow,
    EvidenceRow,
    MentionRow,
    RelationshipRow,
    relationship_key,
)
from ingest_assets.sources.papers.merging.merged import Merged, MergedEntity, MergedRelationship
from ingest_assets.sources.papers.merging.said import Said

# As in the old bundles: how far an id of an authority, and how far a name alone, says what is meant.
_CANONICAL_CONFIDENCE = 0.8
_PROVISIONAL_CONFIDENCE = 0.5
_YEARS = range(1400, 2201)  # others are a model's inventions
_NO_YEAR = 9_999
# Section, start, end, entity, words, sentence.
_Place = tuple[str, int, int, str, str, str]
NO_TIME = "1970-01-01T00:00:00Z"


class PaperRows(NamedTuple):
    """The rows of one paper, each kind sorted by place."""

    mentions: list[MentionRow]
    evidence: list[EvidenceRow]


@dataclass(slots=True)
class GraphRows:
    """All rows in memory."""

    entities: list[EntityRow]
    relationships: list[RelationshipRow]
    mentions: list[MentionRow]
    evidence: list[EvidenceRow]


@dataclass(slots=True)
class _Usage:
    """What is counted of an entity while papers go by."""

    mentions: int = 0
    sections: dict[str, str | None] = field(default_factory=dict)  # paper: section of its first mention


@dataclass(slots=True)
class _Support:
    """What is counted of a relationship while papers go by."""

    confidences: list[float] = field(default_factory=list)
    strongest: tuple[float, str] | None = None  # confidence below zero, and text


def graph_rows(merged: Merged, said: Iterable[tuple[str, Said]]) -> GraphRows:
    """All rows, of what the papers say that were merged, in any order."""
    building = GraphBuilder(merged)
    papers = {paper_id: building.paper(paper_id, each.excerpt) for paper_id, each in said}
    return GraphRows(
        entities=list(building.entities()),
        relationships=list(building.relationships()),
        mentions=[row for paper in sorted(papers) for row in papers[paper].mentions],
        evidence=[row for paper in sorted(papers) for row in papers[paper].evidence],
    )


class GraphBuilder:
    """Makes the rows, one paper at a time; entities and relationships are known after the last one."""

    def __init__(self, merged: Merged) -> None:
        self._merged = merged
        self._usage: dict[str, _Usage] = defaultdict(_Usage)
        self._support: dict[str, _Support] = defaultdict(_Support)
        self._said = {(each.subject, each.predicate, each.object) for each in merged.relationships}
        self._papers_of: dict[str, set[str]] = defaultdict(set)  # entity: papers that state something of it
        for each in merged.relationships:
            self._papers_of[each.subject].update(each.papers)
            self._papers_of[each.object].update(each.papers)
        self._year: dict[str, int] = {}

    def paper(self, paper_id: str, excerpt: Excerpt) -> PaperRows:
        """The mentions and evidence of one paper."""
        year = excerpt.year
        self._year[paper_id] = year if year is not None and year in _YEARS else _NO_YEAR
        mentions = self._mentions(paper_id, excerpt)
        rows = [mentions[place] for place in sorted(mentions)]
        for row in rows:
            usage = self._usage[row.entity_id]
            usage.mentions += 1
            usage.sections.setdefault(paper_id, row.section)
        return PaperRows(rows, self._evidence(paper_id, excerpt))

    def entity_ids(self) -> list[str]:
        """Of those that are mentioned or have a relationship, sorted by the rank of their ids."""
        return [each.id for each in self._kept()]

    def entities(self) -> Iterator[EntityRow]:
        """The same entities."""
        return map(self._entity, self._kept())

    def relationships(self) -> Iterator[RelationshipRow]:
        """All of them, sorted by subject, predicate and object."""
        return map(self._relationship, self._merged.relationships)

    def _kept(self) -> Iterator[MergedEntity]:
        return (
            each for each in self._merged.entities if each.id in self._usage or each.id in self._papers_of
        )

    def last_year(self) -> str:
        """When the latest paper appeared."""
        return _time(max((year for year in self._year.values() if year != _NO_YEAR), default=_NO_YEAR))

    def _mentions(self, paper_id: str, excerpt: Excerpt) -> dict[_Place, MentionRow]:
        # There are many: most of what pass 3 takes is the time for these few lines.
        entity_of = self._merged.id_map[paper_id]
        created_at = _time(self._year[paper_id])
        found: dict[_Place, MentionRow] = {}
        without_place = []
        for entity, section, start, end, text, context, confidence, method in excerpt.mentions:
            named = entity_of[entity]
            row = MentionRow(
                named, paper_id, section, start, end, text, context, confidence, method, created_at
            )
            if section is None:
                without_place.append(row)
            else:
                found[section, start or 0, end or 0, named, text, context or ""] = row
        for row in _longest_words(without_place):
            place = row.start_offset or 0, row.end_offset or 0
            found["", *place, row.entity_id, row.text_span, row.context or ""] = row
        return found

    def _evidence(self, paper_id: str, excerpt: Excerpt) -> list[EvidenceRow]:
        entity_of = self._merged.id_map[paper_id]
        rows: dict[tuple[str, str, int, int, str], EvidenceRow] = {}
        for subject, predicate, target, section, start, end, text, confidence in excerpt.evidence:
            if subject not in entity_of or target not in entity_of:
                continue
            ends = entity_of[subject], predicate, entity_of[target]
            if ends not in self._said:
                continue  # SAME_AS of what is one now
            row = EvidenceRow(
                relationship_key(*ends), paper_id, section, start, end, text, confidence, supports=True
            )
            place = _evidence_place(row)
            before = rows.get(place)
            if before is None or before.confidence < row.confidence:
                rows[place] = row
        found = [rows[place] for place in sorted(rows)]
        for row in found:
            support = self._support[row.relationship_key]
            support.confidences.append(row.confidence)
            strength = -row.confidence, row.text_span
            support.strongest = min(support.strongest or strength, strength)
        return found

    def _entity(self, entity: MergedEntity) -> EntityRow:
        usage = self._usage.get(entity.id) or _Usage()
        papers = sorted(self._papers_of.get(entity.id, set()) | usage.sections.keys())
        first = min(papers, key=lambda paper: (self._year[paper], paper))
        return EntityRow(
            entity_id=entity.id,
            entity_type=entity.entity_class.lower(),
            name=entity.name,
            status="canonical" if entity.is_canonical else "provisional",
            confidence=_CANONICAL_CONFIDENCE if entity.is_canonical else _PROVISIONAL_CONFIDENCE,
            usage_count=len(papers),
            created_at=_time(self._year[first]),
            source=f"medlit:{entity.source}",
            canonical_url=authorities.page_of(entity.id),
            properties={"class": entity.entity_class, "synonyms": entity.synonyms, "ids": entity.ids},
            first_seen_document=first,
            first_seen_section=usage.sections.get(first),
            total_mentions=usage.mentions,
            supporting_documents=tuple(papers),
        )

    def _relationship(self, said: MergedRelationship) -> RelationshipRow:
        support = self._support.get(relationship_key(said.subject, said.predicate, said.object)) or _Support()
        many = support.confidences
        return RelationshipRow(
            subject_id=said.subject,
            object_id=said.object,
            predicate=said.predicate,
            confidence=said.confidence,
            source_documents=said.papers,
            created_at=_time(min(self._year[paper] for paper in said.papers)),
            properties={"asserted_by": said.asserted_by},
            evidence_count=len(many),
            strongest_evidence_quote=support.strongest[1] if support.strongest else None,
            evidence_confidence_avg=round(math.fsum(many) / len(many), 4) if many else None,
        )


def _longest_words(rows: Iterable[MentionRow]) -> Iterable[MentionRow]:
    """Of what is named in a sentence without a place, one row for each entity: what names it best."""
    found: dict[tuple[str, str | None], MentionRow] = {}
    for row in rows:
        before = found.get((row.entity_id, row.context))
        if before is None or (-len(row.text_span), row.text_span) < (
            -len(before.text_span),
            before.text_span,
        ):
            found[row.entity_id, row.context] = row
    return found.values()


def _evidence_place(row: EvidenceRow) -> tuple[str, str, int, int, str]:
    return row.relationship_key, row.section or "", row.start_offset or 0, row.end_offset or 0, row.text_span


def _time(year: int) -> str:
    """The start of a year. Of an unknown one, that of 1970: a kgbundle has no rows without a time."""
    return NO_TIME if year == _NO_YEAR else f"{year:04d}-01-01T00:00:00Z"
