"""gitignore patterns, matched exactly as git matches them, in a time that a pattern cannot make explode.

A pattern becomes a regular expression over the bytes of a path in which every star is atomic: once the
shortest text that lets the next fixed piece match is found, it is not reconsidered. Fixed pieces match a
fixed number of bytes, so the first place where one matches is always good enough. (pathspec's expressions
backtrack, match characters where git matches bytes, and differ in brackets and in "**" after a name.)

What belongs here: one line of a gitignore file. What does not: lists of them, and which one wins (ignore).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

_SPECIAL = re.compile(rb"[*?\[\\]")
_SLASH = ord("/")
_NEVER = rb"(?!)"


def _bytes_where(accepts: str) -> frozenset[int]:
    return frozenset(re.sub(rb"[^%s]" % accepts.encode(), b"", bytes(range(128))))


# As git has them, in ASCII only: its space is without vertical tab and form feed.
_CLASSES = {
    b"alnum": _bytes_where("0-9A-Za-z"),
    b"alpha": _bytes_where("A-Za-z"),
    b"blank": _bytes_where(" \t"),
    b"cntrl": _bytes_where("\\x00-\\x1f\\x7f"),
    b"digit": _bytes_where("0-9"),
    b"graph": _bytes_where("!-~"),
    b"lower": _bytes_where("a-z"),
    b"print": _bytes_where(" -~"),
    b"punct": _bytes_where("!-/:-@\\[-`{-~"),
    b"space": _bytes_where(" \t\n\r"),
    b"upper": _bytes_where("A-Z"),
    b"xdigit": _bytes_where("0-9A-Fa-f"),
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern. `literal` is the only text that it matches, where there is only one."""

    negated: bool  # it includes again
    folders_only: bool
    whole_path: bool  # it is compared with the path, otherwise with the last name only
    literal: bytes | None
    expression: re.Pattern[bytes] | None
    source: bytes = b""  # as written, without what the other fields say

    def matches(self, path: bytes) -> bool:
        if self.expression is None:
            return path == self.literal
        return self.expression.match(path) is not None


def parse(line: bytes) -> Pattern | None:
    """The pattern of a line, given without its end. None for a comment, and for what can match nothing."""
    text = _without_trailing_spaces(line.partition(b"\0")[0])
    if text.startswith(b"#"):
        return None
    negated = text.startswith(b"!")
    text = text[negated:]
    folders_only = text.endswith(b"/")
    text = text[: len(text) - folders_only]
    whole_path = b"/" in text
    text = text.removeprefix(b"/") if whole_path else text
    if not text:
        return None
    special = _SPECIAL.search(text)
    if special is None:
        return Pattern(negated, folders_only, whole_path, text, None)
    expression = _expression(text, special.start(), whole_path=whole_path)
    if _NEVER in expression:
        return None
    return Pattern(negated, folders_only, whole_path, None, re.compile(expression, re.DOTALL), text)


def _without_trailing_spaces(line: bytes) -> bytes:
    """A space at the end counts only if a backslash precedes it."""
    bare = line.rstrip(b" ")
    escapes = len(bare) - len(bare.rstrip(b"\\"))
    return bare + b" " if escapes % 2 and len(bare) < len(line) else bare


def _expression(text: bytes, at: int, *, whole_path: bool) -> bytes:
    """The regular expression of a pattern whose first special character is at `at`.

    Between two "**" that stand for whole folders there is a fixed number of names: the first place where they
    match is good enough too.
    """
    any_byte = b"[^/]" if whole_path else b"."
    start = at  # git compares what precedes by itself, so "**" may also begin right after it
    out, names, piece = [re.escape(text[:at])], [b""], [b""]  # each begins with its star, if it has one
    while at < len(text):
        if text[at] != ord("*"):
            one, at = _one(text, at, whole_path=whole_path)
            piece.append(one)
            continue
        end = at + len(text[at:]) - len(text[at:].lstrip(b"*"))
        names.append(_atomic(piece))
        piece = [any_byte + b"*?"]
        if whole_path and end - at > 1 and (at == start or text[at - 1] == _SLASH):
            many = b""
            if text[end : end + 1] == b"/":
                many, end = b"(?:[^/]*+/)*?", end + 1  # whole folders, also none
            elif end == len(text) or text[end : end + 2] == b"\\/":
                many = b".*?"
            if many:
                out.append(_atomic(names))
                names, piece = [many], [b""]
        at = end
    return b"".join([*out, *names, *piece]) + rb"\Z"


def _atomic(parts: list[bytes]) -> bytes:
    joined = b"".join(parts)
    return b"(?>" + joined + b")" if parts[0] else joined


def _one(text: bytes, at: int, *, whole_path: bool) -> tuple[bytes, int]:
    """What matches one byte, and where the pattern continues."""
    byte = text[at : at + 1]
    if byte == b"?":
        return b"[^/]" if whole_path else b".", at + 1
    if byte == b"[":
        return _bracket(text, at + 1)
    if byte == b"\\":
        byte, at = text[at + 1 : at + 2], at + 1
    return re.escape(byte) if byte else _NEVER, at + 1


def _bracket(text: bytes, at: int) -> tuple[bytes, int]:
    """A set of bytes, by git's rules; it never holds a slash. `at` is after its opening bracket."""
    negated = text[at : at + 1] in (b"!", b"^")
    at += negated
    found: set[int] = set()
    previous, first = b"", at
    while at == first or text[at : at + 1] != b"]":
        more, previous, at = _member(text, at, previous)
        if more is None:
            return _NEVER, len(text)
        found.update(more)
    if negated:
        found = set(range(1, 256)) - found
    found.discard(_SLASH)
    if not found:
        return _NEVER, len(text)
    return b"[" + _ranges(frozenset(found)) + b"]", at + 1


@lru_cache(1_024)  # a file may repeat the same set ten thousand times
def _ranges(found: frozenset[int]) -> bytes:
    """The members of a set as few ranges: compiling a long list of them takes far longer than the pattern."""
    out: list[tuple[int, int]] = []
    for value in sorted(found):
        if out and value == out[-1][1] + 1:
            out[-1] = (out[-1][0], value)
        else:
            out.append((value, value))
    return b"".join(rb"\x%02x-\x%02x" % ends for ends in out)


def _member(text: bytes, at: int, previous: bytes) -> tuple[Iterable[int] | None, bytes, int]:
    """One member of a set: its bytes, what a range after it begins with, and where the set continues.

    None when the set is not valid: then the whole pattern matches nothing.
    """
    if text[at : at + 2] == b"[:" and (end := text.find(b"]", at + 2)) != at + 2:
        if end < 0:
            return None, b"", at
        if text[end - 1 : end] == b":":
            return _CLASSES.get(text[at + 2 : end - 1]), b"", end + 1
    byte, after = _escaped(text, at)
    if text[at : at + 1] == b"-" and previous and text[at + 1 : at + 2] not in (b"", b"]"):
        last, after = _escaped(text, at + 1)
        return (range(previous[0], last[0] + 1) if last else None), b"", after
    return byte or None, byte, after


def _escaped(text: bytes, at: int) -> tuple[bytes, int]:
    """A byte, which a backslash may precede, and where it ends; empty at the end of the text."""
    at += text[at : at + 1] == b"\\"
    return text[at : at + 1], at + 1
