"""The tables of the ledger: what is recorded as done, and nothing that could be derived from it.

What belongs here: table definitions only, all of them, so that the schema is read in one place however long
it grows. A change here needs a migration in `migrations/versions`;
a test compares the two. Every digest is 32 hex characters (`model.digest_of`). No column that takes
part in an identity is drawn from a clock or a counter; times are for people to read.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

DIGEST = String(32)

# One row a stage of a source: a summary of its content and of what it was last derived from.
# `content` is the sum, modulo 2**128, of the digests of the stage's items: it can be kept up to date
# by each batch and equals what a scan of all items would give (see `reconcile.ContentDigest`).
stage = Table(
    "stage",
    metadata,
    Column("source", String, primary_key=True),
    Column("stage", String, primary_key=True),
    Column("content", DIGEST, nullable=False),
    Column("items", Integer, nullable=False),  # how many were recorded when it last ran to its end
    Column("settled_on", DIGEST),  # what the stage looked at when it last ran to its end, else NULL
    Column("last_success", Double),  # seconds since 1970
)

document = Table(
    "document",
    metadata,
    Column("source", String, primary_key=True),
    Column("document_id", String, primary_key=True),
    Column("digest", DIGEST, nullable=False),
    Column("kind", String, nullable=False),
    Column("title", Text, nullable=False),
    Column("uri", Text, nullable=False),
    Column("time", String),
    Column("context", Text, nullable=False),  # JSON [[label, value], ...]
    Column("body", Text, nullable=False),
    Column("refs", Text, nullable=False),  # JSON [document id, ...]
    Column("identity", Text),  # JSON of model.Identity
    Column("attributes", Text, nullable=False, server_default="{}"),  # JSON {field: value}
)

# One row a batch of a source's items that was found recorded as it was read. Such a batch is passed over, and
# believed only if the contents of all batches of a reading add up to the stage's. (See `stages.records`.)
read_batch = Table(
    "read_batch",
    metadata,
    Column("source", String, primary_key=True),
    Column("stage", String, primary_key=True),
    Column("digest", DIGEST, primary_key=True),  # of its items' ids and digests
    Column("content", DIGEST, nullable=False),  # the sum of its items' parts in the stage's content
)

# One row a member record: which canonical entity it belongs to.
entity_member = Table(
    "entity_member",
    metadata,
    Column("source", String, primary_key=True),
    Column("document_id", String, primary_key=True),
    Column("document_digest", DIGEST, nullable=False),  # of the record as it was resolved
    Column("identity_digest", DIGEST, nullable=False),  # of what it says about who it is
    Column("entity_id", String(36), nullable=False),
    Column("kind", String, nullable=False),
    # The order in which records first came, for which is an entity's oldest. Not drawn from a clock, and part
    # of no identity: it decides which of two ids stays.
    Column("seen", Integer, nullable=False),
    Index(None, "source", "entity_id"),
)

# One row a canonical entity, those that ended included: their ids lead to a successor for ever.
entity = Table(
    "entity",
    metadata,
    Column("source", String, primary_key=True),
    Column("entity_id", String(36), primary_key=True),
    Column("kind", String, nullable=False),
    Column("age", Integer, nullable=False),  # the order in which entities were made
    Column("retired", Boolean, nullable=False),
    Column("successor", String(36)),  # of a retired one; NULL when none of its members was left
)

# One row a thing that happened to an entity (see `entities.continuity`), with its reason.
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

# One row a block that a record is in: records that share a block are compared.
match_block = Table(
    "match_block",
    metadata,
    Column("source", String, primary_key=True),
    Column("block", BigInteger, primary_key=True),  # the first 8 bytes of the digest of its key
    Column("document_id", String, primary_key=True),
    Index(None, "source", "document_id"),
    sqlite_with_rowid=False,
)

# One row a pair of records whose weight is worth keeping.
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

# One row a model that was ever used to match records; the one with the highest number is in use.
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

# What the pairs and clusters of a source were made with; no row while they are not complete.
match_state = Table(
    "match_state",
    metadata,
    Column("source", String, primary_key=True),
    Column("scored_with", DIGEST, nullable=False),  # the models
    Column("decided_with", DIGEST, nullable=False),  # people's decisions
    Column("candidates", Text, nullable=False),  # JSON {blocking rule: pairs compared in the last run}
)

# One row a document: the canonical entities it is about, as its points carry them.
document_entities = Table(
    "document_entities",
    metadata,
    Column("source", String, primary_key=True),
    Column("document_id", String, primary_key=True),
    Column("document_digest", DIGEST, nullable=False),  # of the document that these are the entities of
    Column("digest", DIGEST, nullable=False),  # of entity_ids
    Column("entity_ids", Text, nullable=False),  # JSON [entity id, ...], sorted
)

# One row a document: the content and the chunker its chunks were made from.
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
    Column("digest", DIGEST, nullable=False),  # of everything its point holds but the entities
    Column("text_digest", DIGEST, nullable=False),
    Column("position", Integer, nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("kind", String, nullable=False),  # with title, uri and time as the document had them
    Column("title", Text, nullable=False),
    Column("uri", Text, nullable=False),
    Column("time", String),
    Column("text", Text, nullable=False),
    Column("attributes", Text, nullable=False, server_default="{}"),  # JSON {field: value} of its payload
    Index(None, "source", "document_id"),
    Index(None, "text_digest", "source"),
)

# Vectors are a memo: the same text is embedded once by the same model, whoever asks.
dense_vector = Table(
    "dense_vector",
    metadata,
    Column("model", DIGEST, primary_key=True),  # digest of the model's identity
    Column("text_digest", DIGEST, primary_key=True),
    Column("vector", LargeBinary, nullable=False),  # float32, little endian
)

sparse_vector = Table(
    "sparse_vector",
    metadata,
    Column("model", DIGEST, primary_key=True),
    Column("text_digest", DIGEST, primary_key=True),
    Column("indices", LargeBinary, nullable=False),  # uint32, little endian, ascending
    Column("weights", LargeBinary, nullable=False),  # float32, little endian
)

# One row a repository that is kept in step. Its documents are those of the source "repositories/<id>".
repository = Table(
    "repository",
    metadata,
    Column("id", String, primary_key=True),  # sources.repositories.Origin.id
    Column("location", Text, nullable=False),  # the URL, without credentials, or the path
    Column("ref", String),  # branch, tag or commit; NULL for the default branch
    Column("added_at", Double, nullable=False),  # seconds since 1970
    Column("removed", Boolean, nullable=False),  # its documents are to go; then the row goes
)

# One row a collection. Numbers of generations are never used again, also not in another store: what is
# recorded of one store's points must not be believed of another's.
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
    CheckConstraint("state in ('building', 'live', 'previous')", name="state"),
)

# One row a point that the store has acknowledged.
point = Table(
    "point",
    metadata,
    Column("collection", String, primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("chunk_id", String(36), primary_key=True),
    Column("document_id", String, nullable=False),
    Column("chunk_digest", DIGEST, nullable=False),
    Column("entities_digest", DIGEST, nullable=False),
    Index(None, "collection", "generation", "document_id"),
)

# One row an item that could not be processed as it is, until its content or the pipeline changes.
parked = Table(
    "parked",
    metadata,
    Column("source", String, primary_key=True),
    Column("stage", String, primary_key=True),
    Column("item_id", String, primary_key=True),
    Column("digest", DIGEST, nullable=False),
    Column("fingerprint", DIGEST, nullable=False),
    Column("error", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_at", Double, nullable=False),
    Column("last_at", Double, nullable=False),
)

# One row an indexing job that somebody started. Times are seconds since 1970, NULL until it is so.
indexing_jobs = Table(
    "indexing_jobs",
    metadata,
    Column("id", String(36), primary_key=True),  # UUIDv5 of (repository, project, number)
    Column("repository_id", String, nullable=False),
    Column("repo_path", Text, nullable=False),  # the URL, without credentials, or the absolute path
    Column("repo_name", Text, nullable=False),
    Column("project_id", String, nullable=False),
    Column("git_ref", Text),  # branch, tag or commit; NULL for the default branch
    Column("force_reindex", Boolean, nullable=False),
    Column("status", String, nullable=False),
    Column("progress_percentage", Integer, nullable=False),
    Column("progress_message", Text, nullable=False),
    Column("files_scanned", Integer, nullable=False),
    Column("files_indexed", Integer, nullable=False),
    Column("chunks_created", Integer, nullable=False),
    Column("error_message", Text),
    Column("error_type", String),
    Column("error_traceback", Text),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("completed_at", Double),  # when it ended, however it ended
    Column("cancelled_at", Double),
    Column("cancel_requested_at", Double),
    Column("updated_at", Double, nullable=False),
    Column("metadata", Text, nullable=False),  # JSON object, the starter's own
    Column("worker_task_id", String),  # the run that works on it
    Column("connection_id", String),  # of the client that started it
    Column("event_count", Integer, nullable=False),  # the sequence of the next event
    Column("tally", Text),  # JSON of jobs.events.Tally, of the events so far
    CheckConstraint("status in ('pending', 'running', 'completed', 'failed', 'cancelled')", name="status"),
    CheckConstraint("progress_percentage between 0 and 100", name="progress_percentage"),
    # The conditions are spelled as the queries spell them: SQLite takes a partial index only then.
    Index(
        "ix_indexing_jobs_pending",
        "created_at",
        sqlite_where=text("status = 'pending'"),
        postgresql_where=text("status = 'pending'"),
    ),
    Index(
        "ix_indexing_jobs_running",
        "started_at",
        sqlite_where=text("status = 'running'"),
        postgresql_where=text("status = 'running'"),
    ),
    Index(
        "ix_indexing_jobs_active",
        "repository_id",
        sqlite_where=text("status in ('pending', 'running')"),
        postgresql_where=text("status in ('pending', 'running')"),
    ),
    Index(
        "ix_indexing_jobs_finished",
        "completed_at",
        sqlite_where=text("status in ('completed', 'failed', 'cancelled')"),
        postgresql_where=text("status in ('completed', 'failed', 'cancelled')"),
    ),
    Index("ix_indexing_jobs_created_at", "created_at"),  # the list of all
)

# One row an event of a job, in order and without gaps.
indexing_job_events = Table(
    "indexing_job_events",
    metadata,
    Column("job_id", String(36), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),  # from 0 within its job
    Column("event", Text, nullable=False),  # JSON of jobs.events.Event
    Column("at", Double, nullable=False),
)

# One row a repository: how many jobs it ever had, so that no id of a job that was forgotten comes again.
indexing_job_counter = Table(
    "indexing_job_counter",
    metadata,
    Column("repository_id", String, primary_key=True),
    Column("last_number", Integer, nullable=False),
)

# One row a launcher of jobs: when it last looked for pending ones, so that a job can tell that nobody does.
indexing_job_launcher = Table(
    "indexing_job_launcher",
    metadata,
    Column("name", String, primary_key=True),
    Column("looked_at", Double, nullable=False),
)

# One row a note that somebody made on a document or an entity. It lives here and never in the system that the
# document comes from; documents of the source "crm" are made of it.
note = Table(
    "note",
    metadata,
    Column("id", String(36), primary_key=True),  # UUIDv5 of (about, author, kind, text, n-th)
    Column("kind", String, nullable=False),
    Column("about", String, nullable=False),  # the id of a document or an entity, as it was given
    Column("title", Text, nullable=False),  # of what it is about, when the note was made
    Column("refs", Text, nullable=False),  # JSON [document id, ...]: the CRM's records that it is about
    Column("author", String, nullable=False),
    Column("at", Double, nullable=False),  # seconds since 1970
    Column("why", Text, nullable=False),
    Column("text", Text, nullable=False),
    CheckConstraint("kind in ('note', 'flag')", name="kind"),
    Index(None, "about"),
)

# One row a call of a tool, whatever became of it. Triggers let nobody change or delete one.
audit_log = Table(
    "audit_log",
    metadata,
    Column("number", Integer, primary_key=True),  # ascending; a call that was rolled back leaves a gap
    Column("at", Double, nullable=False),  # seconds since 1970
    Column("who", String, nullable=False),
    Column("transport", String, nullable=False),
    Column("tool", String, nullable=False),
    Column("arguments", Text, nullable=False),  # JSON, shortened; what may be a secret is left out
    Column("outcome", String, nullable=False),
    Column("message", Text, nullable=False),
    CheckConstraint("outcome in ('ok', 'refused', 'failed')", name="outcome"),
)
