"""The rows of the graph into the ledger's tables: only what differs is written, in one transaction.

What belongs here: the tables, and which entities each section is about. What does not: making the rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from pydantic_core import to_json

from ingest_assets.ledger import tables
from ingest_assets.ledger.graph_tables import (
    graph_entity,
    graph_evidence,
    graph_mention,
    graph_name,
    graph_relationship,
    graph_word,
)
from ingest_assets.ledger.store import batched, delete_keys, upsert
from ingest_assets.model import SAMPLE_SIZE, digest_of
from ingest_assets.reconcile import content_of
from ingest_assets.sources.papers.graph.names import folded_names, looked_up, name_words, relationship_digest
from ingest_assets.sources.papers.merging.graph_rows import (
    EntityRow,
    EvidenceRow,
    MentionRow,
    RelationshipRow,
)

BATCH = 1_000
_document, _about, _entity = tables.document, tables.document_entities, tables.entity

# The keys of the rows that should exist.
WANTED = sa.Table(
    "wanted",
    sa.MetaData(),
    sa.Column("key", sa.String, primary_key=True),
    prefixes=["TEMPORARY"],
)


@dataclass(slots=True)
class Loaded:
    """What a load changed."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    sample: list[str] = field(default_factory=list)
    # What was not there before: entities by id, and relationships by subject and object, with their papers.
    new_entities: dict[str, list[str]] = field(default_factory=dict)
    new_relationships: list[tuple[str, str, list[str]]] = field(default_factory=list)
    renamed: set[str] = field(default_factory=set)  # ids that are new, of entities that had others before
    about: int = 0  # the sum of the digests of what each section is about

    def added_by(self, papers: Collection[str]) -> tuple[int, int]:
        """How many entities and relationships are new, and supported by one of these papers.

        An entity that was there under another id is not new, nor is what is said of it.
        """
        mine = set(papers)
        entities = [key for key, of in self.new_entities.items() if mine.intersection(of)]
        said = [ends for *ends, of in self.new_relationships if mine.intersection(of)]
        return (
            sum(key not in self.renamed for key in entities),
            sum(self.renamed.isdisjoint(ends) for ends in said),
        )


