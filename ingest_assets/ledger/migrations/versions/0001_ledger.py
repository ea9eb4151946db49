"""The ledger as it was first released."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "chunk",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("chunk_id", sa.String(length=36), nullable=False),
        sa.Column("document_id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("text_digest", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("end", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("time", sa.String(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "chunk_id", name=op.f("pk_chunk")),
    )
    op.create_index(op.f("ix_chunk_source_document_id"), "chunk", ["source", "document_id"], unique=False)
    op.create_index(op.f("ix_chunk_text_digest_source"), "chunk", ["text_digest", "source"], unique=False)
    op.create_table(
        "chunked",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("document_id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("source", "document_id", name=op.f("pk_chunked")),
    )
    op.create_table(
        "collection",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("last_generation", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_collection")),
    )
    op.create_table(
        "dense_vector",
        sa.Column("model", sa.String(length=32), nullable=False),
        sa.Column("text_digest", sa.String(length=32), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("model", "text_digest", name=op.f("pk_dense_vector")),
    )
    op.create_table(
        "document",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("document_id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("time", sa.String(), nullable=True),
        sa.Column("context", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("refs", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("source", "document_id", name=op.f("pk_document")),
    )
    op.create_table(
        "document_entities",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("document_id", sa.String(), nullable=False),
        sa.Column("document_digest", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("entity_ids", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "document_id", name=op.f("pk_document_entities")),
    )
    op.create_table(
        "entity_member",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("document_id", sa.String(), nullable=False),
        sa.Column("document_digest", sa.String(length=32), nullable=False),
        sa.Column("entity_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("source", "document_id", name=op.f("pk_entity_member")),
    )
    op.create_index(
        op.f("ix_entity_member_source_entity_id"), "entity_member", ["source", "entity_id"], unique=False
    )
    op.create_table(
        "generation",
        sa.Column("collection", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("dense_model", sa.Text(), nullable=False),
        sa.Column("sparse_model", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("published_at", sa.Double(), nullable=True),
        sa.CheckConstraint("state in ('building', 'live', 'previous')", name=op.f("ck_generation_state")),
        sa.PrimaryKeyConstraint("collection", "number", name=op.f("pk_generation")),
    )
    op.create_table(
        "parked",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(length=32), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.Double(), nullable=False),
        sa.Column("last_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("source", "stage", "item_id", name=op.f("pk_parked")),
    )
    op.create_table(
        "point",
        sa.Column("collection", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("chunk_id", sa.String(length=36), nullable=False),
        sa.Column("document_id", sa.String(), nullable=False),
        sa.Column("chunk_digest", sa.String(length=32), nullable=False),
        sa.Column("entities_digest", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("collection", "generation", "chunk_id", name=op.f("pk_point")),
    )
    op.create_index(
        op.f("ix_point_collection_generation_document_id"),
        "point",
        ["collection", "generation", "document_id"],
        unique=False,
    )
    op.create_table(
        "sparse_vector",
        sa.Column("model", sa.String(length=32), nullable=False),
        sa.Column("text_digest", sa.String(length=32), nullable=False),
        sa.Column("indices", sa.LargeBinary(), nullable=False),
        sa.Column("weights", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("model", "text_digest", name=op.f("pk_sparse_vector")),
    )
    op.create_table(
        "stage",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("content", sa.String(length=32), nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("settled_on", sa.String(length=32), nullable=True),
        sa.Column("last_success", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("source", "stage", name=op.f("pk_stage")),
    )


def downgrade() -> None:
    op.drop_table("stage")
    op.drop_table("sparse_vector")
    op.drop_index(op.f("ix_point_collection_generation_document_id"), table_name="point")
    op.drop_table("point")
    op.drop_table("parked")
    op.drop_table("generation")
    op.drop_index(op.f("ix_entity_member_source_entity_id"), table_name="entity_member")
    op.drop_table("entity_member")
    op.drop_table("document_entities")
    op.drop_table("document")
    op.drop_table("dense_vector")
    op.drop_table("collection")
    op.drop_table("chunked")
    op.drop_index(op.f("ix_chunk_text_digest_source"), table_name="chunk")
    op.drop_index(op.f("ix_chunk_source_document_id"), table_name="chunk")
    op.drop_table("chunk")
