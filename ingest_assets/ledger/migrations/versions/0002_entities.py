"""Who is who: entities with their history, blocks, pairs and models.

Entities that were made by exact matching are made anew: members are derived, and get the order in which they
are then seen.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "entity",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("entity_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("age", sa.Integer(), nullable=False),
        sa.Column("retired", sa.Boolean(), nullable=False),
        sa.Column("successor", sa.String(length=36), nullable=True),
        sa.PrimaryKeyConstraint("source", "entity_id", name=op.f("pk_entity")),
    )
    op.create_table(
        "entity_event",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("entity_id", sa.String(length=36), nullable=False),
        sa.Column("other_id", sa.String(length=36), nullable=True),
        sa.Column("document_id", sa.String(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "number", name=op.f("pk_entity_event")),
    )
    op.create_index(
        op.f("ix_entity_event_source_entity_id"), "entity_event", ["source", "entity_id"], unique=False
    )
    op.create_index(
        op.f("ix_entity_event_source_other_id"), "entity_event", ["source", "other_id"], unique=False
    )
    op.create_table(
        "match_block",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.Column("document_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("source", "block", "document_id", name=op.f("pk_match_block")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_match_block_source_document_id"), "match_block", ["source", "document_id"], unique=False
    )
    op.create_table(
        "match_model",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "kind", "number", name=op.f("pk_match_model")),
    )
    op.create_table(
        "match_pair",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("left", sa.String(), nullable=False),
        sa.Column("right", sa.String(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("source", "left", "right", name=op.f("pk_match_pair")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_match_pair_source_right"), "match_pair", ["source", "right"], unique=False)
    op.create_table(
        "match_state",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("scored_with", sa.String(length=32), nullable=False),
        sa.Column("decided_with", sa.String(length=32), nullable=False),
        sa.Column("candidates", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_match_state")),
    )
    op.execute("DELETE FROM entity_member")
    op.execute("UPDATE stage SET settled_on = NULL WHERE stage = 'entities'")
    with op.batch_alter_table("entity_member") as members:
        members.add_column(sa.Column("identity_digest", sa.String(length=32), nullable=False))
        members.add_column(sa.Column("seen", sa.Integer(), nullable=False))


def downgrade() -> None:
    op.execute("DELETE FROM entity_member")
    op.execute("UPDATE stage SET settled_on = NULL WHERE stage = 'entities'")
    op.execute("DELETE FROM stage WHERE stage = 'match_models'")
    with op.batch_alter_table("entity_member") as members:
        members.drop_column("seen")
        members.drop_column("identity_digest")
    for table in ("match_state", "match_pair", "match_model", "match_block", "entity_event", "entity"):
        op.drop_table(table)
