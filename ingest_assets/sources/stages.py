"""The stages that lineages are put together from.

What belongs here: how each stage is made from a workbench, with what Dagster shows of it. What does not: what
a stage does (see `stages`). Stages are imported when they are made, so that a definition is cheap to load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ingest_assets.model import Chunker, Outcomes
from ingest_assets.sources.definition import SourceDefinition, StageDefinition, StageRequest
from ingest_assets.stages.shapes import (
    CHUNKS,
    COLLECTION,
    DENSE_VECTORS,
    ENTITIES,
    MATCH_MODELS,
    SPARSE_VECTORS,
    AssetCheck,
)

if TYPE_CHECKING:
    from ingest_assets.reconcile import Stage
    from ingest_assets.stages.removals import Guard
    from ingest_assets.workbench import Workbench

Metadata = Callable[["Workbench", "Stage", Outcomes], Mapping[str, Any]]


def documents_stage(
    name: str,
    description: str,
    *,
    kinds: Iterable[str] = ("python",),
    code_version: str = "1",
    in_parts: bool = False,
    metadata: Metadata | None = None,
) -> StageDefinition:
    """The first stage: one row per document of the source, or of each of its parts."""

    def make(bench: Workbench, source: SourceDefinition, request: StageRequest) -> Stage:
        from ingest_assets.stages.records import Records

        part = request.part
        return Records(
            bench.source(source.name, part),
            name,
            part,
            source.all_fields(bench.settings),
            system=source.origin(bench),
            guard=_guard(bench, source, part),
        )

    return StageDefinition(
        name=name,
        description=description,
        make=make,
        kinds=frozenset(kinds),
        code_version=code_version,
        in_parts=in_parts,
        metadata=metadata,
    )


def _guard(bench: Workbench, source: SourceDefinition, part: str) -> Guard | None:
    """What may leave unasked; None for a part that somebody removed, and for sample data that gives way."""
    from ingest_assets.stages.origins import holds_sample
    from ingest_assets.stages.removals import guard_of

    if source.partitions is not None and part in source.partitions.leaving(bench):
        return None
    system = source.origin(bench)
    if system is not None and system.kept:
        with bench.ledger.reading() as connection:
            if holds_sample(connection, source.name):
                return None
    return guard_of(bench.settings, source.name, source.removed_on_purpose(bench))


def chunks_stage(
    documents: str,
    description: str = "One row per chunk: the header lines of its document, then a piece of the body within "
    "the budget. Ids are derived from content, so that an edit at the top of a text does not change the "
    "chunks below it.",
    *,
    kinds: Iterable[str] = ("python",),
    code_version: str = "1",
) -> StageDefinition:
    """Documents to chunks, by the source's chunker."""

    def make(bench: Workbench, source: SourceDefinition, _request: StageRequest) -> Stage:
        from ingest_assets.stages.chunks import Chunks

        chunker = source.chunker(bench, source.name)
        attributes = source.payload_attributes(bench.settings)
        return Chunks(chunker, documents, attributes, expect=bench.preloader.expect)

    return StageDefinition(
        name=CHUNKS,
        description=description,
        make=make,
        deps=(documents,),
        kinds=frozenset(kinds),
        code_version=code_version,
        makes_points=True,
    )


def record_chunker(bench: Workbench, source: str) -> Chunker:
    """Cuts prose at sentence boundaries, within the budget of the settings, below header lines."""
    from ingest_assets.chunking import RecordChunker

    return RecordChunker(source, bench.chunk_budget)


def resolution_stages(documents: str) -> tuple[StageDefinition, StageDefinition]:
    """Entity resolution of the people and organisations among a source's documents."""
    return (
        StageDefinition(
            name=MATCH_MODELS,
            description="One row per model that matches records of people, or of organisations. Trained on "
            "the records if there are enough of them when it is first needed, else the one that ships; "
            "trained again only by `ingest entity train` (the job train_match_models), or when a new "
            "version compares records in another way.",
            make=_match_models,
            deps=(documents,),
            kinds=frozenset({"splink", "duckdb"}),
            metadata=_metadata_of("match_models_metadata"),
        ),
        StageDefinition(
            name=ENTITIES,
            description="One row per record of a person or organisation, with the canonical entity that it "
            "belongs to, and one row per document with the entities that it is about. Records are matched "
            "by probability, and people's decisions always win. An entity keeps its id while it keeps its "
            "oldest record.",
            make=_entities,
            deps=(documents, MATCH_MODELS),
            kinds=frozenset({"splink", "duckdb"}),
            code_version="2",
            makes_points=True,
            metadata=_metadata_of("entities_metadata"),
        ),
    )


def resolution_checks() -> tuple[AssetCheck, ...]:
    """The standing checks of entity resolution."""
    from ingest_assets.stages.resolution.checks import RESOLUTION_CHECKS

    return RESOLUTION_CHECKS


def shared_stages(source: SourceDefinition) -> tuple[StageDefinition, ...]:
    """The stages that every lineage ends with."""
    return (
        StageDefinition(
            name=DENSE_VECTORS,
            description="One row per distinct chunk text and dense model: a unit vector. A text is embedded "
            "once, however many chunks have it.",
            make=_dense_vectors,
            deps=(CHUNKS,),
            kinds=frozenset({"fastembed"}),
        ),
        StageDefinition(
            name=SPARSE_VECTORS,
            description="One row per distinct chunk text: BM25 term weights.",
            make=_sparse_vectors,
            deps=(CHUNKS,),
            kinds=frozenset({"fastembed"}),
        ),
        StageDefinition(
            name=COLLECTION,
            description="One point per chunk in the Qdrant collection, with both vectors, the text and what "
            "it can be filtered by. A point counts as done when the store has acknowledged it; readers see "
            "the published generation, never one that is being written.",
            make=lambda bench, source, _request: bench.collection(source.name),
            deps=(*source.made_of[1:], DENSE_VECTORS, SPARSE_VECTORS),
            kinds=frozenset({"qdrant"}),
        ),
    )


def _match_models(bench: Workbench, source: SourceDefinition, request: StageRequest) -> Stage:
    from ingest_assets.stages.match_models import MatchModels

    return MatchModels(source.name, bench.match_limits, request.retrain)


def _entities(bench: Workbench, source: SourceDefinition, _request: StageRequest) -> Stage:
    from ingest_assets.stages.entities import Entities

    return Entities(source.name, source.documents, bench.match_limits, bench.decisions)


def _dense_vectors(bench: Workbench, source: SourceDefinition, _request: StageRequest) -> Stage:
    from ingest_assets.stages.vectors import DenseVectors

    return DenseVectors(source.name, bench.dense_model, source.vectors(bench))


def _sparse_vectors(bench: Workbench, source: SourceDefinition, _request: StageRequest) -> Stage:
    from ingest_assets.stages.vectors import SparseVectorsStage

    return SparseVectorsStage(source.name, bench.sparse_model)


def _metadata_of(function: str) -> Metadata:
    def metadata(bench: Workbench, stage: Stage, _outcomes: Outcomes) -> Mapping[str, Any]:
        from ingest_assets.stages.resolution import metadata as resolution

        found: Mapping[str, Any] = getattr(resolution, function)(bench, stage.source)
        return found

    return metadata
