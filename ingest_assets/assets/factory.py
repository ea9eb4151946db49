"""One lineage graph a source, all of the same shape."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import dagster as dg

from ingest_assets.assets.fetching import fetch, waiting_for
from ingest_assets.assets.indexing import Moved, working_for
from ingest_assets.assets.metadata import more_metadata, outcome_metadata
from ingest_assets.automation.partitions import PARTITIONS
from ingest_assets.catalog import CATALOG, CRM, REPOSITORIES
from ingest_assets.reconcile import observer, reconcile
from ingest_assets.resources import Ingest

OWNERS = ["team:data-platform"]
PROGRESS_EVERY_S = 5


class ReconcileConfig(dg.Config):
    """How a stage is run. Left alone, it works off the difference, which is right nearly always."""

    rebuild: bool = False
    """Look at everything again, whatever is recorded as done. Safe at any time: the result is the same,
    vectors of known texts are not made again, and search answers from the old index until the new one
    is complete. For the collection: build a new generation beside the live one, then switch."""

    retrain: bool = False
    """For the match models: train them anew. Other models may give other entities."""

    retry_parked: bool = False
    """Try items that were refused before once more, though neither they nor the pipeline changed."""


@dataclass(frozen=True)
class StageSpec:
    """What Dagster shows of a stage."""

    name: str
    deps: Sequence[str]
    kinds: set[str]
    code_version: str
    description: str
    partitions: dg.PartitionsDefinition[str] | None = None


_CRM = (
    StageSpec(
        "records",
        (),
        {"sqlite"},
        "1",
        "One row a record of the source: people, organisations, interactions and opportunities of a CRM, "
        "rendered to a title, header fields and a body. Read through a read-only connection; a record "
        "counts as changed when the digest of its columns changes.",
    ),
    StageSpec(
        "match_models",
        ("records",),
        {"splink", "duckdb"},
        "1",
        "One row a model by which records of people, or of organisations, are matched. Trained from the "
        "records when there is none yet and there are enough of them, else the one that ships; trained "
        "again only by the job train_match_models.",
    ),
    StageSpec(
        "entities",
        ("records", "match_models"),
        {"splink", "duckdb"},
        "2",
        "One row a person's or organisation's record, with the canonical entity that it belongs to, and "
        "one row a document with the entities that it is about. Records are matched by probability, and "
        "people's decisions always win. An entity keeps its id while it keeps its oldest record.",
    ),
    StageSpec(
        "chunks",
        ("records",),
        {"python"},
        "1",
        "One row a chunk: the header lines of its record, then a piece of the body within the budget. Ids "
        "are derived from content, so that an edit at the top of a text leaves the chunks below it alone.",
    ),
)
_REPOSITORIES = (
    StageSpec(
        "files",
        (),
        {"git"},
        "1",
        "One row a file of a repository; a partition each repository. Fetched into a bare mirror, read at a "
        "commit through git's objects and never checked out. A file counts as changed when its blob changes; "
        "what is skipped is counted by reason.",
        partitions=PARTITIONS,
    ),
    StageSpec(
        "chunks",
        ("files",),
        {"treesitter"},
        "2",
        "One row a chunk: a function, a class or another symbol with its comments, cut along the syntax; "
        "prose where there is none. The path is no part of the text: a renamed file is not embedded again.",
    ),
)


def _shared(upstream: Sequence[str]) -> tuple[StageSpec, ...]:
    """The stages that every source's lineage ends with; `upstream` is what the collection is made of."""
    return (
        StageSpec(
            "dense_vectors",
            ("chunks",),
            {"fastembed"},
            "1",
            "One row a distinct chunk text and dense model: a unit vector. A text is embedded once, however "
            "many chunks have it.",
        ),
        StageSpec(
            "sparse_vectors",
            ("chunks",),
            {"fastembed"},
            "1",
            "One row a distinct chunk text: BM25 term weights.",
        ),
        StageSpec(
            "collection",
            tuple(stage for stage in upstream if stage != "chunks"),
            {"qdrant"},
            "1",
            "One point a chunk in the Qdrant collection, with both vectors, the text and what it can be "
            "filtered by. A point counts as done when the store has acknowledged it; readers see the "
            "published generation, never one that is being written.",
        ),
    )


STAGE_SPECS: Mapping[str, tuple[StageSpec, ...]] = {
    CRM.name: (*_CRM, *_shared(CRM.upstream)),
    REPOSITORIES.name: (*_REPOSITORIES, *_shared(REPOSITORIES.upstream)),
}


def source_assets(source: str) -> list[dg.AssetsDefinition]:
    """The assets of one source, keyed [source, stage]."""
    return [_asset(source, spec) for spec in STAGE_SPECS[source]]


def _asset(source: str, spec: StageSpec) -> dg.AssetsDefinition:
    reads = spec.name == CATALOG[source].documents

    @dg.asset(
        key=[source, spec.name],
        deps=[[source, dep] for dep in spec.deps],
        description=spec.description,
        group_name=source,
        kinds=spec.kinds,
        owners=OWNERS,
        code_version=spec.code_version,
        partitions_def=spec.partitions,
        # One slot: two refreshes of the CRM never run at the same time, and wait in the queue. Repositories
        # are fetched beside each other, and wait for the rest in their runs (`Ingest.hold`).
        pool=None if source == REPOSITORIES.name else source,
    )
    def stage_asset(
        context: dg.AssetExecutionContext, config: ReconcileConfig, ingest: Ingest
    ) -> dg.MaterializeResult[None]:
        part = context.partition_key if spec.partitions else ""
        with ingest.open_unlocked() as bench, working_for(context, bench, spec.name) as moved:
            if part:
                fetch(context, ingest, bench, moved)
            ingest.hold(source, **waiting_for(context, bench, moved))
            run = replace(
                bench.run(rebuild=config.rebuild, retry_parked=config.retry_parked),
                progress=_Progress(context, moved),
                # A build embeds more than the process for a few texts is for.
                begins=bench.ahead.start if reads and not config.rebuild else _nothing,
            )
            started = time.perf_counter()
            stage = bench.stage(source, spec.name, part=part, retrain=config.retrain)
            outcomes = reconcile(stage, bench.ledger, run)
            seconds = time.perf_counter() - started
            metadata = outcome_metadata(outcomes, seconds) | more_metadata(bench, source, stage, outcomes)
            if outcomes.parked:
                context.log.warning(
                    f"{outcomes.parked} items are parked: they are not in the index, or not as they are "
                    f"now. `ingest parked` lists them."
                )
            with bench.ledger.reading() as connection:
                content = stage.content(connection)
            return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(content))

    return stage_asset


def _nothing() -> None:
    """Nothing to begin with."""


class _Progress:
    """A log line every few seconds, not one a batch: an event costs Dagster about 10 ms."""

    def __init__(self, context: dg.AssetExecutionContext, also: Moved) -> None:
        self._context, self._also, self._next = context, also, time.monotonic() + PROGRESS_EVERY_S
        self._observer = observer.get()

    def __call__(self, moved: int) -> None:
        self._also(moved)
        if self._observer is not None:
            self._observer("/".join(self._context.asset_key.path), moved)
        if time.monotonic() >= self._next:
            self._context.log.info(f"{moved:,} items so far")
            self._next = time.monotonic() + PROGRESS_EVERY_S
