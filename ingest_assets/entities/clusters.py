"""From scored pairs to clusters: average linkage, with decisions that always hold.

Two clusters are joined while the mean weight between their members is at least `join_at`. The mean is what
keeps strangers apart: one strong link between two large clusters does not outweigh all the pairs that do not
match, where following links from record to record would glue them. Within a connected component everything
is decided by that component alone, so that clustering only what changed gives what clustering all gives; and
sums are of whole numbers, so that no order of additions shows.

What belongs here: pure functions of members, pairs and decisions. What does not: ids (see `continuity`).
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

# Bits. A pair that was not compared, or weighs less than this, counts as this.
ABSENT = -3.0
# No pair counts for more: a shared address must not outweigh any number of names that differ.
MOST = 10.0
_UNIT = 1_000_000  # weights have six decimals

Pair = tuple[str, str, float]
_Between = tuple[int, int]  # sum of weights in units, number of pairs known


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A decision that cannot hold together with others: all of them are set aside until people mend them."""

    left: str
    right: str
    reason: str


@dataclass(frozen=True, slots=True)
class Clustering:
    """`clusters` hold every member once, sorted, and are sorted."""

    clusters: list[tuple[str, ...]]
    refused: list[Pair]  # links that only a decision kept from joining two clusters
    contradictions: list[Contradiction]


def cluster(
    members: Iterable[str],
    pairs: Iterable[Pair],
    same: Iterable[tuple[str, str]] = (),
    different: Iterable[tuple[str, str]] = (),
    *,
    join_at: float,
) -> Clustering:
    """Clusters of the members, by weights in bits. The order of members, pairs and decisions does not matter.

    `same` and `different` are decisions: they come before all evidence. Where those that say "same" join what
    one says is different, that one and the whole group so joined are set aside: which of them is wrong cannot
    be told. The evidence decides there.
    """
    known = set(members)
    same = {_ordered(a, b) for a, b in same if a in known and b in known and a != b}
    different = {_ordered(a, b) for a, b in different if a in known and b in known and a != b}
    group, contradictions, apart = _decided(known, same, different)
    work = _Agglomeration(group, pairs, apart, join_at)
    work.run()
    clusters = sorted(tuple(sorted(found)) for found in work.members.values())
    return Clustering(clusters, sorted(work.refused), contradictions)


def components(
    members: Iterable[str], pairs: Iterable[Pair], same: Iterable[tuple[str, str]] = (), *, join_at: float
) -> list[tuple[str, ...]]:
    """The members that a chain of decisions, or of pairs that could join two clusters, connects; sorted.

    A mean reaches `join_at` only where some pair does, so that nothing outside a component bears on it.
    """
    root = _Roots(members)
    for left, right, weight in pairs:
        if weight >= join_at:
            root.join(left, right)
    for left, right in same:
        root.join(left, right)
    return root.groups()


def weakest_links(members: Collection[str], pairs: Iterable[Pair], limit: int) -> list[Pair]:
    """The links that hold a cluster together by least: of its maximum spanning tree, the weakest first."""
    inside = set(members)
    root = _Roots(inside)
    tree = []
    for left, right, weight in sorted(pairs, key=lambda pair: (-pair[2], pair)):
        if left in inside and right in inside and root.join(left, right):
            tree.append((left, right, weight))
    return sorted(tree, key=lambda pair: (pair[2], pair))[:limit]


