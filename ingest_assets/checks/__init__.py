"""Asset checks: the standing proof that an index is complete, fresh and answers."""

import dagster as dg

from ingest_assets.catalog import CATALOG
from ingest_assets.checks.collection import AGREES, QUICK, check_keys, collection_checks
from ingest_assets.checks.entities import entity_check_keys, entity_checks

__all__ = ["AGREES", "check_keys", "quick_check_keys", "source_checks"]


def source_checks(source: str) -> list[dg.AssetChecksDefinition]:
    """All checks of one source."""
    entities = entity_checks(source) if "entities" in CATALOG[source].stages else []
    return [*collection_checks(source), *entities]


def quick_check_keys(source: str) -> list[dg.AssetCheckKey]:
    """What every run can afford."""
    entities = entity_check_keys(source) if "entities" in CATALOG[source].stages else []
    return [*check_keys(source, *QUICK), *entities]
