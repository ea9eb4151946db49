"""Wrong input, wrong settings and systems that are down: one clear message, no traceback, no secret."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ingest_assets.model import ConfigurationError
from ingest_assets.queries.search import Searcher
from ingest_assets_tests.orchestration.jobs import data_versions
from ingest_assets_tests.support.built_index import Home, Said, command, ingest, run_command
from ingest_assets_tests.support.fixtures import IngestHere

SECRET = "hunter2-very-secret"


@pytest.fixture(scope="module")
def closed_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def refused(said: Said, *sentences: str, status: int = 2) -> None:
    assert said.status == status, said.everything
    text = " ".join(said.err.replace("│", " ").split())
    for sentence in sentences:
        assert sentence in text
    assert not said.out
    assert len(said.err.splitlines()) < 8
    assert SECRET not in said.everything


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["serach", "x"], "No such command 'serach'"),
        (["search"], "Missing argument"),
        (["search", "x", "--mode", "fuzzy"], "There is no mode 'fuzzy'. Modes: dense, sparse, hybrid."),
        (
            ["search", "x", "--source", "erp"],
            "there is no source 'erp'. Sources: crm, papers, repositories, spool.",
        ),
        (["watch", "--source", "erp"], "there is no source 'erp'."),
        (["watch", "--source", "crm"], "crm does not say when a refresh of it is due."),
        (["watch"], "SPOOL_DIR is not set."),
        (["mapping", "check", "none.toml"], "The mapping file none.toml cannot be read"),
        (["mapping", "preview", "dragons"], "The mapping has no 'dragons'. It has: people, organisations,"),
        (["mapping", "preview", "--limit", "0"], "Invalid value for '--limit'"),
        (["spool", "list"], "SPOOL_DIR is not set."),
        (["spool", "list", "--status", "lost"], "--status is one of queued, processing, success, failed"),
        (["spool", "add", "x.msgpack"], "SPOOL_DIR is not set."),
        (["spool", "show", "none"], "There is no batch 'none'."),
        (["spool", "remove", "none"], "Missing option '--why'."),
        (["spool", "remove", "none", "--why", " "], "Say why"),
        (["spool", "maintain"], "SPOOL_DIR is not set."),
        (["gate", "list", "--state", "ajar"], "--state is one of locked, open; not 'ajar'."),
        (["gate", "open", "none", "--why", "x"], "There is no batch 'none'."),
        (["gate", "open", "none", "--why", "x" * 301], "at most 300 are kept"),
        (["gate", "close", "none", "--why", "x"], "There is no batch 'none'."),
        (["gate", "wait", "none"], "There is no batch 'none'."),
        (["gate", "wait", "none", "--timeout", "-1"], "greater than or equal to 0"),
        (
            ["repository", "add", "https://github.com/a/b/pulls"],
            "which is https://github.com/a/b (and a branch",
        ),
        (
            ["repository", "add", "https://github.com/a"],
            "names no repository: it is https://github.com/OWNER",
        ),
        (
            ["repository", "remove", "https://github.com/a/b"],
            "There is no repository 'https://github.com/a/b'.",
        ),
        (["repository", "skips", "a/b"], "`ingest repository list` shows those there are"),
        (["job", "list", "--status", "done"], "--status is one of pending, running, completed, failed"),
        (["job", "show", "none"], "There is no job 'none'"),
        (["job", "run", "none"], "There is no job 'none'"),
        (["search", "x", "--limit", "0"], "The limit must be 1 to 1000, not 0."),
        (["search", "x", "--limit", "-1"], "The limit must be 1 to 1000, not -1."),
        (["search", "x", "--limit", "1001"], "The limit must be 1 to 1000, not 1001."),
        (["search", "x", "--limit", "ten"], "Invalid value for '--limit'"),
        (["search", "x", "--filter", "colour=red"], "Cannot filter by colour. Fields: document_id, kind,"),
        (
            ["search", "x", "--filter", "kind"],
            "--filter takes FIELD=VALUE, for example kind=email; not 'kind'.",
        ),
        (["search", "x", "--filter", "since=soon"], "since=soon is not a date or time."),
        (["search", ""], "The query is empty"),
        (["search", " \t\n"], "The query is empty"),
        (["parked", "--source", "erp"], "there is no source 'erp'"),
        (["refresh", "--source", "erp"], "there is no source 'erp'"),
        (["sample", "crm", "--documents", "3000000"], "less than or equal to 2000000"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(built_once: Home, ingest_here: IngestHere, arguments: list[str], sentence: str) -> None:
    refused(ingest_here(built_once, *arguments), sentence)


def test_unusual_queries_are_ordinary_queries(built_once: Home, ingest_here: IngestHere) -> None:
    bytes_of_no_encoding = ingest(built_once, "search", "--json", "--limit", "1", b"renewal \xff\xfe")
    assert bytes_of_no_encoding.status == 0
    assert json.loads(bytes_of_no_encoding.out)["query"] == "renewal \udcff\udcfe"
    for query in ("😀 ünï", "x" * 100_000, "renewal " * 12_500, "\x01\x02 renewal", "--", "[bold]", "'\""):
        said = ingest_here(built_once, "search", "--json", "--limit", "1", "--", query)
        assert said.status == 0, query[:20]
        assert json.loads(said.out)["query"] == query
        assert not said.err
        assert ingest_here(built_once, "search", "--limit", "1", "--", query).status == 0
    with built_once.bench() as bench:
        for text in ("a\x00b", "\ud800 renewal", "\u202erenewal\u202c"):
            for mode in ("dense", "sparse", "hybrid"):
                Searcher(bench, "crm").search(text, mode=mode)
        with pytest.raises(ConfigurationError, match="The query is empty"):
            Searcher(bench, "crm").search("\r\n")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_characters_that_the_encoding_lacks_are_escaped(built: Home, encoding: str) -> None:
    env = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    said = run_command(command("search", "😀 renewal…", "--json"), built, env=env)
    assert said.status == 0, said.err
    assert json.loads(said.out)["query"] == "😀 renewal…"
    assert ingest(built, "search", "😀 renewal…", env=env).status == 0


# A CRM that cannot be read


def _missing(crm: Path) -> None:
    crm.unlink()


def _not_a_database(crm: Path) -> None:
    crm.write_text("name,address\n" * 1_000)


def _truncated(crm: Path) -> None:
    with sqlite3.connect(crm) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    os.truncate(crm, crm.stat().st_size // 3)


def _without_a_table(crm: Path) -> None:
    with sqlite3.connect(crm) as connection:
        connection.execute("DROP TABLE opportunities")


def _empty_file(crm: Path) -> None:
    crm.write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_missing, "does not exist. Set it to the CRM's SQLite file."),
        (_not_a_database, "is not an SQLite database"),
        (_truncated, "damaged or cut short"),
        (_without_a_table, 'there is no table or view "opportunities"'),
        (_empty_file, "is empty"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_crm_that_cannot_be_read_fails_the_run_and_leaves_the_index_alone(
    built: Home, spoil: object, sentence: str, ingest_here: IngestHere
) -> None:
    assert callable(spoil)
    with built.instance() as instance:
        before = data_versions(instance)
    spoil(built.crm)
    said = ingest_here(built, "refresh")
    assert said.status == 1
    assert sentence in " ".join(said.out.split())
    assert "The run failed. Finished work is kept, the live index is untouched." in said.out
    assert not said.err
    with built.instance() as instance:
        assert data_versions(instance) == before
    with built.bench() as bench:
        assert Searcher(bench, "crm").search("renewal", limit=3).hits, "the live index cannot be searched"


# Settings


@pytest.mark.parametrize(
    ("settings", "sentences"),
    [
        ({"qdrant_url": "localhost:6333"}, ["QDRANT_URL='localhost:6333': must be a URL that begins with"]),
        ({"qdrant_url": "http://localhost:port"}, ["QDRANT_URL=", "a port from 1 to 65535"]),
        ({"qdrant_url": f"ftp://me:{SECRET}@h"}, ["QDRANT_URL='ftp://(hidden)@h': must be a URL"]),
        ({"spark_control_url": f"me:{SECRET}@h"}, ["SPARK_CONTROL_URL='(hidden)@h': must be a URL"]),
        ({"ingest_ledger_url": f"mysql://me:{SECRET}@h/db"}, ["INGEST_LEDGER_URL=(hidden): must begin with"]),
        (
            {"ingest_ledger_url": f"postgresql://me:{SECRET}@h:x/db"},
            ["INGEST_LEDGER_URL=(hidden): must have"],
        ),
        (
            {"crm_ingest_sync_interval_min": "often"},
            ["CRM_INGEST_SYNC_INTERVAL_MIN='often': input should be"],
        ),
        (
            {"ingest_chunk_unit": "words", "qdrant_retry_s": "-1"},
            ["INGEST_CHUNK_UNIT='words'", "QDRANT_RETRY_S='-1'"],
        ),
        (
            {"ingest_dense_model": "best"},
            ["INGEST_DENSE_MODEL='best': must be bundled, fastembed:MODEL or endpoint:MODEL."],
        ),
        ({"ingest_dense_model": "endpoint:x"}, ["INGEST_DENSE_MODEL=endpoint:x needs SPARK_CONTROL_URL."]),
        ({"crm_db_path": None}, ["CRM_DB_PATH is not set.", "ingest sample crm"]),
        ({"crm_mapping_path": "gone.toml"}, ["The mapping file gone.toml cannot be read"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_wrong_settings_are_refused_before_anything_is_done(
    empty: Home, ingest_here: IngestHere, settings: dict[str, str], sentences: list[str]
) -> None:
    home = empty.with_settings(**settings)
    refused(ingest_here(home, "refresh"), *sentences)
    assert not (home.path / "ingest").exists()


def test_places_that_cannot_be_written_to(built: Home, ingest_here: IngestHere) -> None:
    below_a_file = str(built.crm / "below")
    refused(ingest_here(built.with_settings(ingest_home=below_a_file), "status"), "Not a directory")
    refused(ingest_here(built.with_settings(dagster_home=below_a_file), "refresh"), "Not a directory")
    refused(ingest_here(built, "sample", "crm", "--path", f"{below_a_file}/x.sqlite"), "below")
    full = Path("/dev/full")
    if full.exists():
        with full.open("w") as out:
            said = subprocess.run(
                command("status", "--json"), check=False, env=built.env, stdout=out, stderr=subprocess.PIPE
            )
        assert said.returncode == 2
        assert said.stderr == b"ingest: No space left on device\n"


# Systems that are down


def test_a_qdrant_that_is_down(built: Home, closed_port: int, ingest_here: IngestHere) -> None:
    down = built.with_settings(
        qdrant_url=f"http://me:{SECRET}@127.0.0.1:{closed_port}",
        qdrant_api_key=SECRET,
        qdrant_retry_s=0,
    )
    silent = f"Qdrant at http://127.0.0.1:{closed_port} (crm_chunks) does not answer"
    refused(ingest_here(down, "search", "renewal"), silent, "Check QDRANT_URL", status=1)
    refused(ingest_here(down, "audit"), silent, status=1)
    refused(ingest_here(down, "audit", "--replicas"), "--replicas needs the URLs of several nodes")
    table = ingest_here(down, "status").out
    assert silent in " ".join(table.split())
    assert "?" in table, "points that nobody can search are shown as if they were there"
    said = ingest_here(down, "refresh")
    assert said.status == 1
    assert f"crm__collection: {silent}" in said.out
    assert SECRET not in said.everything
    assert ingest_here(built, "search", "renewal").status == 0
    refused(
        ingest_here(down.with_settings(qdrant_grpc_port=closed_port), "search", "renewal"),
        f"{silent} (failed to connect",
        status=1,
    )


def test_an_endpoint_that_is_down(built: Home, closed_port: int, ingest_here: IngestHere) -> None:
    down = built.with_settings(
        spark_control_url=f"http://me:{SECRET}@127.0.0.1:{closed_port}",
        spark_control_api_key=SECRET,
        ingest_embed_max_attempts=1,
    )
    said = ingest_here(down, "refresh")
    assert said.status == 1
    assert (
        f"crm__dense_vectors: http://127.0.0.1:{closed_port}/v1/embeddings could not be reached" in said.out
    )
    assert SECRET not in said.everything
    refused(
        ingest_here(down, "search", "renewal"),
        "could not be reached",
        "Check that the embedding endpoint is running",
        status=1,
    )
    # Search by words still works, and every mode does without the endpoint's settings.
    assert ingest_here(down, "search", "renewal", "--mode", "sparse").status == 0
    assert "1 hits" in ingest_here(built, "search", "renewal", "--limit", "1").out
    _not_recorded(built)


def _not_recorded(home: Home) -> None:
    """No file of Dagster's or ours contains the secret."""
    for path in home.path.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


