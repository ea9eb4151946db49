"""Answers that are kept, and given again only while they are what a search would answer.

What belongs here: when an answer counts, and its form in the cache. What does not: how Redis is asked (see
`cache`).

An answer counts for one *state*: what the index holds, which models the query is embedded with, and which
conditions hold. The state is read before the answer is computed and again after, and the answer is kept if it
is the same; it is given again if the state, read anew, still is. So nobody has to take answers out when the
index changes, and it does not matter whether somebody does.

What is kept is authenticated with a secret of the installation, together with its key and its state. What
others put there, or move about, is never taken for an answer.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property, partial
from itertools import pairwise
from typing import Protocol

from ingest_assets.build_id import build_id
from ingest_assets.cache.lookups import LOOKUPS, Found
from ingest_assets.cache.redis_cache import ANSWERS, RedisCache
from ingest_assets.fields import Condition
from ingest_assets.ledger.installation import cache_secret_of
from ingest_assets.model import IngestError, UnavailableError, digest_of
from ingest_assets.queries.answers import CleanHits, Hit, Hits, Mode, SourceSearch, check
from ingest_assets.queries.older_versions import with_marks
from ingest_assets.queries.reach import Reach
from ingest_assets.queries.status import source_meant
from ingest_assets.redaction import hidden_in_data, redact_values
from ingest_assets.stages.generations import contents_of
from ingest_assets.workbench import Workbench

# Of chunks that are about people: their answers are kept nowhere.
PERSONAL = "pii"
# What is kept under a key: these bytes, the digest of its state, its code (HMAC), and the hits as JSON.
_MARK = b"ia1\0"
_PARTS = (0, 4, 20, 52, None)  # where each begins
# Which hits are of older versions is asked anew each time: that may change while the index does not.
_FIELDS = tuple(each.name for each in fields(Hit) if each.name != "stale")


@dataclass(frozen=True, slots=True)
class _State:
    """What an answer counts for."""

    generation: int
    digest: bytes  # of all of it


class _Search(SourceSearch, Protocol):
    """A search that says what conditions its hits meet."""

    def conditions(
        self, where: Mapping[str, Sequence[str]], reach: Reach | None = None
    ) -> list[Condition]: ...


class CachedSearch:
    """A `SourceSearch` that looks for the answer in the cache first, and is equal to `inner` otherwise."""

    def __init__(self, inner: _Search, bench: Workbench, source: str, cache: RedisCache) -> None:
        self._inner, self._bench, self._source, self._cache = inner, bench, source, cache
        self._collection = bench.sources[source].collection

    def search(
        self,
        query: str,
        *,
        mode: Mode = "hybrid",
        limit: int = 10,
        where: Mapping[str, Sequence[str]] | None = None,
        reach: Reach | None = None,
    ) -> Hits:
        """See `SourceSearch`."""
        started = time.perf_counter()
        check(query, mode, limit)
        conditions = self._inner.conditions(where or {}, reach)
        before = self._state(mode, conditions)
        if before is None:
            return self._inner.search(query, mode=mode, limit=limit, where=where, reach=reach)
        key = self._key(query, mode, limit, conditions if where or reach else None)
        kept = self._kept(key, before)
        if kept is not None:
            kept = with_marks(self._bench, self._source, kept)
            took_ms = round((time.perf_counter() - started) * 1000, 2)
            # What marks say was not in the answer that was kept.
            made = Hits if any(hit.stale for hit in kept) else CleanHits
            return made(query, self._source, mode, self._collection, before.generation, took_ms, kept)
        hits = self._inner.search(query, mode=mode, limit=limit, where=where, reach=reach)
        with suppress(IngestError):  # there is an answer, whatever keeps it from being kept
            if self._state(mode, self._inner.conditions(where or {}, reach)) == before:
                self._keep(key, before, hits.hits)
        return hits

    def _state(self, mode: Mode, conditions: Sequence[Condition]) -> _State | None:
        """What an answer counts for now; None while that cannot be said, because points are being changed."""
        generation = self._bench.store.live(self._collection)
        if generation is None:
            return None
        contents = hidden = ""
        # The index may be searchable while the ledger is not.
        with suppress(UnavailableError):
            # What is kept holds none of the secrets that were known; guessing them from this must be in vain.
            hidden = hmac.digest(self._secret, hidden_in_data().encode(), "sha256").hex()
            contents = self._bench.ledger.remembered(
                ("contents", self._collection, generation), partial(self._contents, generation)
            )
        if not contents:
            return None
        whole = digest_of(
            build_id(), self._source, self._collection, str(generation), contents,
            self._bench.store.revision(self._collection), *self._models(mode), repr(conditions), hidden,
        )  # fmt: skip
        return _State(generation, bytes.fromhex(whole))

    def _contents(self, generation: int) -> str:
        with self._bench.ledger.reading() as connection:
            return contents_of(connection, self._collection, generation)

    def _models(self, mode: Mode) -> tuple[str, str]:
        """The identities of those that a query is embedded with; "" for one that is not used."""
        return self._dense if mode != "sparse" else "", self._sparse if mode != "dense" else ""

    @cached_property
    def _dense(self) -> str:
        return self._bench.dense_model.identity

    @cached_property
    def _sparse(self) -> str:
        return self._bench.sparse_model.identity

    def _key(self, query: str, mode: Mode, limit: int, conditions: Sequence[Condition] | None) -> str:
        """Where the answer is kept. A plain query's key is the one that other programs know."""
        name = hashlib.sha1(query.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
        plain = f"{ANSWERS}{name}:{limit}"
        if mode == "hybrid" and conditions is None and self._source == self._default_source:
            return plain
        return f"{plain}:{digest_of(self._source, mode, repr(conditions))}"

    @cached_property
    def _default_source(self) -> str:
        # Asked once: it decides only under which key an answer is found.
        return source_meant(self._bench, None)

    def _kept(self, key: str, state: _State) -> list[Hit] | None:
        """The answer that is kept for the state, if there is one and it is ours."""
        found, hits = self._look(key, state)
        LOOKUPS.count(found)
        return hits

    def _look(self, key: str, state: _State) -> tuple[Found, list[Hit] | None]:
        value = self._cache.get(key)
        if value is None:
            return "unavailable", None
        mark, kept_for, code, payload = (value[start:end] for start, end in pairwise(_PARTS))
        if not value or (mark == _MARK and kept_for != state.digest):
            return "miss", None
        if mark != _MARK or not hmac.compare_digest(code, self._code(key, state, payload)):
            return "foreign", None
        return "hit", [Hit(**hit) for hit in json.loads(payload)]

    def _keep(self, key: str, state: _State, hits: Sequence[Hit]) -> None:
        found = [{name: getattr(hit, name) for name in _FIELDS} for hit in hits]
        # Nothing with a secret of ours: callers see it without, and Redis must not see it.
        if any(hit.attributes.get(PERSONAL) for hit in hits) or redact_values(found) != found:
            return
        payload = json.dumps(found, separators=(",", ":")).encode()
        self._cache.put(key, _MARK + state.digest + self._code(key, state, payload) + payload)

    def _code(self, key: str, state: _State, payload: bytes) -> bytes:
        # The key holds no zero byte, and the state has a fixed length.
        said = key.encode() + b"\0" + state.digest + payload
        return hmac.digest(self._secret, said, "sha256")

    @cached_property
    def _secret(self) -> bytes:
        return cache_secret_of(self._bench.ledger)
