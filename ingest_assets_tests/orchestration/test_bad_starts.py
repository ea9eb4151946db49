"""What processes are started with, and cannot work with: a sentence and a status, and nothing is written."""

from __future__ import annotations

import logging
import shutil
import time
from functools import partial
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from ingest_assets.definitions import build_defs
from ingest_assets.interfaces import daemon_health, http
from ingest_assets.interfaces.first_look import say_what_is_wrong
from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.orchestration.instance import open_instance, seconds_since_heartbeat
from ingest_assets.orchestration.resources import Ingest
from ingest_assets.orchestration.supervision import Watched
from ingest_assets_tests.support.built_index import ROOT, Home, new_home
from ingest_assets_tests.support.faulty_server import faulty_server
from ingest_assets_tests.support.fixtures import IngestHere, ingest_here
from ingest_assets_tests.support.redis_server import free_port

__all__ = ["ingest_here"]
LAUNCHER = "run_launcher:\n  module: {}\n  class: {}\n"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return new_home(tmp_path / "home", 10)


def _write(home: Home, text: str) -> None:
    home.dagster.mkdir(exist_ok=True)
    (home.dagster / "dagster.yaml").write_text(text, "utf-8")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("storage: [", "cannot be used: while parsing"),
        ("- a\n", "cannot be used: Expected YAML"),
        ("telemetri:\n  enabled: false\n", 'unexpected config entry "telemetri"'),
        (LAUNCHER.format("no.such.module", "X"), "Couldn't import module no.such.module"),
        (LAUNCHER.format("dagster._core.launcher", "X"), "Couldn't find class X"),
        ("storage:\n  postgres:\n    postgres_url: nonsense\n", "cannot be used: Could not parse"),
    ],
)
def test_a_dagster_yaml_that_cannot_be_used(
    text: str, said: str, home: Home, ingest_here: IngestHere
) -> None:
    _write(home, text)
    with pytest.raises(ConfigurationError) as caught, open_instance(home.load()):
        pass
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{home.dagster / 'dagster.yaml'} ")
    for command in ("refresh", "worker"):
        answer = ingest_here(home, command)
        assert (answer.status, answer.err.count("Traceback")) == (2, 0)
        assert said in answer.err
    assert not (home.path / "ingest" / "collections").exists()


@pytest.mark.parametrize("unset", ["DAGSTER_POSTGRES_URL", "CELERY_BROKER_URL"])
def test_a_variable_that_dagster_yaml_names_is_not_set(
    unset: str, home: Home, ingest_here: IngestHere, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", postgres)
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:9/0")
    monkeypatch.delenv(unset)
    home.dagster.mkdir(exist_ok=True)
    shutil.copy(ROOT / "deploy" / "celery" / "dagster.yaml", home.dagster)
    answer = ingest_here(home, "worker")
    assert (answer.status, answer.out) == (2, "")
    assert answer.err == f"ingest: {home.dagster / 'dagster.yaml'} needs {unset}, which is not set.\n"


def test_dagsters_records_are_away(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagster_postgres.utils.time.sleep", lambda _: None)
    url = f"postgresql://me:a-password-of-it@127.0.0.1:{free_port()}/dagster"
    _write(home, f"storage:\n  postgres:\n    postgres_url: {url}\n")
    with pytest.raises(UnavailableError, match="Connection refused") as caught, open_instance(home.load()):
        pass
    assert "a-password-of-it" not in str(caught.value)
    with pytest.raises(UnavailableError, match="Dagster's records"):
        seconds_since_heartbeat(home.load())


@pytest.fixture
def newer(home: Home) -> Home:
    """One whose ledger another process, of a newer version, has migrated."""
    with home.bench() as bench, bench.ledger.transaction() as connection:
        connection.execute(sa.text("update alembic_version set version_num = '9999'"))
    return home


def test_every_process_says_that_the_ledger_is_newer_when_it_starts(
    newer: Home, caplog: pytest.LogCaptureFixture
) -> None:
    said = "was written by a newer version (revision 9999"
    with newer.instance() as instance, newer.bench() as bench:
        caplog.set_level(logging.WARNING)
        say = partial(say_what_is_wrong, newer.load())
        with TestClient(daemon_health.application(Watched(instance, bench).health, bytes, at_start=say)):
            pass
        assert caplog.text.count(said) == 1, "the daemon, which nobody has asked"
        caplog.clear()
        with TestClient(http.create_app(http.Service(newer.load()))):
            ends = time.monotonic() + 20
            while said not in caplog.text and time.monotonic() < ends:
                time.sleep(0.02)  # another thread looks
        assert said in caplog.text, "serve, which nobody has asked"
        sensor = build_defs(newer.overrides).get_repository_def().get_sensor_def("indexing_jobs_sensor")
        resources = {"ingest": Ingest(overrides=newer.overrides)}
        with dg.build_sensor_context(instance=instance, resources=resources) as context:
            skipped = sensor(context)
        assert isinstance(skipped, dg.SkipReason)
        assert said in (skipped.skip_message or "")


def test_the_daemon_says_that_qdrant_is_too_old_when_it_starts(
    home: Home, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest_assets.collection.server.connection.OLDEST", (99, 0))
    with faulty_server() as server:
        say_what_is_wrong(home.with_settings(qdrant_url=server.url).load())
    assert "99.0 or newer is needed. Upgrade it" in caplog.text
    caplog.clear()
    say_what_is_wrong(home.with_settings(qdrant_url=server.url).load())
    assert f"Qdrant at {server.url} (crm_chunks) does not answer" in caplog.text
    caplog.clear()
    say_what_is_wrong(home.load())
    assert caplog.text == ""
