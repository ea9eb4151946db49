"""Which kind of server a URL names.

What belongs here: the choice. What does not: the kinds.
"""

from __future__ import annotations

from ingest_assets.sources.crm.databases.server import ServerDatabase


def open_server(url: str, query_timeout_s: float) -> ServerDatabase:
    """The database that a URL names; nothing is connected. Only the driver that is needed is imported."""
    if url.startswith("postgres"):
        from ingest_assets.sources.crm.databases.postgres import PostgresDatabase

        return PostgresDatabase(url, query_timeout_s)
    from ingest_assets.sources.crm.databases.mysql import MysqlDatabase

    return MysqlDatabase(url, query_timeout_s)
