"""Redis, which is optional: answers to searches, values of a namespace, and news of what was built.

What belongs here: talking to Redis, within bounds of time and size, and whether it is set up well. What does
not: which answers are kept, and for how long one counts (see `queries.cached_search`). Nothing that is kept
here is needed: whatever Redis does, or somebody else with it, costs time only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingest_assets.cache.redis_cache import RedisCache
    from ingest_assets.settings import Settings


def cache_of(settings: Settings) -> RedisCache | None:
    """The cache that the settings name; None if they name none. Connects to nothing yet."""
    if not settings.redis_host:
        return None
    from ingest_assets.cache.redis_cache import RedisCache

    return RedisCache(settings)
