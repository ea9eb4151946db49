"""A spool in a folder and a ledger, for tests of what is taken; and batches as any producer writes them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgpack
import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.spool_tables import (
    alert,
    ingestion_manifest,
    manifest_event,
    manifest_sequence,
    spool_event,
)
from ingest_assets.sources.spool.intake.reading import BatchReader
from ingest_assets.sources.spool.intake.take import Taken, take
from ingest_assets.sources.spool.places import Spool
from ingest_assets.sources.spool.settings import SpoolSettings
from ingest_assets_tests.support.small_parts import ToyBench

TABLES = (alert, ingestion_manifest, manifest_event, manifest_sequence, spool_event)


class IntakeBench(ToyBench):
    """Real parts. Files need not be quiet to be whole, unless that is said."""

    def __init__(self, home: Path, *, ledger: Ledger | None = None, **given: Any) -> None:
        paths: dict[str, Any] = {
            "spool_dir": home / "spool",
            "rag_log_file": home / "logs" / "spool.log",
            "spool_failure_log": home / "logs" / "failures.jsonl",
            "gate_url": "http://127.0.0.1:9/gate",
            "spool_quiet_s": 0,
        }
        super().__init__(home / "home", ledger=ledger, **paths | given)
        self.folder = home
        self.spool = Spool.of(self.settings_of(SpoolSettings))
        self.spool.prepare()

    def put(self, name: str, data: bytes, *, age_s: float = 0) -> Path:
        """Put a file into `incoming`, as a producer does that writes it in place."""
        path = self.spool.incoming / name
        path.write_bytes(data)
        if age_s:
            then = time.time() - age_s
            os.utime(path, (then, then))
        return path

    def take(self, check: Callable[[], None] | None = None) -> Taken:
        with closing(BatchReader.of(self, check)) as reader:
            return take(self, reader, check)

    def rows(self) -> dict[str, Any]:
        """The manifest, by tag."""
        with self.ledger.reading() as connection:
            found = connection.execute(sa.select(ingestion_manifest)).all()
        return {row.batch_tag: row for row in found}

    def events(self, batch_tag: str) -> list[str]:
        """What the listener is told of a batch."""
        mine = sa.select(spool_event.c.event).filter_by(batch_tag=batch_tag)
        with self.ledger.reading() as connection:
            return list(connection.scalars(mine.order_by(spool_event.c.number)))

    def files(self, *folders: Path) -> dict[str, bytes]:
        """The files of the spool, or of some of its folders, by their paths in it."""
        return {
            str(path.relative_to(self.spool.root)): path.read_bytes()
            for folder in folders or (self.spool.incoming, *self.spool.ours)
            for path in sorted(folder.iterdir())
            if path.is_file()
        }

    def forget_all(self) -> None:
        """An empty spool and an empty ledger."""
        for folder in (self.spool.incoming, *self.spool.ours):
            for path in folder.iterdir():
                path.unlink()
        with self.ledger.transaction() as connection:
            for table in TABLES:
                connection.execute(table.delete())

    def written(self) -> str:
        """All that was logged, noted and recorded, for looking what is not in it."""
        with self.ledger.reading() as connection:
            rows = [str(tuple(row)) for table in TABLES for row in connection.execute(sa.select(table))]
        logs = (self.folder / "logs").glob("*")
        texts = [path.read_text() for path in (*logs, *self.spool.failed.glob("*.txt"))]
        return "\n".join([*rows, *texts])


def batch(records: Any = ({"text": "a text"},), **envelope: Any) -> bytes:
    """A batch as bytes; envelope fields that are None are left out."""
    records = list(records) if isinstance(records, tuple) else records
    fields = {"version": 1, "source": "tests", "records": records} | envelope
    packed: bytes = msgpack.packb({name: value for name, value in fields.items() if value is not None})
    return packed
