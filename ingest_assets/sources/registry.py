"""Which sources there are: those in the folders beside this module, and those of other packages.

A package joins by an entry point of the group `ingest_assets.sources` that names its `SourceDefinition`. A
definition that cannot work is left out, with a message that names its package; the others still work.

What belongs here: finding definitions, and leaving out those that clash. What does not: what a source is.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, TypeVar

from ingest_assets import sources as package
from ingest_assets.fields import FilterField
from ingest_assets.model import ConfigurationError, RequestError
from ingest_assets.redaction import redact
from ingest_assets.settings import Settings
from ingest_assets.sources.definition import SourceDefinition
from ingest_assets.sources.faults import require_usable, require_usable_fields

if TYPE_CHECKING:
    from ingest_assets.sources.operations import SourceOperation, SourceStream

GROUP = "ingest_assets.sources"
# What Dagster has one of, whatever sources there are.
OF_ALL_SOURCES = frozenset(
    {"audit_search_index", "audit_search_index_schedule", "train_match_models", "indexing_jobs_sensor"}
)

_ARTICLES = {"operation": "An", "stream": "A"}

T = TypeVar("T")


class UnknownSourceError(RequestError, ConfigurationError):
    """There is no source of this name, or it has not what is asked of it."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A source that cannot work, and why."""

    package: str
    reason: str  # a clause

    def __str__(self) -> str:
        return f"The source of the package {self.package} is left out: {self.reason}."


class Sources(Mapping[str, SourceDefinition]):
    """The definitions by name, in the order in which they are shown."""

    def __init__(
        self,
        definitions: Iterable[SourceDefinition],
        left_out: Iterable[LeftOut] = (),
        packages: Mapping[str, str] | None = None,  # by the names of sources that do not ship
    ) -> None:
        self._by_name = {each.name: each for each in definitions}
        self._packages = packages or {}
        self.left_out = list(left_out)

    def __getitem__(self, name: str) -> SourceDefinition:
        """Raises UnknownSourceError."""
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownSourceError(
                f"There is no source {name!r}. Sources: {', '.join(self._by_name)}."
            ) from None

    def get(self, name: str, default: Any = None) -> Any:
        """As of every mapping: the default for a name that is none of them."""
        return self._by_name.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def derive(self, make: Callable[[SourceDefinition], T]) -> list[T]:
        """What `make` returns for each source.

        A source of another package that makes it fail is left out from then on.
        """
        made = []
        for name, source in list(self._by_name.items()):
            try:
                made.append(make(source))
            # Nothing that another package does may keep the other sources from working.
            except (Exception, SystemExit) as error:
                if name not in self._packages:
                    raise
                self.left_out.append(LeftOut(self._packages[name], _clause(error)))
                # A new mapping, because another thread may be reading this one.
                self._by_name = {key: each for key, each in self._by_name.items() if key != name}
        return made

    def check_fields(self, settings: Settings) -> None:
        """Leave out the sources of other packages whose fields by these settings cannot be used."""
        if self._packages:
            known = len(self.left_out)
            self.derive(lambda source: self._require_usable_fields(source, settings))
            for left_out in self.left_out[known:]:
                warnings.warn(str(left_out), stacklevel=2)

    def _require_usable_fields(self, source: SourceDefinition, settings: Settings) -> None:
        if source.name in self._packages:
            fields = source.all_fields(settings)
            require_usable_fields(fields)
            for other in self.values():
                _require_same_types(fields, other)

    def operations(self) -> list[SourceOperation]:
        """What the sources offer besides search, in their order.

        Faulty ones of other packages are left out, with a warning. Raises ConfigurationError for one of a
        source that ships.
        """
        return [each for _, each in self.operations_by_source()]

    def operations_by_source(self) -> list[tuple[str, SourceOperation]]:
        """The same, each with the name of its source."""
        return self._offered()[0]

    def streams_by_source(self) -> list[tuple[str, SourceStream]]:
        """What can be followed, each with the name of its source."""
        return self._offered()[1]

    def streams(self) -> list[SourceStream]:
        """What can be followed over HTTP, in their order; faulty ones as above."""
        return [each for _, each in self.streams_by_source()]

    def _offered(self) -> tuple[list[tuple[str, SourceOperation]], list[tuple[str, SourceStream]]]:
        from ingest_assets.sources import operation_faults as faults

        found: list[faults.Declared] = []
        operations: list[tuple[str, SourceOperation]] = []
        streams: list[tuple[str, SourceStream]] = []
        for source in self.values():
            usable = self._usable(
                source, "operation", source.operations, faults.require_usable_operation, found
            )
            operations += [(source.name, each) for each in usable]
            following = self._usable(source, "stream", source.streams, faults.require_usable_stream, found)
            streams += [(source.name, each) for each in following]
        return operations, streams

    def _usable(
        self,
        source: SourceDefinition,
        kind: str,
        declare: Callable[[], Sequence[T]],
        require: Callable[..., None],
        found: list[Any],
    ) -> Iterator[T]:
        """Those that it declares which work beside those that were found; they are then among these."""
        try:
            declared = tuple(declare())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as in `derive`
            self._leave_out(source, kind, error)
            return
        for each in declared:
            try:
                require(each, source.name, found)
            except Exception as error:  # noqa: BLE001 - it may be wrong in ways that no check foresees
                self._leave_out(source, kind, error)
            else:
                found.append((source.name, each))
                yield each

    def _leave_out(self, source: SourceDefinition, kind: str, error: BaseException) -> None:
        if source.name not in self._packages:
            if isinstance(error, ConfigurationError):
                raise ConfigurationError(f"The source {source.name} cannot be used: {error}.") from error
            raise error
        warnings.warn(
            f"{_ARTICLES[kind]} {kind} of the package {self._packages[source.name]} is left out: "
            f"{_clause(error)}.",
            stacklevel=4,
        )

    def with_prefix(self, prefix: str) -> Sources:
        """The same sources, with a prefix to the names of their collections."""
        if not prefix:
            return self
        named = [replace(each, collection=prefix + each.collection) for each in self._by_name.values()]
        return Sources(named, self.left_out, self._packages)

    @property
    def first(self) -> SourceDefinition:
        """The default when none is named and nothing is indexed yet."""
        return next(iter(self._by_name.values()))

    def with_entities(self) -> list[SourceDefinition]:
        """Those whose people and organisations are resolved."""
        return [each for each in self.values() if each.has_entities]

    def with_jobs(self) -> list[SourceDefinition]:
        """Those that have background jobs."""
        return [each for each in self.values() if each.jobs is not None]

    def taking_notes(self) -> SourceDefinition | None:
        """The one whose documents notes become."""
        return next((each for each in self.values() if each.takes_notes), None)


