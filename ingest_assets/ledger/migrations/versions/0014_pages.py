"""What is looked up for each row of a page is found by an index, also where there are no statistics.

Points of a document are found by its id first: no index but the primary key begins with a generation. With
two of them, Postgres took either to find one point by its chunk, and the other one finds all of the
generation. The last event of an entity is found by the entity, and not from the newest event back.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_VIEW = """
CREATE VIEW entity_members_v1 AS
SELECT
    m.source AS source,
    m.document_id AS document_id,
    m.entity_id AS canonical_id,
    m.kind AS kind,
    ({revision}) AS revision
FROM entity_member AS m
"""
# Of an expression: for the greatest number, databases go through all of them in their order.
AFTER = """
SELECT max(last.number) FROM (
    SELECT max(+e.number) AS number FROM entity_event AS e
    WHERE e.source = m.source AND e.entity_id = m.entity_id
    UNION ALL
    SELECT max(+e.number) AS number FROM entity_event AS e
    WHERE e.source = m.source AND e.other_id = m.entity_id
) AS last
"""
BEFORE = """
SELECT max(e.number) FROM entity_event AS e
WHERE e.source = m.source AND (e.entity_id = m.entity_id OR e.other_id = m.entity_id)
"""


def upgrade() -> None:
    op.drop_index(op.f("ix_point_collection_generation_document_id"), table_name="point")
    op.create_index(
        op.f("ix_point_document_id_collection_generation"),
        "point",
        ["document_id", "collection", "generation"],
    )
    _replace_view(AFTER)


def downgrade() -> None:
    _replace_view(BEFORE)
    op.drop_index(op.f("ix_point_document_id_collection_generation"), table_name="point")
    op.create_index(
        op.f("ix_point_collection_generation_document_id"),
        "point",
        ["collection", "generation", "document_id"],
    )


def _replace_view(revision: str) -> None:
    op.execute("DROP VIEW entity_members_v1")
    op.execute(_VIEW.format(revision=revision))
