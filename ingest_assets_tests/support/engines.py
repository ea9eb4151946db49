"""The stores and ledgers that tests run on."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ingest_assets.collection.base import Store
from ingest_assets.collection.embedded import EmbeddedStore
from ingest_assets.collection.server import Connection, ServerStore
from ingest_assets.ledger import Ledger, tables
from ingest_assets_tests.support.memory import memory
from ingest_assets_tests.support.server import SERVER_URL, server_store

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

STORES = ["embedded", "local", *(["server"] if SERVER_URL else [])]


def new_store(kind: str, home: Path) -> Store:
    """An empty store: the embedded engine in a folder, the client's in-process mode, or a real server."""
    if kind == "server":
        return server_store()
    return EmbeddedStore(home / "collections") if kind == "embedded" else local_store()


def local_store(commit_every: int = 250) -> ServerStore:
    from qdrant_client import QdrantClient

    warnings.filterwarnings("ignore", "Payload indexes have no effect in the local Qdrant")
    warnings.filterwarnings("ignore", "Local mode performs exact")
    store = ServerStore(Connection.over(QdrantClient(":memory:")))
    store.commit_every = commit_every
    return store


def sqlite_url(home: Path) -> str:
    return f"sqlite:///{home / 'ledger.sqlite'}"


def client_of(store: ServerStore) -> QdrantClient:
    """The client behind a store, for what the interface of stores does not offer."""
    return store.connection._client(0, "admin")


class Engines:
    """Lends empty ledgers and stores, and empties returned ones for reuse: opening one costs time."""

    def __init__(self, ledger_url: Callable[[Path], str] = sqlite_url, *, embedded: bool) -> None:
        self._ledger_url, self._embedded = ledger_url, embedded
        self._home = memory_folder()
        self._count = 0
        self._ledgers: list[Ledger] = []
        self._stores: list[ServerStore] = []
        self._folders: dict[Store, Path] = {}  # of the embedded stores that are lent

    def lend_ledger(self) -> Ledger:
        return self._ledgers.pop() if self._ledgers else Ledger(self._ledger_url(self.folder()))

    def take_ledger(self, ledger: Ledger) -> None:
        with ledger.transaction() as connection:
            for table in tables.metadata.sorted_tables:
                if table.name not in ("audit_log", "audit_log_head"):  # which nothing can empty
                    connection.execute(table.delete())
        self._ledgers.append(ledger)

    def lend_store(self) -> Store:
        if self._embedded:
            folder = self.folder()
            store = EmbeddedStore(folder)
            self._folders[store] = folder
            return store
        return self._stores.pop() if self._stores else self._new_server()

    def take_store(self, store: Store) -> None:
        if isinstance(store, ServerStore):
            client = client_of(store)
            store._limits.forget()
            for entry in client.get_collections().collections:
                client.delete_collection(entry.name)
            self._stores.append(store)
        else:
            store.close()
            shutil.rmtree(self._folders.pop(store))

    @staticmethod
    def _new_server() -> ServerStore:
        store = server_store() if SERVER_URL else local_store()
        store.commit_every = 3
        return store

    def folder(self) -> Path:
        """An empty one."""
        self._count += 1
        path = self._home / str(self._count)
        path.mkdir()
        return path

    def close(self) -> None:
        for ledger in self._ledgers:
            ledger.close()
        for store in self._stores:
            store.close()
        shutil.rmtree(self._home)


def memory_folder() -> Path:
    """An empty folder, in memory where there is room."""
    return Path(tempfile.mkdtemp(prefix="ingest", dir=memory()))
