"""The assets: thin Dagster adapters around the stages.

What belongs here: names, descriptions, dependencies and metadata. What does not: any work.
"""

from ingest_assets.assets.factory import source_assets

__all__ = ["source_assets"]
