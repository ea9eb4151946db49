"""Parts of a source get a column of their own, jobs a source, and a stage's input digest its name.

Before this, a part was only in the name of its stage, "files:github.com/owner/name", and at the beginning of
its documents' ids.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# The primary keys that the part is added to.
KEYS = {
    "stage": ["source", "stage", "part"],
    "parked": ["source", "stage", "part", "item_id"],
    "read_batch": ["source", "stage", "part", "digest"],
}


def upgrade() -> None:
    for table, key in KEYS.items():
        _set_key(table, key, add=True)
        name = _text_after_colon("stage")
        op.execute(f"UPDATE {table} SET part = {name} WHERE stage LIKE '%:%'")
        op.execute(f"UPDATE {table} SET stage = {_text_before_colon('stage')} WHERE stage LIKE '%:%'")
    op.add_column("document", sa.Column("part", sa.String(), server_default="", nullable=False))
    # Where one repository's id begins with another's, a document belongs to the longer one.
    op.execute(
        "UPDATE document SET part = coalesce((SELECT id FROM repository AS r "
        "WHERE document.document_id > r.id || '/' AND document.document_id < r.id || '0' "
        "ORDER BY length(id) DESC LIMIT 1), '') WHERE source = 'repositories'"
    )
    op.create_index("ix_document_source_part_document_id", "document", ["source", "part", "document_id"])
    op.create_table(
        "skipped_item",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "part", "item_id", name=op.f("pk_skipped_item")),
    )
    # Have the parts read again, so that skipped items are recorded too.
    op.execute("UPDATE stage SET settled_on = NULL WHERE part <> ''")
    op.alter_column("stage", "settled_on", new_column_name="input_digest_at_success")
    op.add_column(
        "indexing_jobs", sa.Column("source", sa.String(), server_default="repositories", nullable=False)
    )


def downgrade() -> None:
    op.drop_column("indexing_jobs", "source")
    op.alter_column("stage", "input_digest_at_success", new_column_name="settled_on")
    op.drop_table("skipped_item")
    op.drop_index("ix_document_source_part_document_id", "document")
    op.drop_column("document", "part")
    for table, key in KEYS.items():
        op.execute(f"UPDATE {table} SET stage = stage || ':' || part WHERE part <> ''")
        _set_key(table, [column for column in key if column != "part"], add=False)


def _set_key(table: str, key: list[str], *, add: bool) -> None:
    with op.batch_alter_table(table) as batch:
        if add:
            batch.add_column(sa.Column("part", sa.String(), server_default="", nullable=False))
        batch.drop_constraint(f"pk_{table}", type_="primary")
        batch.create_primary_key(f"pk_{table}", key)
        if not add:
            batch.drop_column("part")


def _text_after_colon(column: str) -> str:
    return f"substr({column}, {_position(column)} + 1)"


def _text_before_colon(column: str) -> str:
    return f"substr({column}, 1, {_position(column)} - 1)"


def _position(column: str) -> str:
    function = "instr" if op.get_bind().dialect.name == "sqlite" else "strpos"
    return f"{function}({column}, ':')"
