"""The settings of the CRM: where it is, and how its tables are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, field_validator

from ingest_assets.settings import Settings, SourceSettings

SAMPLE = "sample-crm.sqlite"  # in INGEST_HOME


class CrmSettings(SourceSettings):
    """Documented in `.env.example`."""

    crm_db_path: Path | None = None
    crm_db_url: SecretStr | None = None
    crm_mapping_path: Path | None = None
    crm_max_document_chars: int = Field(default=5_000_000, ge=1_000)
    crm_query_timeout_s: float = Field(default=600, ge=1, le=86_400)

    @field_validator("crm_db_url")
    @classmethod
    def _known_server(cls, value: SecretStr | None, info: Any) -> SecretStr | None:
        if value is None:
            return None
        if info.data.get("crm_db_path") is not None:
            raise ValueError("names a CRM, and CRM_DB_PATH another one: unset either")
        from ingest_assets.sources.crm.databases.address import parsed

        parsed(value.get_secret_value())
        return value


def crm_path(settings: Settings) -> Path | None:
    """The file or folder to read: CRM_DB_PATH, else the sample CRM in INGEST_HOME if there is one."""
    configured = settings.of(CrmSettings).crm_db_path
    if configured is not None:
        return configured
    sample = settings.ingest_home / SAMPLE
    return sample if sample.exists() else None


def is_configured(settings: Settings) -> bool:
    """Whether a CRM is named, and not only a sample found."""
    own = settings.of(CrmSettings)
    return own.crm_db_path is not None or own.crm_db_url is not None
