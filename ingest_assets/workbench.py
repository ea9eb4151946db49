"""The library assembled from settings: ledger, store, models, sources and their stages.

What belongs here: which implementation a setting selects, and nothing that does work. Every part is opened on
first use, so that a process pays only for what it needs. Dagster's resource, the command line and the tests
all start here.
"""

from __future__ import annotations

from collections import ChainMap
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, runtime_checkable

from ingest_assets import __version__
from ingest_assets.ledger.installation import Installation, installation_of, require_name
from ingest_assets.model import (
    ConfigurationError,
    IngestError,
    NotPublishedError,
    UnavailableError,
    digest_of,
)
from ingest_assets.private import keep_home_private
from ingest_assets.redaction import redact
from ingest_assets.settings import Settings, SourceSettings
from ingest_assets.sources.definition import Missing, StageRequest
from ingest_assets.sources.registry import Sources, load_sources
from ingest_assets.sources.stages import shared_stages
from ingest_assets.tracing import begin_tracing

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from ingest_assets.cache.redis_cache import RedisCache
    from ingest_assets.chunking import ChunkBudget
    from ingest_assets.collection.base import Store
    from ingest_assets.collection.owned import OwnedStore
    from ingest_assets.embedding.preload import Preloader
    from ingest_assets.entities import Limits
    from ingest_assets.entities.decisions import Decisions
    from ingest_assets.jobs.rows import Job
    from ingest_assets.ledger import Ledger
    from ingest_assets.model import DenseModel, Source, SparseModel
    from ingest_assets.reconcile import Run, Stage
    from ingest_assets.sandbox import Sandbox
    from ingest_assets.stages.collection import Collection
    from ingest_assets.stages.origins import Origin

S = TypeVar("S", bound=SourceSettings)


@runtime_checkable
class Closable(Protocol):
    """What holds something that has to be let go of."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class PublishedCollection:
    """A source's collection: its name and its store."""

    source: str
    collection: str
    store: Store


