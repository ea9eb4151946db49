"""No secret leaves the product: not on a terminal, over HTTP or MCP, in a log, in Dagster, or in any file.

Another secret is planted in every setting and place. Servers that repeat all that they are sent make
everything fail, and then every output, every table of every SQLite file and every file is searched for every
spelling of every secret.
"""

from __future__ import annotations

import html
import json
import re
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from pydantic import SecretStr

from ingest_assets.settings import Settings
from ingest_assets.sources.spool import write_batch
from ingest_assets.sources.spool.places import Spool
from ingest_assets_tests.support.built_index import Home, ingest, run_command
from ingest_assets_tests.support.fixtures import IngestHere
from ingest_assets_tests.support.redis_server import stranger
from ingest_assets_tests.support.spellings import spelt_in
from ingest_assets_tests.support.variables import fields

pytest_plugins = ["ingest_assets_tests.support.fixtures"]

SECRETS = {
    "qdrant_key": 'qk+Zw/9&Y<"7\\e=',
    "qdrant_user": "qdrant-user-51f0",
    "qdrant_password": 'qp/\xd6 w"rd&1%',
    "qdrant_query": "qq-5e6f7a8b9c",
    "ledger_user": "ledger-user-77a1",
    "ledger_password": "lp/'x y:z@%25",
    "ledger_query": "lq-1a2b3c4d5e",
    "crm_user": "crm-user-3b7d",
    "crm_password": "cp/'y z:@%26",
    "endpoint_key": 'sk-<Ab>/&"+9=',
    "endpoint_user": "spark-user-90c2",
    "endpoint_password": "sp w\xf6rd/&+'\\",
    "token": "tokenA1b2C3d4E5f6G7h8._~/=",
    "second_token": "secondA1b2C3d4E5f6G7h8",
    "ui_token": "uiTokenQ1w2E3r4T5y6U7i8",
    "repository_token": "rt-9f8e7d6c5b4a+/=",
    "proxy_password": "pp-0d1e2f/&x",
    "ncbi_key": "ncbi-7c8d9e0f&/=",
    "model_key": 'mk-<Xy>/&"+7=',
    "libpq_password": "pgpw-4d5e6f&7",
    "gate_user": "gate-user-31d4",
    "gate_password": "gp w/&+5\\",
    "gate_token": "gt-1f2e3d4c+/=<&",
    "alert_path": "T0AbC1dEf2/B3gHi4",
    "alert_token": "at-5a6b7c8d9e",
    "mail_password": "mp-2b3c4d5e6f",
    # No setting, and kept to itself all the same.
    "locked_text": "The caller is Zephyrine Quillfeather",
    "redis_password": 'rp-<Zz>&"/ 1%\\',
}
S = SECRETS


@dataclass
class Repeating:
    """A server that answers every request with all that was in it."""

    url: str = ""
    status: int = 500
    as_json: bool = True
    asked: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


def _repeated(request: BaseHTTPRequestHandler) -> str:
    """The request in the spellings that servers and their libraries use."""
    raw = f"{request.command} {request.path}\n{request.headers}"
    pairs = dict(request.headers.items())
    ways = [
        repr(pairs),
        json.dumps(pairs),
        html.escape(raw),
        quote(raw, safe=""),
        json.dumps(json.dumps(pairs)),
    ]
    return "\n".join([*(f"{name} is {value}" for name, value in pairs.items()), raw, *ways])


@contextmanager
def repeating() -> Iterator[Repeating]:
    server = Repeating()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            said = _repeated(self)
            server.asked.append(said)
            body = {"status": {"error": said}, "error": {"message": said}, "detail": said, "message": said}
            raw = (json.dumps(body) if server.as_json else said).encode("utf-8", "replace")
            self.send_response(server.status, f"Refused {self.headers.get('api-key') or 'you'}")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):  # whatever the method
                return self._answer
            raise AttributeError(name)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        server.url = f"http://127.0.0.1:{running.server_port}"
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            running.shutdown()


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


@contextmanager
def refusing_postgres() -> Iterator[tuple[int, list[str]]]:
    """A Postgres that asks for the password, and repeats it when it refuses it."""
    listening = socket.create_server(("127.0.0.1", 0))
    heard: list[str] = []

    def talk(client: socket.socket) -> None:
        with client, client.makefile("rb") as reading:
            while True:
                (size,) = struct.unpack(">I", reading.read(4))
                start = reading.read(size - 4)
                if start[:4] != struct.pack(">I", 80877103):
                    break
                client.sendall(b"N")  # no TLS
            client.sendall(_message(b"R", struct.pack(">I", 3)))
            reading.read(1)
            (size,) = struct.unpack(">I", reading.read(4))
            password = reading.read(size - 4).rstrip(b"\0").decode()
            heard.append(password)
            said = f"refused: {start[4:]!r} with {password} that is {password!r} {json.dumps(password)}"
            client.sendall(_message(b"E", b"SFATAL\0C28P01\0M" + said.encode() + b"\0\0"))

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(client,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    with closing(listening):
        yield listening.getsockname()[1], heard


class Searched:
    """Everything that was put out."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.outputs: dict[str, str] = {}

    def add(self, what: str, text: str) -> None:
        assert what not in self.outputs, what
        self.outputs[what] = text

    def run(self, *arguments: str, **settings: Any) -> str:
        said = ingest(self.home.with_settings(**settings), *arguments)
        self.add(f"{' '.join(arguments)} {len(self.outputs)}", said.everything)
        return said.everything

    def places(self) -> Iterator[tuple[str, str]]:
        yield from self.outputs.items()
        for file in sorted(self.home.path.rglob("*")):
            if file.is_file():
                raw = re.sub(rb"\0{16,}", b"\0", file.read_bytes())  # the engine's files are mostly empty
                yield str(file), raw.decode("utf-8", "replace")
                if raw.startswith(b"SQLite format 3"):
                    yield f"{file}, by table", "\n".join(_cells(file))

    def require_no_secrets(self) -> None:
        found = [
            f"{name}, {way}: {place}"
            for place, text in self.places()
            for name, secret in SECRETS.items()
            for way in spelt_in(secret, text)
        ]
        assert found == []


def _cells(file: Path) -> Iterator[str]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        tables = database.execute("select name from sqlite_master where type = 'table'").fetchall()
        for (table,) in tables:
            for row in database.execute(f'select * from "{table}"'):
                yield from (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                            for value in row)  # fmt: skip


@pytest.fixture
def searched(empty: Home) -> Searched:
    planted = {
        "ingest_api_tokens": f"ann:{S['token']}:read+ingest+write,bob:{S['second_token']}:read",
        "ingest_ui_tokens": f"eve:{S['ui_token']}",
        "ingest_repository_tokens": f"git.example.com={S['repository_token']}",
        "ingest_embed_max_attempts": 1,
        "ingest_http_port": 0,
        "https_proxy": f"http://proxy:{quote(S['proxy_password'], safe='')}@127.0.0.1:9",
        "no_proxy": "127.0.0.1",
        "pgpassword": S["libpq_password"],
    }
    return Searched(empty.with_settings(**planted))


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
    assert any("STEP_FAILURE" in "".join(_cells(file)) for file in events), "nothing failed"
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
    program = Path(__file__).read_text("utf-8")
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
