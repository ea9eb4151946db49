"""Repositories, and what documents and chunks carry of their source's own."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("document", "chunk"):
        with op.batch_alter_table(table) as batch:
            batch.add_column(sa.Column("attributes", sa.Text(), server_default="{}", nullable=False))
    op.create_table(
        "repository",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("ref", sa.String(), nullable=True),
        sa.Column("added_at", sa.Double(), nullable=False),
        sa.Column("removed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repository")),
    )


def downgrade() -> None:
    op.drop_table("repository")
    for table in ("chunk", "document"):
        with op.batch_alter_table(table) as batch:
            batch.drop_column("attributes")
