"""What every entry point does for its process first: private files, errors without secrets, an orderly end.

What belongs here: what is set once per process. What does not: logs, which are safe from the moment that
settings are loaded (`log_records`), and what a command prints (`terminal`).
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from ingest_assets.characters import visible
from ingest_assets.log_output import is_json
from ingest_assets.log_records import make_records_safe
from ingest_assets.private import create_private_by_default
from ingest_assets.redaction import redact, without_secrets


def begin_process() -> None:
    """For the command line, what Dagster loads, and worker processes. May be called again."""
    create_private_by_default()
    make_records_safe()
    sys.excepthook = _report
    threading.excepthook = _report_of_thread
    sys.unraisablehook = _report_unraisable


def safe_traceback(error: BaseException) -> str:
    """An error's traceback without secrets, as text for a terminal or a log."""
    return visible(redact("".join(traceback.format_exception(without_secrets(error)))))


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    _print(safe_traceback(error))


def _report_of_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None and not issubclass(arguments.exc_type, SystemExit):
        name = arguments.thread.name if arguments.thread else "?"
        _print(f"Exception in thread {name}:\n{safe_traceback(arguments.exc_value)}")


def _report_unraisable(arguments: sys.UnraisableHookArgs) -> None:
    said = arguments.err_msg or "Exception ignored"
    if arguments.exc_value is not None:
        said = f"{said}:\n{safe_traceback(arguments.exc_value)}"
    _print(said)


def _print(text: str) -> None:
    if is_json():
        logging.getLogger(__name__).critical(text)
    elif sys.stderr is not None:
        print(text, end="" if text.endswith("\n") else "\n", file=sys.stderr)


@contextmanager
def ends_in_order() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that the processes that were started in it are stopped."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        pass  # uvicorn raises the signal again after its shutdown
    finally:
        signal.signal(signal.SIGTERM, before)
