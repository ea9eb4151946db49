"""`ingest job run ID` says how the job ended, which is not how its run did."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import IngestHere


def test_a_job_with_something_missing_is_no_success(
    empty: Home, ingest_here: IngestHere, tmp_path: Path
) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a.py").write_text("def a():\n    return 1\n")
    unread = Path(os.fsdecode(os.fsencode(folder) + b"/na\xefve.py"))
    unread.write_text("n = 1\n")

    def started() -> str:
        said = ingest_here(empty, "job", "start", str(folder), "--json")
        return str(json.loads(said.out)["job_id"])

    said = ingest_here(empty, "job", "run", started())
    assert (said.status, said.out) == (1, "")
    assert "failed. The job did what it could" in said.err
    assert "1 file could not be read" in said.err

    unread.unlink()
    job_id = started()
    said = ingest_here(empty, "job", "run", job_id)
    assert (said.status, said.out) == (0, f"{job_id}: completed; files: 1, chunks: 1.\n")

    said = ingest_here(empty, "job", "run", job_id)
    assert said.status == 2
    assert "The job is completed: start a new one." in said.err