class GraphLoad:
    """One load of a source's graph, on a connection with the temporary table `WANTED`.

    `anew`: rows are written even if the ledger has them, which mends what somebody changed there.
    """

    def __init__(self, connection: sa.Connection, source: str, *, anew: bool = False) -> None:
        self._connection, self._source, self._anew = connection, source, anew
        self.loaded = Loaded()
        self._gone: dict[
            str, tuple[str, str]
        ] = {}  # class and folded name of entities that are no longer there

    def entities(self, rows: Iterable[EntityRow], aliases: Mapping[str, str]) -> None:
        """Entities, their names, and where ids that gave way lead to."""
        if self._anew:
            for table in (graph_name, graph_word):
                self._connection.execute(table.delete().where(table.c.source == self._source))
        new = self._load(graph_entity, "entity_id", map(self._entity_row, rows), self._names)
        for row in new:
            self.loaded.new_entities[row["entity_id"]] = json.loads(row["documents"])
        self.loaded.sample = [f"{row['entity_id']}: {row['name']}" for row in new[:SAMPLE_SIZE]]
        self._follow_ids(aliases)

    def relationships(self, rows: Iterable[RelationshipRow]) -> None:
        for row in self._load(graph_relationship, "key", map(self._relationship_row, rows)):
            ends = row["subject_id"], row["object_id"]
            self.loaded.new_relationships.append((*ends, json.loads(row["documents"])))

    def mentions(self, rows: Iterable[MentionRow]) -> None:
        """Mentions, and the entities that each section is about. Rows of a paper follow each other."""
        self._load(graph_mention, "key", self._mention_rows(rows))

    def evidence(self, rows: Iterable[EvidenceRow]) -> None:
        self._load(graph_evidence, "key", map(self._evidence_row, rows))

    def _load(
        self,
        table: sa.Table,
        key: str,
        rows: Iterable[dict[str, Any]],
        changed: Callable[[Sequence[dict[str, Any]], Sequence[str]], None] | None = None,
    ) -> list[dict[str, Any]]:
        """Write the rows that differ, and delete those that are not among them. Returns those that are new.

        `changed` is called with rows that were written, and before others are deleted with their keys.
        """
        connection, mine = self._connection, table.c.source == self._source
        digest = "digest" if "digest" in table.c else key
        connection.execute(WANTED.delete())
        new: list[dict[str, Any]] = []
        for batch in batched(rows, BATCH):
            by_key = {row[key]: row for row in batch}
            upsert(connection, WANTED, [{"key": each} for each in by_key])
            query = sa.select(table.c[key], table.c[digest].label("had")).where(
                mine, table.c[key].in_(by_key)
            )
            there = {row[0]: row.had for row in connection.execute(query)}
            differ = [row for each, row in by_key.items() if there.get(each) != row[digest]]
            written = list(by_key.values()) if self._anew else differ
            upsert(connection, table, written)
            if changed is not None:
                changed(written, [])
            fresh = [row for row in differ if row[key] not in there]
            self.loaded.added += len(fresh)
            self.loaded.changed += len(differ) - len(fresh)
            if table in (graph_entity, graph_relationship):
                new += fresh
        gone = sa.select(table.c[key]).where(mine, table.c[key].not_in(sa.select(WANTED.c.key)))
        for keys in batched(connection.scalars(gone).all(), BATCH):
            if changed is not None:
                changed([], keys)
            delete_keys(connection, table, {"source": self._source}, key, keys)
            self.loaded.removed += len(keys)
        return new

    def _entity_row(self, row: EntityRow) -> dict[str, Any]:
        text = _json(row.as_json())
        return {
            "source": self._source,
            "entity_id": row.entity_id,
            "digest": digest_of(text),
            "entity_class": row.properties["class"],
            "name": row.name,
            "folded": looked_up(row.name),
            "synonyms": _json(row.properties["synonyms"]),
            "provisional": row.status != "canonical",
            "documents": _json(row.supporting_documents),
            "mentions": row.total_mentions,
            "row": text,
        }

    def _names(self, written: Sequence[dict[str, Any]], gone: Sequence[str]) -> None:
        """The names of entities that were written or deleted."""
        for batch in batched(gone, BATCH):
            query = sa.select(graph_entity.c.entity_id, graph_entity.c.entity_class, graph_entity.c.folded)
            mine = (graph_entity.c.source == self._source, graph_entity.c.entity_id.in_(batch))
            self._gone |= {row[0]: (row[1], row[2]) for row in self._connection.execute(query.where(*mine))}
        keys = [*gone, *(row["entity_id"] for row in written)]
        for table, column, named in ((graph_name, "folded", folded_names), (graph_word, "word", name_words)):
            delete_keys(self._connection, table, {"source": self._source}, "entity_id", keys)
            rows = [
                {"source": self._source, column: each, "entity_id": row["entity_id"]}
                for row in written
                for each in named(json.loads(row["row"]))
            ]
            upsert(self._connection, table, rows)

    def _follow_ids(self, aliases: Mapping[str, str]) -> None:
        """Record the ids of entities, and for those that are no longer there, what they lead to."""
        connection, source = self._connection, self._source
        here = graph_entity.c.source == source
        known = sa.select(_entity.c.entity_id).where(_entity.c.source == source)
        last = connection.scalar(sa.select(sa.func.max(_entity.c.age)).filter_by(source=source)) or 0
        query = sa.select(graph_entity.c.entity_id, graph_entity.c.entity_class).where(here)
        new = query.where(graph_entity.c.entity_id.not_in(known)).order_by(graph_entity.c.entity_id)
        living = {"source": source, "retired": False, "successor": None}
        rows = [
            living | {"entity_id": row.entity_id, "kind": row.entity_class, "age": last + 1 + i}
            for i, row in enumerate(connection.execute(new).all())
        ]
        upsert(connection, _entity, rows)
        there = sa.select(graph_entity.c.entity_id).where(here)
        mine = _entity.c.source == source
        back = _entity.update().where(mine, _entity.c.retired, _entity.c.entity_id.in_(there))
        connection.execute(back.values(retired=False, successor=None))
        gone = sa.select(_entity.c.entity_id, _entity.c.retired, _entity.c.successor).where(
            mine, _entity.c.entity_id.not_in(there)
        )
        for row in connection.execute(gone).all():
            # What an id led to once, it leads to until the bundles say something else. Where they no longer
            # know it, because the paper that had it is gone, the entity lives on under its name.
            successor = aliases.get(row.entity_id) or row.successor or self._namesake(row.entity_id)
            if successor in self.loaded.new_entities and not row.retired:
                self.loaded.renamed.add(successor)
            if not row.retired or successor != row.successor:
                ended = _entity.update().where(mine, _entity.c.entity_id == row.entity_id)
                connection.execute(ended.values(retired=True, successor=successor))

    def _namesake(self, entity_id: str) -> str | None:
        """The living entity of the class and the name that one had until now."""
        kind, name = self._gone.get(entity_id, ("", ""))
        query = (
            sa.select(graph_entity.c.entity_id)
            .join(
                graph_name,
                sa.and_(
                    graph_name.c.source == graph_entity.c.source,
                    graph_name.c.entity_id == graph_entity.c.entity_id,
                ),
            )
            .where(
                graph_name.c.source == self._source,
                graph_name.c.folded == name,
                graph_entity.c.entity_class == kind,
            )
            .order_by(graph_entity.c.provisional, graph_entity.c.entity_id)
        )
        return self._connection.scalar(query.limit(1)) if name else None

    def _relationship_row(self, row: RelationshipRow) -> dict[str, Any]:
        text = _json(row.as_json())
        return {
            "source": self._source,
            "key": relationship_digest(row.subject_id, row.predicate, row.object_id),
            "digest": digest_of(text),
            "subject_id": row.subject_id,
            "predicate": row.predicate,
            "object_id": row.object_id,
            "confidence": row.confidence,
            "evidence_count": row.evidence_count,
            "documents": _json(row.source_documents),
            "row": text,
        }

    def _mention_rows(self, rows: Iterable[MentionRow]) -> Iterator[dict[str, Any]]:
        self._connection.execute(_WANTED_ABOUT.delete())
        for paper, of_paper in groupby(rows, key=lambda row: row.document_id):
            about: dict[str, set[str]] = {}
            for row in of_paper:
                if row.section is not None:
                    about.setdefault(f"{paper}/{row.section}", set()).add(row.entity_id)
                text = _json(row.as_json())
                yield {
                    "source": self._source,
                    "key": digest_of(text),
                    "entity_id": row.entity_id,
                    "document_id": row.document_id,
                    "section": row.section,
                    "row": text,
                }
            self._link(about)
        self._unlink()

    def _link(self, about: Mapping[str, set[str]]) -> None:
        """What the sections of one paper are about, as far as they are documents."""
        for keys in batched(sorted(about), BATCH):
            query = sa.select(_document.c.document_id, _document.c.digest).where(
                _document.c.source == self._source, _document.c.document_id.in_(keys)
            )
            rows: list[dict[str, Any]] = []
            for row in self._connection.execute(query):
                ids = json.dumps(sorted(about[row.document_id]))
                rows.append(
                    {
                        "source": self._source,
                        "document_id": row.document_id,
                        "document_digest": row.digest,
                        "digest": digest_of(ids),
                        "entity_ids": ids,
                    }
                )
            upsert(self._connection, _about, rows)
            upsert(self._connection, _WANTED_ABOUT, [{"key": row["document_id"]} for row in rows])
            for each in rows:
                self.loaded.about += content_of(each["document_id"], each["digest"])

    def _unlink(self) -> None:
        wanted = sa.select(_WANTED_ABOUT.c.key)
        gone = _about.delete().where(_about.c.source == self._source, _about.c.document_id.not_in(wanted))
        self._connection.execute(gone)

    def _evidence_row(self, row: EvidenceRow) -> dict[str, Any]:
        text = _json(row.as_json())
        return {
            "source": self._source,
            "key": digest_of(text),
            "relationship_key": row.relationship_key,
            "document_id": row.document_id,
            "section": row.section,
            "confidence": row.confidence,
            "row": text,
        }


# The sections that are about some entity.
_WANTED_ABOUT = sa.Table(
    "wanted_about",
    sa.MetaData(),
    sa.Column("key", sa.String, primary_key=True),
    prefixes=["TEMPORARY"],
)
TEMPORARY = (WANTED, _WANTED_ABOUT)


def _json(value: object) -> str:
    # Of the rows of a graph there are many, and this is several times faster than json.
    return to_json(value).decode()
