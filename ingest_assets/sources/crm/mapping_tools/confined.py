"""Reads a CRM for these commands, in a confined process: its schema, its fit to a mapping, its documents.

What belongs here: both sides of the question, and what is validated of the answer. What does not: what is
made of it (`draft`, `check`, `preview`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from pydantic import TypeAdapter, ValidationError

from ingest_assets.model import IngestError, SourceUnavailableError
from ingest_assets.sources.crm.databases import CrmDatabase, QueryError, Snapshot
from ingest_assets.sources.crm.mapping import CrmMapping
from ingest_assets.sources.crm.mapping_tools.facts import Schema
from ingest_assets.sources.crm.mapping_tools.fit import Misfit, misfits
from ingest_assets.sources.crm.mapping_tools.preview import Preview, previewed
from ingest_assets.sources.crm.mapping_tools.schema import read_schema
from ingest_assets.sources.crm.reader import CrmSource

if TYPE_CHECKING:
    from ingest_assets.settings import Settings

T = TypeVar("T")
_MISFITS = TypeAdapter(list[Misfit])
_PREVIEWS = TypeAdapter(list[Preview])
_SCHEMA = TypeAdapter(Schema)


class MappingTask:
    """The side inside. It answers one question."""

    def __init__(self, source: CrmSource) -> None:
        self._source = source
        self._failed: IngestError | None = None

    def before_confinement(self) -> None:
        """Connect to a server, while that is still allowed."""
        try:
            self._source.connect()
        except IngestError as error:
            self._failed = error  # which the answer says

    def schema(self) -> bytes:
        with self._opened() as snapshot:
            return _SCHEMA.dump_json(read_schema(snapshot, self._source.database.dialect))

    def misfits(self) -> bytes:
        with self._opened() as snapshot:
            return _MISFITS.dump_json(list(misfits(self._source.mapping, snapshot)))

    def preview(self, kinds: tuple[str, ...], limit: int | None, shown: int) -> bytes:
        with self._opened() as snapshot:
            return _PREVIEWS.dump_json(previewed(self._source, snapshot, kinds, limit, shown))

    @contextmanager
    def _opened(self) -> Iterator[Snapshot]:
        if self._failed is not None:
            raise self._failed
        database = self._source.database
        try:
            with database.snapshot() as snapshot:
                yield snapshot
        except QueryError as error:
            raise SourceUnavailableError(f"{database.where}: a query failed: {error}.") from error


def read_schema_of(settings: Settings, database: CrmDatabase) -> Schema:
    """What a database consists of. Raises SourceUnavailableError."""
    return _asked(settings, CrmSource(database, CrmMapping.model_construct(documents=())), _SCHEMA, "schema")


def misfits_of(settings: Settings, source: CrmSource) -> list[Misfit]:
    """Where a mapping does not fit a database. Raises SourceUnavailableError."""
    return _asked(settings, source, _MISFITS, "misfits")


def previews_of(
    settings: Settings, source: CrmSource, kinds: tuple[str, ...], limit: int | None, shown: int
) -> list[Preview]:
    """Documents and counts. Raises ConfigurationError as a refresh does, and SourceUnavailableError."""
    return _asked(settings, source, _PREVIEWS, "preview", kinds, limit, shown)


def _asked(
    settings: Settings, source: CrmSource, answer: TypeAdapter[T], question: str, *arguments: object
) -> T:
    from ingest_assets.private import keep_home_private
    from ingest_assets.sandbox import Limits, Sandbox
    from ingest_assets.sandbox.limits import MIB
    from ingest_assets.sandbox.process import ConfinedError

    keep_home_private(settings.ingest_home)
    limits = Limits(memory_bytes=settings.ingest_parser_memory_mib * MIB, cpu_s=settings.ingest_parser_cpu_s)
    sandbox = Sandbox((settings.ingest_home / "tmp").absolute(), limits)
    task, bounds = MappingTask(source.inside()), source.bounds(limits)
    try:
        with sandbox.child(task, source.noun, source.grants(), bounds) as process:
            return answer.validate_json(process.ask(question, *arguments))
    except ConfinedError as error:
        raise SourceUnavailableError(str(error)) from error
    except ValidationError as error:
        raise SourceUnavailableError(f"{source.noun} gave an answer of another form.") from error
