"""Which batches of a source's items were found recorded, so that they need no second look."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "read_batch",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("content", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("source", "stage", "digest", name=op.f("pk_read_batch")),
    )


def downgrade() -> None:
    op.drop_table("read_batch")
