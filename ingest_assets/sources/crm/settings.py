"""The settings of the CRM: where it is, and how its tables are read."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ingest_assets.settings import Settings, SourceSettings

SAMPLE = "sample-crm.sqlite"  # in INGEST_HOME


class CrmSettings(SourceSettings):
    """Documented in `.env.example`."""

    crm_db_path: Path | None = None
    crm_mapping_path: Path | None = None
    crm_max_document_chars: int = Field(default=5_000_000, ge=1_000)


def crm_path(settings: Settings) -> Path | None:
    """The CRM to read: CRM_DB_PATH, else the sample CRM in INGEST_HOME if there is one."""
    configured = settings.of(CrmSettings).crm_db_path
    if configured is not None:
        return configured
    sample = settings.ingest_home / SAMPLE
    return sample if sample.exists() else None
