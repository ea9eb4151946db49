"""The assets: thin Dagster adapters around the stages.

What belongs here: names, descriptions, dependencies and metadata. What does not: any work. (Modules that
define assets, checks or ticks do not postpone annotations: Dagster reads them when it sees the function.)
"""

from ingest_assets.assets.factory import source_assets

__all__ = ["source_assets"]
