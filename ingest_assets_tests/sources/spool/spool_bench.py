"""A workbench of the spool alone, and what it holds, for comparing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ingest_assets.collection.base import Store
from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.spool_tables import ingestion_manifest, spool_event, spool_record
from ingest_assets.model import Outcomes
from ingest_assets.reconcile import Progress, Run, reconcile
from ingest_assets.sources.registry import Sources
from ingest_assets.sources.spool.definition import SOURCE
from ingest_assets.sources.spool.places import Spool
from ingest_assets.sources.spool.producer import write_batch
from ingest_assets.sources.spool.settings import NAME, SpoolSettings
from ingest_assets.sources.spool.settling import settle
from ingest_assets_tests.support.small_parts import ToyBench, contents

COLLECTION = SOURCE.collection


class SpoolBench(ToyBench):
    """Real parts but for the dense model."""

    def __init__(
        self, home: Path, *, ledger: Ledger | None = None, store: Store | None = None, **given: Any
    ) -> None:
        own: dict[str, Any] = {
            "spool_dir": home / "spool",
            "spool_failure_log": home / "logs" / "failures.jsonl",
            "rag_log_file": home / "logs" / "rag.log",
            "spool_quiet_s": 0,
        }
        super().__init__(home / "home", ledger=ledger, store=store, **(own | given))
        self.sources = Sources([SOURCE])
        self.folder = home
        self.spool = Spool.of(self.settings_of(SpoolSettings))
        self.spool.prepare()

    def write(
        self,
        records: Sequence[Mapping[str, Any] | str],
        source: str = "desk",
        created_at: str | None = None,
        **given: Any,
    ) -> Path:
        """Drop a batch."""
        rows = [{"text": each} if isinstance(each, str) else each for each in records]
        if created_at is not None:
            given["created_at"] = datetime.fromisoformat(created_at)
        return write_batch(self.spool.root, rows, source=source, **given)

    def run_all(
        self, *, rebuild: bool = False, progress: Progress = lambda _moved: None
    ) -> dict[str, Outcomes]:
        """All stages, and what follows them."""
        run = Run(rebuild=rebuild, lock_timeout_s=5, progress=progress)
        done = {name: reconcile(self.stage(NAME, name), self.ledger, run) for name in SOURCE.stage_names}
        settle(self)
        return done

    def batches(self) -> dict[str, Any]:
        """The rows of the manifest by tag."""
        with self.ledger.reading() as connection:
            rows = connection.execute(sa.select(ingestion_manifest)).all()
        return {row.batch_tag: row for row in rows}

    def only(self) -> Any:
        """The one batch that there is."""
        (batch,) = self.batches().values()
        return batch

    def texts(self) -> dict[str, str]:
        """What the index holds, by document."""
        with self.store.reader(COLLECTION) as reader:
            ids = [key for key, _ in reader.scan()]
            payloads = reader.payloads(ids)
        return {payload["document_id"]: payload["text"] for payload in payloads.values()}

    def points(self) -> dict[str, Any]:
        """All points of the index, with their payloads and vectors."""
        return contents(self.store, COLLECTION)

    def records(self) -> set[tuple[str, int, str]]:
        """The records in the ledger."""
        query = sa.select(spool_record.c.batch_tag, spool_record.c.number, spool_record.c.text)
        with self.ledger.reading() as connection:
            return {tuple(row) for row in connection.execute(query)}

    def documents(self) -> list[str]:
        """The ids of the documents in the ledger."""
        query = sa.select(tables.document.c.document_id).filter_by(source=NAME)
        with self.ledger.reading() as connection:
            return sorted(connection.scalars(query))

    def events(self) -> list[Any]:
        """The outbox."""
        query = sa.select(spool_event).order_by(spool_event.c.batch_tag, spool_event.c.number)
        with self.ledger.reading() as connection:
            return list(connection.execute(query).all())

    def files(self) -> dict[str, list[str]]:
        """The names of the files in each folder of the spool."""
        return {
            name: sorted(path.name for path in (self.spool.root / name).iterdir())
            for name in ("incoming", "processing", "archive", "failed")
        }
