"""A process that reads batches, for tests of what is read; and what it gives for bytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.sandbox import Sandbox
from ingest_assets.sources.spool.intake.facts import Facts, Record
from ingest_assets.sources.spool.intake.reading import BatchReader
from ingest_assets.sources.spool.settings import SpoolSettings

SECRET = "Ada Lovelace, +44 20 7946 0000"  # no message shows it


def spool_settings(**given: Any) -> SpoolSettings:
    values: dict[str, Any] = {"spool_quiet_s": 0, "spool_vectors_model": "theirs"} | given
    return SpoolSettings(_env_file=None, **values)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    box = Sandbox(tmp_path_factory.mktemp("sandbox"))
    yield box
    box.close()


@pytest.fixture(scope="module")
def reader(sandbox: Sandbox) -> Iterator[BatchReader]:
    """One process for the whole module: what one batch does to it, the next one must not feel."""
    with closing(BatchReader(sandbox, spool_settings())) as made:
        yield made


def scanned(reader: BatchReader, path: Path, data: bytes) -> Facts:
    path.write_bytes(data)
    scan = reader.scan(path)
    if scan.error is not None:
        raise scan.error
    assert scan.facts is not None
    return scan.facts


def records_in_file(reader: BatchReader, path: Path, data: bytes) -> list[Record]:
    path.write_bytes(data)
    return [record for page in reader.records(path) for record in page]
