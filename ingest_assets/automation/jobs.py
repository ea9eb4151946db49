"""The two buttons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from ingest_assets.workbench import SOURCES, STAGES

BUILD, REFRESH = "build_search_index", "refresh_search_index"


def jobs() -> Sequence[Any]:
    """Build and refresh, of every source."""
    selection = dg.AssetSelection.groups(*SOURCES)
    return [
        dg.define_asset_job(
            REFRESH,
            selection=selection,
            description="Work off what changed since the last run. Drops nothing that is still wanted.",
        ),
        dg.define_asset_job(
            BUILD,
            selection=selection,
            config=build_config(),
            description="Look at everything again and build a new generation beside the live one; search "
            "answers from the old one until the new one is complete. Safe at any time.",
        ),
    ]


def build_config(sources: Sequence[str] = SOURCES) -> dict[str, Any]:
    """The run config that makes a job of these sources a build."""
    ops = {f"{source}__{stage}": {"config": {"rebuild": True}} for source in sources for stage in STAGES}
    return {"ops": ops}
