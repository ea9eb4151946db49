"""Splits source files into chunks, by their syntax.

What belongs here: the languages as data, the one algorithm that splits a file by them, and where a chunk is
in its file. What does not: which files there are, the ledger, models, Dagster.

The steps: `parse` makes the tree, `outline` turns it into a flat list of pieces, `pack` merges small pieces
and cuts long runs, `cut` combines these steps, and `chunker` makes the chunks.
"""

from ingest_assets.chunking.code.chunker import CodeChunker
from ingest_assets.chunking.code.languages import LANGUAGES

__all__ = ["LANGUAGES", "CodeChunker"]
