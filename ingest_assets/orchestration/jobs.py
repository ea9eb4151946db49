"""The Dagster jobs: those of each source, and those that concern all sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from ingest_assets.orchestration.checks import audit_check_keys, quick_check_keys
from ingest_assets.orchestration.hosts import VERSION_TAG, version
from ingest_assets.orchestration.orphaned_runs import NOT_YET, TAG
from ingest_assets.sources.definition import SourceDefinition
from ingest_assets.sources.registry import Sources
from ingest_assets.stages.shapes import MATCH_MODELS

AUDIT, TRAIN = "audit_search_index", "train_match_models"
SOURCE_TAG = "ingest/source"


def _tags() -> dict[str, str]:
    return {TAG: NOT_YET, VERSION_TAG: version()}


def shared_jobs(sources: Sources) -> list[Any]:
    """Training of match models, where there are any, and the audit of all sources."""
    # A job has one set of partitions: for a source in parts, retraining is an option of its own job.
    resolved = [source for source in sources.with_entities() if not source.partitions]
    return [*([_train(resolved)] if resolved else []), _audit(sources)]


def source_jobs(source: SourceDefinition) -> list[Any]:
    """Refresh and build of one source; of one in parts, the job that does both for a part."""
    assets = dg.AssetSelection.groups(source.name)
    refresh = dg.define_asset_job(
        source.refresh_job,
        # By the second tag, dagster.yaml bounds how many runs of a source in parts are at work.
        tags=_tags() | {SOURCE_TAG: source.name} if source.partitions else _tags(),
        selection=assets.without_checks() | dg.AssetSelection.checks(*quick_check_keys(source)),
        description=_of_parts(source)
        if source.partitions
        else "Work off what changed since the last run. Removes nothing that is still wanted.",
    )
    if not source.build_job:
        return [refresh]
    build = dg.define_asset_job(
        source.build_job,
        tags=_tags(),
        selection=assets,
        config=build_config(source),
        description="Look at everything again and build a new generation beside the live one; search answers "
        "from the old one until the new one is complete. Safe at any time.",
    )
    return [refresh, build]


def _of_parts(source: SourceDefinition) -> str:
    assert source.partitions is not None
    noun = source.partitions.noun
    return (
        f"Bring one {noun}, a partition, up to date and work off what changed in it. With `rebuild`, look at "
        "everything again and build a new generation."
    )


def _train(resolved: Sequence[SourceDefinition]) -> Any:
    assets = dg.AssetSelection.groups(*(source.name for source in resolved)).without_checks()
    keys = [key for source in resolved for key in quick_check_keys(source)]
    retrain = {f"{source.name}__{MATCH_MODELS}": {"config": {"retrain": True}} for source in resolved}
    return dg.define_asset_job(
        TRAIN,
        tags=_tags(),
        selection=assets | dg.AssetSelection.checks(*keys),
        config={"ops": retrain},
        description="Retrain the models that match records, and work off what that changes. Entities keep "
        "their ids by the usual rules; people's decisions hold.",
    )


def _audit(sources: Sources) -> Any:
    keys = [key for source in sources.values() for key in audit_check_keys(source)]
    return dg.define_asset_job(
        AUDIT,
        tags=_tags(),
        selection=dg.AssetSelection.checks(*keys),
        description="Compare every published point with what the ledger wants. Changes nothing.",
    )


def build_config(source: SourceDefinition) -> dict[str, Any]:
    """The run config that makes a job of this source a build."""
    return {"ops": {f"{source.name}__{stage}": {"config": {"rebuild": True}} for stage in source.stage_names}}
