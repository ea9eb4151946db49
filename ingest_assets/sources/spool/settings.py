"""The settings of the spool: its folders, what is taken from them and when, who is told, for how long."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, cast

from pydantic import Field, SecretStr, field_validator

from ingest_assets.fields import FIELD_TYPES, FieldType
from ingest_assets.settings import HttpUrl, SourceSettings, listed
from ingest_assets.sources.spool.personal import source_key

NAME = "spool"  # of the source
BATCHES = "batches"  # its first stage
# Attributes of its documents and points.
BATCH_TAG, RECORD_SOURCE, PII, NUMBER = "batch_tag", "record_source", "pii", "number"
_OWN = {BATCH_TAG, RECORD_SOURCE, PII, NUMBER}


class SpoolSettings(SourceSettings):
    """Documented in `.env.example`."""

    NEEDS: ClassVar = {"gate_url": ("gate_token", "gate_templates", "gate_ca_file")}

    spool_dir: Path | None = None
    # When
    spool_min_bytes: int = Field(default=1_048_576, ge=0)
    spool_min_files: int = Field(default=10, ge=0)
    spool_max_age_s: float = Field(default=60, ge=0)
    spool_quiet_s: float = Field(default=5, ge=0, le=86_400)
    # What
    spool_max_file_mib: int = Field(default=256, ge=1, le=65_536)
    spool_max_records: int = Field(default=1_000_000, ge=1)
    spool_max_text_chars: int = Field(default=5_000_000, ge=1)
    spool_max_past_days: int = Field(default=3_650, ge=0)
    spool_max_future_days: int = Field(default=1, ge=0)
    spool_vectors_model: str = ""
    spool_metadata_fields: str = ""
    spool_pii_sources: str = ""
    # How long
    spool_retention_days: int = Field(default=0, ge=0)
    spool_history_days: int = Field(default=400, ge=0)
    spool_partitions_ahead: int = Field(default=2, ge=0, le=120)
    spool_maintenance_interval_h: float = Field(default=24, gt=0)
    spool_maintenance_alert_after: int = Field(default=2, ge=1)
    # Who is told
    gate_url: HttpUrl | None = None
    gate_token: SecretStr | None = None
    gate_templates: Path | None = None
    gate_ca_file: Path | None = None
    gate_timeout_s: float = Field(default=10, gt=0, le=300)
    gate_max_attempts: int = Field(default=20, ge=1, le=1_000)
    alert_webhook_url: SecretStr | None = None
    alert_urls: SecretStr | None = None
    rag_log_file: Path = Path("logs/rag_ingestion.log")
    rag_log_max_mib: int = Field(default=10, ge=1, le=10_240)
    rag_log_files: int = Field(default=5, ge=1, le=1_000)
    spool_failure_log: Path = Path("logs/spool_failures.jsonl")

    @field_validator("spool_metadata_fields")
    @classmethod
    def _typed_names(cls, value: str) -> str:
        types = "|".join(FIELD_TYPES)
        for each in listed(value):
            if not re.fullmatch(rf"[a-z][a-z0-9_]{{0,62}}(:({types}))?", each):
                raise ValueError(
                    "must be names of metadata, each with a type if it is not keyword, such as "
                    f"topic,score:number. Types: {', '.join(FIELD_TYPES)}"
                )
            if each.partition(":")[0] in _OWN:
                raise ValueError(f"must not name {each.partition(':')[0]}, which every record has")
        return value

    @property
    def personal_sources(self) -> frozenset[str]:
        """Keys (`source_key`) of sources whose batches are personal, whatever their envelopes say."""
        return frozenset(map(source_key, listed(self.spool_pii_sources))) - {""}

    def is_personal(self, source: str) -> bool:
        """Whether batches and records of a source are personal."""
        return source_key(source) in self.personal_sources

    @property
    def metadata_fields(self) -> dict[str, FieldType]:
        """The metadata that records can be filtered by: names with their types."""
        pairs = (each.partition(":") for each in listed(self.spool_metadata_fields))
        return {name: cast("FieldType", kind or "keyword") for name, _, kind in pairs}