def test_a_ledger_that_is_down(built: Home, closed_port: int, ingest_here: IngestHere) -> None:
    url = f"postgresql://me:{SECRET}@127.0.0.1:{closed_port}/ledger"
    down = built.with_settings(ingest_ledger_url=url)
    refused(ingest_here(down, "status"), "does not answer", "Check INGEST_LEDGER_URL", status=1)
    said = ingest_here(down, "refresh")
    refused(said, "does not answer", "Check INGEST_LEDGER_URL", status=1)
    assert SECRET not in said.everything
    by_another_name = built.with_settings(ingest_ledger_url=None, database_url=url)
    refused(ingest_here(by_another_name, "status"), "does not answer", "DATABASE_URL", status=1)


def test_search_while_nothing_is_published(empty: Home, ingest_here: IngestHere) -> None:
    refused(
        ingest_here(empty, "search", "renewal"),
        "Nothing has been published as crm_chunks yet. Run `ingest build`.",
    )
    audit = ingest_here(empty, "audit")
    assert audit.status == 0
    assert ingest_here(empty, "parked").out.strip() == "Nothing is parked."


# Pipes, signals and folders


def test_a_reader_that_closes_the_pipe_is_not_an_error(built: Home) -> None:
    for arguments in (["search", "renewal", "--limit", "50"], ["search", "renewal", "--json"], ["status"]):
        process = subprocess.Popen(
            command(*arguments), env=built.env, cwd=built.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.close()
        _, err = process.communicate(timeout=60)
        assert err == b""
        assert process.returncode == 0
    # The exit status is the command's own, whatever the reader does.
    piped = subprocess.run(
        f"{sys.executable} -m ingest_assets refresh --source crm | head -n 1; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        check=True,
        capture_output=True,
        text=True,
        env=built.with_settings(crm_db_path=str(built.path / "gone")).env,
        cwd=built.path,
    )
    assert piped.stdout.splitlines()[-1] == "1"
    assert piped.stderr == ""


def test_an_interrupted_build_ends_quietly_and_does_not_stay_started(empty: Home) -> None:
    import time

    import dagster as dg

    from ingest_assets_tests.embedding.endpoint_server import DIMENSION, Reply, serving

    with serving() as endpoint:
        endpoint.then(Reply(delay_s=30))
        home = empty.with_settings(spark_control_url=endpoint.url, ingest_dense_dimension=DIMENSION)
        process = subprocess.Popen(
            command("build"), env=home.env, cwd=home.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        deadline = time.monotonic() + 60
        while not endpoint.requests and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=25)
    assert process.returncode != 0
    assert b"Traceback" not in out + err, err.decode()
    with home.instance() as instance:
        (run,) = instance.get_runs()
        assert run.status in {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}


def test_without_a_dagster_yaml_the_instance_is_below_ingest_home(built: Home, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    home = built.with_settings(dagster_home=None)
    with home.instance() as instance:
        before = len(instance.get_runs())
    said = ingest(home, "refresh", "--source", "crm", cwd=elsewhere)
    assert said.status == 0, said.everything
    assert not said.err
    assert not list(elsewhere.iterdir())
    below = home.path / "ingest" / "dagster"
    assert "enabled: false" in (below / "dagster.yaml").read_text()
    assert Home(home.path).with_settings(dagster_home=str(below)).refresh().success
    # The dagster.yaml of a parent folder counts.
    inside = home.dagster / "some" / "folder"
    inside.mkdir(parents=True)
    assert ingest(home, "refresh", "--source", "crm", cwd=inside).status == 0
    with home.instance() as instance:
        assert len(instance.get_runs()) == before + 1
