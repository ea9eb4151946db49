"""The stores and ledgers that tests run on, by name."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from functools import cache
from pathlib import Path

from ingest_assets.collection.base import Store
from ingest_assets.collection.embedded import EmbeddedStore
from ingest_assets.collection.server import ServerStore

STORES = ["embedded", "local"]


def new_store(kind: str, home: Path) -> Store:
    """An empty store: the embedded engine in a folder, or the client's in-process mode."""
    return EmbeddedStore(home / "collections") if kind == "embedded" else local_store()


def local_store() -> ServerStore:
    from qdrant_client import QdrantClient

    warnings.filterwarnings("ignore", "Payload indexes have no effect in the local Qdrant")
    store = ServerStore(QdrantClient(":memory:"))
    store.commit_every = 3
    return store


def embedded_store(home: Path) -> EmbeddedStore:
    return EmbeddedStore(home / "collections")


def sqlite_ledger(home: Path) -> str:
    """The URL of an empty ledger. Migrated once a process, and copied."""
    path = home / "ledger.sqlite"
    shutil.copyfile(_template(), path)
    return f"sqlite:///{path}"


@cache
def _template() -> Path:
    from ingest_assets.ledger import Ledger

    folder = tempfile.TemporaryDirectory(prefix="ledger")
    path = Path(folder.name) / f"{os.getpid()}.sqlite"
    Ledger(f"sqlite:///{path}").close()
    _keep.append(folder)
    return path


_keep: list[tempfile.TemporaryDirectory[str]] = []
