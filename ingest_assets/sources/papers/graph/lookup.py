"""Which entity of the graph is meant: by its id, an earlier id, a name or a synonym.

What belongs here: finding one entity, and the names that are close to a text. What does not: what the graph
says of it (`graph_edges`, `graph_walks`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from ingest_assets.ledger import graph_tables
from ingest_assets.ledger.store import batched
from ingest_assets.model import ConfigurationError, RequestError
from ingest_assets.sources.papers.graph.names import LAST, looked_up, words_in
from ingest_assets.sources.papers.graph.pages import clip, storable
from ingest_assets.stages.successors import living_id

SCANNED = 20_000  # words of an index that one search looks at
COMPARED = 1_000  # entities whose names one search compares
_SUGGESTED, _LIKE = 5, 0.75  # close names in a message; their least Jaro-Winkler similarity
_BOUND = 5_000  # values per query
_CLASSES = 1_000
_MAX_LISTED = 80  # characters of a name in a message
MAX_SHOWN = 200  # characters of a name

NO_GRAPH = (
    "There is no knowledge graph yet. `ingest paper add` adds a paper, and `ingest refresh` makes the graph."
)

_entity, _name, _word = graph_tables.graph_entity, graph_tables.graph_name, graph_tables.graph_word
_state = graph_tables.graph_state


class NotInGraphError(RequestError, ConfigurationError):
    """The graph lacks what was asked for, or there is no graph."""


class Node(NamedTuple):
    """An entity as lists need it."""

    entity_id: str
    name: str
    entity_class: str


class Meant(NamedTuple):
    """The entity that is meant by what was asked."""

    asked: str
    entity_id: str
    gave_way: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """An entity with a name like the one that was searched for."""

    entity_id: str
    name: str
    entity_class: str
    synonyms: tuple[str, ...]
    mentions: int
    papers: int


def require_graph(connection: sa.Connection, source: str) -> Any:
    """The row of what was loaded last. Raises NotInGraphError if nothing was."""
    row = connection.execute(sa.select(_state).filter_by(source=source)).one_or_none()
    if row is None:
        raise NotInGraphError(NO_GRAPH)
    return row


def meant(connection: sa.Connection, source: str, asked: str) -> Meant:
    """The entity with an id, an id that led to it, or a name. Raises NotInGraphError, with close names."""
    wanted = asked.strip()
    if not wanted or not storable(wanted):
        raise RequestError("The entity is empty, or no text: give its id or its name.")
    if _exists(connection, source, wanted):
        return Meant(asked, wanted)
    living = living_id(connection, source, wanted)
    if living is None:
        raise NotInGraphError(
            f"Nothing is left of the entity {wanted}: no paper mentions it, or says anything of it, any more."
        )
    if living != wanted and _exists(connection, source, living):
        return Meant(asked, living, gave_way=True)
    return Meant(asked, _named(connection, source, wanted))


def _exists(connection: sa.Connection, source: str, entity_id: str) -> bool:
    query = sa.select(_entity.c.entity_id).filter_by(source=source, entity_id=entity_id)
    return connection.scalar(query) is not None


def _named(connection: sa.Connection, source: str, wanted: str) -> str:
    """The entity with a name: the one whose own it is, if it is one of several entities' synonyms.

    Looks at the first `SCANNED` entities that are called so.
    """
    folded = looked_up(wanted)
    called = sa.select(_name.c.entity_id).filter_by(source=source, folded=folded)
    called_so = called.order_by(_name.c.entity_id).limit(SCANNED).subquery()
    ids = sa.select(called_so.c.entity_id).order_by(called_so.c.entity_id).limit(COMPARED + 1)
    is_own = sa.exists().where(
        _entity.c.source == source, _entity.c.entity_id == called_so.c.entity_id, _entity.c.folded == folded
    )
    found = connection.scalars(ids.where(is_own)).all() or connection.scalars(ids).all()
    if len(found) == 1:
        return str(found[0])
    if found:
        many = str(len(found)) if len(found) <= COMPARED else f"More than {COMPARED:,}"
        shown = ranked(wanted, hits_of(connection, source, found[:COMPARED]))[:_SUGGESTED]
        raise NotInGraphError(
            f"{many} entities are called {wanted!r}. Say which one by its id, such as {_listed(shown)}."
        )
    close = close_hits(connection, source, wanted)
    also = f" Close names are {_listed(close)}." if close else " `ingest graph search` lists names."
    raise NotInGraphError(
        f"The graph has no entity {wanted!r}: that is neither an id nor a name in it.{also}"
    )


def _listed(hits: Iterable[Hit]) -> str:
    return ", ".join(f"{clip(hit.name, _MAX_LISTED)!r} ({hit.entity_class}, {hit.entity_id})" for hit in hits)


def close_hits(connection: sa.Connection, source: str, text: str) -> list[Hit]:
    """Entities with names like a text, for somebody who misspelled one: the closest first."""
    starts = {looked_up(text)[:3]} - {""}
    ids = {each for start in starts for each in _with_prefix(connection, source, start, None)[0]}
    words = sorted(words_in(text), key=len, reverse=True)[:3]
    for word in words:
        near = _with_words(connection, source, [word[: max(3, len(word) - 3)]], None)[0]
        ids.update(near)
    hits = ranked(text, hits_of(connection, source, sorted(ids)))
    return [hit for hit in hits if likeness(text, hit) >= _LIKE][:_SUGGESTED]


def search(
    connection: sa.Connection, source: str, text: str, entity_class: str | None = None
) -> tuple[list[Hit], bool]:
    """Entities with a name that begins with a text, or has words that begin with its words; closest first.

    At most some thousand, and whether more match than were compared. No more than `SCANNED` entries of an
    index are read for each word.
    """
    words = list(dict.fromkeys(words_in(text)))
    if not words or not storable(text):
        raise RequestError("The text has no letters or digits: say a name, or the beginning of one.")
    first, more_begin = _with_prefix(connection, source, looked_up(text), entity_class)
    found, more_have = _with_words(connection, source, words, entity_class)
    hits = hits_of(connection, source, sorted({*first, *found}))
    return ranked(text, hits), more_begin or more_have


def _with_prefix(
    connection: sa.Connection, source: str, start: str, entity_class: str | None
) -> tuple[list[str], bool]:
    """Entities with a name or an id that begins with a text; and whether some were left out."""
    within = sa.and_(_name.c.source == source, _name.c.folded >= start, _name.c.folded < start + LAST)
    names = (
        sa.select(_name.c.entity_id, _name.c.folded).where(within).order_by(_name.c.folded, _name.c.entity_id)
    )
    inner = names.limit(COMPARED + 1 if entity_class is None else SCANNED).subquery()
    query = _of_class(sa.select(inner.c.entity_id), inner, source, entity_class)
    found = list(connection.scalars(query.limit(COMPARED + 1)))
    unread = entity_class is not None and _count(connection, _name, within) > SCANNED
    return found[:COMPARED], unread or len(found) > COMPARED


def _with_words(
    connection: sa.Connection, source: str, words: Sequence[str], entity_class: str | None
) -> tuple[list[str], bool]:
    """Entities whose names have words that begin with all of these; and whether some were left out."""
    counts = {word: _count(connection, _word, _begins(_word, source, word)) for word in words[:10]}
    rarest = min(counts, key=lambda word: (counts[word], word))
    inner = (
        sa.select(_word.c.entity_id, _word.c.word)
        .where(_begins(_word, source, rarest))
        .order_by(_word.c.word, _word.c.entity_id)
        .limit(SCANNED)
        .subquery()
    )
    query = _of_class(sa.select(inner.c.entity_id).distinct(), inner, source, entity_class)
    for number, word in enumerate(word for word in counts if word != rarest):
        other = _word.alias(f"other_{number}")
        query = query.where(
            sa.exists().where(other.c.entity_id == inner.c.entity_id, _begins(other, source, word))
        )
    found = list(connection.scalars(query.order_by(inner.c.entity_id).limit(COMPARED + 1)))
    return found[:COMPARED], counts[rarest] > SCANNED or len(found) > COMPARED


def _count(connection: sa.Connection, table: sa.Table, within: sa.ColumnElement[bool]) -> int:
    """How many rows there are, up to one more than `SCANNED`."""
    some = sa.select(sa.literal(1)).select_from(table).where(within).limit(SCANNED + 1)
    return connection.scalar(sa.select(sa.func.count()).select_from(some.subquery())) or 0


def _begins(words: Any, source: str, word: str) -> sa.ColumnElement[bool]:
    return sa.and_(words.c.source == source, words.c.word >= word, words.c.word < word + LAST)


def _of_class(query: Any, inner: Any, source: str, entity_class: str | None) -> Any:
    if entity_class is None:
        return query
    of_class = sa.and_(
        _entity.c.source == source,
        _entity.c.entity_id == inner.c.entity_id,
        _entity.c.entity_class == entity_class,
    )
    return query.where(sa.exists().where(of_class))


def ranked(text: str, hits: Iterable[Hit]) -> list[Hit]:
    """Those called so first, then those with a name that begins so, each with the likest names first."""
    asked = looked_up(text)
    return sorted(hits, key=lambda hit: (*_distance(asked, hit), -hit.mentions, hit.entity_id))


def likeness(text: str, hit: Hit) -> float:
    """Jaro-Winkler similarity of a text and the likest name, 0 to 1."""
    return max(_likeness(looked_up(text), looked_up(name)) for name in _names(hit))


def _distance(asked: str, hit: Hit) -> tuple[int, float]:
    best = (9, 0.0)
    for number, name in enumerate(_names(hit)):
        folded = looked_up(name)
        tier = 0 if folded == asked else 2 if folded.startswith(asked) else 4
        best = min(best, (tier + (number > 0), -round(_likeness(asked, folded), 6)))
    return best


def _likeness(left: str, right: str) -> float:
    from jellyfish import jaro_winkler_similarity

    return jaro_winkler_similarity(left, right)


def _names(hit: Hit) -> tuple[str, ...]:
    return (hit.name, *hit.synonyms)


def hits_of(connection: sa.Connection, source: str, ids: Iterable[str]) -> list[Hit]:
    """Entities as a search shows them, in any order."""
    columns = (_entity.c.entity_id, _entity.c.name, _entity.c.entity_class)
    more = (_entity.c.synonyms, _entity.c.mentions, _entity.c.documents)
    query = sa.select(*columns, *more).where(_entity.c.source == source)
    return [
        Hit(
            entity_id=row.entity_id,
            name=row.name,
            entity_class=row.entity_class,
            synonyms=tuple(json.loads(row.synonyms)),
            mentions=row.mentions,
            papers=len(json.loads(row.documents)),
        )
        for part in batched(ids, _BOUND)
        for row in connection.execute(query.where(_entity.c.entity_id.in_(part)))
    ]


def nodes_of(connection: sa.Connection, source: str, ids: Iterable[str]) -> dict[str, Node]:
    """Entities by id. One that is in no row is called by its id."""
    query = sa.select(_entity.c.entity_id, _entity.c.name, _entity.c.entity_class).filter_by(source=source)
    wanted = sorted(set(ids))
    found = {each: Node(each, each, "") for each in wanted}
    for part in batched(wanted, _BOUND):
        for row in connection.execute(query.where(_entity.c.entity_id.in_(part))):
            found[row.entity_id] = Node(row.entity_id, clip(row.name, MAX_SHOWN), row.entity_class)
    return found


def class_named(connection: sa.Connection, source: str, asked: str | None) -> str | None:
    """The class as the graph spells it. Raises RequestError for one that it has not."""
    if asked is None:
        return None
    known = distinct(connection, source, _entity.c.entity_class)
    plain = "".join(words_in(asked))
    for name in known:
        if "".join(words_in(name)) == plain:
            return name
    raise RequestError(f"The graph has no class {asked!r}. It has {', '.join(known) or 'none'}.")


def distinct(connection: sa.Connection, source: str, column: sa.Column[str]) -> list[str]:
    """The values of a column that an index has right after the source, sorted; each costs one look-up."""
    found: list[str] = []
    query = sa.select(sa.func.min(column)).where(column.table.c.source == source)
    value = connection.scalar(query)
    while value is not None and len(found) < _CLASSES:
        found.append(value)
        value = connection.scalar(query.where(column > value))
    return sorted(found)
