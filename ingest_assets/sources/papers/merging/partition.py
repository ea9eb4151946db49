"""Groups of nodes that are joined one link after the other, unless that would break a promise.

What belongs here: joining, and when it is refused. What does not: which links there are, and in which order.
"""

from __future__ import annotations

from collections.abc import Iterable

from ingest_assets.sources.papers.merging.authorities import authority_of

# A side of a decision that two entities are different: its number, and which of both sides.
Mark = tuple[int, int]


class Partition:
    """A union-find whose groups know their ids, and the sides of decisions that they are on."""

    def __init__(self) -> None:
        self._leader: list[int] = []
        self._size: list[int] = []
        self._ids: list[dict[str, set[str]]] = []  # of a leader: ids by authority
        self._marks: list[set[Mark]] = []  # of a leader

    def add(self, entity_id: str | None = None) -> int:
        """A new node, in a group of its own, which stands for an id or for none."""
        self._leader.append(len(self._leader))
        self._size.append(1)
        self._ids.append({authority_of(entity_id): {entity_id}} if entity_id else {})
        self._marks.append(set())
        return len(self._leader) - 1

    def mark(self, node: int, mark: Mark) -> None:
        """Put a node on a side of a decision. Its group is never joined with one on the other side."""
        self._marks[self.find(node)].add(mark)

    def find(self, node: int) -> int:
        """The node that stands for the group."""
        leader = self._leader
        while leader[node] != node:
            leader[node] = leader[leader[node]]
            node = leader[node]
        return node

    def ids(self, node: int) -> list[str]:
        """All ids in the node's group, in no order."""
        return [each for held in self._ids[self.find(node)].values() for each in held]

    def are_different(self, left: int, right: int) -> bool:
        """Whether a decision keeps their groups apart."""
        left, right = self.find(left), self.find(right)
        other = self._marks[right]
        return left != right and any((number, 1 - side) in other for number, side in self._marks[left])

    def are_rivals(self, left: int, right: int) -> bool:
        """Whether their groups have different ids of one authority."""
        left, right = self.find(left), self.find(right)
        return left != right and not self._ids[left].keys().isdisjoint(self._ids[right])

    def join(self, left: int, right: int, *, even_rivals: bool = False) -> bool:
        """Make both groups one, unless that is refused. Returns whether they are one now."""
        left, right = self.find(left), self.find(right)
        if left == right:
            return True
        if self.are_different(left, right) or (not even_rivals and self.are_rivals(left, right)):
            return False
        if self._size[left] < self._size[right]:
            left, right = right, left
        self._leader[right] = left
        self._size[left] += self._size[right]
        for authority, held in self._ids[right].items():
            self._ids[left].setdefault(authority, set()).update(held)
        self._marks[left] |= self._marks[right]
        self._ids[right], self._marks[right] = {}, set()
        return True

    def join_all(self, nodes: Iterable[int]) -> bool:
        """Join several, rivals or not. Returns False at the first that a decision forbids."""
        first, *others = nodes
        return all(self.join(first, each, even_rivals=True) for each in others)
