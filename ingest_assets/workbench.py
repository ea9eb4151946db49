"""The library put together from settings: ledger, store, models, sources and their stages.

What belongs here: which implementation a setting stands for, and nothing that does work. Every part is
opened on first use, so that a process pays only for what it needs. Dagster's resource, the command line
and the tests all start here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from threading import RLock
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ingest_assets.model import ConfigurationError
from ingest_assets.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from ingest_assets.chunking import RecordChunker
    from ingest_assets.collection.base import Store
    from ingest_assets.entities import Limits
    from ingest_assets.entities.decisions import Decisions
    from ingest_assets.ledger import Ledger
    from ingest_assets.model import DenseModel, Source, SparseModel
    from ingest_assets.reconcile import Progress, Run, Stage
    from ingest_assets.stages.collection import Collection

SOURCES = ("crm",)
STAGES = ("records", "match_models", "entities", "chunks", "dense_vectors", "sparse_vectors", "collection")


def collection_name(source: str) -> str:
    """The name under which a source's index is searched."""
    return f"{source}_chunks"


@dataclass(frozen=True, slots=True)
class PublishedCollection:
    """A source's collection by its name, in its store."""

    source: str
    collection: str
    store: Store


class Workbench:
    """All parts that the settings name. Not safe to share between threads: each takes a `twin` of one."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._opening = RLock()  # held by twins that open what they share

    def twin(self) -> Workbench:
        """A workbench for another thread.

        It shares the ledger and the models with this one, which are safe to share and dear to open, and has
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
        for name in ("ledger", "store"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()

    @cached_property
    def ledger(self) -> Ledger:
        from ingest_assets.ledger import Ledger

        return Ledger(self.settings.ledger_url)

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
        from ingest_assets.embedding import DenseSpec, dense_model

        s = self.settings
        kind, _, name = s.dense_model_name.partition(":")
        if kind == "endpoint" and s.spark_control_url is None:
            raise ConfigurationError(f"INGEST_DENSE_MODEL={s.ingest_dense_model} needs SPARK_CONTROL_URL.")
        spec = DenseSpec(
            kind=kind,  # type: ignore[arg-type]  # the setting's validator admits no other kind
            model=name or None,
            path=s.ingest_dense_model_path,
            url=s.spark_control_url,
            api_key=s.spark_control_api_key,
            verify_tls=s.spark_control_verify_tls,
            ca_file=s.spark_control_ca_file,
            timeout_s=s.ingest_embed_timeout_s,
            batch_count=s.ingest_embed_batch_count,
            batch_chars=s.ingest_embed_batch_chars,
            max_attempts=s.ingest_embed_max_attempts,
            dimension=s.ingest_dense_dimension,
        )
        return dense_model(spec)

    @cached_property
    def sparse_model(self) -> SparseModel:
        from ingest_assets.embedding import sparse_model

        return sparse_model()

    def source(self, name: str) -> Source:
        """The system that documents come from. Raises ConfigurationError when it is not configured."""
        from ingest_assets.sources.crm.mapping import load_mapping
        from ingest_assets.sources.crm.reader import CrmSource

        s = self.settings
        if name not in SOURCES:
            raise ConfigurationError(f"There is no source {name!r}. Sources: {', '.join(SOURCES)}.")
        if s.crm_path is None:
            raise ConfigurationError(
                "CRM_DB_PATH is not set. Set it to the CRM's SQLite file, or write a sample one with "
                "`ingest sample crm`."
            )
        mapping = load_mapping(s.crm_mapping_path)
        return CrmSource(s.crm_path, mapping, max_document_chars=s.crm_max_document_chars)

    def chunker(self, source: str) -> RecordChunker:
        from ingest_assets.chunking import Budget, RecordChunker
        from ingest_assets.embedding.bundled import TOKENIZER

        s = self.settings
        tokenizer = TOKENIZER if s.ingest_chunk_unit == "tokens" else None
        budget = Budget(s.ingest_chunk_size, s.ingest_chunk_overlap, s.ingest_chunk_unit, tokenizer)
        return RecordChunker(source, budget)

    def published(self, source: str) -> PublishedCollection:
        """What is published of a source, to look at without its models."""
        return PublishedCollection(source, collection_name(source), self.store)

    def collection(self, source: str) -> Collection:
        """The last stage of a source's lineage."""
        from ingest_assets.stages.collection import Collection
        from ingest_assets.stages.generations import Pipeline

        pipeline = Pipeline(
            chunker=self.chunker(source).fingerprint,
            dense_model=self.dense_model.identity,
            sparse_model=self.sparse_model.identity,
            dimension=self.dense_model.dimension,
        )
        return Collection(source, collection_name(source), self.store, pipeline)

    @property
    def match_limits(self) -> Limits:
        """What matching may use of the machine."""
        from ingest_assets.entities import Limits

        s = self.settings
        return Limits(s.ingest_match_memory_mib, s.ingest_match_threads)

    def decisions(self) -> Decisions:
        """What people decided about who is who."""
        from ingest_assets.entities.decisions import load_decisions

        return load_decisions(self.settings.ingest_entity_decisions)

    def stage(self, source: str, name: str, *, retrain: bool = False) -> Stage:
        """One stage of a source's lineage. `retrain` is for the match models."""
        from ingest_assets.stages.chunks import Chunks
        from ingest_assets.stages.entities import Entities
        from ingest_assets.stages.match_models import MatchModels
        from ingest_assets.stages.records import Records
        from ingest_assets.stages.vectors import DenseVectors, SparseVectorsStage

        makers: dict[str, Callable[[], Stage]] = {
            "records": lambda: Records(self.source(source)),
            "match_models": lambda: MatchModels(source, self.match_limits, retrain),
            "entities": lambda: Entities(source, self.match_limits, self.decisions),
            "chunks": lambda: Chunks(self.chunker(source)),
            "dense_vectors": lambda: DenseVectors(source, self.dense_model),
            "sparse_vectors": lambda: SparseVectorsStage(source, self.sparse_model),
            "collection": lambda: self.collection(source),
        }
        return makers[name]()

    def run_lock(self) -> AbstractContextManager[None]:
        """Be the only run, or audit, on this ledger: a stage's own lock is let go of between two stages."""
        return self.ledger.lock("all-sources", self.settings.ingest_lock_timeout_s)

    def run(
        self, *, rebuild: bool = False, retry_parked: bool = False, progress: Progress | None = None
    ) -> Run:
        """A run with the settings' bounds."""
        from ingest_assets.reconcile import Run

        run = Run(rebuild, retry_parked, self.settings.ingest_lock_timeout_s)
        return run if progress is None else replace(run, progress=progress)


class _Twin(Workbench):
    """Another thread's workbench."""

    def __init__(self, first: Workbench) -> None:
        super().__init__(first.settings)
        self._first = first

    def close(self) -> None:
        """Close what is its own."""
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
