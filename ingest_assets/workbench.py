"""The library put together from settings: ledger, store, models, sources and their stages.

What belongs here: which implementation a setting stands for, and nothing that does work. Every part is
opened on first use, so that a process pays only for what it needs. Dagster's resource, the command line
and the tests all start here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ingest_assets.catalog import CATALOG, CRM, REPOSITORIES
from ingest_assets.model import ConfigurationError, digest_of
from ingest_assets.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from ingest_assets.collection.base import Store
    from ingest_assets.embedding.ahead import Ahead
    from ingest_assets.entities import Limits
    from ingest_assets.entities.decisions import Decisions
    from ingest_assets.ledger import Ledger
    from ingest_assets.model import Chunker, DenseModel, Source, SparseModel
    from ingest_assets.reconcile import Run, Stage
    from ingest_assets.repositories import Repositories
    from ingest_assets.stages.collection import Collection


def collection_name(source: str) -> str:
    """The name under which a source's index is searched."""
    return CATALOG[source].collection


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
        for name in ("ledger", "store", "ahead"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()

    @cached_property
    def ledger(self) -> Ledger:
        from ingest_assets.ledger import Ledger

        return Ledger(self.settings.ledger_url)

    @property
    def has_ledger(self) -> bool:
        """Whether there is one already; of a database server only asking would tell."""
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
        from ingest_assets.embedding import DenseSpec, dense_model
        from ingest_assets.embedding.ahead import DenseAhead

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
        model = dense_model(spec)
        return DenseAhead(model, self.ahead) if kind == "bundled" else model

    @cached_property
    def sparse_model(self) -> SparseModel:
        from ingest_assets.embedding import sparse_model
        from ingest_assets.embedding.ahead import SparseAhead

        return SparseAhead(sparse_model(), self.ahead)

    @cached_property
    def ahead(self) -> Ahead:
        """A process that loads the models while a source is read; not started by itself."""
        from ingest_assets.embedding.ahead import Ahead

        return Ahead()

    def source(self, name: str, part: str = "") -> Source:
        """The system that documents come from: of repositories, the one called `part`.

        Raises ConfigurationError when it is not configured.
        """
        if name == REPOSITORIES.name:
            return self.repositories.source(self.repositories.get(part))
        return self._crm()

    @cached_property
    def repositories(self) -> Repositories:
        """The repositories that are kept in step."""
        from ingest_assets.repositories import Repositories, bounds_of

        return Repositories(self.ledger, bounds_of(self.settings))

    @property
    def has_crm(self) -> bool:
        """Whether there is something of the source crm to index: a CRM, or notes where none is configured.

        Raises ConfigurationError when a CRM was indexed, here or by another ledger, and none is configured.
        """
        from ingest_assets import notes

        if self.settings.crm_path is not None:
            return True
        if not self.has_ledger:
            return False
        notes.NoCrm(self.ledger).require_no_records()
        if not notes.remain(self.ledger):
            return False
        self._require_ours(collection_name(CRM.name))
        return True

    def _require_ours(self, collection: str) -> None:
        """Notes alone replace no collection that another ledger made: there may be a CRM in it."""
        from ingest_assets.stages.generations import is_known

        live = self.store.live(collection)
        if live is not None and not is_known(self.ledger, collection, live):
            raise ConfigurationError(
                f"CRM_DB_PATH is not set, and {collection} was made with another ledger: notes alone do not "
                "replace it. Set CRM_DB_PATH, or have a store of your own."
            )

    def _crm(self) -> Source:
        from ingest_assets.notes import NoCrm, WithNotes
        from ingest_assets.sources.crm.mapping import load_mapping
        from ingest_assets.sources.crm.reader import CrmSource

        s = self.settings
        if s.crm_path is None and self.has_crm:
            return WithNotes(NoCrm(self.ledger), self.ledger)
        if s.crm_path is None:
            raise ConfigurationError(
                "CRM_DB_PATH is not set. Set it to the CRM's SQLite file, or write a sample one with "
                "`ingest sample crm`."
            )
        mapping = load_mapping(s.crm_mapping_path)
        crm = CrmSource(s.crm_path, mapping, max_document_chars=s.crm_max_document_chars)
        return WithNotes(crm, self.ledger)

    def chunker(self, source: str) -> Chunker:
        from ingest_assets.chunking import Budget, RecordChunker
        from ingest_assets.embedding.bundled import TOKENIZER

        s = self.settings
        tokenizer = TOKENIZER if s.ingest_chunk_unit == "tokens" else None
        budget = Budget(s.ingest_chunk_size, s.ingest_chunk_overlap, s.ingest_chunk_unit, tokenizer)
        if source != REPOSITORIES.name:
            return RecordChunker(source, budget)
        from ingest_assets.chunking.code import CodeChunker

        return CodeChunker(source, budget)

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
        spec = CATALOG[source]
        return Collection(source, spec.collection, self.store, pipeline, spec.upstream, spec.fields)

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

    def stage(self, source: str, name: str, *, part: str = "", retrain: bool = False) -> Stage:
        """One stage of a source's lineage. `part` names a repository, `retrain` is for the match models."""
        from ingest_assets.stages.chunks import Chunks
        from ingest_assets.stages.entities import Entities
        from ingest_assets.stages.match_models import MatchModels
        from ingest_assets.stages.records import Records
        from ingest_assets.stages.vectors import DenseVectors, SparseVectorsStage

        documents = CATALOG[source].documents
        makers: dict[str, Callable[[], Stage]] = {
            documents: lambda: Records(self.source(source, part), documents, part),
            "match_models": lambda: MatchModels(source, self.match_limits, retrain),
            "entities": lambda: Entities(source, self.match_limits, self.decisions),
            "chunks": lambda: Chunks(self.chunker(source), documents),
            "dense_vectors": lambda: DenseVectors(source, self.dense_model),
            "sparse_vectors": lambda: SparseVectorsStage(source, self.sparse_model),
            "collection": lambda: self.collection(source),
        }
        return makers[name]()

    def run_lock(
        self,
        source: str,
        part: str = "",
        *,
        wait_s: float | None = None,
        check: Callable[[], None] | None = None,
    ) -> AbstractContextManager[None]:
        """Be the only run, or audit, on a source: a stage's own lock is let go of between two stages.

        Or the only run on a part of it. Waits for `wait_s`, by default what the settings say; `check` is
        called meanwhile, and ends the wait by raising.
        """
        name = f"run-{source}-{digest_of(part)[:16]}" if part else f"run-{source}"
        wait_s = self.settings.ingest_lock_timeout_s if wait_s is None else wait_s
        return self.ledger.lock(name, wait_s, check)

    def run(self, *, rebuild: bool = False, retry_parked: bool = False) -> Run:
        """A run with the settings' bounds."""
        from ingest_assets.reconcile import Run

        return Run(rebuild, retry_parked, self.settings.ingest_lock_timeout_s)


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
