"""The buttons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from ingest_assets.checks import AGREES, QUICK, check_keys
from ingest_assets.workbench import SOURCES, STAGES

BUILD, REFRESH, AUDIT = "build_search_index", "refresh_search_index", "audit_search_index"


def jobs() -> Sequence[Any]:
    """Build, refresh and audit, of every source."""
    everything = dg.AssetSelection.groups(*SOURCES)
    return [
        dg.define_asset_job(
            REFRESH,
            selection=everything.without_checks() | _checks(*QUICK),
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
            AUDIT,
            selection=_checks(AGREES),
            description="Compare every published point with what the ledger wants. Changes nothing.",
        ),
    ]


def _checks(*names: str) -> dg.AssetSelection:
    return dg.AssetSelection.checks(*(key for source in SOURCES for key in check_keys(source, *names)))


def build_config(sources: Sequence[str] = SOURCES) -> dict[str, Any]:
    """The run config that makes a job of these sources a build."""
    ops = {f"{source}__{stage}": {"config": {"rebuild": True}} for source in sources for stage in STAGES}
    return {"ops": ops}
