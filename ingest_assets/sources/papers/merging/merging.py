"""Pass 2: which entities of all papers are one, and what it is called.

The answer depends on what bundles and decisions say, never on the order in which they came: every tier below
goes through its links in an order that their content gives. A link is refused if a decision forbids it, and,
except where noted, if it would give an entity two ids of one authority.

1. Decisions that entities are the same: always.
2. Ids of authorities: entities that share one are one, whatever their classes and names.
3. SAME_AS of confidence 0.85 and more, in any paper: first between entities with ids, even two of one
   authority, since a paper says so; then the others, where a name without an id does not make a bridge
   between two ids.
4. Class and name. If several entities with ids of one authority have the name, those without an id belong to
   the one that most papers mean by it.

Synonyms that a bundle lists merge nothing: there are bundles in which "sarcoma" has the synonym
"liposarcoma", and "AI" is not the same everywhere.

What belongs here: these tiers. What does not: what the merged entities are like (`merged`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.papers.merging import authorities
from ingest_assets.sources.papers.merging.classes import SAME_AS
from ingest_assets.sources.papers.merging.decisions import Decision, Decisions, Reference, require_agreement
from ingest_assets.sources.papers.merging.merged import Group, Merged, assemble
from ingest_assets.sources.papers.merging.partition import Partition
from ingest_assets.sources.papers.merging.said import Said
from ingest_assets.sources.papers.merging.statements import Profile, ProfileKey, Statements, collect

MERGING_CONFIDENCE = 0.85


def merge(papers: Iterable[tuple[str, Said]], decisions: Decisions | None = None) -> Merged:
    """Merge the entities of all papers. Raises ConfigurationError if decisions contradict each other."""
    statements = collect(papers)
    merging = _Merging(statements, decisions or Decisions())
    merging.follow_decisions()
    merging.follow_ids()
    merging.follow_same_as()
    merging.follow_names()
    return assemble(statements, merging.groups(), merging.successors(), merging.remarks)


class _Merging:
    def __init__(self, statements: Statements, decisions: Decisions) -> None:
        require_agreement(decisions)
        self._decisions = decisions
        self._statements = statements
        self._profiles = [statements.profiles[key] for key in sorted(statements.profiles)]
        self._partition = Partition()
        self._node: dict[ProfileKey, int] = {each.key: self._partition.add() for each in self._profiles}
        self._id_node: dict[str, int] = {}
        self._own: dict[ProfileKey, str] = {}  # the id by which a profile is known
        self._named: dict[tuple[str, str], list[ProfileKey]] = defaultdict(list)
        for each in self._profiles:
            self._named[each.entity_class, each.name].append(each.key)
        self.remarks: list[str] = []

    def follow_decisions(self) -> None:
        for number, each in enumerate(sorted(self._decisions.different, key=_text)):
            for side, reference in enumerate((each.left, each.right)):
                for node in self._nodes(reference):
                    self._partition.mark(node, (number, side))
            left, right = self._nodes(each.left), self._nodes(each.right)
            if not set(left).isdisjoint(right):
                raise ConfigurationError(
                    f"A decision says that {each.left} and {each.right} are different, which are two "
                    "words for one entity. Remove this line."
                )
        for each in sorted(self._decisions.same, key=_text):
            left, right = self._nodes(each.left), self._nodes(each.right)
            if not left or not right:
                self.remarks.append(f"No paper names both {each.left} and {each.right}, which are the same.")
            elif not self._partition.join_all([*left, *right]):
                raise ConfigurationError(
                    f"The decision that {each.left} and {each.right} are the same contradicts one that they, "
                    "or what others make the same, are different. Correct or remove one of these lines."
                )

    def follow_ids(self) -> None:
        together: Counter[tuple[str, str]] = Counter()
        for profile in self._known():
            for place, entity_id in enumerate(profile.ids):
                if self._partition.join(self._node[profile.key], self._node_of(entity_id)):
                    self._own[profile.key] = entity_id
                    for other in profile.ids[place + 1 :]:
                        together[entity_id, other] += len(profile.papers)
                    break
        for (entity_id, other), _ in sorted(
            together.items(), key=lambda each: (-each[1], *_ordered(each[0]))
        ):
            left, right = self._node_of(entity_id), self._node_of(other)
            if not self._partition.join(left, right):
                self.remarks.append(
                    f"{other} is not an id of {entity_id}, which has another one of its kind."
                )

    def follow_same_as(self) -> None:
        links = []
        for (subject, predicate, target), said in self._statements.said.items():
            if predicate == SAME_AS and said.confidence >= MERGING_CONFIDENCE and not said.distinct:
                left, right = sorted((subject, target))
                bridge = left not in self._own or right not in self._own
                links.append((bridge, -said.confidence, left, right))
        for bridge, _, left, right in sorted(links):
            if not self._partition.join(self._node[left], self._node[right], even_rivals=not bridge):
                self.remarks.append(
                    f"{_words(left)} and {_words(right)} stay two entities, although a paper says that they "
                    "are the same."
                )

    def follow_names(self) -> None:
        several = (named for named in self._named.values() if len(named) > 1)
        for named in sorted(several, key=lambda keys: (-self._support(keys), keys)):
            heads: list[int] = []
            for group in self._by_support(named):
                joined = any(self._partition.join(head, group) for head in heads)
                if not joined:
                    heads.append(group)

    def groups(self) -> list[Group]:
        """The profiles of each entity, with all ids that are its."""
        members: dict[int, list[ProfileKey]] = defaultdict(list)
        for each in self._profiles:
            members[self._partition.find(self._node[each.key])].append(each.key)
        return [
            Group(tuple(keys), tuple(sorted(self._partition.ids(leader), key=authorities.order)))
            for leader, keys in members.items()
        ]

    def successors(self) -> Iterator[tuple[str, ProfileKey]]:
        """Ids that are nobody's own, with a profile of the entity that they lead to; earlier ones count.

        An id may have been an entity's before others came: one that a profile has beside a better one, and
        the derived id of every name.
        """
        for profile in self._known():
            for entity_id in profile.ids:
                yield entity_id, profile.key
        for named in self._named.values():
            if len(named) == 1:
                yield self._statements.profiles[named[0]].derived_id, named[0]
                continue
            first = self._by_support(named)[0]
            without_id = [key for key in named if key not in self._own]
            same = [
                key for key in named if self._partition.find(self._node[key]) == self._partition.find(first)
            ]
            key = (without_id or same)[0]
            yield self._statements.profiles[key].derived_id, key

    def _known(self) -> list[Profile]:
        """The profiles with ids, those of most papers first."""
        known = (each for each in self._profiles if each.ids)
        return sorted(known, key=lambda each: (-len(each.papers), each.key))

    def _support(self, keys: Iterable[ProfileKey]) -> int:
        return len(set().union(*(self._statements.profiles[key].papers for key in keys)))

    def _by_support(self, named: list[ProfileKey]) -> list[int]:
        """The groups that have the name, that of most papers first, and those without an id last."""
        keys: dict[int, list[ProfileKey]] = defaultdict(list)
        for key in named:
            keys[self._partition.find(self._node[key])].append(key)

        def place(group: int) -> tuple[bool, int, list[tuple[int, str]], list[ProfileKey]]:
            ids = self._partition.ids(group)
            return not ids, -self._support(keys[group]), sorted(map(authorities.order, ids)), keys[group]

        return sorted(keys, key=place) if len(keys) > 1 else list(keys)

    def _node_of(self, entity_id: str) -> int:
        if entity_id not in self._id_node:
            self._id_node[entity_id] = self._partition.add(entity_id)
        return self._id_node[entity_id]

    def _nodes(self, reference: Reference) -> list[int]:
        """What a decision names: an id, or all profiles of a class and name."""
        if authorities.is_authoritative(reference.id):
            return [self._node_of(reference.id)]
        if reference.id:
            keys = [each.key for each in self._profiles if each.derived_id == reference.id]
        else:
            keys = self._named.get((reference.entity_class, reference.name), [])
        return [self._node[key] for key in keys]


def _ordered(pair: tuple[str, str]) -> tuple[tuple[int, str], tuple[int, str]]:
    return authorities.order(pair[0]), authorities.order(pair[1])


def _text(decision: Decision) -> tuple[str, ...]:
    return tuple(sorted((str(decision.left), str(decision.right))))


def _words(key: ProfileKey) -> str:
    return f"{key[0]}/{key[1]}" + (f" ({key[2][0]})" if key[2] else "")
