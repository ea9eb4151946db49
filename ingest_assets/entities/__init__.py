"""Entity resolution: from records of people and organisations to canonical entities.

What belongs here: normalising identifiers, matching, clusters and canonical ids. What does not: the
ledger and Dagster. Importing this package loads neither Splink nor DuckDB.
"""

from ingest_assets.entities.blocking import block_keys, rule_of
from ingest_assets.entities.features import Features, features_of
from ingest_assets.entities.matching import (
    Explanation,
    FieldWeight,
    ScoredPairs,
    cut_blocks,
    explain,
    score,
    without_shared,
)
from ingest_assets.entities.model import MatchModel, default_model, scoring_digest
from ingest_assets.entities.splink_engine import Limits
from ingest_assets.entities.training import train

__all__ = [
    "Explanation",
    "Features",
    "FieldWeight",
    "Limits",
    "MatchModel",
    "ScoredPairs",
    "block_keys",
    "cut_blocks",
    "default_model",
    "explain",
    "features_of",
    "rule_of",
    "score",
    "scoring_digest",
    "train",
    "without_shared",
]
