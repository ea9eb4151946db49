"""Damaged inputs, made from valid ones; the same for the same seed and number, on every machine.

What belongs here: changing bytes. What does not: what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

Change = Callable[[bytearray, Random, Sequence[bytes], Sequence[bytes]], None]
_MOST_CHANGES = 6
_BYTES = (0, 1, 0x0A, 0x22, 0x2F, 0x7F, 0x80, 0xFE, 0xFF)
_NUMBERS = (0, 1, -1, 127, 128, 255, 256, 65_535, 65_536, (1 << 31) - 1, 1 << 31, (1 << 63) - 1, 1 << 64)
_LONGEST_BLOCK = 512


def mutated(inputs: Sequence[bytes], tokens: Sequence[bytes], rng: Random, max_bytes: int) -> bytes:
    """One of the inputs with a few changes, most often one or two."""
    data = bytearray(rng.choice(inputs))
    changes = 1
    while changes < _MOST_CHANGES and rng.random() < 0.5:
        changes += 1
    for _ in range(changes):
        rng.choice(_CHANGES)(data, rng, inputs, tokens)
    return bytes(data[:max_bytes])


def _flip(data: bytearray, rng: Random, _inputs: Sequence[bytes], _tokens: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(data: bytearray, rng: Random, _inputs: Sequence[bytes], _tokens: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice(_BYTES)


def _insert(data: bytearray, rng: Random, _inputs: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    at = rng.randint(0, len(data))
    data[at:at] = rng.choice(tokens) if tokens else rng.randbytes(rng.randint(1, 8))


def _overwrite(data: bytearray, rng: Random, _inputs: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    token = rng.choice(tokens) if tokens else rng.randbytes(4)
    at = rng.randint(0, len(data))
    data[at : at + len(token)] = token


def _splice(data: bytearray, rng: Random, inputs: Sequence[bytes], _tokens: Sequence[bytes]) -> None:
    other = rng.choice(inputs)
    data[rng.randint(0, len(data)) :] = other[rng.randint(0, len(other)) :]


def _cut_off(data: bytearray, rng: Random, _inputs: Sequence[bytes], _tokens: Sequence[bytes]) -> None:
    del data[rng.randint(0, len(data)) :]


def _remove(data: bytearray, rng: Random, _inputs: Sequence[bytes], _tokens: Sequence[bytes]) -> None:
    del data[_block(data, rng)]


def _repeat(data: bytearray, rng: Random, _inputs: Sequence[bytes], _tokens: Sequence[bytes]) -> None:
    block = _block(data, rng)
    data[block.start : block.start] = bytes(data[block]) * rng.choice((1, 2, 10, 1_000))


def _swap(data: bytearray, rng: Random, _inputs: Sequence[bytes], _tokens: Sequence[bytes]) -> None:
    block = _block(data, rng)
    moved = bytes(data[block])
    del data[block]
    at = rng.randint(0, len(data))
    data[at:at] = moved


def _change_digits(data: bytearray, rng: Random, _inputs: Sequence[bytes], _tokens: Sequence[bytes]) -> None:
    """A number that is written out: off by one, or at a limit."""
    if found := list(re.finditer(rb"[0-9]{1,20}", data)):
        match = rng.choice(found)
        value = int(match[0])
        data[match.start() : match.end()] = b"%d" % rng.choice((value - 1, value + 1, *_NUMBERS))


def _change_number(data: bytearray, rng: Random, _inputs: Sequence[bytes], _tokens: Sequence[bytes]) -> None:
    """A binary number: off by one, or at a limit."""
    size = rng.choice((1, 2, 4, 8))
    if len(data) >= size:
        at, order = rng.randint(0, len(data) - size), rng.choice(("big", "little"))
        value = int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]
        changed = rng.choice((value - 1, value + 1, *_NUMBERS)) % (1 << 8 * size)
        data[at : at + size] = changed.to_bytes(size, order)  # type: ignore[arg-type]


def _block(data: bytearray, rng: Random) -> slice:
    at = rng.randint(0, len(data))
    return slice(at, at + rng.randint(1, min(_LONGEST_BLOCK, max(1, len(data) - at))))


_CHANGES: tuple[Change, ...] = (
    _flip, _set, _insert, _insert, _overwrite, _splice, _cut_off, _remove, _repeat, _swap, _change_digits,
    _change_number,
)  # fmt: skip
