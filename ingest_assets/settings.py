"""Every setting, read from the environment once. The only module that reads it.

What belongs here: names, defaults, bounds and the sentences that say what is wrong with a value. What does
not: settings that only one source needs, which are a `SourceSettings` in its folder.

`.env.example` documents each variable; a test compares the two. A `.env` file in the working directory is
read too; a real environment variable wins over it.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest_assets.log_output import LogFormat, LogLevel, send_logs
from ingest_assets.log_records import make_records_safe
from ingest_assets.model import ConfigurationError
from ingest_assets.redaction import keep_secret, keep_secrets_of_url
from ingest_assets.setting_forms import API_TOKEN, UI_TOKEN, callers, removal_limits
from ingest_assets.zones import known_zone

# What Dagster writes in its folder.
DAGSTER_STATE = ("history", "schedules", "storage", "logs", ".logs_queue", ".nux", ".telemetry")


def listed(value: str) -> tuple[str, ...]:
    """The comma-separated parts of a setting."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _http_url(value: str) -> str:
    if not re.match(r"https?://[^\s/?#]", value):
        raise ValueError("must be a URL that begins with http:// or https://")
    _require_port(value)
    return value


def _require_port(url: str) -> None:
    try:
        right = urlsplit(url).port != 0
    except ValueError:
        right = False
    if not right:
        raise ValueError("must have a host, and a port from 1 to 65535 if any")


def _http_urls(value: str) -> str:
    nodes = listed(value)
    for node in nodes:
        _http_url(node)
    if not nodes:
        raise ValueError("must be a URL, or several separated by commas")
    return value


def _consistency(value: str) -> str:
    if value and not re.fullmatch(r"[1-9][0-9]{0,2}|majority|quorum|all", value):
        raise ValueError("must be a number, majority, quorum or all")
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
HttpUrls = Annotated[str, AfterValidator(_http_urls)]

_HOST_AND_PORT = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?")


# Variables that mean the same: the first is ours, the others are those that other programs use.
LEDGER_URLS = ("ingest_ledger_url", "database_url", "supabase_db_url")
EMBED_URLS = ("spark_control_url", "embed_base_url")

_DATABASE = re.compile(r"(postgres(ql)?|sqlite|mysql|mariadb)(\+\w+)?:")


