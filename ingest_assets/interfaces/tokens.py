"""Callers: who they are, and what they may do.

Tokens are compared as digests, and always with every known token, so that response times reveal nothing
about how close a guess was. A token itself is never stored, logged or shown.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self, get_args
from urllib.parse import unquote

from pydantic import SecretStr

from ingest_assets.queries.reach import Reach

Scope = Literal["read", "ingest", "write", "gate"]  # none of them gives another
SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. The name appears in logs."""

    name: str
    scopes: frozenset[Scope]
    reach: Reach | None = None  # what it is bound to; None: it may see everything


# Anyone who reaches a server without tokens, which only this machine can.
LOCAL_CALLER = Caller("local", frozenset(SCOPES))


class Tokens:
    """The tokens that the interfaces accept."""

    def __init__(self, entries: Iterable[tuple[bytes, Caller]]) -> None:
        self._entries = tuple(entries)

    @classmethod
    def of(cls, setting: SecretStr | None) -> Self:
        """The tokens of INGEST_API_TOKENS, whose format the settings have already checked."""
        text = setting.get_secret_value() if setting else ""
        entries = []
        for entry in filter(None, (part.strip() for part in text.split(","))):
            name, token, scopes, *bound = entry.split(":")
            known = frozenset(scope for scope in SCOPES if scope in scopes.split("+"))
            entries.append((_digest(token), Caller(name, known, _reach(*bound) if bound else None)))
        return cls(entries)

    @classmethod
    def of_people(cls, setting: SecretStr | None) -> Self:
        """The tokens of INGEST_UI_TOKENS, each of which may do everything."""
        text = setting.get_secret_value() if setting else ""
        pairs = [part.strip().split(":") for part in text.split(",") if part.strip()]
        return cls((_digest(token), Caller(name, frozenset(SCOPES))) for name, token in pairs)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def caller(self, authorization: str | None) -> Caller | None:
        """The caller that an Authorization header identifies; without tokens, always the local caller."""
        if not self._entries:
            return LOCAL_CALLER
        kind, _, token = (authorization or "").partition(" ")
        given = _digest(token.strip()) if kind.lower() == "bearer" else b""
        found = None
        for digest, caller in self._entries:
            if hmac.compare_digest(digest, given):
                found = caller
        return found

    def signature(self, name: str, text: str) -> str | None:
        """A signature of a text that only the token of this caller gives; None if there is no such caller."""
        digest = next((digest for digest, caller in self._entries if caller.name == name), None)
        return None if digest is None else hmac.new(digest, text.encode(), "sha256").hexdigest()

    def named(self, name: str) -> Caller | None:
        """The caller of this name."""
        return next((caller for _, caller in self._entries if caller.name == name), None)


def _reach(projects: str, sources: str = "") -> Reach:
    return Reach(_names(projects), _names(sources))


def _names(joined: str) -> frozenset[str]:
    """Names joined by +, in which characters that have a meaning here are percent-encoded."""
    return frozenset(unquote(each) for each in joined.split("+") if each)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
