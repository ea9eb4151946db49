"""What Dagster shows of the spool, and a check of it, are served by indexes."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

NOT_ADDED_UP = "status = 'success' AND processed <> total_records - skipped"


def upgrade() -> None:
    op.create_index(
        op.f("ix_ingestion_manifest_gone_status_gate_processed"),
        "ingestion_manifest",
        ["gone", "status", "gate", "processed"],
    )
    op.create_index(
        "ix_ingestion_manifest_not_added_up",
        "ingestion_manifest",
        ["status", "batch_tag"],
        postgresql_where=sa.text(NOT_ADDED_UP),
        sqlite_where=sa.text(NOT_ADDED_UP.replace("<>", "!=")),
    )


def downgrade() -> None:
    op.drop_index("ix_ingestion_manifest_not_added_up", table_name="ingestion_manifest")
    op.drop_index(op.f("ix_ingestion_manifest_gone_status_gate_processed"), table_name="ingestion_manifest")
