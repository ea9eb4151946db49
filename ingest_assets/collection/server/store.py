"""A Qdrant server or cluster as a store: generations, the name that points to one of them, marks.

A generation is a collection named `<name>__<number>`; the name itself is an alias, switched in one step.
Marks are metadata of collections (Qdrant 1.16): a generation carries its own, and that of the name is carried
by an empty collection `<name>-owner`, because of several who create a collection, only one succeeds.
The client's in-process mode (`location=":memory:"`) stands in for a server in tests.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from ingest_assets.collection.base import Health, Store, payload_indexes
from ingest_assets.collection.marks import NAME, Mark, mark_from
from ingest_assets.collection.server.connection import Connection, Kind
from ingest_assets.collection.server.faults import GoneError, TakenError
from ingest_assets.collection.server.health import health_of
from ingest_assets.collection.server.layout import Layout
from ingest_assets.collection.server.limits import KeptLimits
from ingest_assets.collection.server.reader import ServerReader
from ingest_assets.collection.server.writer import UPSERT_BATCH, ServerWriter
from ingest_assets.fields import FilterField
from ingest_assets.model import ConfigurationError, IngestError, NotPublishedError, UnavailableError
from ingest_assets.stopping import go_on, impatiently, is_patient

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

R = TypeVar("R")
log = logging.getLogger(__name__)

METADATA = "ingest_assets"  # the key of a mark in a collection's metadata
NUMBER = "ingest_assets_generation"  # and of a generation's number, which who sees only the name reads
# Between two commits all streams are idle for a moment, and what a crash leaves unrecorded is written again.
COMMIT_EVERY = 4_000
ASKED_AGAIN_S, TOLD_AGAIN_S = 0.5, 10.0  # while a generation is indexed
_AGREED_S = 30.0  # until all nodes have heard of a new generation
_COPIED_S = 10.0  # until all nodes have a replica of an empty collection


class ServerStore:
    """A `Store`. `consistency` says how many replicas a search asks: a number, or majority, quorum or all."""

    def __init__(
        self,
        connection: Connection,
        layout: Layout | None = None,
        *,
        streams: int = 4,
        consistency: Any = None,
        indexing_timeout_s: float = 3_600,
    ) -> None:
        self.connection, self._layout = connection, layout or Layout()
        nodes = len(connection.nodes)
        self.layout = repr(self._layout) + (f" on {nodes} nodes" if nodes > 1 else "")
        # When a commit returns, the server has stored it durably.
        self.commit_every: int | None = COMMIT_EVERY
        self._streams, self._consistency, self._indexing_timeout_s = streams, consistency, indexing_timeout_s
        self._limits = KeptLimits()
        self._unseen: dict[str, int] = {}  # live generations that the key may only read through the name

    @property
    def place(self) -> str:
        return self.connection.current

    def live(self, collection: str) -> int | None:
        self.connection.require_version(collection)
        if len(self.connection.nodes) > 1 and is_patient():
            return self._agreed_upon(collection)
        return self._live_here(collection)

    def _agreed_upon(self, collection: str) -> int | None:
        """The live generation, as most of the nodes have it that answer: one that was away may lag behind."""
        until = time.monotonic() + _AGREED_S
        while True:
            told: Counter[int | None] = Counter()
            with ExitStack() as opened:
                for node in self.at_each_node().values():
                    opened.callback(node.close)
                    with impatiently(), suppress(UnavailableError):
                        told[node.live(collection)] += 1
            if not told:
                return self._live_here(collection)  # which waits, and says what is wrong
            number, count = told.most_common(1)[0]
            if 2 * count > told.total():
                return number
            if time.monotonic() > until:
                raise UnavailableError(
                    f"{self._whose(collection)}: the nodes do not agree which generation is live. See "
                    "the state of the cluster there."
                )
            go_on()
            time.sleep(ASKED_AGAIN_S)

    def _live_here(self, collection: str) -> int | None:
        aliases = self._ask("search", collection, lambda c: c.get_aliases()).aliases
        self._unseen.pop(collection, None)
        for alias in aliases:
            if alias.alias_name == collection:
                base, _, number = alias.collection_name.rpartition("__")
                if base != collection or not number.isdigit():
                    raise ConfigurationError(
                        f"{self._whose(collection)}: this alias points to {alias.collection_name}, which was "
                        "not created by Ingest Assets. Remove the alias there, and run `ingest refresh`: the "
                        "index is then built beside that collection."
                    )
                return int(number)
        return self._live_unseen(collection) if self.connection.endpoint.api_key else None

    def _live_unseen(self, collection: str) -> int | None:
        """The live generation, for a key that may read the name alone: it is shown no aliases."""
        try:
            metadata = self._info(collection, "search").config.metadata or {}
        except GoneError:
            return None
        if isinstance(number := metadata.get(NUMBER), int):
            self._unseen[collection] = number
            return number
        if METADATA in metadata:
            raise ConfigurationError(
                f"{self._whose(collection)}: QDRANT_API_KEY may not see which generation is live, and an "
                "earlier version did not write its number. Run `ingest build` once, or use a key that may "
                "read all collections."
            )
        return None

    def revision(self, collection: str) -> str:  # noqa: ARG002 - a server counts no revisions
        return ""

    def generations(self, collection: str) -> list[int]:
        parts = [name.rpartition("__") for name in self._names(collection)]
        return sorted(int(number) for base, _, number in parts if base == collection and number.isdigit())

    def create(
        self,
        collection: str,
        generation: int,
        dimension: int,
        fields: Sequence[FilterField] = (),
        mark: Mark | None = None,
    ) -> None:
        self.connection.require_version(collection)
        name, present = _name(collection, generation), self._names(collection)
        if collection in present:
            raise ConfigurationError(
                f"{self._whose(collection)}: there is a collection of this name that was not created by "
                "Ingest Assets, and the name is needed for an alias. Set INGEST_COLLECTION_PREFIX to build "
                "beside it; or back it up if it matters, delete it, and build again."
            )
        if name in present:
            self.drop(collection, generation)
        metadata = {NUMBER: generation} | (_metadata(mark) if mark else {})
        wanted = self._layout.created(dimension) | {"metadata": metadata}
        try:
            self._ask("admin", name, lambda c: c.create_collection(name, **wanted))
        except TakenError:
            # Nobody else creates it: it is our own, and the answer was lost.
            if (mark and self.mark(collection, generation)) != mark:
                raise
        for field, kind in payload_indexes(fields).items():
            self._index(name, field, kind)

    def _index(self, name: str, field: str, kind: str) -> None:
        from qdrant_client import models

        schema = {
            "keyword": models.PayloadSchemaType.KEYWORD,
            "number": models.PayloadSchemaType.FLOAT,
            "time": models.PayloadSchemaType.DATETIME,
            "flag": models.PayloadSchemaType.BOOL,
        }[kind]
        self._ask("admin", name, lambda c: c.create_payload_index(name, field, schema, wait=True))

    @contextmanager
    def writer(self, collection: str, generation: int) -> Iterator[ServerWriter]:
        name = _name(collection, generation)
        with self._limits.of(name, lambda: self._info(name)) as limits:
            batch, streams = limits.upsert(UPSERT_BATCH), limits.streams(self._streams)
            with closing(ServerWriter(self.connection, name, batch=batch, streams=streams)) as writer:
                yield writer

    @contextmanager
    def reader(self, collection: str, generation: int | None = None) -> Iterator[ServerReader]:
        if generation is None:
            generation = self.live(collection)
        if generation is None:
            raise NotPublishedError(f"Nothing has been published as {collection} yet. Run `ingest build`.")
        name = self._read_as(collection, generation)
        with self._limits.of(name, lambda: self._info(name, "search")) as limits:
            yield ServerReader(self.connection, name, generation, limits, self._consistency)

    def adapt(self, collection: str, generation: int) -> bool:
        name = _name(collection, generation)
        info = self._info(name)
        if self._layout.needs_another(info):
            return False
        # A live one may have come from a snapshot that was made while it was loaded.
        loaded = self._live_here(collection) == generation
        if changes := self._layout.changes(info, loaded=loaded):
            self._ask("admin", name, lambda c: c.update_collection(name, **changes))
        self._spread_mark(collection)
        return True

    def _spread_mark(self, collection: str) -> None:
        """Have as many nodes hold the mark of the name as are named."""
        if (nodes := len(self.connection.nodes)) == 1:
            return
        name = _marked(collection, NAME)
        until = time.monotonic() + _COPIED_S
        try:
            peers = getattr(self._ask("admin", name, lambda c: c.cluster_status()), "peers", {})
            while time.monotonic() < until:
                shards = self._ask("admin", name, lambda c: c.collection_cluster_info(name))
                if not (lacking := self._layout.missing_of_mark(shards, sorted(map(int, peers)), nodes)):
                    return
                if not shards.shard_transfers:  # a shard is copied to one node at a time
                    self._copy_shard(name, *lacking[0])
                go_on()
                time.sleep(ASKED_AGAIN_S)
            log.warning("%s has no replica on some nodes yet: the next run goes on.", self._whose(name))
        # A later run may succeed, and this one needs it only while a node is away.
        except IngestError as error:
            log.warning("%s has no replica on some nodes: %s", self._whose(name), error)

    def _copy_shard(self, name: str, shard: int, holder: int, to: int) -> None:
        from qdrant_client import models

        one = models.ReplicateShard(shard_id=shard, from_peer_id=holder, to_peer_id=to)
        copied = models.ReplicateShardOperation(replicate_shard=one)
        self._ask("admin", name, lambda c: c.cluster_collection_update(name, copied))

    def settle(self, collection: str, generation: int) -> None:
        name = _name(collection, generation)
        self._ask("admin", name, lambda c: c.update_collection(name, **self._layout.settled()))
        until, told = time.monotonic() + self._indexing_timeout_s, time.monotonic()
        while not (health := self._health(name)).is_ready:
            if health.status == "red":
                raise UnavailableError(
                    f"{self._whose(name)} failed: {health}. See its log. It was not published."
                )
            if (now := time.monotonic()) > until:
                longer = "QDRANT_INDEXING_TIMEOUT_S allows it more time."
                remedy = health.remedy if health.replicas else longer
                raise UnavailableError(
                    f"{self._whose(name)} was not ready within {self._indexing_timeout_s:g} s: {health}. "
                    f"It was not published; the next run goes on waiting. {remedy}"
                )
            if now - told > TOLD_AGAIN_S:
                log.info("Waiting until %s is indexed: %s", name, health)
                told = now
            if health.status == "grey":  # after a restart it waits for a change of the collection
                self._ask("admin", name, lambda c: c.update_collection(name, **self._layout.settled()))
            go_on()
            time.sleep(ASKED_AGAIN_S)

    def health(self, collection: str, generation: int) -> Health | None:
        return self._health(self._read_as(collection, generation), "search")

    def publish(self, collection: str, generation: int) -> None:
        from qdrant_client import models

        changes: list[Any] = []
        if self.live(collection) is not None:
            changes.append(
                models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=collection))
            )
        create = models.CreateAlias(collection_name=_name(collection, generation), alias_name=collection)
        changes.append(models.CreateAliasOperation(create_alias=create))
        self._ask("admin", collection, lambda c: c.update_collection_aliases(changes))
        self._agree(collection, generation)

    def _agree(self, collection: str, generation: int) -> None:
        """Wait until every node that answers knows of it. The others follow when they come back."""
        for url, node in self.at_each_node().items():
            until = time.monotonic() + _AGREED_S
            try:
                with impatiently():
                    while node.live(collection) != generation and time.monotonic() < until:
                        go_on()
                        time.sleep(ASKED_AGAIN_S)
            except UnavailableError:
                log.warning(
                    "%s is away, and did not hear of generation %s of %s.", url, generation, collection
                )
            finally:
                node.close()

    def at_each_node(self) -> dict[str, Store]:
        # A node reads its own replicas first.
        connection = self.connection
        if len(connection.nodes) == 1:
            return {}
        return {
            url: ServerStore(connection.only(i), self._layout, streams=self._streams)
            for i, url in enumerate(connection.nodes)
        }

    def drop(self, collection: str, generation: int) -> None:
        name = _name(collection, generation)
        self._ask("admin", name, lambda c: c.delete_collection(name))
        self._limits.forget(name)

    def mark(self, collection: str, generation: int) -> Mark | None:
        name = _marked(collection, NAME) if generation == NAME else self._read_as(collection, generation)
        try:
            metadata = self._info(name, "search").config.metadata or {}
        except (GoneError, ValueError):  # the second is the in-process mode's
            return None
        if METADATA in metadata or generation == NAME:
            return mark_from(metadata.get(METADATA))
        return None

    def set_mark(self, collection: str, generation: int, mark: Mark) -> None:
        if generation == NAME:
            self.claim(collection, mark)
        name = _marked(collection, generation)
        self._ask("admin", name, lambda c: c.update_collection(name, metadata=_metadata(mark)))

    def claim(self, collection: str, mark: Mark) -> Mark:
        self.connection.require_version(collection)
        name = _marked(collection, NAME)
        wanted = self._layout.of_mark(len(self.connection.nodes)) | {"metadata": _metadata(mark)}
        try:
            self._ask("admin", name, lambda c: c.create_collection(name, **wanted))
        except (TakenError, ValueError):
            if (held := self.mark(collection, NAME)) is None:
                raise
            return held
        held = self.mark(collection, NAME)
        if held is None or not held.owner.id:
            self._ask("admin", name, lambda c: c.delete_collection(name))
            raise ConfigurationError(
                f"{self.connection.current} cannot record whose a collection is: it is older than 1.16. "
                "Upgrade it, or unset QDRANT_URL to use the engine in this process."
            )
        return held

    def close(self) -> None:
        self.connection.close()

    # Asking

    def _ask(self, kind: Kind, collection: str, what: Callable[[QdrantClient], R]) -> R:
        return self.connection.ask(kind, collection, what)

    def _read_as(self, collection: str, generation: int) -> str:
        return collection if self._unseen.get(collection) == generation else _name(collection, generation)

    def _names(self, collection: str) -> set[str]:
        found = self._ask("admin", collection, lambda c: c.get_collections()).collections
        return {entry.name for entry in found}

    def _info(self, name: str, kind: Kind = "admin") -> Any:
        return self._ask(kind, name, lambda c: c.get_collection(name))

    def _health(self, name: str, kind: Kind = "admin") -> Health:
        info = self._info(name, kind)
        shards = (
            self._ask(kind, name, lambda c: c.collection_cluster_info(name))
            if self.connection.concurrent
            else None
        )
        return health_of(info, shards)

    def _whose(self, name: str) -> str:
        return f"{self.connection.current} ({name})"


def _name(collection: str, generation: int) -> str:
    return f"{collection}__{generation}"


def _marked(collection: str, generation: int) -> str:
    """The collection that carries a mark. No source's collection has a dash in its name."""
    return f"{collection}-owner" if generation == NAME else _name(collection, generation)


def _metadata(mark: Mark) -> dict[str, Any]:
    return {METADATA: mark.to_json()}
