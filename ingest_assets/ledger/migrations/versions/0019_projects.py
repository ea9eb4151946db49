"""Which projects have a repository, and the jobs of a project."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "repository_project",
        sa.Column("repository_id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("added_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("repository_id", "project_id", name=op.f("pk_repository_project")),
    )
    op.create_index(
        op.f("ix_repository_project_project_id_repository_id"),
        "repository_project",
        ["project_id", "repository_id"],
    )
    op.create_index("ix_indexing_jobs_project_id", "indexing_jobs", ["project_id", "created_at", "id"])
    # A repository was of the project of its own id, and of those that jobs have indexed it for.
    op.execute(
        "INSERT INTO repository_project (repository_id, project_id, added_at) "
        "SELECT id, id, added_at FROM repository WHERE NOT removed"
    )
    op.execute(
        "INSERT INTO repository_project (repository_id, project_id, added_at) "
        "SELECT r.id, j.project_id, min(j.created_at) FROM repository r "
        "JOIN indexing_jobs j ON j.repository_id = r.id AND j.source = 'repositories' "
        "WHERE NOT r.removed AND j.status = 'completed' AND j.project_id <> r.id "
        "GROUP BY r.id, j.project_id"
    )


def downgrade() -> None:
    op.drop_index("ix_indexing_jobs_project_id", table_name="indexing_jobs")
    op.drop_table("repository_project")