class FromEnvironment(BaseSettings):
    """Settings whose field names in upper case are the environment variables."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", frozen=True
    )
    # Fields that mean nothing while another one is not set, by that one (`sources.doubtful`).
    NEEDS: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @model_validator(mode="before")
    @classmethod
    def _hide_secrets(cls, values: Any) -> Any:
        """Before anything is checked, so that no message about a wrong value shows another one's secret."""
        if isinstance(values, dict):
            _hide(cls, values)
        return values

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        _hide(type(self), dict(self))  # in a process that got them from another one

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the environment. Raises ConfigurationError naming every variable that is wrong."""
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise ConfigurationError(_explain(cls, error)) from None
        except UnicodeDecodeError:  # without its cause, which holds the file's content
            raise ConfigurationError("The file .env is not text in UTF-8: save it as UTF-8.") from None


class SourceSettings(FromEnvironment):
    """The settings of one source, which declares them; read when first needed."""


S = TypeVar("S", bound=SourceSettings)


class LogSettings(FromEnvironment):
    """What a process needs to know before its first log record."""

    ingest_log_level: LogLevel = "warning"
    ingest_log_format: LogFormat = "text"


class Settings(LogSettings):
    """The settings that all sources share."""

    NEEDS: ClassVar = {
        "qdrant_url": (
            "qdrant_api_key",
            "qdrant_ca_file",
            "qdrant_client_cert_file",
            "qdrant_client_key_file",
            "qdrant_grpc_port",
            "qdrant_shards",
            "qdrant_replicas",
            "qdrant_write_consistency",
            "qdrant_read_consistency",
        ),
        "redis_host": ("redis_password", "redis_username", "redis_ca_file"),
        "embed_url": ("spark_control_api_key", "spark_control_ca_file"),
    }

    # Values given for the settings of sources, and those settings once they have been read.
    _given: dict[str, Any] = PrivateAttr(default_factory=dict)
    _of_sources: dict[type[SourceSettings], SourceSettings] = PrivateAttr(default_factory=dict)

    # Where things are
    ingest_home: Path = Path(".ingest")
    dagster_home: Path | None = None
    ingest_ledger_url: SecretStr | None = None
    database_url: SecretStr | None = None  # this and the next one stand for it
    supabase_db_url: SecretStr | None = None
    ingest_installation_name: str = Field(default="", max_length=200)

    # The collection
    ingest_collection_prefix: str = ""
    qdrant_url: HttpUrls | None = None
    qdrant_api_key: SecretStr | None = None
    qdrant_key_over_http: bool = False
    qdrant_verify_tls: bool = True
    qdrant_ca_file: Path | None = None
    qdrant_client_cert_file: Path | None = None
    qdrant_client_key_file: Path | None = None
    qdrant_grpc_port: int | None = Field(default=None, ge=1, le=65_535)
    qdrant_search_timeout_s: int = Field(default=5, ge=1, le=86_400)
    qdrant_write_timeout_s: int = Field(default=60, ge=1, le=86_400)
    qdrant_admin_timeout_s: int = Field(default=60, ge=1, le=86_400)
    qdrant_retry_s: float = Field(default=60, ge=0, le=86_400)
    qdrant_indexing_timeout_s: float = Field(default=3_600, gt=0)
    qdrant_upsert_streams: int = Field(default=4, ge=1, le=64)
    qdrant_quantization: Literal["int8", "none"] = "int8"
    qdrant_on_disk: bool = True
    qdrant_hnsw_m: int = Field(default=16, ge=4, le=256)
    qdrant_hnsw_ef_construct: int = Field(default=100, ge=4, le=4_096)
    qdrant_indexing_threshold_kib: int = Field(default=10_000, ge=1)
    qdrant_shards: int | None = Field(default=None, ge=1, le=10_000)
    qdrant_replicas: int | None = Field(default=None, ge=1, le=1_000)
    qdrant_write_consistency: int | None = Field(default=None, ge=1, le=1_000)
    qdrant_read_consistency: Annotated[str, AfterValidator(_consistency)] = ""

    # Dense embeddings
    spark_control_url: HttpUrl | None = None
    embed_base_url: HttpUrl | None = None  # stands for it
    spark_control_verify_tls: bool = True
    spark_control_ca_file: Path | None = None
    spark_control_api_key: SecretStr | None = None
    ingest_dense_model: str = ""
    ingest_dense_model_path: Path | None = None
    ingest_dense_dimension: int | None = Field(default=None, ge=1, le=65_536)
    ingest_embed_timeout_s: float = Field(default=60, gt=0)
    ingest_embed_batch_count: int = Field(default=64, ge=1, le=4_096)
    ingest_embed_batch_chars: int = Field(default=100_000, ge=1_000)
    ingest_embed_max_attempts: int = Field(default=5, ge=1, le=20)
    ingest_embed_concurrency: int = Field(default=4, ge=1, le=64)  # requests under way at once, at most
    ingest_embed_shards: int = Field(default=4, ge=1, le=1_000)  # partitions of the job that embeds ahead

    # Chunks
    ingest_chunk_size: int = Field(default=1_000, ge=100, le=100_000)
    ingest_chunk_overlap: int = Field(default=0, ge=0)
    ingest_chunk_unit: Literal["characters", "tokens"] = "characters"

    # Redis, which keeps answers
    redis_host: str = ""
    redis_port: int = Field(default=6_379, ge=1, le=65_535)
    redis_db: int = Field(default=0, ge=0, le=65_535)
    redis_username: str = Field(default="", max_length=200)
    redis_password: SecretStr | None = None
    redis_ssl: bool = False
    redis_ca_file: Path | None = None
    redis_timeout_s: float = Field(default=0.1, gt=0, le=60)
    redis_build_channel: str = Field(default="build_updates", min_length=1, max_length=200)
    default_ttl_seconds: int = Field(default=3_600, ge=1, le=31_536_000)

    # The processes that parse what others made
    ingest_parser_memory_mib: int = Field(default=1_024, ge=64, le=1_048_576)
    ingest_parser_cpu_s: float = Field(default=120, gt=0)

    # Entity resolution
    ingest_entity_decisions: Path | None = None
    ingest_entity_labels: Path | None = None
    ingest_match_memory_mib: int = Field(default=1_024, ge=128, le=1_048_576)
    ingest_match_threads: int = Field(default=2, ge=1, le=256)

    # How much a run may remove unasked
    ingest_removal_guard_share: float = Field(default=0.2, ge=0, le=1)
    ingest_removal_guard_count: int = Field(default=20, ge=0, le=1_000_000_000)
    ingest_removal_guard_kinds: str = ""

    # Background indexing jobs
    max_concurrent_indexing_jobs: int = Field(default=2, ge=1, le=64)
    indexing_job_timeout_seconds: float = Field(default=3_600, gt=0)
    job_status_retention_days: float = Field(default=7, gt=0)
    progress_update_interval_seconds: float = Field(default=2, gt=0, le=60)
    cancellation_check_interval_seconds: float = Field(default=5, gt=0, le=60)

    # Traces, by the names that OpenTelemetry gives; its SDK reads the others from the environment itself
    otel_sdk_disabled: bool = False
    otel_traces_exporter: Literal["otlp", "none"] = "otlp"
    otel_exporter_otlp_endpoint: HttpUrl | None = None
    otel_exporter_otlp_traces_endpoint: HttpUrl | None = None

    # The zone of days that are asked for without one
    ingest_time_zone: str = Field(default="", max_length=100)

    # Freshness
    crm_ingest_sync_interval_min: int = Field(default=60, ge=1, le=1_440)
    crm_sensor_interval_s: int = Field(default=30, ge=5, le=86_400)
    ingest_lock_timeout_s: float = Field(default=600, ge=0)

    # HTTP and MCP
    ingest_mcp_user: str = Field(default="", max_length=200)
    ingest_agent_repository_hosts: str = ""
    ingest_agent_local_repositories: bool = False
    ingest_http_host: str = "127.0.0.1"
    ingest_http_port: int = Field(default=8_765, ge=0, le=65_535)
    ingest_api_tokens: SecretStr | None = None
    ingest_http_max_body_bytes: int = Field(default=65_536, ge=1_024, le=16_777_216)
    ingest_http_timeout_s: float = Field(default=30, gt=0, le=600)
    ingest_http_rate_per_s: float = Field(default=500, gt=0)
    ingest_http_search_workers: int = Field(default=2, ge=0, le=64)
    ingest_http_search_queue: int = Field(default=64, ge=0, le=10_000)
    ingest_http_max_streams: int = Field(default=64, ge=1, le=10_000)
    ingest_http_max_streams_per_caller: int = Field(default=16, ge=1, le=10_000)
    ingest_http_max_connections: int = Field(default=512, ge=8, le=100_000)
    ingest_ui_host: str = "127.0.0.1"
    ingest_ui_port: int = Field(default=3_000, ge=0, le=65_535)
    ingest_ui_tokens: SecretStr | None = None
    ingest_daemon_host: str = "127.0.0.1"
    ingest_daemon_port: int = Field(default=3_001, ge=0, le=65_535)
    ingest_max_pending_jobs: int = Field(default=50, ge=1, le=100_000)

    @field_validator("ingest_chunk_overlap")
    @classmethod
    def _overlap_below_size(cls, value: int, info: Any) -> int:
        size = info.data.get("ingest_chunk_size")
        if size is not None and value > size // 2:
            raise ValueError(f"must be at most half of INGEST_CHUNK_SIZE ({size})")
        return value

    @field_validator("ingest_removal_guard_kinds")
    @classmethod
    def _known_limits(cls, value: str) -> str:
        removal_limits(listed(value))
        return value

    @field_validator("ingest_agent_repository_hosts")
    @classmethod
    def _whole_hosts(cls, value: str) -> str:
        # No wildcards: the name of a subdomain is a message to whoever runs the domain's name server.
        if not all(_HOST_AND_PORT.fullmatch(host) for host in listed(value)):
            raise ValueError("must be names of hosts, each with a port if it is not 443, separated by commas")
        return value

    @field_validator("ingest_time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        return known_zone(value) if value else value

    @field_validator("ingest_installation_name")
    @classmethod
    def _printable(cls, value: str) -> str:
        if not value.isprintable() or value != value.strip():
            raise ValueError("must be a name on one line, without spaces at its ends")
        return value

    @field_validator("ingest_collection_prefix")
    @classmethod
    def _of_a_name(cls, value: str) -> str:
        # Every file system and Qdrant accept it, also those that do not distinguish upper and lower case.
        if not re.fullmatch(r"([a-z0-9][a-z0-9_-]{0,63})?", value):
            raise ValueError(
                "must be up to 64 lower-case letters, digits, underscores and dashes, the first one a letter "
                "or a digit"
            )
        return value

    @field_validator("ingest_http_host", "ingest_ui_host", "ingest_daemon_host", "redis_host")
    @classmethod
    def _host_alone(cls, value: str) -> str:
        if value and not re.fullmatch(r"[\w.:%-]+", value):
            raise ValueError("must be a host name or an address, without http:// and without a port")
        return value

    @field_validator("ingest_api_tokens")
    @classmethod
    def _known_tokens(cls, value: SecretStr | None) -> SecretStr | None:
        form = (
            "NAME:TOKEN:SCOPES, separated by commas: a token of at least 20 letters and digits, and scopes "
            "of read, ingest, write and gate joined by +; one that is bound to projects ends in :PROJECTS or "
            ":PROJECTS:SOURCES, names joined by +"
        )
        return callers(value, API_TOKEN, form)

    @field_validator("ingest_ui_tokens")
    @classmethod
    def _known_people(cls, value: SecretStr | None) -> SecretStr | None:
        form = "NAME:TOKEN, separated by commas: a token of at least 20 letters and digits"
        return callers(value, UI_TOKEN, form)

    @field_validator("ingest_ledger_url", "database_url", "supabase_db_url")
    @classmethod
    def _known_ledger(cls, value: SecretStr | None) -> SecretStr | None:
        if not value:
            return value
        url = re.sub("^postgres://", "postgresql://", value.get_secret_value())
        if not re.match("postgresql://|sqlite:///", url):
            raise ValueError("must begin with postgresql:// or sqlite:///")
        _require_port(url)
        return SecretStr(url)

    @field_validator("database_url", "supabase_db_url", "embed_base_url")
    @classmethod
    def _no_clash(cls, value: Any, info: Any) -> Any:
        """Of several variables that mean the same, each must say the same."""
        together = next(names for names in (LEDGER_URLS, EMBED_URLS) if info.field_name in names)
        for name in together[: together.index(info.field_name)]:
            if value and info.data.get(name) and _same(info.data[name]) != _same(value):
                raise ValueError(f"names another one than {name.upper()}, which means the same: unset either")
        return value

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self._given = {name: value for name, value in values.items() if name not in type(self).model_fields}

    def of(self, kind: type[S]) -> S:
        """The settings of a source. Raises ConfigurationError naming every variable that is wrong."""
        if kind not in self._of_sources:
            given = {
                name: value
                for name, value in self._given.items()
                if name in kind.model_fields or name == "_env_file"
            }
            self._of_sources[kind] = kind.load(**given)
        found = self._of_sources[kind]
        assert isinstance(found, kind)
        return found

    @property
    def refresh_interval_min(self) -> int:
        """Between two scheduled refreshes. The variable keeps the name that users know."""
        return self.crm_ingest_sync_interval_min

    @property
    def sensor_interval_s(self) -> int:
        """Between two checks of whether a source has changed."""
        return self.crm_sensor_interval_s

    @property
    def ledger_url(self) -> str:
        """An SQLAlchemy URL. May hold a password: never print it."""
        if (url := getattr(self, self.ledger_variable.lower(), None)) is not None:
            return str(url.get_secret_value())
        return f"sqlite:///{(self.ingest_home / 'ledger.sqlite').absolute()}"

    @property
    def ledger_variable(self) -> str:
        """The variable that says where the ledger is; "" if none does."""
        return next((name.upper() for name in LEDGER_URLS if getattr(self, name) is not None), "")

    @property
    def embed_url(self) -> str | None:
        """The embedding endpoint, if one is configured. May hold a password: never print it."""
        return self.spark_control_url or self.embed_base_url

    @property
    def dagster_folder(self) -> Path:
        """DAGSTER_HOME; else where the nearest dagster.yaml is; else below INGEST_HOME."""
        here = Path.cwd()
        nearest = next((each for each in (here, *here.parents) if (each / "dagster.yaml").exists()), None)
        return self.dagster_home or nearest or self.ingest_home.absolute() / "dagster"

    @property
    def own_folders(self) -> tuple[Path, ...]:
        """Where this program writes, links resolved. Dagster's folder may hold somebody's code as well."""
        dagster = self.dagster_folder.resolve()
        return (self.ingest_home.resolve(), *(dagster / name for name in DAGSTER_STATE))

    @property
    def installation_name(self) -> str:
        """What a new ledger's installation is called: by default this machine and INGEST_HOME."""
        return self.ingest_installation_name or f"{platform.node()}:{self.ingest_home.absolute()}"

    @property
    def dense_model_name(self) -> str:
        """The dense model: the one named, else the endpoint's if one is configured, else the bundled one."""
        return self.ingest_dense_model or ("endpoint:default" if self.embed_url else "bundled")


