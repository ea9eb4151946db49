"""What a source declares about itself. Assets, schedules, commands, schemas and pages are derived from it.

What belongs here: the shape of a definition. What does not: what keeps one from working (see `faults`), and
any particular source; each declares itself in `definition.py` of its own folder, or of another package (see
`registry`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from ingest_assets.fields import BOUNDS, COMMON_FIELDS, PROJECT, Conditions, FilterField
from ingest_assets.model import Chunker, ConfigurationError, Float32Array, Outcomes, Source
from ingest_assets.quoting import without_quotes
from ingest_assets.settings import Settings, SourceSettings
from ingest_assets.stages.origins import Origin
from ingest_assets.stages.shapes import (
    CHUNKS,
    ENTITIES,
    KNOWLEDGE_GRAPH,
    SHARED_STAGES,
    AssetCheck,
    Finding,
)

if TYPE_CHECKING:
    import typer

    from ingest_assets.jobs.definition import JobsDefinition
    from ingest_assets.reconcile import Stage
    from ingest_assets.sources.operations import SourceOperation, SourceStream
    from ingest_assets.workbench import Workbench

# The version of the interface that sources in other packages are written against. It is raised when such
# sources must be changed; a source that was written for another version is left out, with a message.
INTERFACE_VERSION = 1


class StageRequest(NamedTuple):
    """How a stage is to be made."""

    part: str = ""  # for a source in parts: which one
    retrain: bool = False  # for the match models: train them again


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDefinition:
    """One stage of a source's lineage, and what Dagster shows of it."""

    name: str
    description: str  # begins with its grain: "One row per file of …"
    make: Callable[[Workbench, SourceDefinition, StageRequest], Stage]
    deps: tuple[str, ...] = ()  # stages of the same source
    kinds: frozenset[str] = frozenset()  # icons in the UI
    code_version: str = "1"
    in_parts: bool = False  # one Dagster partition per part of the source
    # Whether the points of the collection are made from its rows.
    makes_points: bool = False
    # What an operator sees of a run besides counts. Called when something moved.
    metadata: Callable[[Workbench, Stage, Outcomes], Mapping[str, Any]] | None = None


class WatchedFolder(Protocol):
    """A folder of this machine that is a part of a source, and is read as it stands on disk."""

    @property
    def part(self) -> str:
        """The id of the part."""
        ...

    @property
    def path(self) -> Path:
        """Absolute, with links resolved."""
        ...

    def concerns(self, changed: Collection[Path]) -> bool:
        """Whether a change of any of these paths can change a document."""
        ...

    def state(self) -> str:
        """A digest of what a run would read now. Raises UnavailableError when the folder cannot be read."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Partitioning:
    """A source whose documents come in parts that change, are read, and are removed on their own."""

    noun: str  # what a part is called, in messages and as an option: "repository"
    parts: Callable[[Workbench], Sequence[str]]  # the ids of those that should be in the index
    # Brings the data of a part up to date; whatever takes long (fetching) belongs here. Parts are prepared in
    # parallel. Calls its last argument now and then, which raises when the run is to stop.
    prepare: Callable[[Workbench, str, Callable[[], None]], None] = lambda _bench, _part, _check: None
    # The current state of a part, if the index was not made from it; "" if it was; None if the part's
    # signature decides, as it does by default. Bounded in time, because a sensor asks.
    changed: Callable[[Workbench, str], str | None] | None = None
    # Parts to be removed, even if they were never read.
    leaving: Callable[[Workbench], Sequence[str]] = lambda _bench: ()
    # Called once the documents of a part that is gone have left the ledger.
    forget: Callable[[Workbench, str], None] = lambda _bench, _part: None
    hint: str = ""  # how to add the first part
    # Keeps a folder as a part, for `ingest watch PATH`. Raises ConfigurationError for what is no such folder.
    folder: Callable[[Workbench, Path], WatchedFolder] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Projects:
    """Whose the parts of a source are: of one project or of several, which share what is indexed of them."""

    parts: Callable[[Workbench, Collection[str]], Sequence[str]]  # the ids of those of any of these projects
    held_by: str  # the field, one of `fields`, in which points carry their part


class Due(NamedTuple):
    """Whether a refresh is due, as a source that decides it by itself says."""

    reason: str  # "3 files are waiting, and SPOOL_MIN_FILES is 2": a clause, without a full stop
    # Of the run, if one is due: the state that it is requested for, so that each state requests one run.
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggers:
    """When a source is refreshed automatically. The names are those of Dagster's schedule and sensor."""

    interval_min: Callable[[Settings], int] = lambda settings: settings.refresh_interval_min
    cron: Callable[[Settings], str] | None = None  # a cron expression instead of the interval
    sensor_interval_s: Callable[[Settings], int] = lambda settings: settings.sensor_interval_s
    schedule: str = ""
    sensor: str = ""
    sensor_description: str = "Refreshes soon after the source has changed."
    # Decides when the sensor requests a run. Bounded in time. By default, when the source has changed.
    due: Callable[[Workbench], Due] | None = None
    # Why the source's state cannot be told cheaply, as a clause: then the sensor leaves it to the schedule,
    # which has everything compared. "" where it can be.
    only_scheduled: Callable[[Workbench], str] = lambda _bench: ""
    # The folders in which a change may make a run due: `ingest watch` asks `due` as soon as there is one.
    # They exist when they are returned.
    watched: Callable[[Workbench], Sequence[Path]] = lambda _bench: ()


