"""Where a piece of text is in its file: from characters to bytes in its encoding, and to lines."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

import numpy as np

# The two highest bits of a UTF-8 byte that continues a character.
CONTINUATION = 0x80


class Places:
    """Positions in one file. Offsets must be asked for in ascending order: only the text between is read."""

    def __init__(self, body: str, encoding: str) -> None:
        self._body = body
        self._plain = body.isascii() and _is_ascii_compatible(encoding)
        self._encoder = None if self._plain else _encoder(encoding)
        self._at = self._byte = 0
        self._line_at, self._line = 0, 1

    def byte(self, offset: int) -> int:
        """The byte at which a character begins."""
        if self._encoder is None:
            return offset
        if offset > self._at:
            self._byte += len(self._encoder.encode(self._body[self._at : offset]))
            self._at = offset
        return self._byte

    def line(self, offset: int) -> int:
        """The line, from 1, that a character is on. A line ends with its line feed."""
        self._line += self._body.count("\n", self._line_at, offset)
        self._line_at = offset
        return self._line


def utf8_offsets(text: str, data: bytes) -> Sequence[int]:
    """The character offset of each byte of a text in UTF-8, and the text's length at the end."""
    if len(text) == len(data):
        return range(len(data) + 1)
    begins = (np.frombuffer(data, np.uint8) & 0xC0) != CONTINUATION
    offsets = np.zeros(len(data) + 1, np.uint32)
    np.cumsum(begins, out=offsets[1:])
    return memoryview(offsets.data)  # faster to index than an array


def _is_ascii_compatible(encoding: str) -> bool:
    return _name(encoding) in ("utf-8", "ascii", "cp1252", "iso8859-1")


def _name(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        return "utf-8"


def _encoder(encoding: str) -> codecs.IncrementalEncoder:
    """Characters that cannot be encoded count as what replaces them, so positions may be approximate then."""
    name = _name(encoding)
    try:
        return codecs.getincrementalencoder(name)("surrogatepass" if name.startswith("utf-") else "replace")
    except LookupError:  # not a text encoding
        return codecs.getincrementalencoder("utf-8")("surrogatepass")
