"""The library assembled from settings: ledger, store, models, sources and their stages.

What belongs here: which implementation a setting selects, and nothing that does work. Every part is opened on
first use, so that a process pays only for what it needs. Dagster's resource, the command line and the tests
all start here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ingest_assets.model import ConfigurationError, IngestError, digest_of
from ingest_assets.settings import Settings, SourceSettings
from ingest_assets.sources.definition import Missing, StageRequest
from ingest_assets.sources.registry import Sources, load_sources
from ingest_assets.sources.stages import shared_stages

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from ingest_assets.chunking import ChunkBudget
    from ingest_assets.collection.base import Store
    from ingest_assets.embedding.preload import Preloader
    from ingest_assets.entities import Limits
    from ingest_assets.entities.decisions import Decisions
    from ingest_assets.ledger import Ledger
    from ingest_assets.model import DenseModel, Source, SparseModel
    from ingest_assets.reconcile import Run, Stage
    from ingest_assets.stages.collection import Collection

S = TypeVar("S", bound=SourceSettings)


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
        self.sources = load_sources() if sources is None else sources
        self.sources.check_fields(settings)
        self.searches: dict[str, Any] = {}  # those that `queries.search` opened, by source
        self._opening = RLock()  # held while a twin opens what it shares

    def twin(self) -> Workbench:
        """A workbench for another thread.

        It shares this one's ledger and models, which are thread-safe and expensive to open, and has a store
        of its own. Close all twins before this one.
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
        for name in ("ledger", "store", "preloader"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()

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
    def store(self) -> Store:
        s = self.settings
        if s.qdrant_url is None:
            from ingest_assets.collection.embedded import EmbeddedStore

            return EmbeddedStore(s.ingest_home / "collections")
        from ingest_assets.collection.server import ServerStore

        key = s.qdrant_api_key.get_secret_value() if s.qdrant_api_key else None
        return ServerStore.connect(
            s.qdrant_url,
            api_key=key,
            verify_tls=s.qdrant_verify_tls,
            timeout_s=s.qdrant_timeout_s,
            grpc_port=s.qdrant_grpc_port,
        )

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

        Raises ConfigurationError when it is not configured.
        """
        source = self.sources[name]
        if source.partitions is not None and part not in source.partitions.parts(self):
            from ingest_assets.sources.empty import EmptySource

            return EmptySource(name, part)
        if source.partitions is None:
            self.require_configured(name)
        return source.open(self, part)

    def missing(self, name: str) -> Missing | None:
        """What a source lacks to be refreshed. Raises ConfigurationError if its settings are wrong."""
        try:
            return self.sources[name].missing(self)
        except IngestError:
            raise
        except Exception as error:  # noqa: BLE001 - another package's fault must not stop the other sources
            reason = f"the source {name} failed to say what it lacks ({type(error).__name__}: {error})"
            return Missing(reason, "This is a fault of the package that it comes from.")

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

        source = self.sources[name]
        attributes = source.payload_attributes(self.settings)
        pipeline = Pipeline(
            chunks=chunks_fingerprint(source.chunker(self, name), attributes),
            dense_model=self.dense_model.identity,
            sparse_model=self.sparse_model.identity,
            dimension=self.dense_model.dimension,
            fields=source.all_fields(self.settings),
        )
        return Collection(name, source.collection, self.store, pipeline, source.made_of)

    @property
    def match_limits(self) -> Limits:
        """How much of the machine matching may use."""
        from ingest_assets.entities import Limits

        s = self.settings
        return Limits(s.ingest_match_memory_mib, s.ingest_match_threads)

    def decisions(self) -> Decisions:
        """People's decisions about which records are one person or organisation."""
        from ingest_assets.entities.decisions import load_decisions

        return load_decisions(self.settings.ingest_entity_decisions)

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

    def run(self, *, rebuild: bool = False, retry_parked: bool = False) -> Run:
        """A run with the lock timeout of the settings."""
        from ingest_assets.reconcile import Run

        return Run(rebuild, retry_parked, self.settings.ingest_lock_timeout_s)


class _Twin(Workbench):
    """Another thread's workbench."""

    def __init__(self, first: Workbench) -> None:
        super().__init__(first.settings, first.sources)
        self._first = first

    def close(self) -> None:
        """Close what it owns."""
        if "store" in self.__dict__:
            self.__dict__.pop("store").close()

    @cached_property
    def ledger(self) -> Ledger:
        with self._first._opening:
            return self._first.ledger

    @cached_property
    def dense_model(self) -> DenseModel:
        with self._first._opening:
            return self._first.dense_model

    @cached_property
    def sparse_model(self) -> SparseModel:
        with self._first._opening:
            return self._first.sparse_model
