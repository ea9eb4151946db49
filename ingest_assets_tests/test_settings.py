"""Settings: documented where users look, and refused with a sentence that helps when they are wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from ingest_assets.embedding import spec_of
from ingest_assets.model import ConfigurationError
from ingest_assets.settings import Settings, load_settings
from ingest_assets.sources.crm.settings import CrmSettings, crm_path
from ingest_assets_tests.support.variables import fields, load_all

EXAMPLE = Path(__file__).resolve().parents[1] / ".env.example"
_LINE = re.compile(r"(?:# ?)?([A-Z][A-Z0-9_]*)=(.*)")


def _documented() -> dict[str, str]:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    found = [match.groups() for line in lines if (match := _LINE.fullmatch(line))]
    assert len(found) == len({name for name, _ in found}), "a variable is documented twice"
    return {name: value.strip() for name, value in found}


def _load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings(_env_file=None)


def test_the_example_and_the_class_name_the_same_variables() -> None:
    assert set(_documented()) == {name.upper() for name in fields()}


def test_the_example_shows_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load_settings(_env_file=None)
    defaults = load_all(plain)
    shown = _load(monkeypatch, **{name: value for name, value in _documented().items() if value})
    assert load_all(shown) == defaults
    for name, value in _documented().items():
        default = defaults[name.lower()]
        assert (value == "") == (default in (None, "")), name


def test_a_file_is_read_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("INGEST_CHUNK_SIZE=700\nINGEST_CHUNK_OVERLAP=30\nSOMETHING_ELSE=1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INGEST_CHUNK_SIZE", "800")
    monkeypatch.setenv("QDRANT_URL", "")  # an empty variable is an unset one
    settings = load_settings()
    assert (settings.ingest_chunk_size, settings.ingest_chunk_overlap) == (800, 30)
    assert settings.qdrant_url is None


@pytest.mark.parametrize(
    "content", [b"QDRANT_API_KEY=k\xe9y-of-qdrant\n", "INGEST_CHUNK_SIZE=700\n".encode("utf-16")]
)
def test_a_file_in_another_encoding_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (tmp_path / ".env").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"^The file \.env is not text in UTF-8") as caught:
        load_settings()
    assert caught.value.__cause__ is None
    assert "of-qdrant" not in str(caught.value)


WRONG = [
    ("INGEST_LOG_LEVEL", "loud", "input should be 'debug', 'info', 'warning', 'error' or 'critical'"),
    ("INGEST_LOG_FORMAT", "xml", "input should be 'text' or 'json'"),
    ("CRM_INGEST_SYNC_INTERVAL_MIN", "soon", "integer"),
    ("CRM_INGEST_SYNC_INTERVAL_MIN", "0", "greater than or equal to 1"),
    ("CRM_INGEST_SYNC_INTERVAL_MIN", "1441", "less than or equal to 1440"),
    ("CRM_SENSOR_INTERVAL_S", "4", "greater than or equal to 5"),
    ("CRM_MAX_DOCUMENT_CHARS", "999", "greater than or equal to 1000"),
    ("CRM_QUERY_TIMEOUT_S", "0", "greater than or equal to 1"),
    ("INGEST_CHUNK_SIZE", "99", "greater than or equal to 100"),
    ("INGEST_CHUNK_SIZE", "1e9", "integer"),
    ("INGEST_CHUNK_OVERLAP", "-1", "greater than or equal to 0"),
    ("INGEST_CHUNK_OVERLAP", "501", r"at most half of INGEST_CHUNK_SIZE \(1000\)"),
    ("INGEST_CHUNK_UNIT", "words", "'characters' or 'tokens'"),
    ("INGEST_DENSE_DIMENSION", "0", "greater than or equal to 1"),
    ("INGEST_EMBED_TIMEOUT_S", "0", "greater than 0"),
    ("INGEST_EMBED_BATCH_COUNT", "5000", "less than or equal to 4096"),
    ("INGEST_EMBED_BATCH_CHARS", "10", "greater than or equal to 1000"),
    ("INGEST_EMBED_MAX_ATTEMPTS", "21", "less than or equal to 20"),
    ("INGEST_EMBED_CONCURRENCY", "0", "greater than or equal to 1"),
    ("INGEST_EMBED_SHARDS", "1001", "less than or equal to 1000"),
    ("CANCELLATION_CHECK_INTERVAL_SECONDS", "0", "greater than 0"),
    ("INDEXING_JOB_TIMEOUT_SECONDS", "0", "greater than 0"),
    ("INGEST_AGENT_PAPER_HOSTS", "https://example.com", "names of hosts"),
    ("INGEST_PAPER_CLASSES", "Virus; Toxin", "names of classes"),
    ("INGEST_PAPER_EFETCH_URL", "ftp://example.com", "begins with http:// or https://"),
    ("INGEST_PAPER_HOSTS", "https://example.com", "names of hosts"),
    ("INGEST_PAPER_MAX_MIB", "0", "greater than or equal to 1"),
    ("INGEST_PAPER_PRIVATE_ADDRESSES", "some", "boolean"),
    ("INGEST_PAPER_PROTOCOLS", "https,ftp", "https and http"),
    ("INGEST_PAPER_TIMEOUT_S", "0", "greater than 0"),
    ("PASS1_LLM_BACKEND", "magic", "'rules', 'openai' or 'none'"),
    ("PASS1_LLM_MAX_ANSWER_TOKENS", "1", "greater than or equal to 64"),
    ("PASS1_LLM_MAX_INPUT_CHARS", "10", "greater than or equal to 1000"),
    ("PASS1_LLM_MAX_RUN_TOKENS", "10", "greater than or equal to 1000"),
    ("PASS1_LLM_TEMPERATURE", "3", "less than or equal to 2"),
    ("PASS1_LLM_TIMEOUT_S", "0", "greater than 0"),
    ("PASS1_LLM_URL", "model:8000", "begins with http:// or https://"),
    ("INGEST_REPOSITORY_COMMITTED_ONLY", "mostly", "boolean"),
    ("INGEST_REPOSITORY_FILE_MAX_KIB", "0", "greater than or equal to 1"),
    ("INGEST_REPOSITORY_HOSTS", "https://example.com", "names of hosts"),
    ("INGEST_AGENT_REPOSITORY_HOSTS", "*.example.com", "names of hosts"),
    ("INGEST_AGENT_LOCAL_REPOSITORIES", "perhaps", "boolean"),
    ("INGEST_REPOSITORY_SSH_KEYS", "github.com", "HOST=FILE"),
    ("INGEST_REPOSITORY_SSH_KEYS", "github.com=key", "absolute files"),
    ("INGEST_REPOSITORY_HOSTS", "example.com:8443", "names of hosts"),  # a host is allowed, whatever the port
    ("INGEST_REPOSITORY_LANGUAGES", ".acme=Pyhton", "did you mean Python"),
    ("INGEST_REPOSITORY_LANGUAGES", "acme", ".EXTENSION=LANGUAGE"),
    ("INGEST_REPOSITORY_MAX_FILES", "0", "greater than or equal to 1"),
    ("INGEST_REPOSITORY_MAX_MIB", "0", "greater than or equal to 1"),
    ("MAX_REPO_SIZE_GB", "0", "greater than 0"),
    ("INGEST_REPOSITORY_PRIVATE_ADDRESSES", "some", "boolean"),
    ("INGEST_REPOSITORY_PROTOCOLS", "https,git", "some of https, http, ssh and file"),
    ("INGEST_REPOSITORY_ROOTS", "code", "absolute folders"),
    ("INGEST_REPOSITORY_SHALLOW", "a bit", "boolean"),
    ("INGEST_REPOSITORY_TIMEOUT_S", "0", "greater than 0"),
    ("JOB_STATUS_RETENTION_DAYS", "0", "greater than 0"),
    ("MAX_CONCURRENT_INDEXING_JOBS", "0", "greater than or equal to 1"),
    ("PROGRESS_UPDATE_INTERVAL_SECONDS", "0", "greater than 0"),
    ("INGEST_REMOVAL_GUARD_SHARE", "20", "less than or equal to 1"),
    ("INGEST_REMOVAL_GUARD_COUNT", "-1", "greater than or equal to 0"),
    ("INGEST_REMOVAL_GUARD_KINDS", "crm=20%", "SOURCE=SHARE:COUNT"),
    ("INGEST_REMOVAL_GUARD_KINDS", "crm/email=2:5", ".*a share from 0 to 1"),
    ("INGEST_REMOVAL_GUARD_KINDS", "=off", "SOURCE=off"),
    ("INGEST_LOCK_TIMEOUT_S", "-1", "greater than or equal to 0"),
    ("INGEST_MCP_USER", "a" * 201, "at most 200 characters"),
    ("INGEST_MATCH_MEMORY_MIB", "64", "greater than or equal to 128"),
    ("INGEST_MATCH_THREADS", "0", "greater than or equal to 1"),
    ("INGEST_TIME_ZONE", "CEST", "Europe/Berlin"),
    ("INGEST_HTTP_HOST", "http://127.0.0.1", "without http://"),
    ("INGEST_INSTALLATION_NAME", "x" * 201, "at most 200 characters"),
    ("INGEST_INSTALLATION_NAME", " sales", "without spaces at its ends"),
    ("INGEST_COLLECTION_PREFIX", "Team_", "lower-case letters"),
    ("INGEST_COLLECTION_PREFIX", "-team", "the first one a letter"),
    ("INGEST_COLLECTION_PREFIX", "../team", "up to 64 lower-case letters"),
    ("INGEST_COLLECTION_PREFIX", "t" * 65, "up to 64"),
    ("INGEST_HTTP_PORT", "65536", "less than or equal to 65535"),
    ("INGEST_HTTP_MAX_BODY_BYTES", "1000", "greater than or equal to 1024"),
    ("INGEST_HTTP_TIMEOUT_S", "0", "greater than 0"),
    ("INGEST_HTTP_RATE_PER_S", "0", "greater than 0"),
    ("INGEST_HTTP_SEARCH_WORKERS", "65", "less than or equal to 64"),
    ("INGEST_HTTP_SEARCH_QUEUE", "-1", "greater than or equal to 0"),
    ("INGEST_HTTP_MAX_STREAMS", "0", "greater than or equal to 1"),
    ("INGEST_HTTP_MAX_STREAMS_PER_CALLER", "0", "greater than or equal to 1"),
    ("INGEST_HTTP_MAX_CONNECTIONS", "7", "greater than or equal to 8"),
    ("INGEST_MAX_PENDING_JOBS", "0", "greater than or equal to 1"),
    ("INGEST_PARSER_CPU_S", "0", "greater than 0"),
    ("INGEST_PARSER_MEMORY_MIB", "63", "greater than or equal to 64"),
    ("INGEST_UI_HOST", "http://localhost", "without http://"),
    ("INGEST_UI_PORT", "65536", "less than or equal to 65535"),
    ("INGEST_DAEMON_HOST", "http://localhost", "without http://"),
    ("INGEST_DAEMON_PORT", "65536", "less than or equal to 65535"),
    ("QDRANT_URL", "qdrant:6333", "begins with http:// or https://"),
    ("QDRANT_URL", "http://", "begins with http:// or https://"),
    ("QDRANT_URL", "http://host:99999", "port from 1 to 65535"),
    ("QDRANT_VERIFY_TLS", "perhaps", "boolean"),
    ("QDRANT_GRPC_PORT", "65536", "less than or equal to 65535"),
    ("QDRANT_URL", "http://one:6333,two:6333", "begins with http:// or https://"),
    ("QDRANT_URL", ",", "a URL, or several separated by commas"),
    ("QDRANT_KEY_OVER_HTTP", "perhaps", "boolean"),
    ("QDRANT_SEARCH_TIMEOUT_S", "0", "greater than or equal to 1"),
    ("QDRANT_WRITE_TIMEOUT_S", "1.5", "integer"),
    ("QDRANT_ADMIN_TIMEOUT_S", "100000", "less than or equal to 86400"),
    ("QDRANT_RETRY_S", "-1", "greater than or equal to 0"),
    ("QDRANT_INDEXING_TIMEOUT_S", "0", "greater than 0"),
    ("QDRANT_UPSERT_STREAMS", "65", "less than or equal to 64"),
    ("QDRANT_QUANTIZATION", "int4", "'int8' or 'none'"),
    ("QDRANT_ON_DISK", "some", "boolean"),
    ("QDRANT_HNSW_M", "3", "greater than or equal to 4"),
    ("QDRANT_HNSW_EF_CONSTRUCT", "3", "greater than or equal to 4"),
    ("QDRANT_INDEXING_THRESHOLD_KIB", "0", "greater than or equal to 1"),
    ("QDRANT_SHARDS", "0", "greater than or equal to 1"),
    ("QDRANT_REPLICAS", "0", "greater than or equal to 1"),
    ("QDRANT_WRITE_CONSISTENCY", "0", "greater than or equal to 1"),
    ("QDRANT_READ_CONSISTENCY", "most", "a number, majority, quorum or all"),
    ("DEFAULT_TTL_SECONDS", "0", "greater than or equal to 1"),
    ("OTEL_SDK_DISABLED", "perhaps", "boolean"),
    ("OTEL_TRACES_EXPORTER", "zipkin", "'otlp' or 'none'"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "begins with http:// or https://"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://host:99999", "port from 1 to 65535"),
    ("EMBED_BASE_URL", "ftp://host", "begins with http:// or https://"),
    ("REDIS_BUILD_CHANNEL", "c" * 201, "at most 200 characters"),
    ("REDIS_DB", "-1", "greater than or equal to 0"),
    ("REDIS_HOST", "redis://cache", "a host name or an address"),
    ("REDIS_PORT", "0", "greater than or equal to 1"),
    ("REDIS_SSL", "perhaps", "boolean"),
    ("REDIS_TIMEOUT_S", "0", "greater than 0"),
    ("REDIS_USERNAME", "u" * 201, "at most 200 characters"),
    ("GATE_MAX_ATTEMPTS", "0", "greater than or equal to 1"),
    ("GATE_TIMEOUT_S", "301", "less than or equal to 300"),
    ("GATE_URL", "relay:9000", "begins with http:// or https://"),
    ("RAG_LOG_FILES", "0", "greater than or equal to 1"),
    ("RAG_LOG_MAX_MIB", "0", "greater than or equal to 1"),
    ("SPOOL_MAINTENANCE_ALERT_AFTER", "0", "greater than or equal to 1"),
    ("SPOOL_MAINTENANCE_INTERVAL_H", "0", "greater than 0"),
    ("SPOOL_MAX_AGE_S", "-1", "greater than or equal to 0"),
    ("SPOOL_MAX_FILE_MIB", "0", "greater than or equal to 1"),
    ("SPOOL_MAX_FUTURE_DAYS", "-1", "greater than or equal to 0"),
    ("SPOOL_MAX_PAST_DAYS", "-1", "greater than or equal to 0"),
    ("SPOOL_MAX_RECORDS", "0", "greater than or equal to 1"),
    ("SPOOL_MAX_TEXT_CHARS", "0", "greater than or equal to 1"),
    ("SPOOL_METADATA_FIELDS", "Topic", "names of metadata"),
    ("SPOOL_METADATA_FIELDS", "score:float", "Types: "),
    ("SPOOL_METADATA_FIELDS", "topic,pii", "must not name pii"),
    ("SPOOL_MIN_BYTES", "1 MB", "integer"),
    ("SPOOL_MIN_FILES", "-1", "greater than or equal to 0"),
    ("SPOOL_PARTITIONS_AHEAD", "121", "less than or equal to 120"),
    ("SPOOL_QUIET_S", "86401", "less than or equal to 86400"),
    ("SPOOL_RETENTION_DAYS", "-1", "greater than or equal to 0"),
    ("SPOOL_HISTORY_DAYS", "-1", "greater than or equal to 0"),
    ("SPARK_CONTROL_URL", "ftp://host", "begins with http:// or https://"),
    ("SPARK_CONTROL_VERIFY_TLS", "2", "boolean"),
]


@pytest.mark.parametrize(("name", "value", "right"), WRONG)
def test_a_wrong_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str, right: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name}='{re.escape(value)}': .*{right}"):
        load_all(_load(monkeypatch, **{name: value}))


def test_every_variable_that_can_be_wrong_is_tested() -> None:
    paths_and_secrets = {
        name.upper()
        for name, field in fields().items()
        if field.annotation in (Path, Path | None, SecretStr | None)
    }
    # Any text is a pattern, an address or a name; a dense model's kind is checked when the model is made.
    anything = {"INGEST_REPOSITORY_IGNORE", "INGEST_DENSE_MODEL", "NCBI_EMAIL", "PASS1_LLM_MODEL"}
    anything |= {"SPOOL_PII_SOURCES", "SPOOL_VECTORS_MODEL"}
    known = {name.upper() for name in fields()}
    assert {name for name, _, _ in WRONG} == known - paths_and_secrets - anything


def test_everything_that_is_wrong_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _load(monkeypatch, INGEST_CHUNK_SIZE="1", QDRANT_RETRY_S="x")
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INGEST_LEDGER_URL", "mysql://ada:s3cret@host/ledger"),
        ("INGEST_LEDGER_URL", "postgresql:ada:s3cret@host"),
        ("INGEST_LEDGER_URL", "sqlite://s3cret"),
        ("INGEST_LEDGER_URL", "postgresql://ada:s3cret@host:port/ledger"),
        ("DATABASE_URL", "mysql://ada:s3cret@host/ledger"),
        ("SUPABASE_DB_URL", "postgres://ada:s3cret@host:port/ledger"),
        ("EMBED_BASE_URL", "ftp://ada:s3cret@host"),
        ("QDRANT_URL", "ftp://ada:s3cret@host"),
        ("QDRANT_URL", "ada:s3cret@host"),
        ("QDRANT_URL", "http://ada:s3/cret:s3cret@host:port"),
        ("SPARK_CONTROL_URL", "https//ada:pass@s3cret@host"),
    ],
)
def test_no_password_is_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}=") as caught:
        _load(monkeypatch, **{name: value})
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("oracle://ada:s3cret@host/crm", "must be postgresql://, mysql:// or mariadb://"),
        ("postgresql://ada:s3cret@host", "names no database"),
        ("mysql://ada:s3cret@host:port/crm", "percent-encoded"),
        ("mysql://ada:s3cret@host:70000/crm", "port from 1 to 65535"),
        ("mysql://ada:s3cret@host/crm?local_infile=1", "a parameter 'local_infile'; there are: ssl_ca, "),
        (
            "postgresql://ada:s3cret@host/crm?passfile=/x",
            "a parameter 'passfile'; there are: application_name, ",
        ),
        ("mariadb+mysqldb://ada:s3cret@host/crm", "must be postgresql://"),
        ("s3cret", "must be postgresql://"),
    ],
)
def test_a_crm_server_that_is_not_understood(
    monkeypatch: pytest.MonkeyPatch, url: str, expected: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"CRM_DB_URL=\(hidden\)") as caught:
        _load(monkeypatch, CRM_DB_URL=url).of(CrmSettings)
    assert expected in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_one_crm_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _load(monkeypatch, CRM_DB_URL="postgres://ada:s3cret@host/crm")
    assert settings.of(CrmSettings).crm_db_url is not None
    assert "s3cret" not in repr(settings.of(CrmSettings))
    both = _load(monkeypatch, CRM_DB_PATH="crm.sqlite")
    with pytest.raises(ConfigurationError, match="CRM_DB_PATH another one: unset either"):
        both.of(CrmSettings)


def test_secrets_are_not_in_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _load(
        monkeypatch,
        QDRANT_API_KEY="s3cret",
        SPARK_CONTROL_API_KEY="s3cret",
        INGEST_LEDGER_URL="postgresql://ada:s3cret@host/ledger",
        DATABASE_URL="postgres://ada:s3cret@host/ledger",
        REDIS_PASSWORD="s3cret",
    )
    assert "s3cret" not in f"{settings!r} {settings} {settings.model_dump()}"


def test_defaults_that_depend_on_other_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _load(monkeypatch, INGEST_HOME=str(tmp_path))
    assert settings.dense_model_name == "bundled"
    assert settings.ledger_url == f"sqlite:///{tmp_path}/ledger.sqlite"
    assert crm_path(settings) is None
    (tmp_path / "sample-crm.sqlite").touch()
    assert crm_path(load_settings(_env_file=None)) == tmp_path / "sample-crm.sqlite"
    assert _load(monkeypatch, SPARK_CONTROL_URL="http://host:1").dense_model_name == "endpoint:default"
    assert _load(monkeypatch, INGEST_DENSE_MODEL="fastembed:x/y").dense_model_name == "fastembed:x/y"


@pytest.mark.parametrize("wrong", ["fastembed", "openai:small", "bundled:other", "endpoint:"])
def test_a_dense_model_of_an_unknown_kind_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    settings = _load(monkeypatch, INGEST_DENSE_MODEL=wrong)
    right = "must be bundled, fastembed:MODEL or endpoint:MODEL"
    with pytest.raises(ConfigurationError, match=f"INGEST_DENSE_MODEL='{wrong}': {right}"):
        spec_of(settings)


def test_settings_of_sources_can_be_replaced_too(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, crm_db_path=tmp_path / "crm.sqlite", ingest_chunk_size=500)
    assert settings.ingest_chunk_size == 500
    assert crm_path(settings) == tmp_path / "crm.sqlite"


@pytest.mark.parametrize("name", ["INGEST_LEDGER_URL", "DATABASE_URL", "SUPABASE_DB_URL"])
@pytest.mark.parametrize("spelling", ["postgres", "postgresql"])
def test_the_ledger_by_each_of_its_names(monkeypatch: pytest.MonkeyPatch, name: str, spelling: str) -> None:
    settings = _load(monkeypatch, **{name: f"{spelling}://ada:s3cret@host/ledger"})
    assert settings.ledger_url == "postgresql://ada:s3cret@host/ledger"
    assert settings.ledger_variable == name


def test_no_name_of_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _load(monkeypatch, DATABASE_URL="").ledger_variable == ""


def test_the_endpoint_by_each_of_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _load(monkeypatch, EMBED_BASE_URL="http://host:1/v1")
    assert (settings.dense_model_name, settings.embed_url) == ("endpoint:default", "http://host:1/v1")
    assert spec_of(settings).url == "http://host:1/v1"
    both = _load(monkeypatch, SPARK_CONTROL_URL="http://host:1/")
    assert both.embed_url == "http://host:1/"


@pytest.mark.parametrize(
    ("first", "second", "value"),
    [
        ("INGEST_LEDGER_URL", "DATABASE_URL", "postgresql://ada:s3cret@host/{}"),
        ("INGEST_LEDGER_URL", "SUPABASE_DB_URL", "postgres://ada:s3cret{}@host/ledger"),
        ("DATABASE_URL", "SUPABASE_DB_URL", "postgresql://ada:s3cret@host/{}"),
        ("SPARK_CONTROL_URL", "EMBED_BASE_URL", "http://ada:s3cret{}@host/"),
    ],
)
def test_names_of_the_same_that_clash(
    monkeypatch: pytest.MonkeyPatch, first: str, second: str, value: str
) -> None:
    _load(monkeypatch, **{first: value.format("one"), second: value.format("one")})
    with pytest.raises(ConfigurationError, match=rf"{second}=.*{first}, which means the same") as caught:
        _load(monkeypatch, **{second: value.format("two")})
    assert "s3cret" not in str(caught.value)
