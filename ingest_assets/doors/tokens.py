"""Who a caller is, and what it may do.

Tokens are compared as digests, all of them every time, so that the time an answer takes says nothing of how
much of a guess was right. A token is never kept, logged or shown.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self, get_args

from pydantic import SecretStr

Scope = Literal["read", "ingest", "write"]
SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody whom we let in. The name is for logs and audits."""

    name: str
    scopes: frozenset[Scope]


# Whoever reaches a server that has no tokens, which only this machine can.
ANYBODY_HERE = Caller("local", frozenset(SCOPES))


class Tokens:
    """The tokens that open the doors."""

    def __init__(self, entries: Iterable[tuple[bytes, Caller]]) -> None:
        self._entries = tuple(entries)

    @classmethod
    def of(cls, setting: SecretStr | None) -> Self:
        """From INGEST_API_TOKENS, which the settings have found to be well-formed."""
        text = setting.get_secret_value() if setting else ""
        entries = []
        for entry in filter(None, (part.strip() for part in text.split(","))):
            name, token, scopes = entry.split(":")
            known = frozenset(scope for scope in SCOPES if scope in scopes.split("+"))
            entries.append((_digest(token), Caller(name, known)))
        return cls(entries)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def caller(self, authorization: str | None) -> Caller | None:
        """Whom an Authorization header names; anybody is welcome where there are no tokens."""
        if not self._entries:
            return ANYBODY_HERE
        kind, _, token = (authorization or "").partition(" ")
        given = _digest(token.strip()) if kind.lower() == "bearer" else b""
        found = None
        for digest, caller in self._entries:
            if hmac.compare_digest(digest, given):
                found = caller
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
