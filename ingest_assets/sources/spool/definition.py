"""The spool: records of batches as documents, behind a gate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest_assets.fields import FilterField
from ingest_assets.model import Chunker, Outcomes, Source
from ingest_assets.sources.definition import (
    Due,
    Missing,
    SourceDefinition,
    StageDefinition,
    StageRequest,
    SuppliedVectors,
    Triggers,
    Words,
)
from ingest_assets.sources.spool.settings import (
    BATCH_TAG,
    BATCHES,
    NAME,
    NUMBER,
    PII,
    RECORD_SOURCE,
    SpoolSettings,
)
from ingest_assets.sources.stages import chunks_stage
from ingest_assets.stages.shapes import AssetCheck, Finding

if TYPE_CHECKING:
    import typer

    from ingest_assets.reconcile import Stage
    from ingest_assets.settings import Settings
    from ingest_assets.sources.operations import SourceOperation, SourceStream
    from ingest_assets.workbench import Workbench


def _open(bench: Workbench, part: str) -> Source:
    from ingest_assets.sources.spool.source import batch_source

    return batch_source(bench, part)


def _missing(bench: Workbench) -> Missing | None:
    if bench.settings_of(SpoolSettings).spool_dir is None:
        return Missing("SPOOL_DIR is not set", "Set it to the folder that producers write their batches to.")
    return None


def _batches(bench: Workbench, source: SourceDefinition, _request: StageRequest) -> Stage:
    from ingest_assets.sources.spool.stage import batches_stage

    return batches_stage(bench, source)


def _batches_metadata(bench: Workbench, _stage: Stage, _outcomes: Outcomes) -> dict[str, Any]:
    from ingest_assets.sources.spool.metadata import batches_metadata

    return batches_metadata(bench)


def _chunker(bench: Workbench, source: str) -> Chunker:
    from ingest_assets.chunking import TextChunker

    return TextChunker(source, bench.chunk_budget)


def _more_fields(settings: Settings) -> tuple[FilterField, ...]:
    from ingest_assets.sources.spool.documents import metadata_fields

    return metadata_fields(settings.of(SpoolSettings))


def _due(bench: Workbench) -> Due:
    from ingest_assets.sources.spool.trigger import due

    return due(bench)


def _start_ahead(bench: Workbench) -> None:
    from ingest_assets.sources.spool.stage import start_ahead

    start_ahead(bench)


def _watched(bench: Workbench) -> Sequence[Path]:
    from ingest_assets.sources.spool.trigger import watched

    return watched(bench)


def _hidden(bench: Workbench) -> Sequence[str]:
    from ingest_assets.sources.spool.gates import hidden

    return hidden(bench)


def _settle(bench: Workbench) -> None:
    from ingest_assets.sources.spool.settling import settle

    settle(bench)


def _vectors(bench: Workbench) -> SuppliedVectors | None:
    from ingest_assets.sources.spool.vectors import supplied_vectors

    return supplied_vectors(bench)


def _checks() -> Sequence[AssetCheck]:
    from ingest_assets.sources.spool.checks import SPOOL_CHECKS

    return SPOOL_CHECKS


def _doctor(bench: Workbench) -> Iterable[Finding]:
    from ingest_assets.sources.spool.doctor import findings

    return findings(bench)


def _operations() -> Sequence[SourceOperation]:
    from ingest_assets.sources.spool.operations import OPERATIONS

    return OPERATIONS


def _streams() -> Sequence[SourceStream]:
    from ingest_assets.sources.spool.operations import STREAMS

    return STREAMS


def _commands(app: typer.Typer, sample: typer.Typer) -> None:
    from ingest_assets.sources.spool.commands import gate, sample_spool, spool

    app.add_typer(spool, name="spool")
    app.add_typer(gate, name="gate")
    sample.command("spool")(sample_spool)


SOURCE = SourceDefinition(
    name=NAME,
    title="Spool",
    words=Words(
        about="records of batches that other programs dropped into the spool",
        example_query="what customers say about delivery times",
        example_filters={RECORD_SOURCE: "helpdesk"},
        example_document="helpdesk-20260131T090000Z-1f2e3d4c/17",
        common_fields=("document_id", "kind", "since", "until"),
    ),
    settings=SpoolSettings,
    open=_open,
    missing=_missing,
    collection="spool_chunks",
    stages=(
        StageDefinition(
            name=BATCHES,
            description="One row per record with text of the batches in the spool. Files are claimed, "
            "checked in a confined process, and recorded in the manifest; personal batches wait until "
            "their gate is opened. A batch is in the index with all of its records, or with none.",
            make=_batches,
            metadata=_batches_metadata,
            kinds=frozenset({"python"}),
        ),
        chunks_stage(
            BATCHES,
            "One row per chunk: a piece of a record's text within the budget, and nothing else, so that a "
            "vector that came along with a record is that of its chunk.",
        ),
    ),
    chunker=_chunker,
    attributes=(BATCH_TAG, RECORD_SOURCE, PII, NUMBER),
    fields=(
        FilterField(name=BATCH_TAG, description="Records of these batches.", label="Batch"),
        FilterField(
            name=RECORD_SOURCE,
            description="Where the producer has the record from.",
            label="From",
            on_hits=True,
        ),
        FilterField(name=PII, type="flag", description="Only personal batches, or none.", label="Personal"),
    ),
    more_fields=_more_fields,
    hidden=_hidden,
    hidden_by=BATCH_TAG,
    vectors=_vectors,
    start_ahead=_start_ahead,
    settle=_settle,
    shows_samples=False,
    triggers=Triggers(
        sensor="spool_sensor",
        sensor_description="Refreshes when enough bytes or files have gathered in the spool, or the oldest "
        "has waited long enough; at once when a gate was opened or closed.",
        due=_due,
        watched=_watched,
    ),
    checks=_checks,
    doctor=_doctor,
    operations=_operations,
    streams=_streams,
    commands=_commands,
)
