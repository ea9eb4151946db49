"""A home with a few batches, some of them personal, taken and indexed by the real job."""

from __future__ import annotations

from pathlib import Path

from ingest_assets.interfaces.cli.runs import run_sources
from ingest_assets.sources.spool import gates
from ingest_assets.sources.spool.decisions import Decider
from ingest_assets.sources.spool.places import Spool
from ingest_assets.sources.spool.producer import write_batch
from ingest_assets.sources.spool.settings import SpoolSettings
from ingest_assets_tests.support.built_index import Home

SECRET = "Marmaduke"  # occurs in personal batches only
# Batches, by what became of them, and what tests may do with them.
INDEXED, TO_REMOVE = "orders", "orders-to-remove"
LOCKED, TO_OPEN, OPEN, TO_CLOSE = "letters-locked", "letters-to-open", "letters-open", "letters-to-close"
BROKEN, TO_RETRY = "broken", "retried"  # how their tags begin


def home_of_spool(path: Path) -> Home:
    """Ordinary batches, personal ones with open and with locked gates, and some that cannot be read."""
    home = Home(path).with_settings(
        crm_db_path=None,
        ingest_workspace_root=str(path / "workspace"),
        spool_dir=str(path / "spool"),
        spool_quiet_s="0",
        spool_failure_log=str(path / "logs" / "failures.jsonl"),
        rag_log_file=str(path / "logs" / "rag.log"),
        gate_url="http://127.0.0.1:9/gate",  # where nobody listens
    )
    home.dagster.mkdir()
    (home.dagster / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    Spool.of(home.load().of(SpoolSettings)).prepare()
    for tag in (INDEXED, TO_REMOVE):
        texts = [f"The parcel of {tag} came late.", "The invoice\x07 was wrong."]
        drop(home, tag, texts, source="desk")
    for tag in (LOCKED, TO_OPEN, OPEN, TO_CLOSE):
        drop(home, tag, [f"{SECRET} wrote {tag}.", f"{SECRET} complained."], source="people", pii=True)
    for name in (BROKEN, TO_RETRY):
        (path / "spool" / "incoming" / f"{name}.msgpack").write_bytes(b"\xc1" + name.encode())
    refresh(home)
    with home.bench() as bench:
        for tag in (OPEN, TO_CLOSE):
            gates.open_gate(bench.ledger, tag, Decider("officer", "approved", "cli"))
    refresh(home)
    return home


def drop(home: Home, tag: str, texts: list[str], *, source: str, pii: bool = False) -> Path:
    """Drop a batch into the spool."""
    records = [{"text": text} for text in texts]
    return write_batch(home.path / "spool", records, source=source, pii=pii, batch_tag=tag)


def refresh(home: Home) -> None:
    """The real job of the spool."""
    report = run_sources(home.load(), sources=["spool"], overrides=home.overrides)
    assert report.success, report.errors
