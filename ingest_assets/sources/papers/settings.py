"""The settings of papers: where they are kept, what may be fetched, and how bundles are extracted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, field_validator

from ingest_assets.settings import HttpUrl, SourceSettings, listed
from ingest_assets.stages.shapes import KNOWLEDGE_GRAPH

NAME = "papers"  # of the source
# Its stages.
ARTICLES, BUNDLES, MERGED, GRAPH = "articles", "bundles", "merged_entities", KNOWLEDGE_GRAPH
# The names of a job's states that the users of papers know.
STATES = {"pending": "queued", "completed": "complete"}


def state_shown(status: str) -> str:
    """A state of a job by the name that users of papers know."""
    return STATES.get(status, status)


class PaperSettings(SourceSettings):
    """Documented in `.env.example`."""

    NEEDS: ClassVar = {"pass1_llm_url": ("pass1_llm_api_key", "pass1_llm_model", "pass1_llm_ca_file")}

    ingest_workspace_root: Path = Path("ingest_workspace")
    ingest_papers_inbox: Path | None = None
    ingest_paper_decisions: Path | None = None
    ingest_paper_classes: str = ""
    ingest_paper_hosts: str = "eutils.ncbi.nlm.nih.gov"
    ingest_paper_protocols: str = "https"
    ingest_paper_efetch_url: HttpUrl = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils/efetch.fcgi"
    ingest_paper_private_addresses: bool = False
    ingest_agent_paper_hosts: str = "eutils.ncbi.nlm.nih.gov"
    ingest_paper_ca_file: Path | None = None
    ingest_paper_max_mib: int = Field(default=64, ge=1, le=10_240)
    ingest_paper_timeout_s: float = Field(default=60, gt=0, le=3_600)
    ncbi_api_key: SecretStr | None = None
    ncbi_email: str = ""
    # Pass 1
    pass1_llm_backend: Literal["rules", "openai", "none"] = "rules"
    pass1_llm_url: HttpUrl | None = None
    pass1_llm_api_key: SecretStr | None = None
    pass1_llm_model: str = ""
    pass1_llm_ca_file: Path | None = None
    pass1_llm_temperature: float = Field(default=0, ge=0, le=2)
    pass1_llm_timeout_s: float = Field(default=120, gt=0, le=3_600)
    pass1_llm_max_input_chars: int = Field(default=24_000, ge=1_000, le=2_000_000)
    pass1_llm_max_answer_tokens: int = Field(default=4_096, ge=64, le=1_000_000)
    pass1_llm_max_run_tokens: int = Field(default=2_000_000, ge=1_000)

    @field_validator("ingest_paper_protocols")
    @classmethod
    def _known_protocols(cls, value: str) -> str:
        if not set(listed(value)) <= {"https", "http"}:
            raise ValueError("must be https, or https and http, separated by commas")
        return value

    @field_validator("ingest_paper_hosts", "ingest_agent_paper_hosts")
    @classmethod
    def _host_names(cls, value: str) -> str:
        if not all(re.fullmatch(r"(\*\.)?[\w-]+(\.[\w-]+)*(:\d{1,5})?", host) for host in listed(value)):
            raise ValueError("must be names of hosts, or *.example.com, separated by commas")
        return value

    @field_validator("ingest_paper_classes")
    @classmethod
    def _class_names(cls, value: str) -> str:
        if not all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_ ]{0,60}", name) for name in listed(value)):
            raise ValueError("must be names of classes, such as Virus, separated by commas")
        return value
