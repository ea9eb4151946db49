"""A Qdrant server or cluster as a store of collections, through qdrant-client.

What belongs here: connections and what fails on them, how a generation is laid out on a server, and what a
server allows. What does not: what a store is (`collection.base`).
"""

from ingest_assets.collection.server.connection import Connection, Endpoint
from ingest_assets.collection.server.layout import Layout
from ingest_assets.collection.server.store import ServerStore

__all__ = ["Connection", "Endpoint", "Layout", "ServerStore"]
