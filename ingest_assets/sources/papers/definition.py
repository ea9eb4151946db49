"""Scientific papers: sections of papers as documents, and the knowledge graph of what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ingest_assets.fields import FilterField
from ingest_assets.jobs.definition import JobCounts, JobsDefinition, Scope
from ingest_assets.model import IngestError, Outcomes, Source
from ingest_assets.sources.definition import (
    Missing,
    SourceDefinition,
    StageDefinition,
    StageRequest,
    Triggers,
    Words,
)
from ingest_assets.sources.papers.merging.names import folded
from ingest_assets.sources.papers.settings import (
    ARTICLES,
    BUNDLES,
    GRAPH,
    MERGED,
    NAME,
    STATES,
    PaperSettings,
)
from ingest_assets.sources.stages import chunks_stage, documents_stage, record_chunker
from ingest_assets.stages.shapes import AssetCheck, Finding

if TYPE_CHECKING:
    import typer

    from ingest_assets.jobs.queue import JobTarget
    from ingest_assets.jobs.rows import Job
    from ingest_assets.reconcile import Stage
    from ingest_assets.sources.operations import SourceOperation
    from ingest_assets.workbench import Workbench


def _open(bench: Workbench, _part: str) -> Source:
    from ingest_assets.sources.papers.source import papers_source

    return papers_source(bench)


def _missing(bench: Workbench) -> Missing | None:
    from ingest_assets.sources.papers.places import has_papers

    if has_papers(bench):
        return None
    return Missing("no paper has been added", "`ingest paper add` adds one.")


def _bundles(bench: Workbench, _source: SourceDefinition, _request: StageRequest) -> Stage:
    from ingest_assets.sources.papers.bundle_stage import bundles_stage

    return bundles_stage(bench)


def _merged(bench: Workbench, _source: SourceDefinition, _request: StageRequest) -> Stage:
    from ingest_assets.sources.papers.graph_stages import merged_stage

    return merged_stage(bench)


def _graph(bench: Workbench, _source: SourceDefinition, _request: StageRequest) -> Stage:
    from ingest_assets.sources.papers.graph_stages import graph_stage

    return graph_stage(bench)


def _graph_metadata(bench: Workbench, _stage: Stage, _outcomes: Outcomes) -> dict[str, Any]:
    from ingest_assets.sources.papers.metadata import graph_metadata

    return graph_metadata(bench)


def _merged_metadata(_bench: Workbench, stage: Stage, _outcomes: Outcomes) -> dict[str, Any]:
    from ingest_assets.sources.papers.metadata import merged_metadata

    return merged_metadata(stage)


def _bundles_metadata(bench: Workbench, stage: Stage, _outcomes: Outcomes) -> dict[str, Any]:
    from ingest_assets.sources.papers.metadata import bundles_metadata

    return bundles_metadata(bench, stage)


def _target(bench: Workbench, location: str, ref: str | None) -> tuple[JobTarget, str | None]:
    from ingest_assets.sources.papers import jobs

    return jobs.target(bench, location, ref)


def _prepare(bench: Workbench, job: Job, check: Callable[[], None]) -> Mapping[str, Any]:
    from ingest_assets.sources.papers import jobs

    return jobs.prepare(bench, job, check)


def _counts(bench: Workbench, target_id: str) -> JobCounts:
    from ingest_assets.sources.papers import jobs

    return jobs.counts(bench, target_id)


def _found(bench: Workbench, job: Job, stage: Stage) -> Mapping[str, Any]:
    from ingest_assets.sources.papers import jobs

    return jobs.found(bench, job, stage)


def _unmet(bench: Workbench, job: Job) -> IngestError | None:
    from ingest_assets.sources.papers import jobs

    return jobs.unmet(bench, job)


def _removed_on_purpose(bench: Workbench) -> Callable[[str], bool]:
    """Sections of papers without a file on record: one that was lost stays there, a removed one does not."""
    from ingest_assets.sources.papers.file_rows import has_file

    return lambda document_id: not has_file(bench.ledger, document_id.partition("/")[0])


def _start_ahead(bench: Workbench) -> None:
    from ingest_assets.sources.papers.places import start_ahead

    start_ahead(bench)


def _scope(bench: Workbench, job: Job) -> Scope:
    from ingest_assets.sources.papers import jobs

    return jobs.scope(bench, job)


def _checks() -> Sequence[AssetCheck]:
    from ingest_assets.sources.papers.checks import GRAPH_CHECKS

    return GRAPH_CHECKS


def _doctor(bench: Workbench) -> Iterable[Finding]:
    from ingest_assets.sources.papers.doctor import findings

    return findings(bench)


def _operations() -> Sequence[SourceOperation]:
    from ingest_assets.sources.papers.operations import OPERATIONS

    return OPERATIONS


def _commands(app: typer.Typer, _sample: typer.Typer) -> None:
    from ingest_assets.sources.papers.commands import paper
    from ingest_assets.sources.papers.graph.commands import graph

    app.add_typer(paper, name="paper")
    app.add_typer(graph, name="graph")


def _doi(value: str) -> str:
    from ingest_assets.sources.papers.identity import doi_of

    return doi_of(value) or value.strip().lower()


def _pmcid(value: str) -> str:
    from ingest_assets.sources.papers.identity import pmcid_of

    return pmcid_of(value) or value.strip().upper()


SOURCE = SourceDefinition(
    name=NAME,
    title="Papers",
    words=Words(
        about="sections of scientific papers",
        example_query="which antibodies confirm autoimmune adrenal insufficiency",
        example_filters={"year": "2020..2025", "section": "abstract"},
        example_document="PMC10667925/abstract",
        common_fields=("document_id", "kind"),
    ),
    settings=PaperSettings,
    open=_open,
    missing=_missing,
    removed_on_purpose=_removed_on_purpose,
    start_ahead=_start_ahead,
    collection="paper_chunks",
    stages=(
        documents_stage(
            ARTICLES,
            "One row per section of a paper: title, abstract, sections of the body with their path, "
            "captions, tables as text. Papers are parsed in a confined process; a section counts as changed "
            "when its text, or what is known of its paper, changes.",
            kinds=("python",),
        ),
        StageDefinition(
            name=BUNDLES,
            description="One row per paper with a bundle (pass 1): the entities that it mentions, what it "
            "says of them, and the sentences that say so. A paper is extracted once; its bundle is a file of "
            "the workspace, and whoever made it, it is kept.",
            make=_bundles,
            deps=(ARTICLES,),
            kinds=frozenset({"python"}),
            metadata=_bundles_metadata,
        ),
        StageDefinition(
            name=MERGED,
            description="One row per entity of all bundles (pass 2): merged by authoritative ids, then by "
            "the synonyms that papers assert, then by name and class. Curators' decisions always win. Ids "
            "are derived, so that the order of arrival does not matter.",
            make=_merged,
            deps=(BUNDLES,),
            kinds=frozenset({"python"}),
            metadata=_merged_metadata,
        ),
        StageDefinition(
            name=GRAPH,
            description="One row per entity, relationship, mention and sentence of evidence of the knowledge "
            "graph (pass 3 and load): written to the workspace as a bundle, and loaded into the ledger, in "
            "one critical section. What no paper supports any more leaves.",
            make=_graph,
            deps=(MERGED,),
            kinds=frozenset({"python"}),
            makes_points=True,
            metadata=_graph_metadata,
        ),
        chunks_stage(
            ARTICLES,
            "One row per chunk: the header lines of its section (paper, authors, journal, year, path), then "
            "a piece of its text within the budget.",
        ),
    ),
    chunker=record_chunker,
    attributes=(
        "authors",
        "doi",
        "journal",
        "notice",
        "paper_id",
        "path",
        "pmcid",
        "pmid",
        "section",
        "study_type",
        "year",
    ),
    fields=(
        FilterField(name="pmcid", description="Such as PMC10667925.", label="PMCID", normalise=_pmcid),
        FilterField(
            name="doi", description="Such as 10.3389/fendo.2023.1285901.", label="DOI", normalise=_doi
        ),
        FilterField(name="paper_id", description="Ids as `ingest paper list` shows them."),
        FilterField(name="journal", description="Exact names of journals.", on_hits=True),
        FilterField(name="year", type="number", description="Year of publication.", on_hits=True),
        FilterField(
            name="section",
            description='A kind ("abstract", "caption", "table") or a title ("methods"), with all below it.',
            normalise=folded,
        ),
        FilterField(
            name="study_type", description='Such as "review-article".', normalise=folded, on_hits=True
        ),
        FilterField(
            name="notice",
            description='Papers that were retracted or corrected: "retraction", "correction" or '
            '"expression_of_concern".',
            on_hits=True,
        ),
    ),
    triggers=Triggers(
        sensor="papers_sensor",
        sensor_description="Indexes papers soon after they were added, or put into INGEST_PAPERS_INBOX.",
    ),
    checks=_checks,
    jobs=JobsDefinition(
        target=_target,
        prepare=_prepare,
        counts=_counts,
        found=_found,
        unmet=_unmet,
        scope=_scope,
        rebuilds=False,
        phases=dict.fromkeys((ARTICLES, BUNDLES, MERGED, GRAPH), "scan"),
        states=STATES,
    ),
    doctor=_doctor,
    operations=_operations,
    commands=_commands,
)
