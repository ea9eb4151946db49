"""The rows of the knowledge graph: the fields of a kgbundle (version v1), and a key that stays with each.

What belongs here: the types and their JSON. What does not: making them (`graph`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ingest_assets.model import digest_of

Json = dict[str, Any]


class EntityRow(NamedTuple):
    """An entity that some paper mentions or states something of."""

    entity_id: str
    entity_type: str  # its class in small letters
    name: str
    status: str  # "canonical" if an authority knows it, else "provisional"
    confidence: float
    usage_count: int  # of papers
    created_at: str  # when its first paper appeared
    source: str
    canonical_url: str | None
    properties: Json  # class, synonyms, ids
    first_seen_document: str | None  # of the earliest year, then by id
    first_seen_section: str | None
    total_mentions: int
    supporting_documents: tuple[str, ...]  # sorted

    @property
    def key(self) -> str:
        return self.entity_id

    def as_json(self) -> Json:
        return self._asdict()


class RelationshipRow(NamedTuple):
    """What papers state of two entities."""

    subject_id: str
    object_id: str
    predicate: str
    confidence: float
    source_documents: tuple[str, ...]  # sorted
    created_at: str  # when the first of these papers appeared
    properties: Json  # asserted_by
    evidence_count: int
    strongest_evidence_quote: str | None
    evidence_confidence_avg: float | None

    @property
    def key(self) -> str:
        return relationship_key(self.subject_id, self.predicate, self.object_id)

    def as_json(self) -> Json:
        return self._asdict()


class MentionRow(NamedTuple):
    """Words that name an entity. Without a section, their place is unknown, and offsets are None."""

    entity_id: str
    document_id: str
    section: str | None
    start_offset: int | None
    end_offset: int | None
    text_span: str
    context: str | None  # the sentence, if the place is unknown
    confidence: float
    extraction_method: str
    created_at: str

    @property
    def key(self) -> str:
        """32 hex characters."""
        place = (
            self.context
            if self.section is None
            else f"{self.section}\n{self.start_offset}\n{self.end_offset}"
        )
        return digest_of(self.entity_id, self.document_id, self.section, place, self.text_span)

    def as_json(self) -> Json:
        # In half the time that `_asdict` takes: there are many.
        entity_id, document_id, section, start, end, text, context, confidence, method, created_at = self
        return {
            "entity_id": entity_id,
            "document_id": document_id,
            "section": section,
            "start_offset": 0 if start is None else start,
            "end_offset": 0 if start is None else end,
            "text_span": text,
            "context": context,
            "confidence": confidence,
            "extraction_method": method,
            "created_at": created_at,
        }


class EvidenceRow(NamedTuple):
    """A sentence that supports a relationship. Without a section, its place is unknown, and offsets None."""

    relationship_key: str
    document_id: str
    section: str | None
    start_offset: int | None
    end_offset: int | None
    text_span: str
    confidence: float
    supports: bool

    @property
    def key(self) -> str:
        """32 hex characters."""
        place = None if self.section is None else f"{self.section}\n{self.start_offset}\n{self.end_offset}"
        return digest_of(self.relationship_key, self.document_id, place, self.text_span)

    def as_json(self) -> Json:
        return _with_offsets(self._asdict())


def relationship_key(subject: str, predicate: str, target: str) -> str:
    """What evidence calls its relationship: "subject:PREDICATE:object", at most 138 characters."""
    return f"{subject}:{predicate}:{target}"


def _with_offsets(fields: Json) -> Json:
    """A kgbundle has no rows without offsets. An empty span in no section is the closest to "unknown"."""
    if fields["start_offset"] is None:
        fields["start_offset"] = fields["end_offset"] = 0
    return fields
