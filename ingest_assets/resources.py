"""The Dagster resource: a workbench made of the settings, opened for one step and closed after it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from pydantic import Field

from ingest_assets.model import IngestError
from ingest_assets.settings import load_settings
from ingest_assets.workbench import Workbench


class Ingest(dg.ConfigurableResource[Workbench]):
    """Opens ledger, store and models as the environment names them. `overrides` replaces single settings."""

    overrides: dict[str, Any] = Field(default_factory=dict)

    @contextmanager
    def open(self) -> Iterator[Workbench]:
        """A workbench for the block. What we understand fails the step with one clear sentence."""
        try:
            with Workbench(load_settings(**self.overrides)) as bench:
                yield bench
        except IngestError as error:
            # Not retried by Dagster: clients retry what is transient, and the next tick tries again.
            raise dg.Failure(description=str(error), allow_retries=False) from error
