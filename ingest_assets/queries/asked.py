"""The days of a filter, as the index has them.

What belongs here: the one place where every interface takes these from people. What does not: ids of
documents (`stages.ids_meant`), and what is done with a filter (`search`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

from ingest_assets.fields import in_zone
from ingest_assets.zones import zone_named

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench


def zone_of(bench: Workbench, named: str | None) -> tzinfo:
    """The zone of days that are asked for: the one that a request names, else that of the settings, else UTC.

    Raises ValueError for a name of no zone.
    """
    name = named or bench.settings.ingest_time_zone
    return zone_named(name) if name else UTC


def where_meant(
    bench: Workbench, source: str, where: Mapping[str, Sequence[str]], zone: tzinfo | None
) -> dict[str, list[str]]:
    """A filter as a search takes it; days are those of a zone, None being that of this machine."""
    return in_zone(where, bench.sources[source].filter_fields(bench.settings), zone)
