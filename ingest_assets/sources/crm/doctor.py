"""What `ingest doctor` reports about the CRM: its file and its mapping.

What belongs here: checking. What does not: reading records, which a refresh does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ingest_assets.model import IngestError
from ingest_assets.sources.crm.settings import CrmSettings, crm_path
from ingest_assets.stages.shapes import Finding

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench


def findings(bench: Workbench) -> Iterator[Finding]:
    """Whether the CRM can be opened, and has the tables and columns that the mapping names."""
    path, own = crm_path(bench.settings), bench.settings.of(CrmSettings)
    if path is None:
        return  # that a source is not configured is reported elsewhere, for every source
    mapping = own.crm_mapping_path or "the default mapping"
    try:
        with bench.source("crm").read():
            yield Finding("CRM_DB_PATH", "ok", f"{path} can be read, and has what {mapping} names.")
    except IngestError as error:
        yield Finding("CRM_DB_PATH", "wrong", str(error))