def load_settings(**overrides: Any) -> Settings:
    """Read the environment. Raises ConfigurationError naming every variable that is wrong.

    `overrides` replaces single values, including those of sources.
    """
    return Settings.load(**overrides)


def begin_logging() -> None:
    """Send this process's log where the settings say. Wrong settings are reported when all are loaded."""
    try:
        found = LogSettings.load()
    except ConfigurationError:
        send_logs("warning", "text")
    else:
        send_logs(found.ingest_log_level, found.ingest_log_format)


def _same(url: SecretStr | str) -> str:
    return (url if isinstance(url, str) else url.get_secret_value()).rstrip("/").removesuffix("/v1")


def _hide(kind: type[FromEnvironment], values: Mapping[str, Any]) -> None:
    """Hide what these settings keep secret, and what other programs' variables do, in all that is shown."""
    make_records_safe()
    for name, value in values.items():
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not isinstance(text, str) or not text:
            continue
        if "://" in text or name.endswith("_url"):
            for url in listed(text) if name == "qdrant_url" else (text,):
                keep_secrets_of_url(url)
        # Of a database's URL only parts are secret, and messages name the rest.
        if name in kind.model_fields and _is_secret(kind.model_fields[name]) and not _DATABASE.match(text):
            keep_secret(text)
    _hide_of_other_programs()


