"""What is kept in Redis and published there.

No method raises for what Redis does: a value that cannot be had is absent, and what cannot be kept is not.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from ingest_assets.cache.connection import MAX_VALUE_BYTES, connect
from ingest_assets.redaction import redact
from ingest_assets.settings import Settings

log = logging.getLogger(__name__)

# The keys of answers, which other programs know: rag:q:<sha1 of the query>:<limit>.
ANSWERS = "rag:q:"
# After a failure nothing is asked for so long: while Redis is down, one search in a few seconds waits for it,
# and not every one; and it is used again soon after it is back.
PAUSE_S = 5.0
SCAN_COUNT = 1_000
MAX_SCAN_S = 60.0  # for all keys: what answers could name another page for ever
_NAMESPACE = re.compile(r"[\w.-]{1,200}")


class RedisCache:
    """A Redis, as the settings name it. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        """Connects to nothing yet."""
        self._settings, self._ttl = settings, settings.default_ttl_seconds
        self._client = connect(settings, settings.redis_timeout_s)
        self._asked_again_at = 0.0
        self._told = False  # of the outage that is under way

    # Values of a namespace

    def set_json_namespace(self, ns: str, key: str, value: Any, ttl: int | None = None) -> bool:
        """Keep a value for `ttl` seconds (DEFAULT_TTL_SECONDS by default). Returns whether it was kept."""
        return self.put(_key(ns, key), json.dumps(value).encode(), ttl)

    def get_json_namespace(self, ns: str, key: str) -> Any:
        """The value; None if there is none, or if what is there is not JSON."""
        return self._value(_key(ns, key), json.loads)

    def set_msgpack_namespace(self, ns: str, key: str, value: Any, ttl: int | None = None) -> bool:
        """The same as MessagePack, which also takes bytes."""
        import msgpack

        return self.put(_key(ns, key), msgpack.packb(value), ttl)

    def get_msgpack_namespace(self, ns: str, key: str) -> Any:
        """The value; None if there is none, or if what is there is not MessagePack."""
        import msgpack

        return self._value(_key(ns, key), msgpack.unpackb)

    def delete_namespace(self, ns: str) -> bool:
        """Delete all values of a namespace. Returns whether all of it was looked through."""
        _require_name(ns)
        return self._delete(f"{ns}:*")

    # Answers

    def get(self, key: str) -> bytes | None:
        """What is kept under a key, b"" if nothing is; None if Redis does not say, or if it is too large."""
        found = self._ask("GETRANGE", key, 0, MAX_VALUE_BYTES)
        return found if isinstance(found, bytes) and len(found) <= MAX_VALUE_BYTES else None

    def put(self, key: str, value: bytes, ttl: int | None = None) -> bool:
        """Keep a value of up to 1 MiB. Returns whether it was kept."""
        if len(value) > MAX_VALUE_BYTES:
            return False
        return self._ask("SET", key, value, "EX", max(1, ttl or self._ttl)) is True

    def forget_answers(self, within_s: float | None = None) -> bool:
        """Delete all answers to searches, whoever keeps them. Returns whether all were looked through."""
        return self._delete(f"{ANSWERS}*", within_s)

    # News

    def publish_build_update(self, content: Any, type: str = "build") -> bool:  # noqa: A002 - as others call it
        """Tell who listens on REDIS_BUILD_CHANNEL. Returns whether Redis took it."""
        update = {"type": type, "content": content, "timestamp": datetime.now(UTC).isoformat()}
        said = self._ask("PUBLISH", self._settings.redis_build_channel, json.dumps(update))
        return isinstance(said, int)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    # Asking Redis

    def _ask(self, *command: Any) -> Any:
        """Redis's answer; None if it has none."""
        if time.monotonic() < self._asked_again_at:
            return None
        from redis.exceptions import ResponseError

        try:
            answer = self._client.execute_command(*command)  # type: ignore[no-untyped-call]
        except ResponseError as error:  # it is there: the value is of another type, or its memory is full
            log.debug("Redis refused %s: %s", command[0], redact(str(error)))
            return None
        except Exception as error:  # noqa: BLE001 - a stranger answers: whatever comes of it costs time only
            self._pause(error)
            return None
        self._told = False
        return answer

    def _pause(self, error: Exception) -> None:
        self._asked_again_at = time.monotonic() + PAUSE_S
        if not self._told:
            self._told = True
            log.warning("Redis does not answer (%s). Searches go on without it.", redact(str(error)))

    def _value(self, key: str, read: Callable[[bytes], Any]) -> Any:
        found = self.get(key)
        if not found:
            return None
        try:
            return read(found)
        except Exception:  # noqa: BLE001 - anybody may have written it, and parsers raise what they like
            return None

    def _delete(self, pattern: str, within_s: float | None = None) -> bool:
        for keys in self._scan(pattern, within_s):
            if keys is None or (keys and self._ask("UNLINK", *keys) is None):
                return False
        return True

    def _scan(self, pattern: str, within_s: float | None) -> Iterator[list[bytes] | None]:
        """Pages of the keys there are; None for one that could not be had."""
        cursor: Any = 0
        ends = time.monotonic() + (MAX_SCAN_S if within_s is None else within_s)
        while True:
            page = self._ask("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)
            if time.monotonic() > ends or not isinstance(page, tuple) or not isinstance(page[1], list):
                yield None
                return
            cursor = page[0]
            yield [key for key in page[1] if isinstance(key, bytes)]
            if cursor == 0:
                return


def _key(ns: str, key: str) -> str:
    _require_name(ns)
    digest = hashlib.md5(key.encode("utf-8", "surrogatepass"), usedforsecurity=False)
    return f"{ns}:{digest.hexdigest()}"


def _require_name(ns: str) -> None:
    if not _NAMESPACE.fullmatch(ns):
        raise ValueError(
            f"{ns!r} is not the name of a namespace: letters, digits, dots, dashes, underscores."
        )
