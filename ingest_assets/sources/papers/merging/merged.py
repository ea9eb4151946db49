"""What merging results in: entities, what is said of them, and which ids lead to them.

What belongs here: the types, and making them of groups. What does not: which entities are one (`merging`),
and the files (`merged_files`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from ingest_assets.sources.papers.merging import authorities
from ingest_assets.sources.papers.merging.classes import SAME_AS
from ingest_assets.sources.papers.merging.names import fold
from ingest_assets.sources.papers.merging.statements import Profile, ProfileKey, Statement, Statements

MAX_SYNONYMS = 1_000


class Group(NamedTuple):
    """The profiles that are one entity, sorted, and all ids that are its, best first."""

    profiles: tuple[ProfileKey, ...]
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MergedEntity:
    """An entity of all papers."""

    id: str  # with its authority, or derived; at most 36 characters
    entity_class: str  # the one that most papers give it, then by alphabet
    name: str  # as most papers call it, then by alphabet
    synonyms: tuple[str, ...]  # all other names, sorted
    ids: tuple[str, ...]  # all that authorities give it, best first
    source: str
    papers: tuple[str, ...]  # sorted

    @property
    def is_canonical(self) -> bool:
        """Whether an authority knows it."""
        return bool(self.ids)


@dataclass(frozen=True, slots=True)
class MergedRelationship:
    """What papers say of two entities."""

    subject: str
    predicate: str
    object: str
    evidence_ids: tuple[str, ...]  # by paper, then by text
    papers: tuple[str, ...]  # sorted
    confidence: float  # the highest
    asserted_by: tuple[str, ...]  # sorted

    @property
    def ends(self) -> tuple[str, str, str]:
        """What it says: subject, predicate, object. No two are alike in this."""
        return self.subject, self.predicate, self.object


class NamedAs(NamedTuple):
    """An entity as the synonym cache has it."""

    name: str
    entity_class: str
    id: str


@dataclass(frozen=True, slots=True)
class SynonymPair:
    """Two names of which a paper says that they are the same."""

    left: NamedAs
    right: NamedAs
    confidence: float  # the highest
    asserted_by: str
    merged: bool
    papers: tuple[str, ...]  # sorted


@dataclass(frozen=True, slots=True)
class Merged:
    """Everything that pass 2 finds, in an order that does not depend on that of the papers."""

    entities: tuple[MergedEntity, ...]  # by id
    relationships: tuple[MergedRelationship, ...]  # by subject, predicate, object
    id_map: dict[str, dict[str, str]]  # paper: {id in its bundle: entity}
    synonym_pairs: tuple[SynonymPair, ...]
    # Every id that an entity could have had with fewer papers, and the entity that it leads to now. None is
    # the id of an entity.
    aliases: dict[str, str]
    remarks: tuple[str, ...]  # merges that papers ask for and that were refused: sentences

    def without_evidence(self) -> Merged:
        """The same for those who need no ids of evidence, of which there are more than of anything else."""
        bare = tuple(replace(each, evidence_ids=()) for each in self.relationships)
        return replace(self, relationships=bare)


def assemble(
    statements: Statements,
    groups: Iterable[Group],
    successors: Iterable[tuple[str, ProfileKey]],
    remarks: Iterable[str],
) -> Merged:
    """Make entities of groups of profiles, and have everything that was said speak of them."""
    entities, entity_of, aliases = [], dict[ProfileKey, str](), dict[str, str]()
    for group in groups:
        entity = _entity([statements.profiles[key] for key in group.profiles], group.ids)
        entities.append(entity)
        entity_of.update(dict.fromkeys(group.profiles, entity.id))
        aliases.update(dict.fromkeys(group.ids, entity.id))
    for old, key in successors:
        aliases.setdefault(old, entity_of[key])
    known = {entity.id for entity in entities}
    return Merged(
        entities=tuple(sorted(entities, key=lambda each: authorities.order(each.id))),
        relationships=_relationships(statements, entity_of),
        id_map={
            paper: {local: entity_of[key] for local, key in sorted(members.items())}
            for paper, members in sorted(statements.members.items())
        },
        synonym_pairs=_synonym_pairs(statements, entity_of),
        aliases={old: aliases[old] for old in sorted(aliases) if old not in known},
        remarks=tuple(sorted(remarks)),
    )


def _entity(profiles: list[Profile], ids: tuple[str, ...]) -> MergedEntity:
    entity_class, name = _called(profiles)
    return MergedEntity(
        id=ids[0] if ids else min(each.derived_id for each in profiles),
        entity_class=entity_class,
        name=name,
        synonyms=_synonyms(name, profiles),
        ids=ids,
        source=min(source for each in profiles for source in each.sources),
        papers=tuple(sorted(set().union(*(each.papers for each in profiles)))),
    )


def _called(profiles: list[Profile]) -> tuple[str, str]:
    """Class and name that most papers give an entity."""
    if len(profiles) == 1:  # as nearly all have
        return profiles[0].entity_class, profiles[0].spelling
    classes: Counter[str] = Counter()
    names: Counter[str] = Counter()
    for each in profiles:
        classes[each.entity_class] += len(each.papers)
        names[each.name] += len(each.papers)
    folded = _most(names)
    spellings: Counter[str] = Counter()
    for each in profiles:
        if each.name == folded:
            spellings.update(each.spellings)
    return _most(classes), _most(spellings)


def _most(counts: Counter[str]) -> str:
    return min(counts, key=lambda each: (-counts[each], each))


def _synonyms(name: str, profiles: Iterable[Profile]) -> tuple[str, ...]:
    """All names but this one, each in one spelling."""
    found: dict[str, str] = {}
    written = {each for profile in profiles for each in (*profile.spellings, *profile.synonyms)}
    if len(written) == 1:
        return ()
    for each in sorted(written):
        found.setdefault(fold(each), each)
    found.pop(fold(name), None)
    return tuple(sorted(found.values()))[:MAX_SYNONYMS]


def _relationships(
    statements: Statements, entity_of: dict[ProfileKey, str]
) -> tuple[MergedRelationship, ...]:
    said: dict[tuple[str, str, str], list[Statement]] = {}
    for (subject, predicate, target), statement in statements.said.items():
        key = entity_of[subject], predicate, entity_of[target]
        if predicate == SAME_AS and key[0] == key[2]:
            continue  # they are one: that is what it says
        said.setdefault(key, []).append(statement)
    return tuple(_relationship(key, said[key]) for key in sorted(said))


def _relationship(key: tuple[str, str, str], statements: list[Statement]) -> MergedRelationship:
    evidence: dict[str, set[str]] = {}
    for each in statements:
        for paper, ids in each.evidence.items():
            evidence.setdefault(paper, set()).update(ids)
    return MergedRelationship(
        *key,
        evidence_ids=tuple(each for paper in sorted(evidence) for each in sorted(evidence[paper])),
        papers=tuple(sorted(evidence)),
        confidence=max(each.confidence for each in statements),
        asserted_by=tuple(sorted({by for each in statements for by in each.asserted_by if by})),
    )


def _synonym_pairs(statements: Statements, entity_of: dict[ProfileKey, str]) -> tuple[SynonymPair, ...]:
    """Each pair of names that SAME_AS connects, once, however many papers say so and in which direction."""
    found: dict[tuple[ProfileKey, ProfileKey], list[tuple[ProfileKey, ProfileKey, Statement]]] = {}
    for (subject, predicate, target), statement in statements.said.items():
        if predicate != SAME_AS or subject[:2] == target[:2]:
            continue
        # The one without an id is looked up by its name, so it is the one under whose name the pair is kept.
        left, right = sorted((subject, target), key=lambda key: (bool(key[2]), key))
        pair = sorted(((*left[:2], ()), (*right[:2], ())))
        found.setdefault((pair[0], pair[1]), []).append((left, right, statement))
    return tuple(_synonym_pair(statements, entity_of, found[pair]) for pair in sorted(found))


def _synonym_pair(
    statements: Statements,
    entity_of: dict[ProfileKey, str],
    said: list[tuple[ProfileKey, ProfileKey, Statement]],
) -> SynonymPair:
    left, right, best = min(said, key=lambda each: (-each[2].confidence, each[0], each[1]))

    def named(key: ProfileKey) -> NamedAs:
        return NamedAs(statements.profiles[key].spelling, key[0], entity_of[key])

    return SynonymPair(
        left=named(left),
        right=named(right),
        confidence=best.confidence,
        asserted_by=min(best.asserted_by),
        merged=entity_of[left] == entity_of[right],
        papers=tuple(sorted({paper for _, _, each in said for paper in each.evidence})),
    )
