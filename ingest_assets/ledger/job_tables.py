"""The tables of indexing jobs: what was asked for, what became of it, and who looks for it."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    String,
    Table,
    Text,
    text,
)

from ingest_assets.ledger.schema import metadata

# One row per indexing job. Times are seconds since 1970, NULL for what has not happened yet.
indexing_jobs = Table(
    "indexing_jobs",
    metadata,
    Column("id", String(36), primary_key=True),  # UUIDv5 of (repository, project, number)
    Column("source", String, nullable=False, server_default="repositories"),
    Column("repository_id", String, nullable=False),
    Column("repo_path", Text, nullable=False),  # the URL, without credentials, or the absolute path
    Column("repo_name", Text, nullable=False),
    Column("project_id", String, nullable=False),
    Column("git_ref", Text),  # branch, tag or commit; NULL for the default branch
    Column("force_reindex", Boolean, nullable=False),
    Column("status", String, nullable=False),
    Column("progress_percentage", Integer, nullable=False),
    Column("progress_message", Text, nullable=False),
    Column("files_scanned", Integer, nullable=False),
    Column("files_indexed", Integer, nullable=False),
    Column("chunks_created", Integer, nullable=False),
    Column("error_message", Text),
    Column("error_type", String),
    Column("error_traceback", Text),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("completed_at", Double),  # when it ended, whatever the outcome
    Column("cancelled_at", Double),
    Column("cancel_requested_at", Double),
    Column("updated_at", Double, nullable=False),
    Column("metadata", Text, nullable=False),  # JSON object of whoever started the job
    Column("worker_task_id", String),  # the run that works on it
    Column("connection_id", String),  # of the client that started it
    Column("event_count", Integer, nullable=False),  # the sequence of the next event
    Column("result", Text, nullable=False, server_default=text("'{}'")),  # JSON, of its source
    Column("tally", Text),  # JSON of jobs.events.Tally, of the events so far
    CheckConstraint("status in ('pending', 'running', 'completed', 'failed', 'cancelled')", name="status"),
    CheckConstraint("progress_percentage between 0 and 100", name="progress_percentage"),
    # The conditions are spelled exactly as in the queries: otherwise SQLite does not use a partial index.
    Index(
        "ix_indexing_jobs_pending",
        "created_at",
        sqlite_where=text("status = 'pending'"),
        postgresql_where=text("status = 'pending'"),
    ),
    Index(
        "ix_indexing_jobs_running",
        "started_at",
        sqlite_where=text("status = 'running'"),
        postgresql_where=text("status = 'running'"),
    ),
    Index(
        "ix_indexing_jobs_active",
        "repository_id",
        sqlite_where=text("status in ('pending', 'running')"),
        postgresql_where=text("status in ('pending', 'running')"),
    ),
    Index(
        "ix_indexing_jobs_finished",
        "completed_at",
        sqlite_where=text("status in ('completed', 'failed', 'cancelled')"),
        postgresql_where=text("status in ('completed', 'failed', 'cancelled')"),
    ),
    Index("ix_indexing_jobs_created_at", "created_at"),  # the list of all
    Index("ix_indexing_jobs_project_id", "project_id", "created_at", "id"),  # and those of a project
)

# One row per event of a job, in order and without gaps.
indexing_job_events = Table(
    "indexing_job_events",
    metadata,
    Column("job_id", String(36), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),  # from 0 within its job
    Column("event", Text, nullable=False),  # JSON of jobs.events.JobEvent
    Column("at", Double, nullable=False),
)

# One row per repository: how many jobs it ever had, so that the id of a deleted job is never reused.
indexing_job_counter = Table(
    "indexing_job_counter",
    metadata,
    Column("repository_id", String, primary_key=True),
    Column("last_number", Integer, nullable=False),
)

# One row per job launcher: when it last looked for pending jobs, so that a job's status can say if none does.
indexing_job_launcher = Table(
    "indexing_job_launcher",
    metadata,
    Column("name", String, primary_key=True),
    Column("looked_at", Double, nullable=False),
)

# How many jobs ever ended, by source, outcome and duration, and what they took and made. Jobs are forgotten,
# these sums are not; and reading them costs the same however many jobs there are.
indexing_job_total = Table(
    "indexing_job_total",
    metadata,
    Column("source", String, primary_key=True),
    Column("outcome", String, primary_key=True),
    Column("bucket", Integer, primary_key=True, autoincrement=False),  # of `jobs.totals`
    Column("jobs", BigInteger, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("chunks", BigInteger, nullable=False),
)
