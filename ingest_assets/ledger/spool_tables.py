"""The tables of the spool: the manifest of batches, their records, and what is announced of them.

Times are seconds since 1970, NULL for what has not happened.
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
    String,
    Table,
    Text,
    text,
)

from ingest_assets.ledger.schema import DIGEST, metadata

# One row per batch that was ever claimed. A row stays when its batch was removed, so that a redelivery does
# not bring it back; that of one that has expired goes after SPOOL_HISTORY_DAYS.
ingestion_manifest = Table(
    "ingestion_manifest",
    metadata,
    Column("batch_tag", String, primary_key=True),
    Column("digest", DIGEST, nullable=False),  # of the file: a batch is delivered twice if it is the same
    Column("status", String, nullable=False),
    Column("reason", String),  # of the last settlement
    Column("source", String, nullable=False),  # as the envelope says; "" if it does not
    Column("files", Text, nullable=False),  # JSON [name of a file as it was delivered, ...]
    Column("file", String, nullable=False),  # its name in the folder where it is now; "" if it is gone
    Column("total_files", Integer, nullable=False),
    Column("total_bytes", BigInteger, nullable=False),
    Column("total_records", Integer, nullable=False),
    Column("skipped", Integer, nullable=False),  # records without text
    Column("processed", Integer, nullable=False),  # records that were in the index when it was settled
    Column("created_at", Double, nullable=False),  # as the envelope says; its records' partition
    Column("queued_at", Double, nullable=False),  # when it was claimed
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("updated_at", Double, nullable=False),
    Column("error", Text),
    Column("attempts", Integer, nullable=False),
    Column("pii", Boolean, nullable=False),
    Column("gate", String, nullable=False),  # of personal batches: locked until somebody opens it
    Column("wanted", Boolean, nullable=False),  # whether its records should be in the index
    Column("loaded", Boolean, nullable=False),  # whether `spool_record` has all of them
    Column(
        "recorded_with", DIGEST
    ),  # fingerprint of the stage that made documents of it; NULL: there are none
    Column("purge", Boolean, nullable=False),  # personal data left the index, and is still in its files
    Column("gone", String),  # why it left for good: removed, expired
    Column("gone_at", Double),
    # Of its events that are no longer in `spool_event`: the highest number, and the highest nth of gate.done.
    Column("events_forgotten", Integer, nullable=False, server_default=text("0")),
    Column("settlements_forgotten", Integer, nullable=False, server_default=text("0")),
    Column("extra", Text, nullable=False, server_default=text("'{}'")),  # JSON
    CheckConstraint("status in ('queued', 'processing', 'success', 'failed')", name="status"),
    CheckConstraint(
        "reason in ('success', 'failed', 'healed_partition', 'partition_missing', 'other_error')",
        name="reason",
    ),
    CheckConstraint("gate in ('none', 'locked', 'open')", name="gate"),
    CheckConstraint("gone in ('removed', 'expired')", name="gone"),
    Index(None, "digest", unique=True),
    Index(None, "file"),
    Index(None, "status", "batch_tag"),
    Index(None, "status", "wanted", "batch_tag"),
    Index(None, "gate", "gone", "batch_tag"),
    Index(None, "wanted", "recorded_with", "batch_tag"),
    Index(None, "gone", "created_at"),
    Index(None, "gone", "gone_at"),
    # All that is counted of the batches, so that counting reads no row.
    Index(None, "gone", "status", "gate", "processed"),
    # As the queries say it on either database, or SQLite would not use them.
    Index(None, "purge", postgresql_where=text("purge"), sqlite_where=text("purge = 1")),
    Index(
        "ix_ingestion_manifest_file_left",
        "batch_tag",
        postgresql_where=text("gone IS NOT NULL AND file <> ''"),
        sqlite_where=text("gone IS NOT NULL AND file != ''"),
    ),
    # Empty, unless something went wrong. With `status`, or SQLite would take another one that begins so.
    Index(
        "ix_ingestion_manifest_not_added_up",
        "status",
        "batch_tag",
        postgresql_where=text("status = 'success' AND processed <> total_records - skipped"),
        sqlite_where=text("status = 'success' AND processed != total_records - skipped"),
    ),
)

# One row per record with text of the batches whose records should be in the index. On Postgres in partitions
# of a month, which `sources.spool.partitions` makes and drops.
spool_record = Table(
    "spool_record",
    metadata,
    Column("created_at", Double, primary_key=True),  # of its batch
    Column("batch_tag", String, primary_key=True),
    Column("number", Integer, primary_key=True),  # its place in the batch, from 0; those without text count
    Column("source", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("metadata", Text, nullable=False),  # JSON object
    Column("vector", LargeBinary),  # float32, little endian; NULL if none came along, or it cannot be used
    Column("text_digest", DIGEST, nullable=False),
    Index(None, "batch_tag", "number"),
    Index(None, "text_digest"),
    postgresql_partition_by="RANGE (created_at)",
)

# One row per partition of `spool_record` that was there in a run and not dropped by us: one that is not there
# any more was dropped by somebody else.
spool_partition = Table(
    "spool_partition",
    metadata,
    Column("month", String, primary_key=True),  # "2026-01", in UTC
    Column("made_at", Double, nullable=False),
)

# One row per run of the maintenance of partitions.
spool_maintenance = Table(
    "spool_maintenance",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("wanted", Text, nullable=False),  # JSON [month that was missing when it began, ...]
    Column("made", Text, nullable=False),  # JSON [month, ...]
    Column("dropped", Text, nullable=False),  # JSON [month, ...]
    Column("error", Text),
)

# One row per event that the listener at GATE_URL must be told: an outbox. Those of a batch go in order.
spool_event = Table(
    "spool_event",
    metadata,
    Column("batch_tag", String, primary_key=True),
    Column("number", Integer, primary_key=True),  # from 1, without gaps; the first ones go with time
    Column("event", String, nullable=False),  # gate.open, gate.done
    Column("nth", Integer, nullable=False),  # of its kind, from 1
    Column("body", Text, nullable=False),  # JSON, what templates get
    Column("created_at", Double, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("refused", Integer, nullable=False),  # attempts that were answered, but not with 2xx
    Column("next_at", Double, nullable=False),  # not tried before
    Column("delivered_at", Double),
    Column("error", Text),  # of the last attempt
    CheckConstraint("state in ('waiting', 'delivered', 'dead')", name="state"),
    Index(None, "state", "next_at"),
)

# One row per change of the manifest, for those who follow it.
manifest_event = Table(
    "manifest_event",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),  # in the order of commits
    Column("at", Double, nullable=False),
    Column("body", Text, nullable=False),  # JSON {type, action, batch_tag, status, total_files, ...}
    Index(None, "at"),
)

# The last sequence of `manifest_event`.
manifest_sequence = Table(
    "manifest_sequence",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# One row per cause that people were alerted of. It ends when what it was about works again.
alert = Table(
    "alert",
    metadata,
    Column("cause", String, primary_key=True),
    Column("since", Double, nullable=False),
    Column("seen_at", Double, nullable=False),  # when it was last met
    Column("times", Integer, nullable=False),
    Column("sent_at", Double),  # NULL while nobody could be told
    Column("next_at", Double, nullable=False),  # not tried before
    Column("body", Text, nullable=False),  # JSON of what was said
)
