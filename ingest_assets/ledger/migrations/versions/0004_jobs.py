"""Background indexing jobs and their events."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "indexing_jobs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("repository_id", sa.String(), nullable=False),
        sa.Column("repo_path", sa.Text(), nullable=False),
        sa.Column("repo_name", sa.Text(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("git_ref", sa.Text(), nullable=True),
        sa.Column("force_reindex", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("progress_percentage", sa.Integer(), nullable=False),
        sa.Column("progress_message", sa.Text(), nullable=False),
        sa.Column("files_scanned", sa.Integer(), nullable=False),
        sa.Column("files_indexed", sa.Integer(), nullable=False),
        sa.Column("chunks_created", sa.Integer(), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("error_type", sa.String(), nullable=True),
        sa.Column("error_traceback", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("completed_at", sa.Double(), nullable=True),
        sa.Column("cancelled_at", sa.Double(), nullable=True),
        sa.Column("cancel_requested_at", sa.Double(), nullable=True),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("worker_task_id", sa.String(), nullable=True),
        sa.Column("connection_id", sa.String(), nullable=True),
        sa.Column("event_count", sa.Integer(), nullable=False),
        sa.Column("tally", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "status in ('pending', 'running', 'completed', 'failed', 'cancelled')",
            name=op.f("ck_indexing_jobs_status"),
        ),
        sa.CheckConstraint(
            "progress_percentage between 0 and 100", name=op.f("ck_indexing_jobs_progress_percentage")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_indexing_jobs")),
    )
    for name, column, condition in (
        ("ix_indexing_jobs_pending", "created_at", "status = 'pending'"),
        ("ix_indexing_jobs_running", "started_at", "status = 'running'"),
        ("ix_indexing_jobs_active", "repository_id", "status in ('pending', 'running')"),
        ("ix_indexing_jobs_finished", "completed_at", "status in ('completed', 'failed', 'cancelled')"),
    ):
        where = sa.text(condition)
        op.create_index(name, "indexing_jobs", [column], sqlite_where=where, postgresql_where=where)
    op.create_index("ix_indexing_jobs_created_at", "indexing_jobs", ["created_at"])
    op.create_table(
        "indexing_job_events",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "sequence", name=op.f("pk_indexing_job_events")),
    )
    op.create_table(
        "indexing_job_counter",
        sa.Column("repository_id", sa.String(), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("repository_id", name=op.f("pk_indexing_job_counter")),
    )
    op.create_table(
        "indexing_job_launcher",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("looked_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_indexing_job_launcher")),
    )


def downgrade() -> None:
    for table in ("indexing_job_launcher", "indexing_job_counter", "indexing_job_events", "indexing_jobs"):
        op.drop_table(table)
