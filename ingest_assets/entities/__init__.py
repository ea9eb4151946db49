"""Who is who: records of people and organisations to canonical entities.

What belongs here: normalising identifiers, matching, and deriving canonical ids. What does not: the
ledger and Dagster.
"""

from ingest_assets.entities.exact import Resolution, resolve

__all__ = ["Resolution", "resolve"]
