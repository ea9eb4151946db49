"""Runs that were stopped because they would have removed too much (see `stages.removals`)."""

from __future__ import annotations

from sqlalchemy import Column, Double, String, Table, Text, text

from ingest_assets.ledger.schema import metadata

# One row per stage that was stopped, until a run of it completes.
held_removal = Table(
    "held_removal",
    metadata,
    Column("source", String, primary_key=True),
    Column("stage", String, primary_key=True),
    Column("part", String, primary_key=True, server_default=text("''")),
    Column("at", Double, nullable=False),  # when a run was last stopped, in seconds since 1970
    Column("message", Text, nullable=False),
    Column("losses", Text, nullable=False),  # JSON {kind: {would_be_removed, of, examples}}
)
