"""Characters that could act on a terminal or mislead its reader, made visible.

What belongs here: which these are, and how they are shown. What does not: printing (`terminal`).
"""

from __future__ import annotations

import re

# C0 except tab and newline, DEL, C1; bidirectional marks, embeddings and isolates; separators of lines and
# paragraphs; and half a surrogate pair, which no output can encode.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LAST_OF_ONE_BYTE = 0xFF


def visible(text: str) -> str:
    r"""The text with escapes, as Python writes them, in place of such characters: \x1b, \u202e."""
    return _UNSAFE.sub(_escape, text)


def visible_json(text: str) -> str:
    r"""A JSON text with JSON's escapes in place of such characters. Its value is the same."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code <= _LAST_OF_ONE_BYTE else f"\\u{code:04x}"
