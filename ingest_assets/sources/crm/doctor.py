"""What `ingest doctor` reports about the CRM: its database, its account's rights, and its mapping.

What belongs here: checking. What does not: reading records, which a refresh does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ingest_assets.model import IngestError
from ingest_assets.sources.crm.settings import CrmSettings
from ingest_assets.stages.shapes import Finding

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench


def findings(bench: Workbench) -> Iterator[Finding]:
    """Whether the CRM can be opened, has the tables and columns that the mapping names, and is only read."""
    from ingest_assets.sources.crm.place import crm_database

    database, own = crm_database(bench.settings), bench.settings.of(CrmSettings)
    if database is None:
        return  # that a source is not configured is reported elsewhere, for every source
    name, place = database.where.split(": ", 1)
    mapping = own.crm_mapping_path or "the default mapping"
    try:
        with bench.source("crm").read():
            yield Finding(name, "ok", f"{place} can be read, and has what {mapping} names.")
        if rights := database.rights():
            yield Finding(
                name,
                "wrong",
                f"{place}: the account could change the CRM: {rights}. It is used to read only; give it no "
                "other rights than those in docs/operating.md.",
            )
    except IngestError as error:
        yield Finding(name, "wrong", str(error))
