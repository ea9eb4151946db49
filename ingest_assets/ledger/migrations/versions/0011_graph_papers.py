"""What each bundle says, for merging, and what was loaded of each paper in the graph."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

DIGEST = sa.String(32)


def upgrade() -> None:
    op.add_column("paper_bundle", sa.Column("said", sa.Text(), server_default="", nullable=False))
    op.create_table(
        "graph_paper",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("document_id", sa.String(), nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("linked", sa.Text(), nullable=False),
        sa.Column("about", DIGEST, nullable=False),
        sa.PrimaryKeyConstraint("source", "document_id", name=op.f("pk_graph_paper")),
    )
    # The next refresh loads every paper again, for no digest is the empty one. So that it also finds those
    # that are gone by then, all are named; and it links the sections anew.
    op.execute(
        "INSERT INTO graph_paper (source, document_id, digest, linked, about) "
        "SELECT source, document_id, '', '[]', '0' FROM graph_mention "
        "UNION SELECT source, document_id, '', '[]', '0' FROM graph_evidence"
    )
    op.execute("DELETE FROM document_entities WHERE source IN (SELECT source FROM graph_state)")


def downgrade() -> None:
    op.drop_table("graph_paper")
    op.drop_column("paper_bundle", "said")
