"""The names under which the graph's entities are found, and the keys of its rows.

The stage that fills the tables and the queries that read them agree here. What belongs here: what is derived
from a row for looking it up. What does not: how names are compared (`names`), and queries.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ingest_assets.model import digest_of
from ingest_assets.sources.papers.merging.graph_rows import relationship_key
from ingest_assets.sources.papers.merging.names import fold

LAST = "\U0010ffff"  # sorts after every character of a name
MAX_NAME = 200  # characters: Postgres has no room for more in an index
MAX_WORD = 60
MAX_WORDS = 300  # of one entity, in all its names
_WORD = re.compile(r"[^\W_]+")


def looked_up(name: str) -> str:
    """A name as the table of names has it: folded, and not longer than an index allows."""
    return fold(name)[:MAX_NAME]


def words_in(name: str) -> list[str]:
    """The words of a name, folded, in order: "il", "6" of "IL-6"."""
    return [word[:MAX_WORD] for word in _WORD.findall(fold(name))]


def folded_names(entity: Mapping[str, Any]) -> list[str]:
    """What the table of names has of an entity, as in `entities.jsonl`: its names and its ids, sorted."""
    ids = (entity["entity_id"], *_ids(_properties(entity).get("ids")))
    names = [*_names(entity), *filter(_is_text, ids)]
    return sorted({folded for name in names if (folded := looked_up(name))})


def name_words(entity: Mapping[str, Any]) -> list[str]:
    """What the table of words has of an entity: the first `MAX_WORDS` words of its names, sorted."""
    words: dict[str, None] = {}
    for name in _names(entity):
        words |= dict.fromkeys(words_in(name))
    return sorted(list(words)[:MAX_WORDS])


def relationship_digest(subject_id: str, predicate: str, object_id: str) -> str:
    """The key of a relationship's row: 32 hex characters."""
    return digest_of(relationship_key(subject_id, predicate, object_id))


def _properties(entity: Mapping[str, Any]) -> Mapping[str, Any]:
    return entity.get("properties") or {}


def _names(entity: Mapping[str, Any]) -> list[str]:
    """An entity's own name first, then its synonyms."""
    return [*filter(_is_text, (entity["name"], *(_properties(entity).get("synonyms") or ())))]


def _ids(ids: Any) -> Iterable[Any]:
    """Ids come as a list, or by authority."""
    return ids.values() if isinstance(ids, Mapping) else ids if isinstance(ids, (list, tuple)) else ()


def _is_text(name: Any) -> bool:
    return isinstance(name, str) and bool(name.strip())
