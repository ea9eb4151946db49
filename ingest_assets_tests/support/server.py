"""A real Qdrant server for tests, each of which sees and writes names of its own only.

`INGEST_TEST_QDRANT_URL` names the server; with `INGEST_TEST_QDRANT_GRPC_PORT`, over gRPC.
"""

from __future__ import annotations

import os
import uuid
from typing import Any

from ingest_assets.collection.server import Connection, Endpoint, ServerStore

SERVER_URL = os.environ.get("INGEST_TEST_QDRANT_URL")


class Renaming:
    """A client that puts a prefix before the names of collections and aliases, and shows no others."""

    def __init__(self, client: Any, prefix: str) -> None:
        self._asked, self._prefix = client, prefix

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._asked, name)
        if name in ("info", "close"):
            return method
        return lambda collection, *rest, **more: method(f"{self._prefix}{collection}", *rest, **more)

    def get_collections(self) -> Any:
        found = self._asked.get_collections()
        mine = [each for each in found.collections if each.name.startswith(self._prefix)]
        for each in mine:
            each.name = each.name.removeprefix(self._prefix)
        return found.model_copy(update={"collections": mine})

    def get_aliases(self) -> Any:
        found = self._asked.get_aliases()
        mine = [each for each in found.aliases if each.alias_name.startswith(self._prefix)]
        for each in mine:
            each.alias_name = each.alias_name.removeprefix(self._prefix)
            each.collection_name = each.collection_name.removeprefix(self._prefix)
        return found.model_copy(update={"aliases": mine})

    def update_collection_aliases(self, changes: list[Any]) -> Any:
        for change in changes:
            (asked,) = (getattr(change, field) for field in type(change).model_fields)
            for field in type(asked).model_fields:
                if isinstance(value := getattr(asked, field), str):
                    setattr(
                        asked, field, f"{self._prefix}{value.removeprefix(self._prefix)}"
                    )  # also if repeated
        return self._asked.update_collection_aliases(changes)


class _OfOneTest(Connection):
    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self._prefix = f"t{uuid.uuid4().hex[:12]}_"

    def _client(self, node: int, kind: Any) -> Any:
        return Renaming(super()._client(node, kind), self._prefix)

    def close(self) -> None:
        client = self._client(0, "admin")
        for entry in client.get_collections().collections:
            client.delete_collection(entry.name)
        super().close()


def server_store() -> ServerStore:
    """An empty store on the server. Closing it removes what was written."""
    assert SERVER_URL is not None
    port = os.environ.get("INGEST_TEST_QDRANT_GRPC_PORT")
    return ServerStore(_OfOneTest(Endpoint(urls=[SERVER_URL], grpc_port=int(port) if port else None)))
