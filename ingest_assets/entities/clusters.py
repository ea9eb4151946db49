"""From scored pairs to clusters: average linkage, with decisions that always hold.

Two clusters are joined while the mean weight between their members is at least `join_at`. The mean is what
keeps strangers apart: one strong link between two large clusters does not outweigh all the pairs that do not
match, whereas following links from record to record would join them. Each connected component is clustered
independently, so clustering only what changed gives the same result as clustering everything. Sums use whole
numbers, so the order of additions makes no difference.

What belongs here: pure functions of members, pairs and decisions. What does not: ids (see `continuity`).
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

# Bits. A pair that was not compared, or weighs less than this, counts as this.
ABSENT = -1.0
# No pair counts for more: a shared address must not outweigh any number of names that differ.
MOST = 10.0
_UNIT = 1_000_000  # weights have six decimals

Pair = tuple[str, str, float]
_Between = tuple[int, int]  # sum of weights in units, number of pairs known


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A decision that conflicts with others. All of them are set aside until people correct them."""

    left: str
    right: str
    reason: str


@dataclass(frozen=True, slots=True)
class Clustering:
    """`clusters` contains every member once. The list is sorted, and so is each cluster."""

    clusters: list[tuple[str, ...]]
    refused: list[Pair]  # links that would have joined two clusters but for a decision
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

    `same` and `different` are decisions, which override all evidence. When "same" decisions join two records
    that a "different" decision keeps apart, that decision and all those of the joined group are set aside,
    because there is no telling which of them is wrong. The evidence decides instead.
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
    """Groups of members connected by decisions, or by pairs that could join two clusters; sorted.

    A mean reaches `join_at` only if some pair does, so nothing outside a component affects it.
    """
    root = _UnionFind(members)
    for left, right, weight in pairs:
        if weight >= join_at:
            root.join(left, right)
    for left, right in same:
        root.join(left, right)
    return root.groups()


def weakest_links(members: Collection[str], pairs: Iterable[Pair], limit: int) -> list[Pair]:
    """The weakest links that hold a cluster together: those of its maximum spanning tree, weakest first."""
    inside = set(members)
    root = _UnionFind(inside)
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
    """Each member's group by the consistent decisions, the contradictions, and the groups kept apart."""
    joined = _UnionFind(members)
    for left, right in same:
        joined.join(left, right)
    broken = {joined.find(left) for left, right in different if joined.find(left) == joined.find(right)}
    root = _UnionFind(members)
    for left, right in same:
        if joined.find(left) not in broken:
            root.join(left, right)
    contradictions = [
        Contradiction(left, right, "other decisions say that these two are the same")
        for left, right in sorted(different)
        if joined.find(left) == joined.find(right)
    ]
    contradictions += [
        Contradiction(left, right, "another decision says that two records of the joined group are different")
        for left, right in sorted(same)
        if joined.find(left) in broken
    ]
    group = {member: root.find(member) for member in members}
    apart = [(group[a], group[b]) for a, b in different if joined.find(a) != joined.find(b)]
    return group, contradictions, apart


class _UnionFind:
    """Union-find; a group is named after its smallest member."""

    def __init__(self, members: Iterable[str]) -> None:
        self._parent = {member: member for member in members}

    def find(self, member: str) -> str:
        root = member
        while self._parent[root] != root:
            root = self._parent[root]
        while self._parent[member] != root:
            self._parent[member], member = root, self._parent[member]
        return root

    def join(self, a: str, b: str) -> bool:
        """Join two groups; True if they were separate."""
        low, high = sorted((self.find(a), self.find(b)))
        self._parent[high] = low
        return low != high

    def groups(self) -> list[tuple[str, ...]]:
        found = defaultdict(list)
        for member in self._parent:
            found[self.find(member)].append(member)
        return sorted(tuple(sorted(group)) for group in found.values())


class _Agglomeration:
    """Joins the two clusters with the highest mean weight, until no mean is high enough.

    A cluster is named after its smallest member. For every two clusters with a known pair, `between` holds
    the sum of the known weights and their number.
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
                continue  # one of the two has been joined with another cluster since
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