class Missing(NamedTuple):
    """What a source lacks before it can be refreshed."""

    reason: str  # "CRM_DB_PATH is not set": a clause, without a full stop
    hint: str  # a sentence that says what to do

    def __str__(self) -> str:
        return f"{self.reason[0].upper()}{self.reason[1:]}. {self.hint}"


class SuppliedVectors(Protocol):
    """Vectors that a source supplies, so that their texts need not be embedded."""

    @property
    def identity(self) -> str:
        """Of the model that made them. They are used only if it is the identity of the index's own model."""
        ...

    def vectors(self, texts: Mapping[str, str]) -> Mapping[str, Float32Array]:
        """Those there are of texts, which come and go by their digests (`digest_of`).

        Texts without one, or with one of wrong shape or length, are embedded.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What agents and the search page say about a source."""

    about: str  # what its documents are: "people, organisations, interactions and notes"
    example_query: str = "what it is about"
    example_filters: Mapping[str, str] = field(default_factory=dict)
    example_document: str = ""  # an id
    layout: Literal["text", "code"] = "text"  # how the page shows a hit
    # The fields, of those that every source has, that tell its documents apart.
    common_fields: tuple[str, ...] = ("document_id", "kind", "since", "until")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDefinition:
    """One source: a lineage graph, a collection, and all that others need to know about it.

    Creating one opens and reads nothing. The callables get a `Workbench`, of which `settings`,
    `settings_of`, `ledger` and `has_ledger` are part of this interface.
    """

    name: str  # also of its asset group, and for `--source`
    title: str  # for people: "CRM"
    words: Words
    # The source, or one part of it, to be read.
    open: Callable[[Workbench, str], Source]
    # Why it cannot be refreshed; None when it can. Raises ConfigurationError when its settings are wrong.
    missing: Callable[[Workbench], Missing | None]
    # Its own stages in the order in which they run, from the documents to the chunks.
    stages: tuple[StageDefinition, ...]
    chunker: Callable[[Workbench, str], Chunker]  # for the source with this name
    settings: type[SourceSettings] | None = None
    # Which system it reads: a refresh that would read another one is refused. None if that does not matter,
    # because ids name the system that a document is from.
    origin: Callable[[Workbench], Origin | None] = lambda _bench: None
    collection: str = ""  # the name that its index is searched by; NAME_chunks by default
    # Which documents that it no longer gives somebody has removed: a run removes them however many they are.
    # A part that somebody has removed is one of `Partitioning.leaving`.
    removed_on_purpose: Callable[[Workbench], Callable[[str], bool]] = lambda _bench: lambda _id: False
    # Attributes of documents and chunks that points carry. Others do not reach the points.
    attributes: tuple[str, ...] = ()
    fields: tuple[FilterField, ...] = ()
    # Further attributes and fields that depend on settings. Raises ConfigurationError when they are wrong.
    more_fields: Callable[[Settings], tuple[FilterField, ...]] = lambda _settings: ()
    partitions: Partitioning | None = None
    projects: Projects | None = None  # None: its documents are of no project
    triggers: Triggers = field(default_factory=Triggers)
    # How old the last successful run may be before Dagster says that the source is stale. By default three
    # intervals; with a cron expression there is no default.
    freshness: Callable[[Settings], timedelta] | None = None
    refresh_job: str = ""  # refresh_NAME by default
    build_job: str = ""  # build_NAME by default; a source in parts has none
    checks: Callable[[], Sequence[AssetCheck]] = tuple
    doctor: Callable[[Workbench], Iterable[Finding]] = lambda _bench: ()
    jobs: JobsDefinition | None = None
    takes_notes: bool = False  # notes that people and agents make become documents of it
    # Conditions that every search of it must meet, for example to hide what is not to be found yet.
    required: Callable[[Workbench], Conditions] = lambda _bench: ()
    # Parts whose documents no answer may show, though they may still be recorded and have points. Asked once
    # per request. Points carry their part in the field that `hidden_by` names, one of `fields`.
    hidden: Callable[[Workbench], Sequence[str]] = lambda _bench: ()
    hidden_by: str = ""
    vectors: Callable[[Workbench], SuppliedVectors | None] = lambda _bench: None
    # Called before a run, to start what takes long to start while the run is prepared; the workbench ends it.
    # It neither waits nor fails: what is wrong is for the run to say.
    start_ahead: Callable[[Workbench], None] = lambda _bench: None
    # Called at the end of each run, when the collection is in step with the documents.
    settle: Callable[[Workbench], None] = lambda _bench: None
    # Whether messages, and what Dagster keeps of a run, may show words of documents and of texts.
    shows_samples: bool = True
    # What it offers over HTTP and MCP besides search.
    operations: Callable[[], Sequence[SourceOperation]] = tuple
    # What can be followed over HTTP.
    streams: Callable[[], Sequence[SourceStream]] = tuple
    # Adds commands of its own to `ingest` and to `ingest sample`.
    commands: Callable[[typer.Typer, typer.Typer], None] | None = None
    interface: int = INTERFACE_VERSION

    def __post_init__(self) -> None:
        defaults = {
            "collection": f"{self.name}_chunks",
            "refresh_job": f"refresh_{self.name}",
            "build_job": "" if self.partitions else f"build_{self.name}",
        }
        for name, value in defaults.items():
            if not getattr(self, name):
                object.__setattr__(self, name, value)

    def quoting(self) -> AbstractContextManager[None]:
        """For whatever works on its documents: messages that are made meanwhile show words, or none."""
        return nullcontext() if self.shows_samples else without_quotes()

    @property
    def schedule_name(self) -> str:
        """The name of its schedule in Dagster."""
        return self.triggers.schedule or f"refresh_{self.name}_schedule"

    @property
    def sensor_name(self) -> str:
        """The name of its sensor in Dagster."""
        return self.triggers.sensor or f"{self.name}_change_sensor"

    @property
    def dagster_names(self) -> frozenset[str]:
        """The names of its jobs, schedule and sensor. No other source may have any of them."""
        names = (self.refresh_job, self.build_job, self.schedule_name, self.sensor_name)
        return frozenset(filter(None, names))

    @property
    def documents(self) -> str:
        """The stage that reads the source."""
        return self.stages[0].name

    @property
    def stage_names(self) -> tuple[str, ...]:
        """All stages, in an order in which they can run."""
        return (*(stage.name for stage in self.stages), *SHARED_STAGES)

    @property
    def made_of(self) -> tuple[str, ...]:
        """The stages, besides those of the vectors, that its points are made of: the chunks first."""
        return (CHUNKS, *(s.name for s in self.stages if s.makes_points and s.name != CHUNKS))

    @property
    def has_entities(self) -> bool:
        """Whether its people and organisations are resolved."""
        return ENTITIES in self.stage_names

    @property
    def names_entities(self) -> bool:
        """Whether its documents are linked with entities, by which they can be filtered."""
        return self.has_entities or KNOWLEDGE_GRAPH in self.stage_names

    def all_fields(self, settings: Settings) -> tuple[FilterField, ...]:
        """Its own fields that can be filtered by. Raises ConfigurationError when its settings are wrong."""
        return (*self.fields, *self.more_fields(settings))

    def known_fields(self, settings: Settings) -> tuple[FilterField, ...]:
        """The same for a search, which answers while settings are wrong; a refresh reports them."""
        try:
            return self.all_fields(settings)
        except ConfigurationError:
            return self.fields

    def payload_attributes(self, settings: Settings) -> tuple[str, ...]:
        """The attributes that its points carry, sorted."""
        names = {*self.attributes, *(each.name for each in self.more_fields(settings))}
        return tuple(sorted(names))

    def search_fields(self, settings: Settings | None = None) -> tuple[FilterField, ...]:
        """The fields that only it can be searched by; without settings, those that depend on none."""
        own = self.fields if settings is None else self.known_fields(settings)
        return (*own, PROJECT) if self.projects is not None else own

    def filter_fields(self, settings: Settings) -> tuple[FilterField, ...]:
        """All fields that a search of it can be narrowed by."""
        return (*COMMON_FIELDS, *BOUNDS, *self.search_fields(settings))