def _hide_of_other_programs() -> None:
    for name, value in os.environ.items():
        if name == "PGPASSWORD":  # which Postgres's own library reads
            keep_secret(value)
        elif name.startswith("OTEL_EXPORTER_OTLP_") and name.endswith("HEADERS"):  # a collector's token
            for header in listed(value):
                keep_secret(header.partition("=")[2])
        elif "://" in value and "@" in value:  # proxies, and DAGSTER_POSTGRES_URL
            keep_secrets_of_url(value, user=False)


def _is_secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation)


def _explain(kind: type[FromEnvironment], error: ValidationError) -> str:
    lines = ["The settings are wrong:"]
    for e in error.errors():
        name = str(e["loc"][0])
        field = kind.model_fields.get(name)
        secret = field is not None and _is_secret(field)
        # A URL may hold a password before its @.
        shown = re.sub(r"^(\w+://)?.*@", r"\1(hidden)@", str(e["input"]), flags=re.DOTALL)
        given = "(hidden)" if secret else repr(shown if name.endswith("_url") else str(e["input"]))
        lines.append(f"  {name.upper()}={given}: {_requirement(e)}")
    return "\n".join(lines)


def _requirement(e: Any) -> str:
    message = str(e["msg"]).removeprefix("Value error, ")
    return message[0].lower() + message[1:]
