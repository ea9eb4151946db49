"""The settings of repositories: which may be read, how they are reached, and how large they may be."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from ingest_assets.settings import SourceSettings, listed

NAME = "repositories"  # of the source
_HOST_OR_ADDRESS = r"([\w-]+(\.[\w-]+)*|\[[0-9A-Fa-f:.]+\])"


class RepositorySettings(SourceSettings):
    """Documented in `.env.example`."""

    ingest_repository_protocols: str = "https"
    ingest_repository_hosts: str = ""
    ingest_repository_private_addresses: bool = False
    ingest_repository_roots: str = ""
    ingest_repository_ca_file: Path | None = None
    ingest_repository_tokens: SecretStr | None = None
    ingest_repository_ssh_keys: str = ""
    ingest_repository_known_hosts: Path | None = None
    ingest_repository_shallow: bool = True
    ingest_repository_ignore: str = ""
    ingest_repository_languages: str = ""
    ingest_repository_committed_only: bool = False
    max_repo_size_gb: float = Field(default=10, gt=0, le=10_000)  # of a background job, and of refreshes
    ingest_repository_max_mib: int = Field(default=100, ge=1, le=102_400)  # of a stream, and serverless
    ingest_repository_max_files: int = Field(default=200_000, ge=1, le=100_000_000)  # and folders
    ingest_repository_file_max_kib: int = Field(default=1_024, ge=1, le=102_400)
    ingest_repository_timeout_s: float = Field(default=300, gt=0, le=86_400)

    @field_validator("ingest_repository_protocols")
    @classmethod
    def _known_protocols(cls, value: str) -> str:
        if not set(listed(value)) <= {"https", "http", "ssh", "file"}:
            raise ValueError("must be some of https, http, ssh and file, separated by commas")
        return value

    @field_validator("ingest_repository_hosts")
    @classmethod
    def _host_names(cls, value: str) -> str:
        if not all(re.fullmatch(rf"(\*\.)?{_HOST_OR_ADDRESS}", host) for host in listed(value)):
            raise ValueError("must be names of hosts, or *.example.com, separated by commas")
        return value

    @field_validator("ingest_repository_ssh_keys")
    @classmethod
    def _keys_of_hosts(cls, value: str) -> str:
        if not all(re.fullmatch(rf"{_HOST_OR_ADDRESS}(:\d+)?(/[^=]+)?=/.+", pair) for pair in listed(value)):
            raise ValueError("must be HOST=FILE or HOST/PATH=FILE, with absolute files, separated by commas")
        return value

    @field_validator("ingest_repository_roots")
    @classmethod
    def _absolute_folders(cls, value: str) -> str:
        if not all(Path(folder).is_absolute() for folder in listed(value)):
            raise ValueError("must be absolute folders, separated by commas")
        return value

    @field_validator("ingest_repository_languages")
    @classmethod
    def _known_languages(cls, value: str) -> str:
        if value:
            from ingest_assets.sources.repositories.language_table import language_table

            language_table(listed(value))  # raises ValueError, and says what is wrong
        return value
