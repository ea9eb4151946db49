"""Vectors to a Qdrant collection: the two engines behind one interface.

What belongs here: generations, points, search requests and what an engine promises. What does not:
the ledger's tables (see `stages`), models, Dagster.
"""
