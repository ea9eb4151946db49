"""A query to hits.

What belongs here: the three modes, fusion, and what a hit is. What does not: how a door (command line,
HTTP, MCP) presents them.
"""

from ingest_assets.search.query import Hit, Hits, Mode, QueryError, Searcher

__all__ = ["Hit", "Hits", "Mode", "QueryError", "Searcher"]
