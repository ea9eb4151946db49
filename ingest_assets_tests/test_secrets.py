"""No secret leaves the product: not on a terminal, over HTTP or MCP, in a log, in Dagster, or in any file.

Another secret is planted in every setting and place. Servers that repeat all that they are sent make
everything fail, and then every output, every table of every SQLite file and every file is searched for every
spelling of every secret.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from pydantic import SecretStr

from ingest_assets.settings import Settings
from ingest_assets.sources.spool import write_batch
from ingest_assets.sources.spool.places import Spool
from ingest_assets_tests.support import planted_secrets
from ingest_assets_tests.support.built_index import Home, run_command
from ingest_assets_tests.support.fixtures import IngestHere
from ingest_assets_tests.support.planted_secrets import S, Searched, cells_of, searched
from ingest_assets_tests.support.redis_server import stranger
from ingest_assets_tests.support.repeating_servers import refusing_postgres, repeating
from ingest_assets_tests.support.spellings import spelt_in
from ingest_assets_tests.support.variables import fields

pytest_plugins = ["ingest_assets_tests.support.fixtures"]
__all__ = ["searched"]  # a fixture

COMMANDS = (
    ("refresh",),
    ("search", "renewal", "--json"),
    ("build", "--json"),
    ("status",),
    ("audit",),
    ("doctor",),
)


def with_user(url: str, user: str, password: str, query: str = "") -> str:
    return url.replace("//", f"//{user}:{quote(password, safe='')}@") + query


ANSWERS = [
    (401, True),
    *(
        pytest.param(*answer, marks=pytest.mark.thorough)
        for answer in ((500, True), (422, True), (200, False))
    ),
]


@pytest.mark.parametrize(("status", "as_json"), ANSWERS)
def test_a_qdrant_that_repeats_all(searched: Searched, status: int, as_json: bool) -> None:
    with repeating() as server:
        server.status, server.as_json = status, as_json
        given = {"qdrant_url": server.url, "qdrant_api_key": S["qdrant_key"], "qdrant_retry_s": 0}
        for command in COMMANDS if status == 500 else COMMANDS[:2]:
            searched.run(*command, **given)
        assert S["qdrant_key"] in "".join(server.asked), "it was never sent"
        url = with_user(server.url, S["qdrant_user"], S["qdrant_password"], f"?token={S['qdrant_query']}")
        searched.run("doctor", **(given | {"qdrant_url": url}))
        searched.run("search", "x", **(given | {"qdrant_url": url}))
        searched.run("search", "x", **(given | {"qdrant_url": url, "qdrant_retry_s": "wrong"}))
    searched.require_no_secrets()


@pytest.mark.parametrize(("status", "as_json"), ANSWERS)
@pytest.mark.thorough
def test_an_endpoint_that_repeats_all(searched: Searched, status: int, as_json: bool) -> None:
    with repeating() as server:
        server.status, server.as_json = status, as_json
        given = {"spark_control_api_key": S["endpoint_key"], "ingest_dense_dimension": 8}
        url = with_user(server.url, S["endpoint_user"], S["endpoint_password"])
        for command in COMMANDS if status == 500 else COMMANDS[:1]:
            searched.run(*command, spark_control_url=server.url, **given)
        searched.run("doctor", spark_control_url=url, ingest_dense_dimension=8)
        searched.run("doctor", spark_control_url=f"{url}?token=x", ingest_embed_timeout_s="soon")
        heard = "".join(server.asked)
        assert f"Bearer {S['endpoint_key']}" in heard
        assert spelt_in(S["endpoint_password"], heard), "it was never sent"
    searched.require_no_secrets()


@pytest.mark.parametrize(("status", "as_json"), ANSWERS)
@pytest.mark.thorough
def test_an_efetch_and_a_model_that_repeat_all(searched: Searched, status: int, as_json: bool) -> None:
    (searched.home.path / "paper.md").write_text("# A paper\n\nAspirin treats pain.\n")
    with repeating() as server:
        server.status, server.as_json = status, as_json
        given = {
            "ncbi_api_key": S["ncbi_key"],
            "ingest_paper_efetch_url": f"{server.url}/efetch",
            "ingest_paper_hosts": server.url.removeprefix("http://"),
            "ingest_paper_protocols": "https,http",
            "ingest_paper_private_addresses": "true",
            "ingest_paper_timeout_s": 3,
            "pass1_llm_backend": "openai",
            "pass1_llm_url": server.url,
            "pass1_llm_model": "m",
            "pass1_llm_api_key": S["model_key"],
            "pass1_llm_timeout_s": 3,
        }
        searched.run("paper", "add", "PMC1", **given)
        searched.run("paper", "add", "paper.md", **given)
        searched.run("refresh", "--source", "papers", **given)
        searched.run("paper", "show", "paper", "--json", **given)
        searched.run("parked", **given)
        searched.run("doctor", **given)
        heard = "".join(server.asked)
        assert f"Bearer {S['model_key']}" in heard
        assert spelt_in(S["ncbi_key"], heard), "it was never sent"
    searched.require_no_secrets()


@pytest.mark.thorough
def test_a_postgres_that_repeats_the_password(searched: Searched) -> None:
    with refusing_postgres() as (port, heard):
        url = (
            with_user(f"postgresql://127.0.0.1:{port}/ledger", S["ledger_user"], S["ledger_password"])
            + f"?application_name={S['ledger_query']}"
        )
        for command in (*COMMANDS, ("note", "list"), ("repository", "list"), ("mcp",)):
            searched.run(*command, ingest_ledger_url=url)
        for name in ("database_url", "supabase_db_url"):
            searched.run("doctor", **{name: url})
            searched.run(
                "doctor", **{name: url.replace("postgresql", "postgres") + "x"}, ingest_ledger_url=url
            )
        searched.run("status", ingest_ledger_url=f"postgresql://{S['ledger_user']}@127.0.0.1:{port}/x")
        for wrong in (url.replace("postgresql", "mysql"), url.replace(f":{port}", ":port"), url[13:]):
            searched.run("status", ingest_ledger_url=wrong)
        crm = with_user(f"postgresql://127.0.0.1:{port}/crm", S["crm_user"], S["crm_password"])
        for command in (("doctor",), ("refresh", "--source", "crm"), ("status",)):
            for each in (crm, crm.replace("postgresql", "oracle")):
                searched.run(*command, crm_db_path="", crm_db_url=each)
        assert S["ledger_password"] in heard
        assert S["crm_password"] in heard
        assert S["libpq_password"] in heard
    searched.require_no_secrets()


@pytest.mark.thorough
def test_a_redis_that_repeats_the_password(searched: Searched, ingest_here: IngestHere) -> None:
    assert ingest_here(searched.home, "build").status == 0
    heard: list[bytes] = []

    def repeat(code: str, connection: socket.socket, request: bytes) -> None:
        heard.append(request)
        said = request.decode().replace("\r\n", " ")
        connection.sendall(f"-{code} {said} {said!r} {json.dumps(said)}\r\n".encode())

    for code in ("ERR", "WRONGPASS", "LOADING"):
        with stranger(partial(repeat, code)) as one:
            given = {"redis_host": "127.0.0.1", "redis_port": one.port, "redis_password": S["redis_password"]}
            searched.run("search", "renewal", **given)
            searched.run("doctor", **given)
            searched.run("doctor", **given, redis_timeout_s="soon")
    assert S["redis_password"].encode() in b"".join(heard)
    searched.require_no_secrets()


@pytest.mark.thorough
def test_a_listener_and_recipients_that_repeat_all(searched: Searched) -> None:
    spool = Spool(searched.home.path / "spool")
    spool.prepare()
    write_batch(spool.root, [{"text": "The parcel is late."}], source="desk")
    write_batch(spool.root, [{"text": S["locked_text"]}], source="calls", pii=True, batch_tag="locked")
    with repeating() as server:
        alerts = f"{server.url}/services/{S['alert_path']}?token={S['alert_token']}"
        given = {
            "spool_dir": str(spool.root),
            "gate_url": with_user(server.url, S["gate_user"], S["gate_password"]) + "/gate",
            "gate_token": S["gate_token"],
            "gate_max_attempts": 1,
            "gate_timeout_s": 2,
            "alert_webhook_url": alerts,
            "alert_urls": f"mailto://ann:{S['mail_password']}@127.0.0.1:9?to=ops@example.com",
        }
        without_user = given | {"gate_url": f"{server.url}/gate"}
        for settings in (given, without_user):
            for command in (
                *(("refresh", "--source", "spool"), ("spool", "deliver", "--again"), ("spool", "list")),
                *(("spool", "show", "locked"), ("gate", "list"), ("doctor",), ("status", "--json")),
            ):
                searched.run(*command, **settings)
        heard = "".join(server.asked)
        assert f"Bearer {S['gate_token']}" in heard
        assert S["alert_token"] in heard, "it was never sent"
    # Of the files, only the batch itself has its text.
    [file] = spool.processing.glob("locked*")
    file.rename(searched.home.path.parent / "kept")
    searched.require_no_secrets()


DAGSTER = """
import json, logging, sys
import dagster as dg
from ingest_assets.definitions import defs
from ingest_assets.orchestration.resources import Ingest
from ingest_assets.settings import load_settings

