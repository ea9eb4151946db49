"""The tables of papers, of the bundles extracted from them, and of the graph made of the bundles."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, String, Table, Text, text

from ingest_assets.ledger.schema import DIGEST, metadata

# Compared code point by code point on either database, so that a range of names is those with a prefix.
BY_CODE_POINT = String().with_variant(String(collation="C"), "postgresql")

# One row per file that is kept of a paper: what its parser made of it. A paper may be there in several
# formats.
paper_file = Table(
    "paper_file",
    metadata,
    Column("file", String, primary_key=True),  # its name: "PMC123.xml"
    Column("paper_id", String, nullable=False),
    Column("rank", Integer, nullable=False),  # of its format: of several files of a paper the lowest counts
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("parser", String, nullable=False),  # the version that parsed it
    Column("digest", DIGEST, nullable=False),  # of the article; of the file while that cannot be parsed
    Column("error", Text),  # why it cannot be parsed; the article is then the last good one, if any
    Column("article", Text),  # JSON of sources.papers.article.Article
    Column("made_from", String, nullable=False),  # digest of what extraction reads of the article
    Column("doi", String, nullable=False),
    Column("pmid", String, nullable=False),
    Column("facts", Text, nullable=False),  # JSON of the article without its text, for lists
    Column("notices", Text, nullable=False),  # JSON of what it says of other papers
    Column("sections", Text, nullable=False),  # JSON [[section id, digest], ...]
    Index(None, "paper_id"),
    Index(None, "doi"),
    Index(None, "pmid"),
    # Few papers say something of others. The condition is spelled exactly as in the queries, for SQLite.
    Index(
        "ix_paper_file_notices",
        "paper_id",
        sqlite_where=text("notices <> '[]'"),
        postgresql_where=text("notices <> '[]'"),
    ),
)

# One row per block that an author of a paper is in (see `entities.blocking`), to find the papers of a person.
paper_author_block = Table(
    "paper_author_block",
    metadata,
    Column("block", BigInteger, primary_key=True),  # stages.resolution.match_rows.block_number of its key
    Column("paper_id", String, primary_key=True),
    Column("author", Integer, primary_key=True),  # its place in the list of authors, from 0
    Index(None, "paper_id"),
    sqlite_with_rowid=False,
)

# One row per bundle in the workspace, as it was last read.
paper_bundle = Table(
    "paper_bundle",
    metadata,
    Column("paper_id", String, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("digest", DIGEST, nullable=False),  # of the content
    Column("content", Text, nullable=False),  # JSON of the last bundle that could be read
    # JSON of sources.papers.merging.said.Said; "" if it was recorded before there was one
    Column("said", Text, nullable=False, server_default=text("''")),
    Column("made_from", String, nullable=False),  # content_digest of its provenance; "" if others made it
    Column("extractor", Text, nullable=False),
)

# One row per paper of which somebody asked for another extraction, which has not been done yet.
paper_request = Table("paper_request", metadata, Column("paper_id", String, primary_key=True))

# The graph, one row per thing, of the merged bundles. A row's key is derived from its content.
graph_entity = Table(
    "graph_entity",
    metadata,
    Column("source", String, primary_key=True),
    Column("entity_id", String(36), primary_key=True),
    Column("digest", DIGEST, nullable=False),  # of all that follows
    Column("entity_class", String, nullable=False),
    Column("name", Text, nullable=False),
    Column("folded", Text, nullable=False),  # the name as it is looked up
    Column("synonyms", Text, nullable=False),  # JSON [text, ...]
    Column("provisional", Boolean, nullable=False),  # no authority has given it an id
    Column("documents", Text, nullable=False),  # JSON [paper id, ...], sorted
    Column("mentions", Integer, nullable=False),
    Column("row", Text, nullable=False),  # JSON, as in entities.jsonl
    Index(None, "source", "entity_class", "provisional"),
)

# One row per name of an entity, folded: its own, its synonyms and its ids. See sources.papers.graph.names.
graph_name = Table(
    "graph_name",
    metadata,
    Column("source", String, primary_key=True),
    Column("folded", BY_CODE_POINT, primary_key=True),
    Column("entity_id", String(36), primary_key=True),
    Index(None, "source", "entity_id"),
    sqlite_with_rowid=False,
)

# One row per word of these names; ids have none.
graph_word = Table(
    "graph_word",
    metadata,
    Column("source", String, primary_key=True),
    Column("word", BY_CODE_POINT, primary_key=True),
    Column("entity_id", String(36), primary_key=True),
    Index(None, "source", "entity_id", "word"),
    sqlite_with_rowid=False,
)

graph_relationship = Table(
    "graph_relationship",
    metadata,
    Column("source", String, primary_key=True),
    Column("key", DIGEST, primary_key=True),  # sources.papers.graph.names.relationship_digest
    Column("digest", DIGEST, nullable=False),  # of the row
    Column("subject_id", String(36), nullable=False),
    Column("predicate", String, nullable=False),
    Column("object_id", String(36), nullable=False),
    Column("confidence", Double, nullable=False),
    Column("evidence_count", Integer, nullable=False),
    Column("documents", Text, nullable=False),  # JSON [paper id, ...], sorted
    Column("row", Text, nullable=False),  # JSON, as in relationships.jsonl
    # Each is all that a walk needs of an entity's relationships, the surest first.
    Index(
        "ix_graph_relationship_out",
        *("source", "subject_id", "confidence", "evidence_count", "predicate", "key", "object_id"),
    ),
    Index(
        "ix_graph_relationship_in",
        *("source", "object_id", "confidence", "evidence_count", "predicate", "key", "subject_id"),
    ),
    Index(
        "ix_graph_relationship_predicate",
        *("source", "predicate", "confidence", "evidence_count", "key", "subject_id", "object_id"),
    ),
)

graph_mention = Table(
    "graph_mention",
    metadata,
    Column("source", String, primary_key=True),
    Column("key", DIGEST, primary_key=True),
    Column("entity_id", String(36), nullable=False),
    Column("document_id", String, nullable=False),  # a paper's id
    Column("section", String),  # of the paper
    Column("row", Text, nullable=False),  # JSON, as in mentions.jsonl
    Index(None, "source", "entity_id", "key"),
    Index(None, "source", "document_id"),
)

graph_evidence = Table(
    "graph_evidence",
    metadata,
    Column("source", String, primary_key=True),
    Column("key", DIGEST, primary_key=True),
    Column("relationship_key", String, nullable=False),  # "subject:PREDICATE:object"
    Column("document_id", String, nullable=False),
    Column("section", String),
    Column("confidence", Double, nullable=False),
    Column("row", Text, nullable=False),  # JSON, as in evidence.jsonl
    Index(None, "source", "relationship_key", "confidence", "key"),
    Index(None, "source", "document_id"),
)

# One row per paper in the graph: what was loaded of it, so that a load looks only at papers that differ.
graph_paper = Table(
    "graph_paper",
    metadata,
    Column("source", String, primary_key=True),
    Column("document_id", String, primary_key=True),  # the paper's id
    Column("digest", DIGEST, nullable=False),  # of its mentions, evidence and documents
    Column("linked", Text, nullable=False),  # JSON [section, ...]: those with a row in document_entities
    Column("about", DIGEST, nullable=False),  # the sum of the digests of these rows
)

# One row per source with a graph: what was written to the workspace and loaded last.
graph_state = Table(
    "graph_state",
    metadata,
    Column("source", String, primary_key=True),
    Column("bundle_id", String, nullable=False),
    Column("manifest", Text, nullable=False),  # JSON of the manifest
    Column("counts", Text, nullable=False),  # JSON {"entity": rows, "relationship": …, "mention": …, …}
    Column("files", Text, nullable=False),  # JSON {file: [size, time]} of the workspace, as it was left
)
