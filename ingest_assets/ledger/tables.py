"""The tables of the ledger: what is recorded as done, and nothing that could be derived from it.

What belongs here: table definitions only, all of them but those of papers and graphs (`graph_tables`), of the
spool (`spool_tables`) and of indexing jobs (`job_tables`). A change here needs a migration in
`migrations/versions`; a test compares the two. Every digest is 32 hex characters (`model.digest_of`). No
column that is part of an identity comes from a clock or a counter; times are for people.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    false,
    text,
    true,
)

from ingest_assets.ledger import (
    graph_tables,  # noqa: F401 - they are part of the same metadata
    guard_tables,  # noqa: F401 - and so are these
    job_tables,  # noqa: F401 - and so are these
    schema,
    spool_tables,  # noqa: F401 - and so are these
)
from ingest_assets.ledger.schema import DIGEST
from ingest_assets.model import Common

metadata = schema.metadata


def _common_columns() -> list[Column[Any]]:
    """The columns of `model.Common`, which documents and chunks share."""
    return [
        Column(
            each.name,
            String if each.metadata.get("filter") else Text,
            nullable="None" in str(each.type),
        )
        for each in fields(Common)
    ]


# One row: the installation that the ledger belongs to.
installation = Table(
    "installation",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),  # always 1
    Column("id", String(32), nullable=False),  # hex, drawn at random
    Column("name", Text, nullable=False),  # for people
    # Authenticates the answers that are kept in a cache: hex, drawn at random when first needed.
    Column("cache_secret", String(64), nullable=False, server_default=text("''")),
    CheckConstraint("number = 1", name="number"),
)

# One row per source that says what it reads: the system that its documents were last read from.
source_origin = Table(
    "source_origin",
    metadata,
    Column("source", String, primary_key=True),
    Column("origin", Text, nullable=False),  # stages.origins.Origin.name; "" for sample data
)

# One row per stage of a source, or of a part of one ("" where a source has no parts): a summary of its
# content and of what it was last derived from. `content` is the sum, modulo 2**128, of the digests of the
# stage's items: each batch keeps it up to date, and it equals what a scan of all items would give (see
# `reconcile.content_of`).
stage = Table(
    "stage",
    metadata,
    Column("source", String, primary_key=True),
    Column("stage", String, primary_key=True),
    Column("part", String, primary_key=True, server_default=text("''")),
    Column("content", DIGEST, nullable=False),
    Column("items", Integer, nullable=False),  # how many were recorded when it last completed
    Column("input_digest_at_success", DIGEST),  # NULL from a run's first change to its completion
    Column("last_success", Double),  # seconds since 1970
)

document = Table(
    "document",
    metadata,
    Column("source", String, primary_key=True),
    Column("document_id", String, primary_key=True),
    Column("part", String, nullable=False, server_default=text("''")),
    Column("digest", DIGEST, nullable=False),
    *_common_columns(),
    Column("context", Text, nullable=False),  # JSON [[label, value], ...]
    Column("body", Text, nullable=False),
    Column("refs", Text, nullable=False),  # JSON [document id, ...]
    Column("identity", Text),  # JSON of model.Identity
    Column("attributes", Text, nullable=False, server_default="{}"),  # JSON {field: value}
    Index(None, "source", "part", "document_id"),
    Index(None, "source", "part", "kind"),  # how many there are of each kind
)

# One row per item that a source left out on purpose when it was last read completely, and why.
skipped_item = Table(
    "skipped_item",
    metadata,
    Column("source", String, primary_key=True),
    Column("part", String, primary_key=True),
    Column("item_id", String, primary_key=True),
    Column("reason", String, nullable=False),
    Column("size", BigInteger),  # bytes; NULL where there is nothing to measure
    Column("detail", Text, nullable=False),
)

# One row per batch of a source's items that was found recorded exactly as it was read. Such a batch is
# skipped, and trusted only if the contents of all batches of a read add up to the stage's. (See
# `stages.records`.)
read_batch = Table(
    "read_batch",
    metadata,
    Column("source", String, primary_key=True),
    Column("stage", String, primary_key=True),
    Column("part", String, primary_key=True, server_default=text("''")),
    Column("digest", DIGEST, primary_key=True),  # of its items' ids and digests
    Column("content", DIGEST, nullable=False),  # the sum of its items' shares of the stage's content
)

# One row per member record: which canonical entity it belongs to.
entity_member = Table(
    "entity_member",
    metadata,
    Column("source", String, primary_key=True),
    Column("document_id", String, primary_key=True),
    Column("document_digest", DIGEST, nullable=False),  # of the record as it was resolved
    Column("identity_digest", DIGEST, nullable=False),  # of the record's identity
    Column("entity_id", String(36), nullable=False),
    Column("kind", String, nullable=False),
    # The order in which records first appeared, to tell which one of an entity is the oldest. It does not
    # come from a clock and is not part of any identity: it decides which of two ids is kept.
    Column("seen", Integer, nullable=False),
    Index(None, "source", "entity_id"),
)

# One row per canonical entity, including retired ones, whose ids lead to a successor forever.
entity = Table(
    "entity",
    metadata,
    Column("source", String, primary_key=True),
    Column("entity_id", String(36), primary_key=True),
    Column("kind", String, nullable=False),
    Column("age", Integer, nullable=False),  # the order in which entities were created
    Column("retired", Boolean, nullable=False),
    Column("successor", String(36)),  # of a retired entity; NULL when it had no members left
    Index(None, "source", "successor", "entity_id"),
)

# One row per change of an entity (see `entities.continuity`), with its reason.
entity_event = Table(
    "entity_event",
    metadata,
    Column("source", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", Double, nullable=False),  # seconds since 1970
    Column("kind", String, nullable=False),
    Column("entity_id", String(36), nullable=False),
    Column("other_id", String(36)),
    Column("document_id", String),
    Column("reason", Text, nullable=False),  # JSON
    Index(None, "source", "entity_id"),
    Index(None, "source", "other_id"),
)

# One row per block that a record is in: records that share a block are compared.
match_block = Table(
    "match_block",
    metadata,
    Column("source", String, primary_key=True),
    Column("block", BigInteger, primary_key=True),  # the first 8 bytes of the digest of its key
    Column("document_id", String, primary_key=True),
    Index(None, "source", "document_id"),
    sqlite_with_rowid=False,
)

# One row per pair of records whose weight is worth keeping.
match_pair = Table(
    "match_pair",
    metadata,
    Column("source", String, primary_key=True),
    Column("left", String, primary_key=True),  # the smaller id
    Column("right", String, primary_key=True),
    Column("weight", Double, nullable=False),  # bits
    Index(None, "source", "right"),
    sqlite_with_rowid=False,
)

# One row per model ever used to match records; the one with the highest number is in use.
match_model = Table(
    "match_model",
    metadata,
    Column("source", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("version", DIGEST, nullable=False),
    Column("at", Double, nullable=False),
    Column("parameters", Text, nullable=False),  # JSON of entities.MatchModel
)

# What the pairs and clusters of a source were computed with; no row while they are incomplete.
match_state = Table(
    "match_state",
    metadata,
    Column("source", String, primary_key=True),
    Column("scored_with", DIGEST, nullable=False),  # the models
    Column("decided_with", DIGEST, nullable=False),  # people's decisions
    Column("candidates", Text, nullable=False),  # JSON {blocking rule: pairs compared in the last run}
)

# One row per document: the canonical entities it is about, as its points carry them.
document_entities = Table(
    "document_entities",
    metadata,
    Column("source", String, primary_key=True),
    Column("document_id", String, primary_key=True),
    Column("document_digest", DIGEST, nullable=False),  # of the document that has these entities
    Column("digest", DIGEST, nullable=False),  # of entity_ids
    Column("entity_ids", Text, nullable=False),  # JSON [entity id, ...], sorted
)

# One row per document: the content and the chunker that its chunks were made with.
chunked = Table(
    "chunked",
    metadata,
    Column("source", String, primary_key=True),
    Column("document_id", String, primary_key=True),
    Column("digest", DIGEST, nullable=False),
    Column("fingerprint", DIGEST, nullable=False),
)

chunk = Table(
    "chunk",
    metadata,
    Column("source", String, primary_key=True),
    Column("chunk_id", String(36), primary_key=True),
    Column("document_id", String, nullable=False),
    Column("digest", DIGEST, nullable=False),  # of everything in its point except the entities
    Column("text_digest", DIGEST, nullable=False),
    Column("position", Integer, nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    *_common_columns(),  # as the document had them
    Column("text", Text, nullable=False),
    Column("attributes", Text, nullable=False, server_default="{}"),  # JSON {field: value} of its payload
    Index(None, "source", "document_id"),
    Index(None, "text_digest", "source"),
)

# Vectors are memoised: the same model embeds the same text only once, whoever asks.
dense_vector = Table(
    "dense_vector",
    metadata,
    Column("model", DIGEST, primary_key=True),  # digest of the model's identity
    Column("text_digest", DIGEST, primary_key=True),
    Column("vector", LargeBinary, nullable=False),  # float32, little endian
)

# Dense models that no generation was built with yet, and whose vectors are made ahead (stages.ahead).
model_ahead = Table(
    "model_ahead",
    metadata,
    Column("model", DIGEST, primary_key=True),  # digest of the identity
    Column("identity", Text, nullable=False),
)

sparse_vector = Table(
    "sparse_vector",
    metadata,
    Column("model", DIGEST, primary_key=True),
    Column("text_digest", DIGEST, primary_key=True),
    Column("indices", LargeBinary, nullable=False),  # uint32, little endian, ascending
    Column("weights", LargeBinary, nullable=False),  # float32, little endian
)

# One row per repository that is kept in step. Its id is the part of its documents.
repository = Table(
    "repository",
    metadata,
    Column("id", String, primary_key=True),  # sources.repositories.origin.Origin.id
    Column("location", Text, nullable=False),  # the URL, without credentials, or the path
    Column("ref", String),  # branch, tag or commit; NULL for the default branch
    Column("added_at", Double, nullable=False),  # seconds since 1970
    Column("removed", Boolean, nullable=False),  # its documents are to be removed, and then this row
    # Whether what is committed is read; otherwise a folder as it stands on disk.
    Column("committed", Boolean, nullable=False, server_default=true()),
    # Whether somebody at this machine named the folder, so that it may be outside INGEST_REPOSITORY_ROOTS.
    Column("own_folder", Boolean, nullable=False, server_default=false()),
)

# One row per repository and project that has it. A repository is indexed once, whichever projects have it,
# and leaves the index when none does.
repository_project = Table(
    "repository_project",
    metadata,
    Column("repository_id", String, primary_key=True),
    Column("project_id", String, primary_key=True),
    Column("added_at", Double, nullable=False),  # seconds since 1970
    Index(None, "project_id", "repository_id"),
)

# One row per collection. Generation numbers are never reused, not even in another store: what is recorded
# about one store's points must not be believed about another's.
collection = Table(
    "collection",
    metadata,
    Column("name", String, primary_key=True),
    Column("last_generation", Integer, nullable=False),
)

generation = Table(
    "generation",
    metadata,
    Column("collection", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("fingerprint", DIGEST, nullable=False),
    Column("dense_model", Text, nullable=False),  # identities, in full
    Column("sparse_model", Text, nullable=False),
    Column("dimension", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("published_at", Double),
    # Names what the store holds: hex, drawn at random for each change of points; "" while that is not known,
    # from before a change until it is acknowledged.
    Column("contents", String(32), nullable=False, server_default=text("''")),
    CheckConstraint("state in ('building', 'live', 'previous')", name="state"),
)

# One row per point that the store has acknowledged.
point = Table(
    "point",
    metadata,
    Column("collection", String, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("chunk_id", String(36), primary_key=True),
    Column("document_id", String, nullable=False),
    Column("chunk_digest", DIGEST, nullable=False),
    Column("entities_digest", DIGEST, nullable=False),
    Index(None, "document_id", "collection", "generation"),  # in this order: see migration 0014
)

# One row per item that could not be processed as it is, until its content or the pipeline changes.
parked = Table(
    "parked",
    metadata,
    Column("source", String, primary_key=True),
    Column("stage", String, primary_key=True),
    Column("part", String, primary_key=True, server_default=text("''")),
    Column("item_id", String, primary_key=True),
    Column("digest", DIGEST, nullable=False),
    Column("fingerprint", DIGEST, nullable=False),
    Column("error", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_at", Double, nullable=False),
    Column("last_at", Double, nullable=False),
)

# One row per note that somebody made on a document or an entity. It is kept here, never in the system that
# the document comes from, and becomes a document of the source that takes notes.
note = Table(
    "note",
    metadata,
    Column("id", String(36), primary_key=True),  # UUIDv5 of (about, author, kind, text, n-th)
    Column("kind", String, nullable=False),
    Column("about", String, nullable=False),  # the id of a document or an entity, as it was given
    Column("title", Text, nullable=False),  # the title of what it is about, when the note was made
    Column("refs", Text, nullable=False),  # JSON [document id, ...]: the CRM's records that it is about
    Column("author", String, nullable=False),
    Column("at", Double, nullable=False),  # seconds since 1970
    Column("why", Text, nullable=False),
    Column("text", Text, nullable=False),
    CheckConstraint("kind in ('note', 'flag')", name="kind"),
    Index(None, "about"),
)

# One row per tool call, whatever its outcome. Triggers prevent changes and deletions.
audit_log = Table(
    "audit_log",
    metadata,
    Column("number", Integer, primary_key=True),  # from 1, without gaps since there are digests
    Column("at", Double, nullable=False),  # seconds since 1970
    Column("who", String, nullable=False),
    Column("transport", String, nullable=False),
    Column("tool", String, nullable=False),
    Column("arguments", Text, nullable=False),  # JSON, shortened; possible secrets are left out
    Column("outcome", String, nullable=False),
    Column("message", Text, nullable=False),
    Column("digest", String, nullable=False, server_default=text("''")),  # `audit_chain.digest_after`
    CheckConstraint("outcome in ('ok', 'refused', 'failed')", name="outcome"),
)

audit_log_head = Table(
    "audit_log_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1: there is a single row
    Column("number", Integer, nullable=False),  # of the newest row; 0 if there is none
    Column("digest", String, nullable=False),
)
