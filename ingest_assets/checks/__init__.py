"""Asset checks: the standing proof that an index is complete, fresh and answers."""

from ingest_assets.checks.collection import collection_checks

__all__ = ["collection_checks"]
