"""The spool: its manifest, records, events, and alerts. What the cache of answers goes by."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table, column, size in (("installation", "cache_secret", 64), ("generation", "contents", 32)):
        op.add_column(table, sa.Column(column, sa.String(size), nullable=False, server_default=""))
    op.create_table(
        "alert",
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("sent_at", sa.Double()),
        sa.Column("next_at", sa.Double(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("cause", name=op.f("pk_alert")),
    )
    op.create_table(
        "ingestion_manifest",
        sa.Column("batch_tag", sa.String(), nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reason", sa.String()),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("total_files", sa.Integer(), nullable=False),
        sa.Column("total_bytes", sa.BigInteger(), nullable=False),
        sa.Column("total_records", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("processed", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("queued_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double()),
        sa.Column("finished_at", sa.Double()),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("pii", sa.Boolean(), nullable=False),
        sa.Column("gate", sa.String(), nullable=False),
        sa.Column("wanted", sa.Boolean(), nullable=False),
        sa.Column("loaded", sa.Boolean(), nullable=False),
        sa.Column("recorded_with", sa.String(length=32)),
        sa.Column("purge", sa.Boolean(), nullable=False),
        sa.Column("gone", sa.String()),
        sa.Column("gone_at", sa.Double()),
        sa.Column("events_forgotten", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("settlements_forgotten", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("extra", sa.Text(), nullable=False, server_default="{}"),
        sa.CheckConstraint("gate in ('none', 'locked', 'open')", name=op.f("ck_ingestion_manifest_gate")),
        sa.CheckConstraint("gone in ('removed', 'expired')", name=op.f("ck_ingestion_manifest_gone")),
        sa.CheckConstraint(
            "reason in ('success', 'failed', 'healed_partition', 'partition_missing', 'other_error')",
            name=op.f("ck_ingestion_manifest_reason"),
        ),
        sa.CheckConstraint(
            "status in ('queued', 'processing', 'success', 'failed')",
            name=op.f("ck_ingestion_manifest_status"),
        ),
        sa.PrimaryKeyConstraint("batch_tag", name=op.f("pk_ingestion_manifest")),
    )
    op.create_index(
        op.f("ix_ingestion_manifest_gone_created_at"), "ingestion_manifest", ["gone", "created_at"]
    )
    op.create_index(op.f("ix_ingestion_manifest_digest"), "ingestion_manifest", ["digest"], unique=True)
    op.create_index(op.f("ix_ingestion_manifest_file"), "ingestion_manifest", ["file"])
    op.create_index(
        op.f("ix_ingestion_manifest_gate_gone_batch_tag"), "ingestion_manifest", ["gate", "gone", "batch_tag"]
    )
    op.create_index(
        op.f("ix_ingestion_manifest_status_wanted_batch_tag"),
        "ingestion_manifest",
        ["status", "wanted", "batch_tag"],
    )
    op.create_index(op.f("ix_ingestion_manifest_gone_gone_at"), "ingestion_manifest", ["gone", "gone_at"])
    op.create_index(
        "ix_ingestion_manifest_file_left",
        "ingestion_manifest",
        ["batch_tag"],
        postgresql_where=sa.text("gone IS NOT NULL AND file <> ''"),
        sqlite_where=sa.text("gone IS NOT NULL AND file != ''"),
    )
    op.create_index(
        op.f("ix_ingestion_manifest_purge"),
        "ingestion_manifest",
        ["purge"],
        postgresql_where=sa.text("purge"),
        sqlite_where=sa.text("purge = 1"),
    )
    op.create_index(
        op.f("ix_ingestion_manifest_status_batch_tag"), "ingestion_manifest", ["status", "batch_tag"]
    )
    op.create_index(
        op.f("ix_ingestion_manifest_wanted_recorded_with_batch_tag"),
        "ingestion_manifest",
        ["wanted", "recorded_with", "batch_tag"],
    )
    op.create_table(
        "manifest_event",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_manifest_event")),
    )
    op.create_index(op.f("ix_manifest_event_at"), "manifest_event", ["at"])
    op.create_table(
        "manifest_sequence",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_manifest_sequence")),
    )
    op.create_table(
        "spool_event",
        sa.Column("batch_tag", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("nth", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=False),
        sa.Column("delivered_at", sa.Double()),
        sa.Column("error", sa.Text()),
        sa.CheckConstraint("state in ('waiting', 'delivered', 'dead')", name=op.f("ck_spool_event_state")),
        sa.PrimaryKeyConstraint("batch_tag", "number", name=op.f("pk_spool_event")),
    )
    op.create_index(op.f("ix_spool_event_state_next_at"), "spool_event", ["state", "next_at"])
    op.create_table(
        "spool_maintenance",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("wanted", sa.Text(), nullable=False),
        sa.Column("made", sa.Text(), nullable=False),
        sa.Column("dropped", sa.Text(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_spool_maintenance")),
    )
    op.create_table(
        "spool_partition",
        sa.Column("month", sa.String(), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("month", name=op.f("pk_spool_partition")),
    )
    op.create_table(
        "spool_record",
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("batch_tag", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("vector", sa.LargeBinary()),
        sa.Column("text_digest", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("created_at", "batch_tag", "number", name=op.f("pk_spool_record")),
        postgresql_partition_by="RANGE (created_at)",
    )
    op.create_index(op.f("ix_spool_record_batch_tag_number"), "spool_record", ["batch_tag", "number"])
    op.create_index(op.f("ix_spool_record_text_digest"), "spool_record", ["text_digest"])


def downgrade() -> None:
    op.drop_column("installation", "cache_secret")
    op.drop_column("generation", "contents")
    for table in (
        "alert", "spool_partition", "manifest_sequence", "manifest_event", "spool_event", "spool_maintenance",
        "spool_record", "ingestion_manifest",
    ):  # fmt: skip
        op.drop_table(table)
