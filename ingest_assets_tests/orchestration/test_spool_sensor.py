"""The spool's sensor: the thresholds, each with its reason in the tick, and gates."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingest_assets.interfaces.cli.runs import run_sources
from ingest_assets.orchestration.resources import Ingest
from ingest_assets.orchestration.sensors import change_sensor
from ingest_assets.settings import load_settings
from ingest_assets.sources.spool import write_batch
from ingest_assets.sources.spool.decisions import Decider
from ingest_assets.sources.spool.definition import SOURCE as SPOOL
from ingest_assets.sources.spool.gates import close_gate, open_gate
from ingest_assets.sources.spool.places import Spool
from ingest_assets_tests.orchestration.runs import looked
from ingest_assets_tests.support.built_index import ROOT, Home

ANN = Decider("ann", "approved", "cli")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home").with_settings(
        crm_db_path=None,
        spool_dir=str(tmp_path / "spool"),
        rag_log_file=str(tmp_path / "logs" / "rag.log"),
        spool_failure_log=str(tmp_path / "logs" / "failures.jsonl"),
        spool_max_age_s=3_600,
    )
    made.dagster.mkdir(parents=True)
    shutil.copy(ROOT / "dagster.yaml", made.dagster)
    Spool(tmp_path / "spool").prepare()
    return made


def write(home: Home, text: str = "The parcel is late.", **given: Any) -> Path:
    return write_batch(home.settings["spool_dir"], [{"text": text}], source="desk", **given)


def look(home: Home) -> str:
    """The key of the run that a tick requests, or why it requests none."""
    sensor = change_sensor(SPOOL, load_settings())
    resources = {"ingest": Ingest(overrides=home.overrides)}
    with home.instance() as instance, dg.build_sensor_context(instance, resources=resources) as context:
        said = looked(sensor, context)
    if isinstance(said, dg.SkipReason):
        return said.skip_message or ""
    assert said.run_key
    return f"key {said.run_key}"


def test_files_bytes_and_age(home: Home) -> None:
    assert look(home) == "SKIPPED: no file is waiting in the spool."
    write(home)
    waits = look(home)
    assert waits.startswith("SKIPPED: 1 files of ")
    assert "for the oldest to be 3600 seconds old" in waits
    assert look(home.with_settings(spool_min_bytes=1)).startswith("key ")
    assert look(home.with_settings(spool_max_age_s=0)).startswith("key ")
    two = home.with_settings(spool_min_files=2)
    assert look(two).startswith("SKIPPED")
    write(home)
    first = look(two)
    assert first.startswith("key ")
    assert look(two) == first, "a run that fails would be requested forever"
    write(home)
    assert look(two) not in {first, waits}


def test_a_file_that_is_being_written_starts_no_run_until_it_is_whole(home: Home) -> None:
    one = home.with_settings(spool_min_files=1, spool_quiet_s=3_600)
    path = Path(home.settings["spool_dir"]) / "incoming" / "slow.msgpack"
    path.write_bytes(b"\x80")  # in its place, and just now
    assert look(one) == "SKIPPED: none of 1 files in the spool is whole yet."
    an_hour_ago = time.time() - 4_000
    os.utime(path, (an_hour_ago, an_hour_ago))
    assert look(one).startswith("key ")


def test_a_gate_that_is_opened_or_closed_starts_a_run_at_once(home: Home) -> None:
    def refresh() -> None:
        report = run_sources(home.load(), sources=["spool"], overrides=home.overrides)
        assert report.success, report.errors

    write(home, pii=True, batch_tag="calls")
    refresh()
    assert look(home) == "SKIPPED: no file is waiting in the spool."
    with home.bench() as bench:
        open_gate(bench.ledger, "calls", ANN)
    opened = look(home)
    assert opened.startswith("key ")
    refresh()
    assert look(home) == "SKIPPED: no file is waiting in the spool."
    with home.bench() as bench:
        close_gate(bench.ledger, "calls", ANN)
    assert look(home).startswith("key ")
    assert look(home) != opened
    refresh()
    assert look(home) == "SKIPPED: no file is waiting in the spool."


def test_a_source_that_is_named_as_personal_starts_a_run_at_once(home: Home) -> None:
    """Its batches are searchable until a run has locked them, and no file may come."""
    write(home, batch_tag="calls")
    assert run_sources(home.load(), sources=["spool"], overrides=home.overrides).success
    assert look(home) == "SKIPPED: no file is waiting in the spool."
    personal = home.with_settings(spool_pii_sources="desk")
    assert look(personal).startswith("key ")
    assert look(personal) == look(personal), "one run for each state"
    assert run_sources(personal.load(), sources=["spool"], overrides=personal.overrides).success
    assert look(personal) == "SKIPPED: no file is waiting in the spool."
