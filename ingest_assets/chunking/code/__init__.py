"""Source files to chunks, by their syntax.

What belongs here: the languages as data, the one algorithm that takes a file apart by them, and where a
chunk is in its file. What does not: which files there are, the ledger, models, Dagster.

The way of a file: `parse` makes the tree, `outline` a flat list of pieces of it, `pack` merges the small
ones and cuts long runs, `cut` puts these together, and `chunker` makes the chunks.
"""

from ingest_assets.chunking.code.chunker import CodeChunker
from ingest_assets.chunking.code.languages import LANGUAGES

__all__ = ["LANGUAGES", "CodeChunker"]
