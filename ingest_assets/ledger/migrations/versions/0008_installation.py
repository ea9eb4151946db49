"""The ledger says whose it is, and which system each source was read from."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_installation")),
        sa.CheckConstraint("number = 1", name=op.f("ck_installation_number")),
    )
    op.create_table(
        "source_origin",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_source_origin")),
    )


def downgrade() -> None:
    op.drop_table("source_origin")
    op.drop_table("installation")
