"""Log records without secrets, and without characters that act on a terminal, whoever logs.

What belongs here: records as they are created, before any handler, Dagster's included, sees them. What does
not: which handlers there are.
"""

from __future__ import annotations

import logging
from typing import Any

from ingest_assets.characters import visible
from ingest_assets.redaction import redact, without_secrets


def make_records_safe() -> None:
    """From now on, every log record of this process is safe. May be called again."""
    factory = logging.getLogRecordFactory()
    if not isinstance(factory, _SafeFactory):
        logging.setLogRecordFactory(_SafeFactory(factory))


class _SafeFactory:
    def __init__(self, factory: Any) -> None:
        self._factory = factory

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._factory(*args, **kwargs)
        _make_safe(record)
        return record


def _make_safe(record: logging.LogRecord) -> None:
    try:
        said = record.getMessage()
    except Exception:  # noqa: BLE001 - wrong arguments: logging reports them, and would show them
        said = f"(a log message that does not fit its arguments) {record.msg!s}"
        record.msg, record.args = _safe(said), ()
    if (safe := _safe(said)) != said:
        # Some formatters take the arguments apart: they stay separate if they are safe one by one.
        if isinstance(record.args, tuple):
            record.args = tuple(_safe(each) if isinstance(each, str) else each for each in record.args)
        if record.getMessage() != safe:
            record.msg, record.args = safe, ()
    if record.exc_info and (error := record.exc_info[1]) is not None:
        clean = without_secrets(error)
        record.exc_info = (type(clean), clean, record.exc_info[2])
    if record.stack_info:
        record.stack_info = _safe(record.stack_info)


def _safe(text: str) -> str:
    return visible(redact(text))
