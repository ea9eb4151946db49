"""Taking away the marks of a store, as they were before there were any, and giving it others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ingest_assets.collection.base import Store
from ingest_assets.collection.embedded import EmbeddedStore
from ingest_assets.collection.server import ServerStore
from ingest_assets.collection.server.store import METADATA
from ingest_assets_tests.support.engines import client_of


def remove_marks(store: Store, collection: str, *, of_name: bool = True, of_generations: bool = True) -> None:
    """Without the store's interface, which only adds marks."""
    if isinstance(store, EmbeddedStore):
        for file in _folder(store, collection).glob("OWNER*"):
            if of_name if file.name == "OWNER" else of_generations:
                file.unlink()
        return
    assert isinstance(store, ServerStore)
    client = client_of(store)
    if of_name:
        client.delete_collection(f"{collection}-owner")
    for number in store.generations(collection) if of_generations else ():
        _replace_metadata(store, f"{collection}__{number}", None)


def spoil_mark(store: Store, collection: str) -> None:
    """Make the mark of the name something that nobody can read."""
    if isinstance(store, EmbeddedStore):
        (_folder(store, collection) / "OWNER").write_bytes(b'{"owner": \xff\x00')
        return
    assert isinstance(store, ServerStore)
    _replace_metadata(store, f"{collection}-owner", ["not", "a", "mark"])


def _replace_metadata(store: ServerStore, name: str, value: Any) -> None:
    client = client_of(store)
    if store.connection.concurrent:
        client.update_collection(name, metadata={METADATA: value})
    else:  # the in-process mode merges nothing, and keeps what it was given
        held = client._client.collections[name]  # type: ignore[attr-defined]
        held.config.metadata = None if value is None else {METADATA: value}


def _folder(store: EmbeddedStore, collection: str) -> Path:
    return store._home / collection
