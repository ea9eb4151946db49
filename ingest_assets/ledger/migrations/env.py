"""Runs the migrations on the connection that the ledger hands over. There is no offline mode."""

from alembic import context

from ingest_assets.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
