"""What all bundles say of entities, added up: the input of merging.

What belongs here: collecting, in any order, what does not depend on the order. What does not: deciding what
is one entity (`merging`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ingest_assets.sources.papers.bundles import Bundle, BundleEntity, BundleRelationship
from ingest_assets.sources.papers.merging import authorities
from ingest_assets.sources.papers.merging.classes import SAME_AS
from ingest_assets.sources.papers.merging.names import fold

# Class, folded name, ids of authorities in the order of their rank.
ProfileKey = tuple[str, str, tuple[str, ...]]
_MAX_NAME_CHARS = 1_000  # beyond, it is not a name that some model gave as a synonym


@dataclass(slots=True)
class Profile:
    """Entities of bundles that are alike in class, name and ids: nothing that is known tells them apart."""

    entity_class: str
    name: str  # folded
    ids: tuple[str, ...]
    papers: set[str] = field(default_factory=set)
    spellings: Counter[str] = field(default_factory=Counter)  # of the name, by the number of papers
    synonyms: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)

    @property
    def key(self) -> ProfileKey:
        return self.entity_class, self.name, self.ids

    @property
    def spelling(self) -> str:
        """The name as most papers write it."""
        return min(self.spellings, key=lambda each: (-self.spellings[each], each))

    @property
    def derived_id(self) -> str:
        return authorities.derived_id(self.entity_class, self.name)


@dataclass(slots=True)
class Statement:
    """A relationship of two profiles, as some papers state it."""

    confidence: float = 0.0  # the highest
    evidence: dict[str, set[str]] = field(default_factory=dict)  # paper: ids of its evidence
    asserted_by: set[str] = field(default_factory=set)
    distinct: bool = False  # of SAME_AS: a bundle says that it was looked into, and they are not one


class Statements:
    """Everything that is needed of all bundles at once. Holds no text but names."""

    def __init__(self) -> None:
        self.profiles: dict[ProfileKey, Profile] = {}
        # paper: {id in its bundle: profile}
        self.members: dict[str, dict[str, ProfileKey]] = {}
        self.said: dict[tuple[ProfileKey, str, ProfileKey], Statement] = {}

    def add(self, paper_id: str, bundle: Bundle) -> None:
        """Add what one paper's bundle says."""
        if paper_id in self.members:
            raise ValueError(f"the paper {paper_id} was added twice")
        members = self.members[paper_id] = {
            each.id: self._profile(paper_id, each) for each in bundle.entities
        }
        renamed = evidence_ids(paper_id, bundle)
        for each in bundle.relationships:
            subject, target = members.get(each.subject), members.get(each.object)
            if subject is not None and target is not None:
                self._say(paper_id, (subject, each.predicate, target), each, renamed)

    def _profile(self, paper_id: str, entity: BundleEntity) -> ProfileKey:
        key = entity.entity_class, fold(entity.name), ids_of(entity)
        profile = self.profiles.get(key)
        if profile is None:
            profile = self.profiles[key] = Profile(*key)
        if paper_id not in profile.papers:
            profile.papers.add(paper_id)
            profile.spellings[" ".join(entity.name.split())] += 1
        profile.synonyms.update(_other_names(entity))
        profile.sources.add(entity.source)
        return key

    def _say(
        self,
        paper_id: str,
        key: tuple[ProfileKey, str, ProfileKey],
        relationship: BundleRelationship,
        renamed: dict[str, str],
    ) -> None:
        said = self.said.get(key)
        if said is None:
            said = self.said[key] = Statement()
        said.confidence = max(said.confidence, relationship.confidence)
        said.asserted_by.add(relationship.asserted_by)
        said.distinct |= relationship.predicate == SAME_AS and relationship.resolution == "distinct"
        evidence = said.evidence.setdefault(paper_id, set())
        evidence.update(renamed[each] for each in relationship.evidence_ids if each in renamed)


def collect(bundles: Iterable[tuple[str, Bundle]]) -> Statements:
    """What all bundles say. They are looked at one after the other, and not kept."""
    statements = Statements()
    for paper_id, bundle in bundles:
        statements.add(paper_id, bundle)
    return statements


def ids_of(entity: BundleEntity) -> tuple[str, ...]:
    """The authoritative ids that a bundle gives an entity, best first."""
    values = [(entity.canonical_id, "canonical_id")]
    values += [(getattr(entity, each.field), each.field) for each in authorities.AUTHORITIES]
    found = {authorities.canonical_form(value, name) for value, name in values if value}
    return tuple(sorted((each for each in found if each), key=authorities.order))


def evidence_ids(paper_id: str, bundle: Bundle) -> dict[str, str]:
    """The ids of a bundle's evidence, and what they are called outside it: with the paper's id in front.

    Old extractors wrote what a model took for the paper's id, so that many papers have a "paper_1:results:1".
    """
    found = {}
    for each in bundle.evidence_entities:
        written = f"{each.paper_id}:"
        rest = each.id.removeprefix(written) if each.paper_id else each.id
        found[each.id] = f"{paper_id}:{rest or each.id}"
    if len(set(found.values())) < len(found):
        return {each: f"{paper_id}:{each}" for each in found}
    return found


def _other_names(entity: BundleEntity) -> Iterable[str]:
    for name in (*entity.synonyms, entity.symbol or "", *entity.brand_names):
        if (cleaned := " ".join(name.split())) and len(cleaned) <= _MAX_NAME_CHARS:
            yield cleaned
