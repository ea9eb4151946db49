"""Steps of a source that keeps its words to itself: Dagster stores what a step says, and what it raises.

What belongs here: what such a step may raise. What does not: the messages themselves (`quoting`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from ingest_assets.model import IngestError
from ingest_assets.sources.definition import SourceDefinition


@contextmanager
def quoting_as(source: SourceDefinition) -> Iterator[None]:
    """Let a step quote words of documents, or have it neither say nor raise any, as the source declares."""
    if source.shows_samples:
        yield
        return
    with source.quoting():
        try:
            yield
        except (dg.Failure, dg.RetryRequested):
            raise
        except IngestError as error:
            raise error from None  # its causes are other programs' errors
        except Exception as error:  # noqa: BLE001 - whatever it is, it may quote what it could not handle
            kind = type(error).__name__
            said = f"There was a fault ({kind}). Its message is not kept: it may quote what people wrote."
            raise IngestError(said).with_traceback(error.__traceback__) from None