@cache
def load_sources() -> Sources:
    """All sources; loaded once per process."""
    return join([_built_in(name) for name in _folders()], entry_points(group=GROUP))


def join(built_in: Iterable[SourceDefinition], entries: Iterable[EntryPoint]) -> Sources:
    """The sources that ship, and those of other packages that can work beside them."""
    definitions: list[SourceDefinition] = []
    for definition in built_in:
        _require_no_clash(definition, definitions)
        definitions.append(definition)
    left_out: list[LeftOut] = []
    packages: dict[str, str] = {}
    for entry in sorted(entries, key=lambda each: (_package(each), each.name)):
        try:
            definition = _load(entry)
            require_usable(definition)
            _require_no_clash(definition, definitions)
        except Exception as error:  # noqa: BLE001 - a definition may be wrong in ways that no check foresees
            left_out.append(LeftOut(_package(entry), _clause(error)))
        else:
            definitions.append(definition)
            packages[definition.name] = _package(entry)
    return Sources(definitions, left_out, packages)


def _folders() -> list[str]:
    return sorted(found.name for found in pkgutil.iter_modules(package.__path__) if found.ispkg)


def _built_in(folder: str) -> SourceDefinition:
    module = importlib.import_module(f"{package.__name__}.{folder}.definition")
    definition: SourceDefinition = module.SOURCE
    require_usable(definition)
    return definition


def _load(entry: EntryPoint) -> SourceDefinition:
    try:
        found = entry.load()
    # Nothing that another package does on import may keep the other sources from working.
    except (Exception, SystemExit) as error:
        raise ConfigurationError(f"{entry.value} cannot be loaded ({_named(error)})") from error
    if not isinstance(found, SourceDefinition):
        raise ConfigurationError(f"{entry.value} is not a SourceDefinition")
    return found


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.module


def _clause(error: BaseException) -> str:
    if isinstance(error, ConfigurationError):
        return str(error).rstrip(".")
    return f"it cannot be used ({_named(error)})"


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {redact(str(error))[:300]}"


def _require_no_clash(new: SourceDefinition, others: Iterable[SourceDefinition]) -> None:
    for taken in sorted(new.dagster_names & OF_ALL_SOURCES):
        raise ConfigurationError(f"its job, schedule or sensor {taken!r} is one that all sources share")
    for other in others:
        for what in ("name", "collection"):
            if getattr(new, what) == getattr(other, what):
                raise ConfigurationError(f"its {what} {getattr(new, what)!r} is that of another source")
        if new.takes_notes and other.takes_notes:
            raise ConfigurationError(f"it takes notes, as the source {other.name} does")
        for taken in sorted(new.dagster_names & other.dagster_names):
            raise ConfigurationError(
                f"its job, schedule or sensor {taken!r} is that of the source {other.name}"
            )
        _require_same_types(new.fields, other)


def _require_same_types(fields: Iterable[FilterField], other: SourceDefinition) -> None:
    types = {each.name: each.type for each in other.fields}
    for each in fields:
        if types.get(each.name, each.type) != each.type:
            raise ConfigurationError(
                f"its filter field {each.name!r} is a {each.type}, but a {types[each.name]} in the source "
                f"{other.name}"
            )
