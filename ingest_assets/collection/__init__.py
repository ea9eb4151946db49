"""Qdrant collections of vectors: the two engines behind one interface.

What belongs here: generations, points, search requests and what an engine guarantees. What does not:
the ledger's tables (see `stages`), models, Dagster.
"""
