"""What is recorded as done: one SQL schema, on SQLite or Postgres.

What belongs here: tables, migrations, transactions and locks. What does not: what the rows mean to a
stage; that is the stage's own business.
"""

from ingest_assets.ledger.store import Ledger

__all__ = ["Ledger"]
