"""Splits documents into chunks.

What belongs here: where a text is cut, what context each piece carries, and how its id is derived.
What does not: the ledger, models, Dagster.
"""

from ingest_assets.chunking.prose import ChunkBudget
from ingest_assets.chunking.records import RecordChunker, TextChunker

__all__ = ["ChunkBudget", "RecordChunker", "TextChunker"]
