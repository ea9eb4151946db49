"""What all bundles say of entities, added up: the input of merging.

What belongs here: collecting, in any order, what does not depend on the order. What does not: deciding what
is one entity (`merging`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ingest_assets.sources.papers.merging import authorities
from ingest_assets.sources.papers.merging.said import EntitySaid, RelationshipSaid, Said

# Class, folded name, ids of authorities in the order of their rank.
ProfileKey = tuple[str, str, tuple[str, ...]]


@dataclass(slots=True)
class Profile:
    """Entities of bundles that are alike in class, name and ids: nothing that is known tells them apart."""

    key: ProfileKey
    papers: set[str] = field(default_factory=set)
    spellings: Counter[str] = field(default_factory=Counter)  # of the name, by the number of papers
    synonyms: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)
    _derived_id: str = ""  # once it was asked for

    @property
    def entity_class(self) -> str:
        return self.key[0]

    @property
    def name(self) -> str:
        """Folded."""
        return self.key[1]

    @property
    def ids(self) -> tuple[str, ...]:
        return self.key[2]

    @property
    def spelling(self) -> str:
        """The name as most papers write it."""
        return min(self.spellings, key=lambda each: (-self.spellings[each], each))

    @property
    def derived_id(self) -> str:
        """By which it would be known if nobody gave it an id."""
        if not self._derived_id:
            self._derived_id = authorities.derived_id(self.entity_class, self.name)
        return self._derived_id


@dataclass(slots=True)
class Statement:
    """A relationship of two profiles, as some papers state it."""

    confidence: float = 0.0  # the highest
    evidence: dict[str, list[str]] = field(default_factory=dict)  # paper: ids of its evidence, some twice
    asserted_by: set[str] = field(default_factory=set)
    distinct: bool = False  # of SAME_AS: a bundle says that it was looked into, and they are not one


class Statements:
    """Everything that is needed of all bundles at once. Holds no text but names."""

    def __init__(self) -> None:
        self.profiles: dict[ProfileKey, Profile] = {}
        # paper: {id in its bundle: profile}
        self.members: dict[str, dict[str, ProfileKey]] = {}
        self.said: dict[tuple[ProfileKey, str, ProfileKey], Statement] = {}

    def add(self, paper_id: str, said: Said) -> None:
        """Add what one paper's bundle says."""
        if paper_id in self.members:
            raise ValueError(f"the paper {paper_id} was added twice")
        members = self.members[paper_id] = {each.id: self._profile(paper_id, each) for each in said.entities}
        for each in said.relationships:
            subject, target = members.get(each.subject), members.get(each.object)
            if subject is not None and target is not None:
                self._say(paper_id, (subject, each.predicate, target), each)

    def _profile(self, paper_id: str, entity: EntitySaid) -> ProfileKey:
        key = entity.entity_class, entity.name, tuple(entity.ids)
        profile = self.profiles.get(key)
        if profile is None:
            profile = self.profiles[key] = Profile(key)
        if paper_id not in profile.papers:
            profile.papers.add(paper_id)
            profile.spellings[entity.spelling] += 1
        profile.synonyms.update(entity.other_names)
        profile.sources.add(entity.source)
        return profile.key  # not this one: there are as many as names in all papers

    def _say(
        self, paper_id: str, key: tuple[ProfileKey, str, ProfileKey], relationship: RelationshipSaid
    ) -> None:
        said = self.said.get(key)
        if said is None:
            said = self.said[key] = Statement()
        said.confidence = max(said.confidence, relationship.confidence)
        said.asserted_by.add(relationship.asserted_by)
        said.distinct |= relationship.distinct
        evidence = said.evidence.setdefault(paper_id, [])
        evidence += (f"{paper_id}:{each}" for each in relationship.evidence)


def collect(papers: Iterable[tuple[str, Said]]) -> Statements:
    """What all bundles say. They are looked at one after the other, and not kept."""
    statements = Statements()
    for paper_id, said in papers:
        statements.add(paper_id, said)
    return statements
