"""A source in a package of its own, `examples/folder_source`, installed into a copy of the environment."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client

from ingest_assets_tests.support.built_index import ROOT, Home, Said

EXAMPLE = ROOT / "examples" / "folder_source"
PROSE = "We agreed on a lower price for the crank, and on the oats. "


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a copy of this environment in which the example is installed, offline."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    python = folder / "env" / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True).stdout.strip()
    ours = sysconfig.get_path("purelib")
    (Path(packages) / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    shutil.copytree(EXAMPLE, folder / "folder_source")  # building writes beside the sources
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, *offline, str(folder / "folder_source")], check=True, timeout=120)
    return python


# Runs the commands that it reads, one a line, and answers each with a line: starting anew takes most of a
# command's time.
COMMANDS = """
import json, os, sys
from ingest_assets.interfaces.cli import main

requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
for line in requests:
    asked = json.loads(line)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    try:
        main(asked["arguments"])
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    sys.stdout.flush()
    sys.stderr.flush()
    said = {"status": status}
    for name in ("out", "err"):
        with open(name, encoding="utf-8") as file:
            said[name] = file.read()
    print(json.dumps(said), file=answers, flush=True)
"""


@pytest.fixture(scope="module")
def commands(python: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of that environment that runs command after command."""
    pipe = subprocess.PIPE
    with subprocess.Popen([python, "-c", COMMANDS], stdin=pipe, stdout=pipe, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=30) == 0


