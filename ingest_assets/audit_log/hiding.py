"""What of a call is not logged, because it is, or may be, a secret: credentials in URLs, keys, tokens.

Stricter than `redaction`, which it begins with: agents send texts of any kind, and the log is kept for ever.

What belongs here: what is left out or shortened. What does not: writing the log (`entries`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ingest_assets.redaction import HIDDEN, redact_data

MAX_VALUE = 300  # characters of one text argument
MAX_ARGUMENTS = 4_000  # characters of JSON
MAX_NAME = 200  # of who, transport, tool and an argument's name
_DEPTH = 4
_ITEMS = 50
# In names of arguments: api_key, passwd, Authorization; not keyword, passage or author.
_SECRET_NAME = re.compile(
    r"token|secret|pass(?!age|enger|ive)|pwd|credential|auth(?!ors?(_|\b)|ored)|key(?!word|board)|cookie|bearer"
    r"|signature",
    re.IGNORECASE,
)
_SCHEME = re.compile(
    r"\s*([A-Za-z][A-Za-z0-9+.-]*:(?=/)|[A-Za-z][A-Za-z0-9+.-]{1,9}:(?=[^/\s]*@)|//|www\.)/*"
)
_HOST_AND_PATH = re.compile(r"[\w-]+(\.[\w-]+)+(:\d+)?/")
_MAIL = re.compile(r"[\w.+'-]{1,30}@[\w-]+(\.[\w-]+)+[.,;:!?]*")
_WORD = re.compile(r"[^\s\"'<>()\[\]{},;]+")
_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\b(?:Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}"
    r"|(?P<name>\b(?:[A-Za-z0-9]+[_-])*(?:api[_-]?key|key|token|secret|passw(?:or)?d|passphrase|pwd|authorization)"
    r"[\"']?\s*[=:]\s*[\"']?)(?:(?:Bearer|Basic)\s+)?[^\s\"',;&]+"
    r"|\b(?:gh[pousr]_|github_pat_|glpat-|sk-|pk-|rk_|xox[abeprs]-|AKIA|ASIA|AIza|eyJ|hf_|npm_|pypi-)[\w.-]{8,}",
    re.IGNORECASE | re.DOTALL,
)
# What a person does not write: 24 characters or more without a space, with letters and digits mixed.
_RANDOM = re.compile(r"(?<![\w/.-])(?=[A-Za-z_+-]*\d)(?=[\d_+-]*[A-Za-z])[A-Za-z0-9_+=-]{24,}(?![\w/.-])")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def arguments_text(arguments: Mapping[str, Any]) -> str:
    """Arguments as JSON of bounded length, without possible secrets."""
    text = json.dumps(_bounded(arguments, 0))
    if len(text) <= MAX_ARGUMENTS:
        return text
    return json.dumps({"shortened": text[: MAX_ARGUMENTS // 2]})


def without_credentials(text: str) -> str:
    """A text without the users, queries and fragments of URLs, well-formed or not, and without keys."""
    text = redact_data(text)
    if _SCHEME.match(text) and "\n" not in text.strip():
        # A URL may hold any character, a space too, before its @.
        return _KEY.sub(_hide, _bare_url(text.strip()))
    text = _KEY.sub(_hide, text)
    text = _WORD.sub(lambda word: _shown(word[0]), text)
    return _RANDOM.sub(lambda found: found[0] if _UUID.fullmatch(found[0]) else HIDDEN, text)


def _hide(found: re.Match[str]) -> str:
    return f"{found['name'] or ''}{HIDDEN}"


def _shown(word: str) -> str:
    inner = _SCHEME.search(word)
    if inner is not None and (inner[0] != "www." or inner.start() == 0):
        return word[: inner.start()] + _bare_url(word[inner.start() :])
    if _HOST_AND_PATH.match(word) or ("@" in word and not _MAIL.fullmatch(word)):
        return _bare_url(word)
    return word


def _bare_url(url: str) -> str:
    """A URL without what is before its last @ and after its first ? or #."""
    scheme = _SCHEME.match(url)
    start = scheme[0] if scheme else ""
    rest = url[len(start) :]
    if users := re.match(r".*(@|%40)", rest, re.IGNORECASE | re.DOTALL):
        rest = f"{HIDDEN}@{rest[users.end() :]}"
    found = re.search(r"[?#]|%3f|%23", rest, re.IGNORECASE)
    return start + (f"{rest[: found.start()]}{rest[found.start()]}{HIDDEN}" if found else rest)


def _bounded(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        # Hidden before it is cut: half of a key is a secret too.
        shown = without_credentials(value[: 8 * MAX_VALUE])
        return shown if len(value) <= MAX_VALUE else f"{shown[:MAX_VALUE]}… ({len(value):,} characters)"
    if value is None or isinstance(value, bool | int | float):
        return value if len(repr(value)) <= MAX_VALUE else "(a long number)"
    if depth == _DEPTH:
        return "…"
    if isinstance(value, Mapping):
        pairs = [(str(key), each) for key, each in list(value.items())[:_ITEMS]]
        return {
            without_credentials(key[:MAX_NAME]): HIDDEN
            if _SECRET_NAME.search(key)
            else _bounded(each, depth + 1)
            for key, each in pairs
        }
    if isinstance(value, list | tuple):
        return [_bounded(each, depth + 1) for each in value[:_ITEMS]]
    return type(value).__name__
