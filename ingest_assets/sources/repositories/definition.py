"""Source repositories: git repositories, each one a part, fetched and read at a commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ingest_assets.fields import FilterField
from ingest_assets.jobs.definition import JobCounts, JobsDefinition, Scope
from ingest_assets.model import Chunker, IngestError, Outcomes, SkippedItem, Source, UnavailableError
from ingest_assets.sources.definition import (
    Missing,
    Partitioning,
    Projects,
    SourceDefinition,
    Triggers,
    Words,
)
from ingest_assets.sources.repositories.settings import NAME, RepositorySettings
from ingest_assets.sources.stages import chunks_stage, documents_stage
from ingest_assets.stages.shapes import Finding
from ingest_assets.stopping import stopped_by

if TYPE_CHECKING:
    from pathlib import Path

    import typer

    from ingest_assets.jobs.events import Draft
    from ingest_assets.jobs.queue import JobTarget
    from ingest_assets.jobs.rows import Job
    from ingest_assets.reconcile import Stage
    from ingest_assets.sources.definition import WatchedFolder
    from ingest_assets.sources.repositories.kept import Repositories, Repository
    from ingest_assets.workbench import Workbench

FILES = "files"
PARSER = "the parser of source files"
# How long a remote may take to list its refs: a tick of the sensor asks several.
REMOTE_TIMEOUT_S = 10.0
# How long a folder may take to be looked at in a tick. 10,000 files take about a second.
LOOK_S = 10.0
_ADD = "`ingest repository add` adds one."


def _repositories(bench: Workbench) -> Repositories:
    from ingest_assets.sources.repositories.kept import repositories_of

    return repositories_of(bench)


def _open(bench: Workbench, part: str) -> Source:
    repositories = _repositories(bench)
    return repositories.source(repositories.get(part))


def _missing(bench: Workbench) -> Missing | None:
    if bench.has_ledger and _repositories(bench).all():
        return None
    bench.settings.of(RepositorySettings)  # raises when they are wrong
    return Missing("no repository is kept in step", _ADD)


def _chunker(bench: Workbench, source: str) -> Chunker:
    from ingest_assets.chunking.code import CodeChunker
    from ingest_assets.sandbox.chunking import ConfinedChunker

    return ConfinedChunker(CodeChunker(source, bench.chunk_budget), bench.sandbox, PARSER)


def _kept(bench: Workbench) -> Sequence[str]:
    return [each.id for each in _repositories(bench).all() if not each.removed]


def _leaving(bench: Workbench) -> Sequence[str]:
    return [each.id for each in _repositories(bench).all() if each.removed]


def _fetch(bench: Workbench, part: str, check: Callable[[], None]) -> None:
    repositories = _repositories(bench)
    if part in _kept(bench):
        repositories.fetch(repositories.get(part), check)


def _changed(bench: Workbench, part: str) -> str | None:
    """The commit of the remote's ref, if it is not the one fetched last; of a folder, what is in it."""
    repositories = _repositories(bench)
    repository = repositories.get(part)
    if not repository.committed:
        return _folder_changed(bench, part)
    there = repositories.remote(repository, REMOTE_TIMEOUT_S).commit(repository.ref)
    try:
        here = repositories.head(repository)
    except IngestError:
        here = ""  # not fetched yet
    return None if there == here else there or "empty"


def _folder_changed(bench: Workbench, part: str) -> str:
    from ingest_assets.stages.records import Records

    ends = time.monotonic() + LOOK_S

    def stop() -> None:
        if time.monotonic() > ends:
            raise UnavailableError(
                f"Looking at the folder takes longer than {LOOK_S:g} s: its changes are found by the "
                "schedule, or by `ingest watch PATH`."
            )

    stage = bench.stage(NAME, FILES, part=part)
    assert isinstance(stage, Records)
    with stopped_by(stop), bench.ledger.reading() as connection:
        return stage.unrecorded(connection) or ""


def _watched(bench: Workbench, path: Path) -> WatchedFolder:
    return _repositories(bench).watched(path)


def _forget(bench: Workbench, part: str) -> None:
    _repositories(bench).forget(part)


def _target(
    bench: Workbench, location: str, ref: str | None, *, own_folder: bool = False
) -> tuple[JobTarget, str | None]:
    from ingest_assets.jobs import queue

    repositories = _repositories(bench)
    wanted = repositories.checked(location, ref, own_folder=own_folder)
    name = repositories.name_of(location, own_folder=own_folder)
    target = queue.JobTarget(NAME, wanted.id, wanted.location, name)
    if ref:
        return target, wanted.ref
    for status in ("pending", "running"):
        for job in queue.list_jobs(bench.ledger, source=NAME, status=status, repository_id=wanted.id):
            if not job["cancel_requested"]:
                return target, job["git_ref"]
    kept = (each for each in repositories.all() if each.id == wanted.id and not each.removed)
    return target, next((each.ref for each in kept), None)


def _prepare(bench: Workbench, job: Job, check: Callable[[], None]) -> None:
    """Fetch what the job asks for. Only after that is the repository kept in step, with the job's ref.

    A job that fails before then, or is cancelled, leaves the list as it was.
    """
    repositories = _repositories(bench)
    wanted = _wanted(bench, job.repo_path, job.git_ref, job.metadata)
    repositories.require_ref(wanted.id, wanted.ref, job.project_id)
    repositories.fetch(wanted, check)
    repositories.keep(wanted, job.project_id)


