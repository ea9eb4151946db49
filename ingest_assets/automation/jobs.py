"""The buttons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from ingest_assets.checks import AGREES, check_keys, quick_check_keys
from ingest_assets.workbench import SOURCES, STAGES

BUILD, REFRESH, AUDIT = "build_search_index", "refresh_search_index", "audit_search_index"
TRAIN = "train_match_models"


def jobs() -> Sequence[Any]:
    """Build, refresh and audit, of every source."""
    everything = dg.AssetSelection.groups(*SOURCES)
    return [
        dg.define_asset_job(
            REFRESH,
            selection=everything.without_checks() | _quick_checks(),
            description="Work off what changed since the last run. Drops nothing that is still wanted.",
        ),
        dg.define_asset_job(
            BUILD,
            selection=everything,
            config=build_config(),
            description="Look at everything again and build a new generation beside the live one; search "
            "answers from the old one until the new one is complete. Safe at any time.",
        ),
        dg.define_asset_job(
            TRAIN,
            selection=everything.without_checks() | _quick_checks(),
            config={"ops": {f"{source}__match_models": {"config": {"retrain": True}} for source in SOURCES}},
            description="Train the models by which records are matched anew, and work off what that changes. "
            "Entities keep their ids by the same rules as ever; people's decisions hold.",
        ),
        dg.define_asset_job(
            AUDIT,
            selection=dg.AssetSelection.checks(*(key for s in SOURCES for key in check_keys(s, AGREES))),
            description="Compare every published point with what the ledger wants. Changes nothing.",
        ),
    ]


def _quick_checks() -> dg.AssetSelection:
    return dg.AssetSelection.checks(*(key for source in SOURCES for key in quick_check_keys(source)))


def build_config(sources: Sequence[str] = SOURCES) -> dict[str, Any]:
    """The run config that makes a job of these sources a build."""
    ops = {f"{source}__{stage}": {"config": {"rebuild": True}} for source in sources for stage in STAGES}
    return {"ops": ops}
