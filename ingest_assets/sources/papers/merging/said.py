"""What passes 2 and 3 need of a paper's bundle, worked out once: it is read once, and merged many times.

What belongs here: taking it from a bundle, and its JSON. What does not: adding up what many papers say
(`statements`), and the rows (`graph`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pydantic_core import from_json, to_json

from ingest_assets.sources.papers.bundles import Bundle, BundleEntity
from ingest_assets.sources.papers.merging import authorities
from ingest_assets.sources.papers.merging.classes import SAME_AS
from ingest_assets.sources.papers.merging.excerpts import Excerpt, excerpt_of
from ingest_assets.sources.papers.merging.names import fold

_VERSION = 1  # raise it when the same bundle gives something else
_MAX_NAME_CHARS = 1_000  # beyond, it is not a name that some model gave as a synonym


class EntitySaid(NamedTuple):
    """An entity of a bundle."""

    id: str  # in the bundle
    entity_class: str
    name: str  # folded
    ids: tuple[str, ...]  # of authorities, in the order of their rank
    spelling: str
    other_names: tuple[str, ...]
    source: str


class RelationshipSaid(NamedTuple):
    """A relationship of two entities of a bundle."""

    subject: str
    predicate: str
    object: str
    confidence: float
    asserted_by: str
    distinct: bool  # of SAME_AS: it was looked into, and they are not one
    evidence: tuple[str, ...]  # ids, which outside the bundle begin with the paper's


class Said(NamedTuple):
    """What one bundle says."""

    entities: list[EntitySaid]
    relationships: list[RelationshipSaid]
    excerpt: Excerpt

    def as_json(self) -> str:
        return to_json((_VERSION, *self)).decode()


def said_of(bundle: Bundle) -> Said:
    """Of one bundle."""
    known = _evidence_ids(bundle)
    entities = [
        EntitySaid(
            each.id,
            each.entity_class,
            fold(each.name),
            ids_of(each),
            " ".join(each.name.split()),
            tuple(_other_names(each)),
            each.source,
        )
        for each in bundle.entities
    ]
    relationships = [
        RelationshipSaid(
            each.subject,
            each.predicate,
            each.object,
            each.confidence,
            each.asserted_by,
            each.predicate == SAME_AS and each.resolution == "distinct",
            tuple(known[found] for found in each.evidence_ids if found in known),
        )
        for each in bundle.relationships
    ]
    return Said(entities, relationships, excerpt_of(bundle))


def from_text(text: str) -> Said | None:
    """What `as_json` wrote; None if another version of it did, or there is none."""
    version, *parts = from_json(text) if text else (0,)
    if version != _VERSION:
        return None
    entities, relationships, (year, mentions, evidence) = parts
    # What is in an excerpt may stay a list: it is kept in this form.
    excerpt = Excerpt(year, mentions, evidence)
    return Said(
        [EntitySaid(*each) for each in entities], [RelationshipSaid(*each) for each in relationships], excerpt
    )


def ids_of(entity: BundleEntity) -> tuple[str, ...]:
    """The authoritative ids that a bundle gives an entity, best first."""
    values = [(entity.canonical_id, "canonical_id")]
    values += [(getattr(entity, each.field), each.field) for each in authorities.AUTHORITIES]
    found = {authorities.canonical_form(value, name) for value, name in values if value}
    return tuple(sorted((each for each in found if each), key=authorities.order))


def _evidence_ids(bundle: Bundle) -> dict[str, str]:
    """The ids of a bundle's evidence, and what they are without the paper's id.

    Old extractors wrote what a model took for the paper's id, so that many papers have a "paper_1:results:1".
    """
    found = {}
    for each in bundle.evidence_entities:
        written = f"{each.paper_id}:"
        rest = each.id.removeprefix(written) if each.paper_id else each.id
        found[each.id] = rest or each.id
    if len(set(found.values())) < len(found):
        return {each: each for each in found}
    return found


def _other_names(entity: BundleEntity) -> Iterable[str]:
    for name in (*entity.synonyms, entity.symbol or "", *entity.brand_names):
        if (cleaned := " ".join(name.split())) and len(cleaned) <= _MAX_NAME_CHARS:
            yield cleaned
