"""Jobs for other programs: on Postgres a view with types of its own; everywhere sums over all that ended."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def _time(column: str) -> str:
    # To the millisecond, as every other interface says it.
    return f"date_trunc('milliseconds', to_timestamp({column}))"


# Escapes that JSON may have and jsonb refuses: NUL, and halves of surrogate pairs. An odd number of
# backslashes makes an escape.
_ESCAPE = r"(?<!\\)%s((\\\\)*)\\"
_NUL_OR_FIRST_HALF = _ESCAPE % "" + r"u(0000|d[89ab][0-9a-f]{2}(?!\\ud[c-f][0-9a-f]{2}))"
_SECOND_HALF = _ESCAPE % r"(?<!\\ud[89ab][0-9a-f]{2})" + r"ud[c-f][0-9a-f]{2}"


def _json(column: str) -> str:
    for escape in (_NUL_OR_FIRST_HALF, _SECOND_HALF):
        column = rf"regexp_replace({column}, '{escape}', '\1\\ufffd', 'g')"
    return f"{column}::jsonb"


VIEW = "Background indexing jobs, one row each, for other programs to read."
# Each column: its expression, and what it holds.
COLUMNS = {
    "id": ("id::uuid", "The id that a start returned."),
    "repository_id": ("repository_id", "What is indexed, such as github.com/owner/name."),
    "repo_path": ("repo_path", "Where it is: a URL without credentials, or an absolute path."),
    "repo_name": ("repo_name", "Its name, for people."),
    "project_id": ("project_id", "The project; by default the repository_id."),
    "force_reindex": ("force_reindex", "Whether everything is looked at again."),
    "status": ("status", "pending, running, completed, failed or cancelled."),
    "progress_percentage": ("progress_percentage", "0 to 100."),
    "progress_message": ("progress_message", "What it is doing, as its worker last said."),
    "files_scanned": ("files_scanned", "Files that were read, without those skipped."),
    "files_indexed": ("files_indexed", "Files that were cut into chunks."),
    "chunks_created": ("chunks_created", "Chunks made of them."),
    "error_message": ("error_message", "Why it failed; NULL if it has not."),
    "error_type": ("error_type", "The kind of failure, such as IncompleteError."),
    "error_traceback": ("error_traceback", "For the operator; may name files of the server."),
    "created_at": (_time("created_at"), "When it was started by a client."),
    "started_at": (_time("started_at"), "When a worker took it."),
    "completed_at": (_time("completed_at"), "When it ended, whatever the outcome."),
    "cancelled_at": (_time("cancelled_at"), "When it ended by being cancelled."),
    "metadata": (_json("metadata"), "What whoever started it gave with it, and caller, their name."),
    "worker_task_id": ("worker_task_id", "The run that works on it."),
    "connection_id": ("connection_id", "The interface that it was started through."),
    "source": ("source", "The source that it brings up to date."),
    "git_ref": ("git_ref", "Branch, tag or commit; NULL for the default branch."),
    "cancel_requested_at": (_time("cancel_requested_at"), "When somebody asked it to stop."),
    "updated_at": (_time("updated_at"), "When the row last changed."),
    "result": (_json("result"), "What its source says of it; missing, if anything is not in the index."),
}


def upgrade() -> None:
    op.create_table(
        "indexing_job_total",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("jobs", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("chunks", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", "outcome", "bucket", name=op.f("pk_indexing_job_total")),
    )
    if op.get_bind().dialect.name != "postgresql":
        return  # SQLite has none of these types
    columns = ", ".join(f"{expression} AS {name}" for name, (expression, _) in COLUMNS.items())
    op.execute(f"CREATE VIEW indexing_jobs_v1 AS SELECT {columns} FROM indexing_jobs")
    op.execute(f"COMMENT ON VIEW indexing_jobs_v1 IS '{VIEW}'")
    for name, (_, text) in COLUMNS.items():
        op.execute(f"COMMENT ON COLUMN indexing_jobs_v1.{name} IS '{text}'")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP VIEW indexing_jobs_v1")
    op.drop_table("indexing_job_total")
