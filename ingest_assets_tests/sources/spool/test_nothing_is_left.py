"""After a gate was closed, and a run: no text of the batch in any file but the spool's and the ledger's."""

from __future__ import annotations

from pathlib import Path

from ingest_assets.sources.spool import gates
from ingest_assets.sources.spool.decisions import Decider
from ingest_assets_tests.sources.spool.home_of_spool import OPEN, SECRET, TO_CLOSE, home_of_spool, refresh
from ingest_assets_tests.support.built_index import Home

ORDINARY = "The parcel"  # a short text, because the engine compresses what occurs twice in a payload


def test_a_closed_gate_and_a_run_leave_no_text_on_disk(tmp_path: Path) -> None:
    home = home_of_spool(tmp_path)
    assert holding(home, SECRET), "the text is not stored in a form that this test would find"
    assert all("collections" in path.parts for path in holding(home, SECRET))
    with home.bench() as bench:
        for tag in (OPEN, TO_CLOSE):
            gates.close_gate(bench.ledger, tag, Decider("officer", "withdrawn", "cli"))
    refresh(home)
    assert holding(home, SECRET) == []
    assert holding(home, ORDINARY), "the rest of the index is still there"
    with home.bench() as bench:
        assert gates.hidden(bench) == []


def holding(home: Home, text: str) -> list[Path]:
    """The files outside the spool and the ledger that hold a text: of the engine, of Dagster, logs."""
    files = (path for path in home.path.rglob("*") if path.is_file())
    others = (
        path
        for path in files
        if home.path / "spool" not in path.parents and not path.name.startswith("ledger.sqlite")
    )
    return [path for path in others if text.encode() in path.read_bytes()]