loaded = defs()
with dg.DagsterInstance.get() as instance:
    for job in ("refresh_search_index", "build_search_index", "audit_search_index"):
        run = loaded.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False)
        print(job, run.success, [str(event) for event in run.all_events])
    repository = loaded.get_repository_def()
    with dg.build_resources({"ingest": Ingest()}) as made:
        for sensor in repository.sensor_defs:
            with dg.build_sensor_context(
                instance=instance, repository_def=repository, resources={"ingest": made.ingest}
            ) as context:
                try:
                    print(sensor.name, sensor.evaluate_tick(context))
                except Exception:
                    logging.exception("tick")
        for schedule in repository.schedule_defs:
            with dg.build_schedule_context(
                instance=instance, repository_def=repository, resources={"ingest": made.ingest}
            ) as context:
                try:
                    print(schedule.name, schedule.evaluate_tick(context))
                except Exception:
                    logging.exception("tick")
settings = load_settings()
raise RuntimeError(f"at the end {settings.ledger_url} {settings.qdrant_api_key.get_secret_value()}")
"""


@pytest.mark.thorough
def test_dagster_its_events_ticks_and_tables(searched: Searched) -> None:
    with repeating() as server, refusing_postgres() as (port, _):
        ledger = with_user(f"postgresql://127.0.0.1:{port}/ledger", S["ledger_user"], S["ledger_password"])
        stores: dict[str, dict[str, Any]] = {
            "qdrant": {"qdrant_url": server.url, "qdrant_retry_s": 0},
            "endpoint": {"spark_control_url": server.url, "spark_control_api_key": S["endpoint_key"]},
            "ledger": {"ingest_ledger_url": ledger},
        }
        for name, settings in stores.items():
            home = searched.home.with_settings(qdrant_api_key=S["qdrant_key"], **settings)
            said = run_command([sys.executable, "-c", DAGSTER], home, timeout_s=200)
            assert "refresh_search_index False" in said.out, said.everything
            assert "RuntimeError: at the end" in said.err, said.err
            searched.add(name, said.everything)
            program = [str(Path(sys.executable).parent / "dagster"), "job", "execute"]
            module = ["-m", "ingest_assets.definitions", "-j", "refresh_search_index"]
            searched.add(f"dagster {name}", run_command([*program, *module], home).everything)
        assert any(S["qdrant_key"] in asked for asked in server.asked)
    events = list(searched.home.dagster.rglob("*.db"))
    assert any("history" in str(file) for file in events)
    assert any("STEP_FAILURE" in "".join(cells_of(file)) for file in events), "nothing failed"
    searched.require_no_secrets()


def test_http_and_mcp_and_the_servers_log(searched: Searched, ingest_here: IngestHere) -> None:
    with repeating() as server:
        home = searched.home
        assert ingest_here(home, "build").status == 0
        home = home.with_settings(
            spark_control_url=with_user(server.url, S["endpoint_user"], S["endpoint_password"]),
            qdrant_url=server.url,
            qdrant_retry_s=0,
            qdrant_api_key=S["qdrant_key"],
        )
        with serving(home) as (url, process):
            searched.add("asked over HTTP", "\n".join(_asked(url)))
            process.terminate()
            process.wait(timeout=30)
        # Among the files that are searched.
        log = (home.path / "server.log").read_text("utf-8")
        assert "ingest: warning" in log or "ingest: error" in log, log
        assert any(S["qdrant_key"] in asked for asked in server.asked)
    searched.require_no_secrets()


@contextmanager
def serving(home: Home) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with (home.path / "server.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ingest_assets", "serve", "--json"],
            env=home.env, cwd=home.path, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        yield json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")["url"], process
    finally:
        process.kill()
        process.wait()


def _asked(url: str) -> Iterator[str]:
    token = S["token"]
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    tools = [{"name": "search", "arguments": {"query": "renewal"}}, {"name": "nothing", "arguments": {}}]
    paths = ("/search?query=renewal", "/ready", "/metrics", "/status", "/jobs", "/sources", "/openapi.json")
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        for given in (token, S["second_token"], token[:-1], "-"):
            headers = {"Authorization": f"Bearer {given}", "Accept": "application/json, text/event-stream"}
            for path in paths:
                answer = client.get(path, headers=headers)
                yield f"{path} {dict(answer.headers)} {answer.text}"
            # What is sent in a URL may be repeated to whoever sent it, but is not logged.
            client.get(f"/search?query=x&token={quote(token)}", headers=headers)
            client.get(f"/{quote(token, safe='')}", headers=headers)
            yield client.post("/search", content=b"\xff", headers=headers).text
            for tool in tools:
                yield client.post("/mcp", json=call | {"params": tool}, headers=headers).text


@pytest.mark.thorough
def test_a_repository_that_repeats_all(searched: Searched) -> None:
    with repeating() as server:
        where = f"127.0.0.1:{server.port}"
        given = {
            "ingest_repository_protocols": "http,https",
            "ingest_repository_private_addresses": True,
            "ingest_repository_tokens": f"{where}={S['repository_token']}",
        }
        for status in (401, 404, 500, 200):
            server.status = status
            searched.run("repository", "add", f"http://{where}/team/repo", **given)
            searched.run("refresh", "--source", "repositories", **given)
            searched.run("doctor", **given)
        for url in (
            f"http://ada:{S['repository_token']}@{where}/x",
            f"http://{where}/x?t={S['repository_token']}",
        ):
            searched.run("repository", "add", url, **given)
        assert len(server.asked) >= 4
    searched.require_no_secrets()


def test_wrong_input_and_help(searched: Searched) -> None:
    everything = {
        "qdrant_api_key": S["qdrant_key"],
        "spark_control_api_key": S["endpoint_key"],
        "ingest_ledger_url": "sqlite:///nowhere/at/all/x.sqlite",
    }
    for command in (
        ("-h",),
        ("--help",),
        ("search", "--help"),
        ("search", "x", "--limit", "no"),
        ("nothing",),
    ):
        searched.run(*command, **everything)
    for name in ("ingest_chunk_size", "ingest_http_port", "ingest_repository_max_mib"):
        searched.run("refresh", **everything, **{name: "wrong"})
    searched.run("status", **(everything | {"ingest_api_tokens": f"ann;{S['token']};read"}))
    searched.require_no_secrets()


def test_every_secret_of_the_settings_is_planted() -> None:
    secret = {name for name, field in fields().items() if "SecretStr" in str(field.annotation)}
    program = "".join(Path(file).read_text("utf-8") for file in (__file__, planted_secrets.__file__))
    assert secret >= {"ingest_api_tokens", "qdrant_api_key", "ingest_ledger_url"}
    assert [name for name in (*secret, "qdrant_url", "spark_control_url") if f"{name}" not in program] == []


def test_secrets_are_known_in_a_process_that_was_given_the_settings(tmp_path: Path) -> None:
    """As the search processes of the server are, which load none."""
    import pickle

    settings = Settings(_env_file=None, qdrant_api_key=SecretStr(S["qdrant_key"]))
    (tmp_path / "settings").write_bytes(pickle.dumps(settings))
    program = (
        "import logging, pickle, sys; pickle.load(open(sys.argv[1], 'rb'));"
        "logging.warning('sent %s', sys.stdin.read())"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "settings"],
        check=True, capture_output=True, text=True, input=S["qdrant_key"],
    )  # fmt: skip
    assert said.stderr.strip() == "WARNING:root:sent (hidden)"
