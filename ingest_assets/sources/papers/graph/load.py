"""The rows of the graph into the ledger's tables: only what differs is written, in one transaction.

What belongs here: the tables, and which entities each section is about. What does not: making the rows.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from pydantic_core import from_json, to_json

from ingest_assets.ledger import tables
from ingest_assets.ledger.graph_tables import (
    graph_entity,
    graph_evidence,
    graph_mention,
    graph_name,
    graph_paper,
    graph_relationship,
    graph_word,
)
from ingest_assets.ledger.store import batched, delete_keys, upsert
from ingest_assets.model import SAMPLE_SIZE, digest_of
from ingest_assets.reconcile import content_of
from ingest_assets.sources.papers.graph.names import folded_names, looked_up, name_words
from ingest_assets.sources.papers.merging.graph import PaperRows
from ingest_assets.sources.papers.merging.graph_rows import EvidenceRow, Json, MentionRow
from ingest_assets.sources.papers.merging.passes import PaperLines

BATCH = 1_000
Line = tuple[str, bytes]  # the key of a row, and its JSON
_document, _about, _entity, _paper = tables.document, tables.document_entities, tables.entity, graph_paper


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
    """One load of a source's graph, in one transaction.

    `anew`: rows are written even if the ledger has them, which mends what somebody changed there.
    """

    def __init__(self, connection: sa.Connection, source: str, *, anew: bool = False) -> None:
        self._connection, self._source, self._anew = connection, source, anew
        self.loaded = Loaded()
        self._gone: dict[
            str, tuple[str, str]
        ] = {}  # class and folded name of entities that are no longer there

    def entities(self, rows: Iterable[Line], aliases: Mapping[str, str]) -> None:
        """Entities, each with its line in their file; their names; and where ids that gave way lead to."""
        if self._anew:
            for table in (graph_name, graph_word):
                self._connection.execute(table.delete().where(table.c.source == self._source))
        self._load(graph_entity, "entity_id", rows, _entity_columns, self._new_entity, self._names)
        self._follow_ids(aliases)

    def relationships(self, rows: Iterable[Line]) -> None:
        """Relationships, each with its line in their file."""
        self._load(graph_relationship, "key", rows, _relationship_columns, self._new_relationship)

    def _new_entity(self, row: dict[str, Any]) -> None:
        self.loaded.new_entities[row["entity_id"]] = _papers(row)
        if len(self.loaded.sample) < SAMPLE_SIZE:
            self.loaded.sample.append(f"{row['entity_id']}: {row['name']}")

    def _new_relationship(self, row: dict[str, Any]) -> None:
        self.loaded.new_relationships.append((row["subject_id"], row["object_id"], _papers(row)))

    def papers(self, papers: Mapping[str, PaperLines], rows_of: Callable[[PaperLines], PaperRows]) -> None:
        """Mentions, evidence, and what sections are about: of the papers that differ from what was loaded.

        `rows_of` reads the rows of one paper. What the ledger remembers of a paper is believed.
        """
        if self._anew:
            for table in (_paper, _about):
                self._connection.execute(table.delete().where(table.c.source == self._source))
        of_documents = self._digests_of_documents()
        query = sa.select(_paper.c.document_id, _paper.c.digest).filter_by(source=self._source)
        had = {row.document_id: row.digest for row in self._connection.execute(query)}
        for paper_id, lines in papers.items():
            digest = digest_of(lines.digest, str(of_documents.get(paper_id)))
            if had.get(paper_id) != digest:
                self._paper(paper_id, digest, rows_of(lines))
        for paper_id in had.keys() - papers.keys():
            self._paper(paper_id, None, PaperRows([], []))
        if self._anew:
            self._remove_strangers()
        shares = self._connection.scalars(sa.select(_paper.c.about).filter_by(source=self._source))
        self.loaded.about = sum(int(each, 16) for each in shares)

    def _digests_of_documents(self) -> dict[str, int]:
        """By paper, a sum of the digests of its sections."""
        query = sa.select(_document.c.document_id, _document.c.digest).filter_by(source=self._source)
        found: dict[str, int] = {}
        for document_id, digest in self._connection.execute(query.execution_options(yield_per=BATCH)):
            paper_id = document_id.partition("/")[0]
            found[paper_id] = found.get(paper_id, 0) + content_of(document_id, digest)
        return found

    def _paper(self, paper_id: str, digest: str | None, rows: PaperRows) -> None:
        """The rows of one paper. Without a digest, it is gone."""
        self._replace(graph_mention, paper_id, map(self._mention_row, rows.mentions))
        self._replace(graph_evidence, paper_id, map(self._evidence_row, rows.evidence))
        about: dict[str, set[str]] = {}
        for each in rows.mentions:
            if each.section is not None:
                about.setdefault(f"{paper_id}/{each.section}", set()).add(each.entity_id)
        linked = self._link(paper_id, about)
        key = {"source": self._source, "document_id": paper_id}
        if digest is None:
            self._connection.execute(_paper.delete().filter_by(**key))
            return
        share = sum(content_of(*each) for each in linked.items()) % (1 << 128)
        row = key | {"digest": digest, "linked": json.dumps(sorted(linked)), "about": f"{share:032x}"}
        upsert(self._connection, _paper, [row])

    def _replace(self, table: sa.Table, paper_id: str, rows: Iterable[dict[str, Any]]) -> None:
        """Have the table hold these rows of a paper, whose keys are digests of them."""
        wanted = {row["key"]: row for row in rows}
        query = sa.select(table.c.key).filter_by(source=self._source, document_id=paper_id)
        there = set(self._connection.scalars(query))
        new = [row for key, row in wanted.items() if key not in there]
        for batch in batched(wanted.values() if self._anew else new, BATCH):
            upsert(self._connection, table, batch)
        gone = there - wanted.keys()
        delete_keys(self._connection, table, {"source": self._source}, "key", sorted(gone))
        self.loaded.added += len(new)
        self.loaded.removed += len(gone)

    def _link(self, paper_id: str, about: Mapping[str, set[str]]) -> dict[str, str]:
        """What the sections of a paper are about, as far as they are documents. Returns their digests."""
        linked: dict[str, str] = {}
        for keys in batched(sorted(about), BATCH):
            query = sa.select(_document.c.document_id, _document.c.digest).where(
                _document.c.source == self._source, _document.c.document_id.in_(keys)
            )
            rows: list[dict[str, Any]] = []
            for row in self._connection.execute(query):
                ids = json.dumps(sorted(about[row.document_id]))
                linked[row.document_id] = digest_of(ids)
                rows.append(
                    {
                        "source": self._source,
                        "document_id": row.document_id,
                        "document_digest": row.digest,
                        "digest": linked[row.document_id],
                        "entity_ids": ids,
                    }
                )
            upsert(self._connection, _about, rows)
        query = sa.select(_paper.c.linked).filter_by(source=self._source, document_id=paper_id)
        before = json.loads(self._connection.scalar(query) or "[]")
        unlinked = set(before) - linked.keys()
        delete_keys(self._connection, _about, {"source": self._source}, "document_id", sorted(unlinked))
        return linked

    def _remove_strangers(self) -> None:
        """Rows of papers that are not in the graph."""
        known = sa.select(_paper.c.document_id).where(_paper.c.source == self._source)
        for table in (graph_mention, graph_evidence):
            strange = table.delete().where(table.c.source == self._source, table.c.document_id.not_in(known))
            self.loaded.removed += self._connection.execute(strange).rowcount

    def _load(
        self,
        table: sa.Table,
        key: str,
        rows: Iterable[Line],
        columns: Callable[[Any], dict[str, Any]],
        new: Callable[[dict[str, Any]], None],
        changed: Callable[[Sequence[dict[str, Any]], Sequence[str]], None] | None = None,
    ) -> None:
        """Write the rows that differ, and delete those that are not among them.

        `columns` are those besides key, digest and JSON, made of what the JSON says, which few rows need.
        `new` is called with each row that was not there, `changed` with rows that were written, and before
        others are deleted with their keys.
        """
        query = sa.select(table.c[key], table.c.digest).where(table.c.source == self._source)
        there = {row[0]: row.digest for row in self._connection.execute(query)}
        gone = set(there)
        for batch in batched(rows, BATCH):
            written = []
            for row_key, line in batch:
                digest = digest_of(line)
                gone.discard(row_key)
                differs = there.get(row_key) != digest
                if not (differs or self._anew):
                    continue
                said = {"source": self._source, key: row_key, "digest": digest, "row": line.decode()}
                written.append(said | columns(from_json(line)))
                if row_key not in there:
                    self.loaded.added += 1
                    new(written[-1])
                elif differs:
                    self.loaded.changed += 1
            upsert(self._connection, table, written)
            if changed is not None:
                changed(written, [])
        for keys in batched(sorted(gone), BATCH):
            if changed is not None:
                changed([], keys)
            delete_keys(self._connection, table, {"source": self._source}, key, keys)
            self.loaded.removed += len(keys)

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

    def _mention_row(self, row: MentionRow) -> dict[str, Any]:
        text = _json(row.as_json())
        return {
            "source": self._source,
            "key": digest_of(text),
            "entity_id": row.entity_id,
            "document_id": row.document_id,
            "section": row.section,
            "row": text,
        }

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


def _papers(row: dict[str, Any]) -> list[str]:
    return list(map(sys.intern, json.loads(row["documents"])))  # of few papers, many rows speak


def _entity_columns(row: Json) -> dict[str, Any]:
    return {
        "entity_class": row["properties"]["class"],
        "name": row["name"],
        "folded": looked_up(row["name"]),
        "synonyms": _json(row["properties"]["synonyms"]),
        "provisional": row["status"] != "canonical",
        "documents": _json(row["supporting_documents"]),
        "mentions": row["total_mentions"],
    }


def _relationship_columns(row: Json) -> dict[str, Any]:
    return {
        "subject_id": row["subject_id"],
        "predicate": row["predicate"],
        "object_id": row["object_id"],
        "confidence": row["confidence"],
        "evidence_count": row["evidence_count"],
        "documents": _json(row["source_documents"]),
    }


def _json(value: object) -> str:
    # Of the rows of a graph there are many, and this is several times faster than json.
    return to_json(value).decode()
