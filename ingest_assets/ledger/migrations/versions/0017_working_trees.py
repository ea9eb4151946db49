"""Folders that are read as they stand on disk, and those that somebody at this machine named."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Repositories that were kept before are read as they were: what is committed.
    op.add_column(
        "repository", sa.Column("committed", sa.Boolean(), server_default=sa.true(), nullable=False)
    )
    op.add_column(
        "repository", sa.Column("own_folder", sa.Boolean(), server_default=sa.false(), nullable=False)
    )


def downgrade() -> None:
    op.drop_column("repository", "own_folder")
    op.drop_column("repository", "committed")
