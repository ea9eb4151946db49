"""Misspelt settings are named; variables of other programs, and settings of other packages, never are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.settings import SourceSettings
from ingest_assets.sources.crm.definition import SOURCE as CRM
from ingest_assets.sources.misspelt import known_settings, meant_by, misspelt_settings, own_words
from ingest_assets.sources.registry import LeftOut, Sources, load_sources
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import IngestHere, ingest_here

__all__ = ["ingest_here"]
KNOWN, OURS = known_settings(load_sources()), own_words(load_sources())


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CRM_DB_PTH", "CRM_DB_PATH"),
        ("CMR_MAPPING_PATH", "CRM_MAPPING_PATH"),
        ("CRM_PATH_DB", "CRM_DB_PATH"),
        ("INGST_HOME", "INGEST_HOME"),
        ("INGEST_CHUNKSIZE", "INGEST_CHUNK_SIZE"),
        ("INGEST_LEDGER", "INGEST_LEDGER_URL"),
        ("INGEST_WARP_DRIVE", ""),
        ("QDRANT_ULR", "QDRANT_URL"),
        ("QDRANT_APIKEY", "QDRANT_API_KEY"),
        ("SPOOL_DRI", "SPOOL_DIR"),
        ("SPARK_CONTROL_ULR", "SPARK_CONTROL_URL"),
        ("REDIS_PASWORD", "REDIS_PASSWORD"),
        ("EMBED_BASEURL", "EMBED_BASE_URL"),
        ("MAX_CONCURENT_INDEXING_JOBS", "MAX_CONCURRENT_INDEXING_JOBS"),
        ("PASS1_LLM_MODLE", "PASS1_LLM_MODEL"),
    ],
)
def test_what_is_like_a_setting_is_meant_to_be_it(name: str, meant: str) -> None:
    assert meant_by(name, KNOWN, OURS) == meant


OTHERS = [
    "REDIS_URL",
    "REDIS_TLS_URL",
    "REDIS_PORT_6379_TCP",
    "REDIS_SERVICE_HOST",
    "REDIS_HOSTS",
    "REDIS_URI",
    "REDIS_USER",
    "QDRANT__SERVICE__API_KEY",
    "QDRANT_SERVICE_HOST",
    "QDRANT_PORT",
    "QDRANT_PORT_6333_TCP",
    "QDRANT_HOST",
    "SPARK_HOME",
    "SPARK_MASTER_URL",
    "SPARK_LOCAL_IP",
    "DATABASE_URI",
    "DATABASE_URLS",
    "SUPABASE_URL",
    "SUPABASE_KEY",
    "SUPABASE_DB_URI",
    "CRM_URL",
    "CRM_API_KEY",
    "ERP_DB_PATH",
    "DAGSTER_HOMEDIR",
    "GATE_URI",
    "DATE_URL",
    "RAG_MODEL",
    "EMBED_MODEL",
    "MAX_JOBS",
    "PATH",
    "HOME",
    "SPOOLDIR",
    "NCBI_API_KEY",
    "INGESTION_HOME",
    "INGESTOR_URL",
    "INGEST_BENCHMARK_PAPERS",
    "OPENAI_BASE_URL",
    "PGPASSWORD",
    "XDG_RUNTIME_DIR",
    "KUBERNETES_SERVICE_HOST",
]


@pytest.mark.parametrize("name", OTHERS)
def test_variables_of_other_programs_are_left_alone(name: str) -> None:
    assert meant_by(name, KNOWN, OURS) is None


@given(st.sampled_from(sorted(KNOWN)))
def test_no_setting_is_taken_for_another_one(name: str) -> None:
    assert meant_by(name, KNOWN, OURS) is None


@given(st.sampled_from(sorted(n for n in KNOWN if n.startswith(("INGEST_", "CRM_")))), st.data())
def test_one_wrong_letter_is_noticed(name: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(name) - 1))
    meant = meant_by(name[:at] + "Q" + name[at + 1 :], KNOWN, OURS)
    assert meant is not None


class MailSettings(SourceSettings):
    """Of another package's source, with a name that is like one of ours."""

    ingest_chunk_sizes: int = 1


def test_settings_of_other_packages_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGEST_CHUNK_SIZES", "1")
    assert [each.meant for each in misspelt_settings(load_sources())] == ["INGEST_CHUNK_SIZE"]
    mail = replace(CRM, name="mail", settings=MailSettings)
    assert misspelt_settings(Sources([*load_sources().values(), mail])) == []
    # Of a package that is left out nobody knows them.
    monkeypatch.setenv("INGEST_MAILBOX", "m")
    left_out = Sources(load_sources().values(), [LeftOut("mail", "it is broken")])
    assert [each.name for each in misspelt_settings(left_out)] == ["INGEST_CHUNK_SIZES"]


def test_they_are_named_once_on_standard_error_and_by_doctor(
    tmp_path: Path, ingest_here: IngestHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)
    (tmp_path / ".env").write_text("SPOOL_DIRR=/tmp\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("CRM_DB_PATHH", "x")
    said = ingest_here(home, "doctor", "--json")
    assert said.status == 1
    assert said.err.splitlines() == [
        "ingest: warning: CRM_DB_PATHH (in the environment) is no setting: did you mean CRM_DB_PATH?",
        "ingest: warning: SPOOL_DIRR (in .env) is no setting: did you mean SPOOL_DIR?",
    ]
    found = [each for each in json.loads(said.out)["findings"] if each["name"] == "settings"]
    assert [each["state"] for each in found] == ["ok", "wrong", "wrong"]


def test_dagster_logs_them(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    from ingest_assets.definitions import defs

    monkeypatch.setenv("QDRANT_APIKEY", "x")
    monkeypatch.setenv("QDRANT_CA_FILE", "ca.pem")
    defs()
    assert "QDRANT_URL is not set, and without it these have no effect: QDRANT_CA_FILE." in caplog.text
    assert "QDRANT_APIKEY (in the environment) is no setting: did you mean QDRANT_API_KEY?" in caplog.text
