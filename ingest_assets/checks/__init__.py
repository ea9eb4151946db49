"""Asset checks: the standing proof that an index is complete, fresh and answers."""

from ingest_assets.checks.collection import AGREES, QUICK, check_keys, collection_checks

__all__ = ["AGREES", "QUICK", "check_keys", "collection_checks"]
