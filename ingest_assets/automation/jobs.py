"""The buttons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from ingest_assets.automation.orphans import NOT_YET, TAG
from ingest_assets.catalog import CRM, REPOSITORIES, SOURCES, SourceSpec
from ingest_assets.checks import AGREES, check_keys, quick_check_keys

BUILD, REFRESH, AUDIT = "build_search_index", "refresh_search_index", "audit_search_index"
TRAIN, INDEX = "train_match_models", "index_repository"
_TAGS = {TAG: NOT_YET}


def jobs() -> Sequence[Any]:
    """Build and refresh of the CRM, indexing of a repository, and the audit of every source."""
    crm = dg.AssetSelection.groups(CRM.name)
    return [
        dg.define_asset_job(
            REFRESH,
            tags=_TAGS,
            selection=crm.without_checks() | _quick_checks(CRM.name),
            description="Work off what changed since the last run. Drops nothing that is still wanted.",
        ),
        dg.define_asset_job(
            BUILD,
            tags=_TAGS,
            selection=crm,
            config=build_config(CRM),
            description="Look at everything again and build a new generation beside the live one; search "
            "answers from the old one until the new one is complete. Safe at any time.",
        ),
        dg.define_asset_job(
            TRAIN,
            tags=_TAGS,
            selection=crm.without_checks() | _quick_checks(CRM.name),
            config={"ops": {f"{CRM.name}__match_models": {"config": {"retrain": True}}}},
            description="Train the models by which records are matched anew, and work off what that changes. "
            "Entities keep their ids by the same rules as ever; people's decisions hold.",
        ),
        dg.define_asset_job(
            INDEX,
            # By this dagster.yaml bounds how many are at work.
            tags=_TAGS | {"ingest/source": REPOSITORIES.name},
            selection=dg.AssetSelection.groups(REPOSITORIES.name).without_checks()
            | _quick_checks(REPOSITORIES.name),
            description="Fetch one repository, a partition, and work off what changed in it. With `rebuild`, "
            "look at everything of all repositories again and build a new generation.",
        ),
        dg.define_asset_job(
            AUDIT,
            tags=_TAGS,
            selection=dg.AssetSelection.checks(*(key for s in SOURCES for key in check_keys(s, AGREES))),
            description="Compare every published point with what the ledger wants. Changes nothing.",
        ),
    ]


def _quick_checks(source: str) -> dg.AssetSelection:
    return dg.AssetSelection.checks(*quick_check_keys(source))


def build_config(spec: SourceSpec) -> dict[str, Any]:
    """The run config that makes a job of this source a build."""
    return {"ops": {f"{spec.name}__{stage}": {"config": {"rebuild": True}} for stage in spec.stages}}
