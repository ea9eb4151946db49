"""Groups pieces: small neighbours are merged, and a long run is cut where it does the least harm.

As in `prose.py`, the content decides where a long run is cut: in the second half of the budget, before the
piece that is least deep in the syntax tree, and among equals before the one with the smallest hash. So two
versions of a file are cut alike again soon after the place where they differ.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ingest_assets.chunking.code.outline import OutlinePiece, Symbol
from ingest_assets.chunking.prose import ChunkBudget

# A header of a module or an impl below this fraction of the budget is merged with what follows.
BARE_SHARE = 8


@dataclass(frozen=True, slots=True)
class Extent:
    """A piece and its own characters [start, stop), without blank lines around them."""

    piece: OutlinePiece
    start: int
    stop: int
    size: int  # in the budget's unit


def groups(extents: Sequence[Extent], budget: ChunkBudget, text: str) -> list[list[Extent]]:
    """The groups, in order: each becomes a chunk, and none exceeds the budget if no extent does."""
    made: list[list[Extent]] = []
    run: list[Extent] = []
    for extent in extents:
        if run and (extent.piece.alone or extent.piece.owner is not run[0].piece.owner):
            made += _cut(run, budget, text)
            run = []
        run.append(extent)
        if extent.piece.alone:
            made.append(run)
            run = []
    if run:
        made += _cut(run, budget, text)
    return list(_joined(made, budget))


def _cut(run: Sequence[Extent], budget: ChunkBudget, text: str) -> Iterator[list[Extent]]:
    def rank(i: int) -> tuple[int, int]:
        return run[i].piece.depth, zlib.crc32(text[run[i].start : run[i].stop].encode())

    first = 0
    while first < len(run):
        filled, stop = run[first].size, first + 1
        ends: list[int] = []
        while stop < len(run):
            if filled * 2 >= budget.size:
                ends.append(stop)
            more = run[stop].size if budget.unit == "tokens" else run[stop].stop - run[stop - 1].stop
            if filled + more > budget.size:
                break
            filled += more
            stop += 1
        if stop < len(run):
            stop = min(ends or [stop], key=rank)
        yield list(run[first:stop])
        first = stop


def _size(group: Sequence[Extent], budget: ChunkBudget) -> int:
    if budget.unit == "tokens":
        return sum(extent.size for extent in group)
    return group[-1].stop - group[0].start


def _joined(made: Sequence[list[Extent]], budget: ChunkBudget) -> Iterator[list[Extent]]:
    """Merge the bare header of a module or an impl with its first member: it means little by itself."""
    held: list[Extent] = []
    for group in made:
        whole = held + group
        if held and _size(whole, budget) > budget.size:
            yield held
            whole = group
        if _bare(group, budget.size):
            held = whole
        else:
            yield whole
            held = []
    if held:
        yield held


def _bare(group: Sequence[Extent], budget: int) -> bool:
    (first, *others) = group
    return (
        first.piece.header
        and not others
        and first.piece.owner.kind in ("module", "impl")
        and first.size * BARE_SHARE < budget
    )


def label(group: Sequence[Extent], room: int) -> tuple[Symbol, str]:
    """(the symbol that a group is shown as, its name or the names of several in `room` characters).

    It is the symbol with a chunk of its own, else the owner whose header is here, else the first symbol of
    the kind with the most characters.
    """
    last = group[-1].piece
    if last.alone and last.symbol is not None:
        return last.symbol, last.symbol.name
    headed = [extent.piece.owner for extent in group if extent.piece.header]
    if headed:
        return headed[-1], headed[-1].name
    weights: Counter[str] = Counter()
    for extent in group:
        symbol = extent.piece.symbol
        weights[symbol.kind if symbol else ""] += extent.stop - extent.start
    heaviest = max(weights, key=weights.__getitem__)
    symbols = [extent.piece.symbol for extent in group if extent.piece.symbol]
    shown = [symbol for symbol in symbols if not heaviest or symbol.kind == heaviest]
    owner = group[0].piece.owner
    if not shown:
        return owner, owner.name
    name = shown[0].name
    for other in dict.fromkeys(symbol.name for symbol in shown[1:]):
        if len(name) + len(other) + 2 > room:
            break
        name += f", {other}"
    return (shown[0] if heaviest else owner), name