def _wanted(bench: Workbench, location: str, ref: str | None, metadata: Mapping[str, Any]) -> Repository:
    """The repository as a job's metadata want it."""
    from ingest_assets.jobs import queue

    committed = metadata.get(queue.COMMITTED_ONLY)
    return _repositories(bench).checked(
        location,
        ref,
        committed=committed if isinstance(committed, bool) else None,
        own_folder=metadata.get(queue.OWN_FOLDER) is True,
    )


def _require(
    bench: Workbench, target: JobTarget, ref: str | None, project: str, metadata: Mapping[str, Any]
) -> None:
    from ingest_assets.jobs import queue

    _repositories(bench).require_ref(target.id, ref, project)
    if metadata.get(queue.COMMITTED_ONLY) is True:
        _wanted(bench, target.path, ref, metadata)  # a folder may have no commits


def _parts_of(bench: Workbench, projects: Collection[str]) -> Sequence[str]:
    from ingest_assets.sources.repositories.projects import repositories_in

    return repositories_in(bench.ledger, projects)


def _counts(bench: Workbench, repository_id: str) -> JobCounts:
    repositories = _repositories(bench)
    return JobCounts(
        repositories.files(repository_id), repositories.cut(repository_id), repositories.chunks(repository_id)
    )


def _scope(_bench: Workbench, job: Job) -> Scope:
    from ingest_assets.ledger import tables

    return Scope(tables.document.c.part == job.repository_id, (f"{job.repository_id}/",))


class _Events:
    """All of the repository's, changed or not, and as early as possible: a job that fails later has them."""

    def begun(self, bench: Workbench, job: Job) -> Iterator[Draft]:
        from ingest_assets.sources.repositories import events

        return events.begun(bench, job)

    def read(
        self, bench: Workbench, job: Job, ids: Sequence[str], skipped: Sequence[SkippedItem]
    ) -> Iterator[Draft]:
        from ingest_assets.sources.repositories import events

        return events.read_files(bench, job, ids, skipped)

    def recorded(self, bench: Workbench, job: Job) -> Iterator[Draft]:
        from ingest_assets.sources.repositories import events

        return events.recorded_files(bench, job)

    def made(self, bench: Workbench, job: Job, after: str, until: str | None) -> Iterator[Draft]:
        from ingest_assets.sources.repositories import events

        return events.recorded_chunks(bench, job, after, until)


def _metadata(_bench: Workbench, stage: Stage, _outcomes: Outcomes) -> dict[str, Any]:
    from ingest_assets.sources.repositories.metadata import files_metadata

    return files_metadata(stage)


def _doctor(bench: Workbench) -> Iterable[Finding]:
    from ingest_assets.sources.repositories.doctor import findings

    return findings(bench)


def _commands(app: typer.Typer, _sample: typer.Typer) -> None:
    from ingest_assets.sources.repositories.commands import repository

    app.add_typer(repository, name="repository")


def _repository_id(value: str) -> str:
    """As in the index: forges ignore case, and people paste URLs."""
    from ingest_assets.sources.repositories.origin import spoken_id

    return spoken_id(value)


def _language(value: str) -> str:
    from ingest_assets.sources.repositories.languages import spelled

    return spelled(value)


SOURCE = SourceDefinition(
    name=NAME,
    title="Source repositories",
    words=Words(
        about="source code",
        example_query="where retries are bounded",
        example_filters={"language": "Python"},
        example_document="github.com/owner/name/src/app.py",
        layout="code",
        common_fields=("document_id",),
    ),
    settings=RepositorySettings,
    open=_open,
    missing=_missing,
    collection="repository_chunks",
    stages=(
        documents_stage(
            FILES,
            "One row per file of a repository; a partition per repository. Fetched into a bare mirror, read "
            "at a commit through git's objects and never checked out. A file counts as changed when its blob "
            "changes; skipped files are counted by reason.",
            kinds=("git",),
            in_parts=True,
            metadata=_metadata,
        ),
        chunks_stage(
            FILES,
            "One row per chunk: a function, a class or another symbol with its comments, cut along the "
            "syntax; prose where there is none. The path is not part of the text: a renamed file is not "
            "embedded again.",
            kinds=("treesitter",),
            code_version="2",
        ),
    ),
    chunker=_chunker,
    attributes=(
        "context",
        "end_byte",
        "end_line",
        "language",
        "path",
        "repository",
        "start_byte",
        "start_line",
        "symbol_kind",
        "symbol_name",
    ),
    fields=(
        FilterField(
            name="repository",
            description="Ids such as github.com/owner/name.",
            normalise=_repository_id,
            on_hits=True,
        ),
        FilterField(name="path", description="Exact paths within a repository."),
        FilterField(name="language", description='Such as "Python".', normalise=_language, on_hits=True),
        FilterField(name="symbol_kind", description='Such as "function" or "class".'),
        FilterField(name="symbol_name", description="Exact names of symbols."),
    ),
    partitions=Partitioning(
        noun="repository",
        parts=_kept,
        leaving=_leaving,
        prepare=_fetch,
        changed=_changed,
        forget=_forget,
        hint=_ADD,
        folder=_watched,
    ),
    projects=Projects(parts=_parts_of, held_by="repository"),
    triggers=Triggers(
        schedule="refresh_repositories_schedule",
        sensor="repository_heads_sensor",
        sensor_description="Indexes a repository soon after a push, and a folder soon after a change in "
        "it. An unchanged one costs one request, or a look at the folder.",
    ),
    refresh_job="index_repository",
    jobs=JobsDefinition(
        target=_target,
        target_here=partial(_target, own_folder=True),
        require=_require,
        prepare=_prepare,
        counts=_counts,
        events=_Events(),
        scope=_scope,
        default=True,
        phases={FILES: "scan"},
    ),
    doctor=_doctor,
    commands=_commands,
)