class Installed:
    """Commands of that environment, on a folder of texts."""

    def __init__(self, python: Path, commands: subprocess.Popen[str], path: Path) -> None:
        self.python, self._commands, self.folder = python, commands, path / "texts"
        self.home = Home(path / "home").with_settings(crm_db_path=None)
        self.home.dagster.mkdir(parents=True)
        shutil.copy(ROOT / "dagster.yaml", self.home.dagster)
        self.write("meetings/january.md", PROSE)
        self.write("meetings/february.md", PROSE * 20)
        self.write("plans/top secret.txt", "Frobnicate the quaternion.")
        self.write("plans/table.csv", "a;b")
        self.write("readme.txt", "What lies at the top.")

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    @property
    def env(self) -> dict[str, str]:
        return self.home.env | {"FOLDER_SOURCE_PATH": str(self.folder)}

    def run(self, *arguments: str) -> Said:
        done = subprocess.run(
            [self.python, *arguments],
            check=False, capture_output=True, text=True, env=self.env, cwd=self.home.path, timeout=100,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return Said(done.returncode, done.stdout, done.stderr)

    def ingest(self, *arguments: str) -> Said:
        asked = {"arguments": arguments, "env": self.env, "cwd": str(self.home.path)}
        assert self._commands.stdin is not None
        assert self._commands.stdout is not None
        print(json.dumps(asked), file=self._commands.stdin, flush=True)
        said = Said(**json.loads(self._commands.stdout.readline()))
        assert "Traceback" not in said.err, said.err
        return said

    def json(self, *arguments: str, status: int = 0) -> Any:
        said = self.ingest(*arguments, "--json")
        assert said.status == status, said.everything
        return json.loads(said.out)

    def found(self, query: str, *filters: str) -> list[str]:
        """The documents that a search finds, from the command line."""
        where = [part for each in filters for part in ("--filter", each)]
        return sorted(hit["document_id"] for hit in self.json("search", query, *where)["hits"])

    @contextmanager
    def served(self) -> Iterator[str]:
        env = self.env | {"INGEST_HTTP_PORT": "0", "INGEST_HTTP_SEARCH_WORKERS": "0"}
        command = [str(self.python), "-m", "ingest_assets", "serve", "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, cwd=self.home.path)
        try:
            assert process.stdout is not None
            yield json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")["url"]
        finally:
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture
def installed(python: Path, commands: subprocess.Popen[str], tmp_path: Path) -> Installed:
    return Installed(python, commands, tmp_path)


def test_its_lineage_its_jobs_and_its_ticks_are_in_dagster(installed: Installed) -> None:
    program = """
import json
from ingest_assets.definitions import build_defs
defs = build_defs().get_repository_def()
graph = defs.asset_graph
print(json.dumps({
    "assets": {"/".join(key.path): sorted("/".join(p.path) for p in graph.get(key).parent_keys)
               for key in graph.get_all_asset_keys() if key.path[0] == "folders"},
    "partitioned": [k.path[1] for k in graph.get_all_asset_keys()
                    if k.path[0] == "folders" and graph.get(k).partitions_def],
    "ticks": [s.name for s in [*defs.schedule_defs, *defs.sensor_defs] if "folders" in s.name],
    "audited": "folders" in str(defs.get_job("audit_search_index").asset_layer.asset_graph.asset_check_keys),
}))
"""
    said = installed.run("-c", program)
    assert json.loads(said.out.splitlines()[-1]) == {
        "assets": {
            "folders/files": [],
            "folders/chunks": ["folders/files"],
            "folders/dense_vectors": ["folders/chunks"],
            "folders/sparse_vectors": ["folders/chunks"],
            "folders/collection": ["folders/dense_vectors", "folders/sparse_vectors"],
        },
        "partitioned": ["files"],
        "ticks": ["refresh_folders_schedule", "folders_change_sensor"],
        "audited": True,
    }


def test_refreshed_searched_changed_and_audited(installed: Installed) -> None:
    said = installed.run("-m", "ingest_assets", "refresh", "--json")  # in a process of its own
    report = json.loads(said.out)
    assert (said.status, report["success"]) == (0, True)
    assert report["assets"]["folders/files"]["added"] == 4
    said = installed.run("-m", "ingest_assets", "status", "--json")  # in a process of its own
    assert json.loads(said.out)["sources"]["folders"]["points"] >= 4
    assert set(installed.found("price", "format=Markdown")) == {"meetings/february.md", "meetings/january.md"}
    assert set(installed.found("price", "words=..20")) >= {"meetings/january.md"}
    assert "meetings/february.md" not in installed.found("price", "words=..20")

    installed.write("meetings/january.md", "Nobody agreed on anything.")
    (installed.folder / "plans" / "top secret.txt").unlink()
    changed = installed.json("refresh", "--source", "folders")["assets"]["folders/files"]
    assert (changed["added"], changed["changed"], changed["removed"]) == (0, 1, 1)
    assert "plans/top secret.txt" not in installed.found("frobnicate quaternion")

    shutil.rmtree(installed.folder / "meetings")
    gone = installed.json("refresh", "--folder", "meetings")["assets"]["folders/files"]
    assert gone["removed"] == 2
    assert installed.json("audit")["collections"]["folders_chunks"]["orphaned"] == 0
    assert installed.json("status")["sources"]["folders"]["documents"] == 1
    nightly = installed.run(
        "-m", "dagster", "job", "execute", "-m", "ingest_assets.definitions", "-j", "audit_search_index"
    )
    assert nightly.status == 0, nightly.everything
    assert "agrees_with_ledger" in nightly.everything


def test_a_folder_that_is_gone_is_not_taken_for_an_empty_one(installed: Installed) -> None:
    assert installed.json("refresh")["success"]
    installed.folder.rename(installed.folder.with_name("elsewhere"))
    said = installed.ingest("refresh")
    assert said.status == 1
    assert "is not a folder" in said.err
    assert installed.json("status")["sources"]["folders"]["points"] >= 4


def test_a_file_that_cannot_be_read_is_parked(installed: Installed) -> None:
    (installed.folder / "plans" / "broken.txt").write_bytes(b"\xff\xfe")
    assert installed.json("refresh", status=3)["parked"] == 1
    [item] = installed.json("parked")["parked"]
    assert (item["source"], item["part"], item["item_id"]) == ("folders", "plans", "plans/broken.txt")
    assert "not valid UTF-8" in item["error"]
    installed.write("plans/broken.txt", "Mended.")
    assert installed.json("refresh")["parked"] == 0
    assert installed.json("parked")["parked"] == []


def test_searched_on_every_interface(installed: Installed) -> None:
    assert installed.json("refresh")["success"]
    with installed.served() as url:
        sources = {each["name"]: each for each in httpx.get(f"{url}/sources").json()["sources"]}
        assert {field["name"] for field in sources["folders"]["fields"]} >= {"format", "words"}
        asked = {"query": "price", "source": "folders", "filters": {"format": "markdown", "words": "100.."}}
        hits = httpx.post(f"{url}/search", json=asked, timeout=30).json()["hits"]
        assert {hit["document_id"] for hit in hits} == {"meetings/february.md"}
        assert hits[0]["attributes"]["format"] == "markdown"

        async def agent() -> Any:
            async with Client(f"{url}/mcp") as client:
                tools = {tool.name: tool for tool in (await client.list_tools()).tools}
                filters = {"format": ["text"]}
                arguments = {"query": "quaternion", "source": "folders", "filters": filters}
                return tools, await client.call_tool("search", arguments)

        tools, answer = asyncio.run(agent())
        assert "format" in json.dumps(tools["search"].input_schema)
        assert {hit["document_id"] for hit in answer.structured_content["hits"]} >= {"plans/top secret.txt"}
        refused = httpx.post(f"{url}/search", json=asked | {"filters": {"words": "many"}}, timeout=30)
        assert refused.status_code == 400
        assert "words=many is not a number" in refused.text


def test_doctor_and_help_know_it(installed: Installed) -> None:
    found = {each["name"]: each for each in installed.json("doctor")["findings"]}
    assert found["FOLDER_SOURCE_PATH"]["state"] == "ok"
    assert found["source crm"]["state"] == "not configured"
    shown = installed.ingest("refresh", "--help").out
    assert "--folder" in shown
