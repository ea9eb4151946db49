"""The few papers that say that others were retracted or corrected are found without looking at all."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    where = sa.text("notices <> '[]'")
    op.create_index(
        "ix_paper_file_notices", "paper_file", ["paper_id"], sqlite_where=where, postgresql_where=where
    )


def downgrade() -> None:
    op.drop_index("ix_paper_file_notices", table_name="paper_file")
