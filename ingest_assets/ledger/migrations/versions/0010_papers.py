"""Papers, their bundles, and the graph made of them; what a job found."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

DIGEST = sa.String(32)
ID = sa.String(36)
BY_CODE_POINT = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _name(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=False)


def _table(name: str, key: tuple[str, ...], *columns: sa.Column[Any], rowid: bool = True) -> None:
    op.create_table(
        name,
        *columns,
        sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{name}")),
        sqlite_with_rowid=rowid,
    )


def upgrade() -> None:
    _papers()
    _graph()
    op.create_index(
        op.f("ix_entity_source_successor_entity_id"), "entity", ["source", "successor", "entity_id"]
    )
    op.add_column("indexing_jobs", sa.Column("result", sa.Text(), nullable=False, server_default="{}"))


def _papers() -> None:
    _table(
        "paper_file",
        ("file",),
        _name("file"),
        _name("paper_id"),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        _name("parser"),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("article", sa.Text()),
        _name("made_from"),
        _name("doi"),
        _name("pmid"),
        _text("facts"),
        _text("notices"),
        _text("sections"),
    )
    for column in ("paper_id", "doi", "pmid"):
        op.create_index(op.f(f"ix_paper_file_{column}"), "paper_file", [column])
    _table(
        "paper_author_block",
        ("block", "paper_id", "author"),
        sa.Column("block", sa.BigInteger(), nullable=False),
        _name("paper_id"),
        sa.Column("author", sa.Integer(), nullable=False),
        rowid=False,
    )
    op.create_index(op.f("ix_paper_author_block_paper_id"), "paper_author_block", ["paper_id"])
    _table(
        "paper_bundle",
        ("paper_id",),
        _name("paper_id"),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        _text("content"),
        _name("made_from"),
        _text("extractor"),
    )
    _table("paper_request", ("paper_id",), _name("paper_id"))


def _graph() -> None:
    _table(
        "graph_entity",
        ("source", "entity_id"),
        _name("source"),
        sa.Column("entity_id", ID, nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        _name("entity_class"),
        _text("name"),
        _text("folded"),
        _text("synonyms"),
        sa.Column("provisional", sa.Boolean(), nullable=False),
        _text("documents"),
        sa.Column("mentions", sa.Integer(), nullable=False),
        _text("row"),
    )
    for name, what in (("graph_name", "folded"), ("graph_word", "word")):
        _table(
            name,
            ("source", what, "entity_id"),
            _name("source"),
            sa.Column(what, BY_CODE_POINT, nullable=False),
            sa.Column("entity_id", ID, nullable=False),
            rowid=False,
        )
    _table(
        "graph_relationship",
        ("source", "key"),
        _name("source"),
        sa.Column("key", DIGEST, nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("subject_id", ID, nullable=False),
        _name("predicate"),
        sa.Column("object_id", ID, nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("evidence_count", sa.Integer(), nullable=False),
        _text("documents"),
        _text("row"),
    )
    for name, what in (("graph_mention", "entity_id"), ("graph_evidence", "relationship_key")):
        _table(
            name,
            ("source", "key"),
            _name("source"),
            sa.Column("key", DIGEST, nullable=False),
            sa.Column(what, ID if what == "entity_id" else sa.String(), nullable=False),
            _name("document_id"),
            sa.Column("section", sa.String()),
            *([sa.Column("confidence", sa.Double(), nullable=False)] if name == "graph_evidence" else []),
            _text("row"),
        )
    for table, column in _INDEXED:
        columns = ["source", *column]
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, columns)
    for name, covered in _COVERING.items():
        op.create_index(f"ix_graph_relationship_{name}", "graph_relationship", ["source", *covered])
    _table(
        "graph_state",
        ("source",),
        _name("source"),
        _name("bundle_id"),
        _text("manifest"),
        _text("counts"),
        _text("files"),
    )


_INDEXED = (
    ("graph_entity", ("entity_class", "provisional")),
    ("graph_name", ("entity_id",)),
    ("graph_word", ("entity_id", "word")),
    ("graph_mention", ("entity_id", "key")),
    ("graph_mention", ("document_id",)),
    ("graph_evidence", ("relationship_key", "confidence", "key")),
    ("graph_evidence", ("document_id",)),
)
_COVERING = {
    "out": ("subject_id", "confidence", "evidence_count", "predicate", "key", "object_id"),
    "in": ("object_id", "confidence", "evidence_count", "predicate", "key", "subject_id"),
    "predicate": ("predicate", "confidence", "evidence_count", "key", "subject_id", "object_id"),
}


def downgrade() -> None:
    op.drop_column("indexing_jobs", "result")
    op.drop_index(op.f("ix_entity_source_successor_entity_id"), "entity")
    for table in (
        "graph_state", "graph_evidence", "graph_mention", "graph_relationship", "graph_word", "graph_name",
        "graph_entity", "paper_request", "paper_bundle", "paper_author_block", "paper_file",
    ):  # fmt: skip
        op.drop_table(table)