class Workbench:
    """All parts that the settings select. Not safe to share between threads: each needs a `twin` of one."""

    def __init__(self, settings: Settings, sources: Sources | None = None) -> None:
        self.settings = settings
        begin_tracing(settings, __version__)
        keep_home_private(settings.ingest_home)
        sources = load_sources() if sources is None else sources
        sources.check_fields(settings)
        self.sources = sources.with_prefix(settings.ingest_collection_prefix)
        self.searches: dict[str, Any] = {}  # those that `queries.search` opened, by source
        self.left: dict[str, Closable] = {}  # what a stage leaves for a later one of the run, by its name
        self.job: Job | None = None  # the background job that it works for at present
        self._opening = RLock()  # held while a twin opens what it shares

    def twin(self) -> Workbench:
        """A workbench for another thread.

        It shares this one's ledger, cache and models, which are thread-safe and expensive to open, and has
        a store of its own. Close all twins before this one.
        """
        return _Twin(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened."""
        while self.left:
            self.left.popitem()[1].close()
        self.__dict__.pop("store", None)
        if isinstance(self.__dict__.get("dense_model"), Closable):  # one that keeps connections
            self.__dict__.pop("dense_model").close()
        for name in ("ledger", "engine", "preloader", "sandbox", "cache"):
            if (part := self.__dict__.pop(name, None)) is not None:
                part.close()

    def settings_of(self, kind: type[S]) -> S:
        """The settings that a source declares.

        Raises ConfigurationError naming every variable that is wrong.
        """
        return self.settings.of(kind)

    @cached_property
    def ledger(self) -> Ledger:
        from ingest_assets.ledger import Ledger

        return Ledger(self.settings.ledger_url)

    @property
    def has_ledger(self) -> bool:
        """Whether there is one already; assumed of a database server, which would have to be asked."""
        kind, _, file = self.settings.ledger_url.partition(":///")
        return kind != "sqlite" or Path(file).exists()

    @cached_property
    def installation(self) -> Installation:
        """Who the ledger belongs to. Raises ConfigurationError if the settings name somebody else."""
        found = self.unchecked_installation
        require_name(found, self.settings.ingest_installation_name)
        return found

    @property
    def unchecked_installation(self) -> Installation:
        """Who the ledger belongs to, whatever the settings say."""
        return installation_of(self.ledger, self.settings.installation_name)

    @cached_property
    def store(self) -> OwnedStore:
        """The collections, of which only this installation's own can be searched and written to."""
        return self.store_of(self.installation)

    def forget_installation(self) -> None:
        """Have the ledger asked again who it belongs to, after that was changed."""
        for name in ("installation", "store"):
            self.__dict__.pop(name, None)

    def store_of(self, installation: Installation) -> OwnedStore:
        """The collections as an installation may use them."""
        from ingest_assets.collection.owned import OwnedStore
        from ingest_assets.stages.generations import recognised

        sources = {source.collection: source.name for source in self.sources.values()}
        ours = partial(recognised, self.ledger, self.engine)
        return OwnedStore(self.engine, installation, sources, ours)

    @cached_property
    def engine(self) -> Store:
        """The store itself, whoever's collections it holds."""
        s = self.settings
        if s.qdrant_url is None:
            from ingest_assets.collection.embedded import EmbeddedStore

            return EmbeddedStore(s.ingest_home / "collections")
        from ingest_assets.collection.server.settings import configured_server

        return configured_server(s)

    @cached_property
    def cache(self) -> RedisCache | None:
        """Where answers are kept, if the settings name one."""
        from ingest_assets.cache import cache_of

        return cache_of(self.settings)

    @cached_property
    def dense_model(self) -> DenseModel:
        from ingest_assets.embedding import configured_model

        return configured_model(self.settings, self.preloader)

    @cached_property
    def sparse_model(self) -> SparseModel:
        from ingest_assets.embedding import sparse_model
        from ingest_assets.embedding.preload import PreloadedSparseModel

        return PreloadedSparseModel(sparse_model(), self.preloader)

    @cached_property
    def preloader(self) -> Preloader:
        """A process that loads the models while a source is read; it does not start by itself."""
        from ingest_assets.embedding.preload import Preloader

        return Preloader()

    @cached_property
    def sandbox(self) -> Sandbox:
        """Where bytes that others made are parsed."""
        from ingest_assets.sandbox import Limits, Sandbox
        from ingest_assets.sandbox.limits import MIB

        s = self.settings
        limits = Limits(memory_bytes=s.ingest_parser_memory_mib * MIB, cpu_s=s.ingest_parser_cpu_s)
        return Sandbox((s.ingest_home / "tmp").absolute(), limits)

    @property
    def chunk_budget(self) -> ChunkBudget:
        """How large a chunk may be by the settings."""
        from ingest_assets.chunking import ChunkBudget
        from ingest_assets.embedding.bundled import TOKENIZER

        s = self.settings
        tokenizer = TOKENIZER if s.ingest_chunk_unit == "tokens" else None
        return ChunkBudget(s.ingest_chunk_size, s.ingest_chunk_overlap, s.ingest_chunk_unit, tokenizer)

    def source(self, name: str, part: str = "") -> Source:
        """The system that documents come from, or a part of it; an empty one for a part that is gone.

        Raises ConfigurationError when it is not configured, or its collection is another installation's.
        """
        source = self.sources[name]
        if source.partitions is not None and part not in source.partitions.parts(self):
            from ingest_assets.sources.empty import EmptySource

            return EmptySource(name, part)
        if source.partitions is None:
            self.require_configured(name)
        # Now, and not when everything has been read and embedded. A store that does not answer, or holds
        # nothing, is for the last stage.
        with suppress(UnavailableError, NotPublishedError):
            self.store.live(source.collection)
        return source.open(self, part)

    def missing(self, name: str) -> Missing | None:
        """What a source lacks to be refreshed.

        Raises ConfigurationError if its settings are wrong, also if they name another system than the one
        that it was read from so far.
        """
        try:
            missing = self.sources[name].missing(self)
            origin = None if missing else self.sources[name].origin(self)
        except IngestError:
            raise
        except Exception as error:  # noqa: BLE001 - another package's fault must not stop the other sources
            said = redact(f"{type(error).__name__}: {error}")
            reason = f"the source {name} failed to say what it lacks ({said})"
            return Missing(reason, "This is a fault of the package that it comes from.")
        if origin is not None and self.has_ledger:
            self._require_same_system(name, origin)
        return missing

    def _require_same_system(self, name: str, origin: Origin) -> None:
        from ingest_assets.stages.origins import require_origin

        self.installation  # noqa: B018 - raises if the ledger is another installation's
        with self.ledger.reading() as connection:
            require_origin(connection, name, origin)

    def require_configured(self, name: str) -> None:
        """Raises ConfigurationError, which says what to do, for a source that cannot be refreshed."""
        missing = self.missing(name)
        if missing is not None:
            raise ConfigurationError(str(missing))

    def published(self, source: str) -> PublishedCollection:
        """A source's published collection, which can be read without its models."""
        return PublishedCollection(source, self.sources[source].collection, self.store)

    def collection(self, name: str) -> Collection:
        """The last stage of a source's lineage."""
        from ingest_assets.stages.chunks import chunks_fingerprint
        from ingest_assets.stages.collection import Collection
        from ingest_assets.stages.generations import Pipeline
        from ingest_assets.stages.removals import guard_of

        source = self.sources[name]
        attributes = source.payload_attributes(self.settings)
        pipeline = Pipeline(
            chunks=chunks_fingerprint(source.chunker(self, name), attributes),
            dense_model=self.dense_model.identity,
            sparse_model=self.sparse_model.identity,
            dimension=self.dense_model.dimension,
            fields=source.all_fields(self.settings),
        )
        guard = guard_of(self.settings, name)
        return Collection(name, source.collection, self.store, pipeline, source.made_of, guard)

    @property
    def match_limits(self) -> Limits:
        """How much of the machine matching may use."""
        from ingest_assets.entities import Limits

        s = self.settings
        return Limits(s.ingest_match_memory_mib, s.ingest_match_threads)

    def decisions(self) -> Decisions:
        """People's decisions about which records are one person or organisation, by the ids of documents."""
        from ingest_assets.entities.decisions import load_decisions
        from ingest_assets.stages.ids_meant import documents_meant

        typed = load_decisions(self.settings.ingest_entity_decisions)
        if not typed.made:
            return typed
        ids = {id_ for d in typed.made for id_ in (d.left, d.right)}
        with self.ledger.reading() as connection:
            found = [documents_meant(connection, source, ids) for source in self.sources]
        return typed.renamed(ChainMap(*map(dict, found)))

    def stage(self, source: str, name: str, *, part: str = "", retrain: bool = False) -> Stage:
        """One stage of a source's lineage, for one part if it has parts.

        `retrain` is for the match models.
        """
        definition = self.sources[source]
        for stage in (*definition.stages, *shared_stages(definition)):
            if stage.name == name:
                return stage.make(self, definition, StageRequest(part, retrain))
        raise ConfigurationError(f"{source} has no stage {name!r}.")

    def recorded(self, source: str) -> tuple[int, int]:
        """How many documents and chunks of a source are on record."""
        from ingest_assets.stages.counts import recorded

        return recorded(self.ledger, source)

    def run_lock(
        self,
        source: str,
        part: str = "",
        *,
        wait_s: float | None = None,
        check: Callable[[], None] | None = None,
    ) -> AbstractContextManager[None]:
        """Be the only run or audit on a source, or the only run on a part of it.

        A stage's own lock is released between two stages. Waits for up to `wait_s`, by default as long as the
        settings say; `check` is called meanwhile, and ends the wait by raising.
        """
        name = f"run-{source}-{digest_of(part)[:16]}" if part else f"run-{source}"
        wait_s = self.settings.ingest_lock_timeout_s if wait_s is None else wait_s
        return self.ledger.lock(name, wait_s, check)

    def run(self, *, rebuild: bool = False, retry_parked: bool = False, allow_removals: bool = False) -> Run:
        """A run with the lock timeout of the settings."""
        from ingest_assets.reconcile import Run

        return Run(rebuild, retry_parked, allow_removals, self.settings.ingest_lock_timeout_s)


class _Twin(Workbench):
    """Another thread's workbench."""

    def __init__(self, first: Workbench) -> None:
        super().__init__(first.settings, first.sources)
        self._first = first

    def close(self) -> None:
        """Close what it owns."""
        while self.left:
            self.left.popitem()[1].close()
        self.__dict__.pop("store", None)
        for name in ("engine", "sandbox"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()

    @cached_property
    def ledger(self) -> Ledger:
        with self._first._opening:
            return self._first.ledger

    @cached_property
    def cache(self) -> RedisCache | None:
        with self._first._opening:
            return self._first.cache

    @cached_property
    def dense_model(self) -> DenseModel:
        with self._first._opening:
            return self._first.dense_model

    @cached_property
    def sparse_model(self) -> SparseModel:
        with self._first._opening:
            return self._first.sparse_model