def _ordered(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a < b else (b, a)


def _decided(
    members: Collection[str], same: Collection[tuple[str, str]], different: Collection[tuple[str, str]]
) -> tuple[Mapping[str, str], list[Contradiction], list[tuple[str, str]]]:
    """Each member's group by the decisions that can hold, those that cannot, and what stays apart."""
    joined = _Roots(members)
    for left, right in same:
        joined.join(left, right)
    broken = {joined.of(left) for left, right in different if joined.of(left) == joined.of(right)}
    root = _Roots(members)
    for left, right in same:
        if joined.of(left) not in broken:
            root.join(left, right)
    contradictions = [
        Contradiction(left, right, "other decisions say that these two are the same")
        for left, right in sorted(different)
        if joined.of(left) == joined.of(right)
    ]
    contradictions += [
        Contradiction(left, right, "another decision says that two of the records so joined are different")
        for left, right in sorted(same)
        if joined.of(left) in broken
    ]
    group = {member: root.of(member) for member in members}
    apart = [(group[a], group[b]) for a, b in different if joined.of(a) != joined.of(b)]
    return group, contradictions, apart


class _Roots:
    """Union-find in which a group is named by its smallest member."""

    def __init__(self, members: Iterable[str]) -> None:
        self._above = {member: member for member in members}

    def of(self, member: str) -> str:
        root = member
        while self._above[root] != root:
            root = self._above[root]
        while self._above[member] != root:
            self._above[member], member = root, self._above[member]
        return root

    def join(self, a: str, b: str) -> bool:
        """Whether they were apart."""
        low, high = sorted((self.of(a), self.of(b)))
        self._above[high] = low
        return low != high

    def groups(self) -> list[tuple[str, ...]]:
        found = defaultdict(list)
        for member in self._above:
            found[self.of(member)].append(member)
        return sorted(tuple(sorted(group)) for group in found.values())


class _Agglomeration:
    """Joins the two clusters with the highest mean weight, until none is high enough.

    A cluster is named by its smallest member. `between` holds, for clusters that have a known pair, the sum
    of their weights and the number of them.
    """

    def __init__(
        self,
        group: Mapping[str, str],
        pairs: Iterable[Pair],
        apart: Iterable[tuple[str, str]],
        join_at: float,
    ) -> None:
        self.least = join_at * _UNIT
        self.members: dict[str, list[str]] = defaultdict(list)
        for member, name in group.items():
            self.members[name].append(member)
        self.between: dict[str, dict[str, _Between]] = defaultdict(dict)
        for left, right, weight in pairs:
            a, b = group[left], group[right]
            if a == b:
                continue
            value = round(min(weight, MOST) * _UNIT)
            total, known = self.between[a].get(b, (0, 0))
            self.between[a][b] = self.between[b][a] = (total + value, known + 1)
        self.apart: dict[str, set[str]] = defaultdict(set)
        for a, b in apart:
            self.apart[a].add(b)
            self.apart[b].add(a)
        self.refused: list[Pair] = []

    def run(self) -> None:
        heap = [item for a in self.between for b in self.between[a] if a < b and (item := self._item(a, b))]
        heapq.heapify(heap)
        while heap:
            mean, a, b = heapq.heappop(heap)
            if a not in self.members or b not in self.between[a] or self._mean(a, b) != -mean:
                continue  # one of the two was joined with another cluster meanwhile
            if b in self.apart[a]:
                self.refused.append((a, b, -mean / _UNIT))
                continue
            self._join(a, b)
            for c in self.between[a]:
                if item := self._item(*_ordered(a, c)):
                    heapq.heappush(heap, item)

    def _item(self, a: str, b: str) -> tuple[float, str, str] | None:
        mean = self._mean(a, b)
        return (-mean, a, b) if mean >= self.least else None

    def _mean(self, a: str, b: str) -> float:
        total, known = self.between[a][b]
        all_pairs = len(self.members[a]) * len(self.members[b])
        return (total + (all_pairs - known) * round(ABSENT * _UNIT)) / all_pairs

    def _join(self, a: str, b: str) -> None:
        self.members[a] += self.members.pop(b)
        for c, (total, known) in self.between.pop(b).items():
            del self.between[c][b]
            if c != a:
                mine, count = self.between[a].get(c, (0, 0))
                self.between[a][c] = self.between[c][a] = (mine + total, count + known)
        for c in self.apart.pop(b, ()):
            self.apart[c].discard(b)
            self.apart[c].add(a)
            self.apart[a].add(c)
