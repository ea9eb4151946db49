"""Runs that were stopped before they removed too much; counts by kind; a view of entities for others."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ENTITY_MEMBERS_V1 = """
CREATE VIEW entity_members_v1 AS
SELECT
    m.source AS source,
    m.document_id AS document_id,
    m.entity_id AS canonical_id,
    m.kind AS kind,
    (
        SELECT max(e.number) FROM entity_event AS e
        WHERE e.source = m.source AND (e.entity_id = m.entity_id OR e.other_id = m.entity_id)
    ) AS revision
FROM entity_member AS m
"""


def upgrade() -> None:
    op.create_table(
        "held_removal",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("part", sa.String(), server_default=sa.text("''"), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("losses", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "stage", "part", name=op.f("pk_held_removal")),
    )
    op.create_index(op.f("ix_document_source_part_kind"), "document", ["source", "part", "kind"])
    op.execute(ENTITY_MEMBERS_V1)


def downgrade() -> None:
    op.execute("DROP VIEW entity_members_v1")
    op.drop_index(op.f("ix_document_source_part_kind"), table_name="document")
    op.drop_table("held_removal")
