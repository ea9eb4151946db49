"""`ingest doctor`, and what a newcomer sees before anything is configured."""

from __future__ import annotations

import json

import pytest

from ingest_assets import __version__
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import IngestHere


def states(out: str) -> dict[str, str]:
    return {each["name"]: each["state"] for each in json.loads(out)["findings"]}


def test_the_version(empty: Home, ingest_here: IngestHere) -> None:
    assert ingest_here(empty, "--version").out == f"{__version__}\n"


def test_a_built_index_has_nothing_wrong(built_once: Home, ingest_here: IngestHere) -> None:
    said = ingest_here(built_once, "doctor", "--json")
    assert said.status == 0, said.everything
    found = states(said.out)
    assert "wrong" not in found.values()
    assert {found[name] for name in ("settings", "ledger", "store", "dense model", "source crm")} == {"ok"}
    assert found["source repositories"] == "not configured"
    shown = ingest_here(built_once, "doctor")
    assert shown.status == 0
    assert "crm_chunks generation 1" in shown.out


def test_whatever_is_wrong_is_found_and_the_rest_is_still_checked(
    built_once: Home, ingest_here: IngestHere
) -> None:
    wrong = built_once.with_settings(ingest_dense_model="best", crm_mapping_path="gone.toml")
    said = ingest_here(wrong, "doctor", "--json")
    assert said.status == 1
    found = states(said.out)
    assert (found["dense model"], found["source crm"], found["ledger"]) == ("wrong", "wrong", "ok")
    assert "must be bundled, fastembed:MODEL or endpoint:MODEL" in said.out


@pytest.mark.parametrize(
    ("alone", "needed"),
    [("qdrant_api_key", "QDRANT_URL"), ("qdrant_replicas", "QDRANT_URL"), ("redis_password", "REDIS_HOST"),
     ("spark_control_api_key", "SPARK_CONTROL_URL"), ("gate_token", "GATE_URL"),
     ("pass1_llm_api_key", "PASS1_LLM_URL")],
)  # fmt: skip
def test_a_setting_that_means_nothing_alone_is_found(
    alone: str, needed: str, built_once: Home, ingest_here: IngestHere
) -> None:
    value = "2" if alone == "qdrant_replicas" else "a-key-of-some-length"
    said = ingest_here(built_once.with_settings(**{alone: value}), "doctor", "--json")
    assert said.status == 1
    sentence = f"{needed} is not set, and without it these have no effect: {alone.upper()}."
    assert sentence in said.out
    assert said.err == f"ingest: warning: {sentence}\n", "every command says it when it starts"
    assert "a-key-of-some-length" not in said.everything


def test_settings_that_cannot_be_read_are_a_finding(empty: Home, ingest_here: IngestHere) -> None:
    said = ingest_here(empty.with_settings(ingest_chunk_unit="words"), "doctor", "--json")
    assert said.status == 1
    assert states(said.out) == {"settings": "wrong"}
    assert "INGEST_CHUNK_UNIT='words'" in said.out


def test_nothing_is_configured(empty: Home, ingest_here: IngestHere) -> None:
    unset = empty.with_settings(crm_db_path=None)
    said = ingest_here(unset, "refresh")
    assert said.status == 2
    assert said.err.startswith("ingest: No source is configured. CRM_DB_PATH is not set. ")
    assert "`ingest repository add`" in said.err
    doctor = ingest_here(unset, "doctor", "--json")
    assert doctor.status == 0, "what is not configured is not wrong"
    assert states(doctor.out)["source crm"] == "not configured"


@pytest.mark.parametrize("option", ["--part", "--repository"])
def test_a_part_that_does_not_exist(empty: Home, ingest_here: IngestHere, option: str) -> None:
    said = ingest_here(empty, "refresh", option, "github.com/owner/name")
    assert said.status == 2
    assert "There is no part 'github.com/owner/name' of any source." in said.err
