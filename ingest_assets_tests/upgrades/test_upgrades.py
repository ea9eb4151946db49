"""What an earlier version left behind is taken over: nothing is made again, and search answers as before.

Beside this file is the state that a commit of before this project ran on several hosts wrote, of every source
that it had: an SQLite ledger, a dump of one on Postgres, and collections. `tools/earlier_state.py` made it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa

from ingest_assets.interfaces.cli.runs import Asked, RunReport, run_sources
from ingest_assets.ledger import Ledger
from ingest_assets.ledger.store import HEAD
from ingest_assets.queries.search import open_search
from ingest_assets.stages.adoption import adopt
from ingest_assets.stages.audit import audit
from ingest_assets_tests.support.built_index import ROOT, Home
from ingest_assets_tests.support.comparing import assert_same_contents
from ingest_assets_tests.support.fixtures import IngestHere, ingest_here
from ingest_assets_tests.support.small_parts import contents

__all__ = ["ingest_here"]
COMMIT = "80af8a2"
STATE = Path(__file__).parent / f"{COMMIT}.tar.xz"


@pytest.fixture(params=["sqlite", "postgres"])
def earlier(request: pytest.FixtureRequest, tmp_path: Path, ledger_url_of: Callable[[str], str]) -> Home:
    """A home that the earlier version made, as after a move to this folder."""
    with tarfile.open(STATE) as archive:
        archive.extractall(tmp_path, filter="data")
    home = Home(tmp_path / request.param).with_settings(spool_dir=str(tmp_path / request.param / "spool"))
    home.dagster.mkdir()
    (home.dagster / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", "utf-8")
    if request.param == "sqlite":
        return home
    url = ledger_url_of("postgres")
    with closing(psycopg2.connect(url)) as connection, connection:
        schema = connection.cursor()
        schema.execute("SELECT current_schema()")
        [(mine,)] = schema.fetchall()
        dump = (home.path / "ledger.sql").read_text("utf-8").replace("public.", f"{mine}.")
        schema.execute(dump.replace("SELECT pg_catalog.set_config('search_path', '', false);", ""))
    return home.with_settings(ingest_ledger_url=url)


def _revision(home: Home) -> str:
    engine = sa.create_engine(home.load().ledger_url.replace("postgresql:", "postgresql+psycopg2:"))
    with engine.connect() as connection:
        found: str = connection.scalar(sa.text("select version_num from alembic_version"))
    engine.dispose()
    return found


def _hits(home: Home, asked: str, source: str = "crm") -> list[list[Any]]:
    mode, _, query = asked.partition(": ")
    with home.bench() as bench:
        found = open_search(bench, source).search(query, mode=mode)  # type: ignore[arg-type]
    return [[hit.chunk_id, pytest.approx(hit.score, abs=1e-6)] for hit in found.hits]


def test_what_an_earlier_version_left_is_taken_over(earlier: Home, ingest_here: IngestHere) -> None:
    assert _revision(earlier) < HEAD
    before = json.loads((earlier.path / "answers.json").read_text("utf-8"))
    # The first command that opens the ledger migrates it, and says what was there.
    status = json.loads(ingest_here(earlier, "status", "--json").out)
    assert _revision(earlier) == HEAD
    was, now = before["status"]["sources"]["crm"], status["sources"]["crm"]
    counts = ("documents", "chunks", "points", "parked", "generation", "last_success")
    assert [now[name] for name in counts] == [was[name] for name in counts]
    # Search answers from what the earlier version indexed, and the index is what the ledger says.
    for asked, hits in before["hits"]["crm"].items():
        assert hits == _hits(earlier, asked)
    with earlier.bench() as bench:
        assert audit(bench.published("crm"), bench.ledger).agrees
        adopt(bench, "crm")  # the CRM is in another folder here
    # Documents are read and cut again where this version does that in another way; nothing that comes out the
    # same is embedded or written again, and the next refresh finds nothing to do.
    report = earlier.refresh()
    assert report.success, report.errors
    assert _moved(report) <= {"crm/records", "crm/chunks", "crm/match_models"}
    again = earlier.refresh()
    assert (again.success, _moved(again)) == (True, set())
    for asked, hits in before["hits"]["crm"].items():
        assert hits == _hits(earlier, asked)
    # A change costs as much as the change.
    changed = earlier.edit(seed=9, changes=2, inserts=1)
    report = earlier.refresh()
    assert report.success, report.errors
    assert report.assets["crm/records"]["changed"] + report.assets["crm/records"]["added"] == len(
        set(changed)
    )
    with earlier.bench() as bench:
        assert bench.store.live("crm_chunks") == was["generation"]
        assert audit(bench.published("crm"), bench.ledger).agrees


OTHERS = ("repositories", "papers", "spool")


def test_what_other_sources_left_is_taken_over(
    earlier: Home, ingest_here: IngestHere, tmp_path: Path
) -> None:
    before = json.loads((earlier.path / "answers.json").read_text("utf-8"))
    for source in OTHERS:
        assert before["hits"][source]
        for asked, hits in before["hits"][source].items():
            assert hits == _hits(earlier, asked, source)
        with earlier.bench() as bench:
            assert audit(bench.published(source), bench.ledger).agrees
    # A local repository is known by its path: in this folder it is another one.
    [was] = json.loads(ingest_here(earlier, "repository", "list", "--json").out)["repositories"]
    assert ingest_here(earlier, "repository", "remove", was["id"]).status == 0
    assert ingest_here(earlier, "repository", "add", str(earlier.path / "repository")).status == 0
    # Of what is where it was, nothing is embedded again or written again.
    moved = _moved(_refreshed(earlier))
    assert {asset for asset in moved if not asset.startswith("repositories/")} == set()
    assert _moved(_refreshed(earlier)) == set()
    # What is published is what a clean build of the same sources gives.
    clean = _clean(earlier, tmp_path / "clean", ingest_here)
    for source in OTHERS:
        with earlier.bench() as ours, clean.bench() as theirs:
            assert audit(ours.published(source), ours.ledger).agrees
            name = ours.sources[source].collection
            held, wanted = (contents(each.store, name) for each in (ours, theirs))
            assert wanted
            assert_same_contents(held, wanted)


def _refreshed(home: Home) -> RunReport:
    report = run_sources(home.load(), sources=list(OTHERS), asked=Asked(), overrides=home.overrides)
    assert report.success, report.errors
    return report


def _clean(earlier: Home, path: Path, ingest_here: IngestHere) -> Home:
    """A new index of the same repository, paper and batches."""
    home = Home(path).with_settings(spool_dir=str(path / "spool"))
    shutil.copytree(earlier.dagster, home.dagster, ignore=shutil.ignore_patterns("[!d]*"))
    incoming = path / "spool" / "incoming"
    incoming.mkdir(parents=True, mode=0o700)
    for batch in (earlier.path / "spool" / "archive").rglob("*.msgpack"):
        shutil.copy2(batch, incoming)
    assert ingest_here(home, "repository", "add", str(earlier.path / "repository")).status == 0
    assert ingest_here(home, "paper", "add", str(earlier.path / "paper.md")).status == 0
    _refreshed(home)
    return home


def _moved(report: RunReport) -> set[str]:
    """The assets of which anything is other than it was."""
    names = ("added", "changed", "removed", "parked")
    return {asset for asset, counts in report.assets.items() if any(counts[name] for name in names)}


@pytest.mark.thorough
def test_the_earlier_version_refuses_the_ledger_once_it_is_migrated(earlier: Home, tmp_path: Path) -> None:
    """A rollback needs the ledger's backup. The code of that version is in the history, if that is here."""
    code = tmp_path / "code"
    code.mkdir()
    archive = subprocess.run(["git", "archive", COMMIT], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip("the history of this checkout does not reach back so far")
    subprocess.run(["tar", "-x", "-C", str(code)], input=archive.stdout, check=True)
    Ledger(earlier.load().ledger_url).close()
    said = subprocess.run(
        [sys.executable, "-m", "ingest_assets", "status"],
        env=earlier.env | {"PYTHONPATH": str(code)},
        cwd=earlier.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stdout) == (2, "")
    assert f"was written by a newer version (revision {HEAD}" in said.stderr
