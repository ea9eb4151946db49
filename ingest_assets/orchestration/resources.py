"""The Dagster resource: a workbench made from the settings, kept for a run."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr

from ingest_assets.garbage import freeze_existing, unfreeze
from ingest_assets.model import IngestError
from ingest_assets.orchestration.hosts import (
    on_several_hosts,
    require_right_clock,
    require_same_version,
    require_shared_state,
)
from ingest_assets.orchestration.metadata import as_metadata
from ingest_assets.orchestration.orphaned_runs import note_process
from ingest_assets.redaction import raise_alone, raising_no_secrets, without_secrets
from ingest_assets.settings import load_settings
from ingest_assets.stages.removals import RemovalsHeldError
from ingest_assets.tracing import flush
from ingest_assets.workbench import Workbench


@contextmanager
def _as_failures() -> Iterator[None]:
    try:
        yield
    except IngestError as error:
        # Not retried by Dagster: clients retry what is transient, and the next tick tries again.
        metadata = as_metadata(error.metadata) if isinstance(error, RemovalsHeldError) else None
        failure = dg.Failure(description=str(error), metadata=metadata, allow_retries=False)
        failure.__cause__ = without_secrets(error)
        raise_alone(failure)


class Ingest(dg.ConfigurableResource[Workbench]):
    """Opens ledger, store and models as configured by the environment. `overrides` replaces single values.

    The steps of a run share one workbench, because they share a process: a model is loaded once. They also
    share the run's lock on their source, so that no other run, and no audit, comes between two of them.
    """

    overrides: dict[str, Any] = Field(default_factory=dict)
    _bench: Workbench | None = PrivateAttr(default=None)
    _locked: set[tuple[str, str]] = PrivateAttr(default_factory=set)
    _held: ExitStack = PrivateAttr(default_factory=ExitStack)
    _of_run: tuple[dg.DagsterInstance, dg.DagsterRun] | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Before a run's first step. Sensors and schedules are not runs and have nothing to note."""
        if context.run is not None and context.instance is not None:
            note_process(context.instance, context.run)
            self._of_run = context.instance, context.run

    @contextmanager
    def open(self, source: str) -> Iterator[Workbench]:
        """The run's workbench, for a step during which no other run may work on the source.

        An IngestError fails the step with its one sentence.
        """
        with self.open_unlocked() as bench:
            self.hold(source)
            yield bench

    @contextmanager
    def open_unlocked(self) -> Iterator[Workbench]:
        """The same, for a step that calls `hold` when it needs to."""
        # Dagster stores what is raised, with all of its causes.
        with raising_no_secrets(dg.Failure, dg.RetryRequested), _as_failures():
            if self._bench is None:
                bench = self.new_bench()
                self._require_fit(bench)
                freeze_existing()
                self._held.callback(unfreeze)
                self._bench = self._held.enter_context(bench)
            yield self._bench

    def _require_fit(self, bench: Workbench) -> None:
        """Raises an IngestError where this run would spoil what runs on other hosts make."""
        if self._of_run is not None:
            instance, run = self._of_run
            require_same_version(instance, run)
            require_shared_state(instance, bench.settings)
            if on_several_hosts(instance):
                require_right_clock(bench.ledger)

    def new_bench(self) -> Workbench:
        """A new workbench, for a tick: the environment may have changed since the last one."""
        return Workbench(load_settings(**self.overrides))

    def hold(
        self,
        source: str,
        part: str = "",
        *,
        wait_s: float | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        """Keep other runs from a source, or from a part of it, until this run ends (`Workbench.run_lock`)."""
        assert self._bench is not None
        if (source, part) not in self._locked:
            self._held.enter_context(self._bench.run_lock(source, part, wait_s=wait_s, check=check))
            self._locked.add((source, part))

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002 - Dagster's
        """Close what the run opened, and release its locks."""
        self._held.close()
        self._bench = None
        self._locked.clear()
        flush()  # launchers end processes in ways of their own
