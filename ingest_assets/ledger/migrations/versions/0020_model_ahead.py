"""Models that are to come: their vectors are made ahead, and kept until then."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_ahead",
        sa.Column("model", sa.String(length=32), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("model", name=op.f("pk_model_ahead")),
    )


def downgrade() -> None:
    op.drop_table("model_ahead")
