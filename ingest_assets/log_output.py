"""Where this program's log goes, and in which form: to standard error, as text or as JSON lines.

Standard output is for answers. Other libraries' records are shown from warnings on, whatever the level: below
that, some contain what people search for, and addresses with queries.

What belongs here: the handler and its forms. What does not: what makes records safe (`log_records`), and the
settings (`settings.begin_logging`).
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

LogLevel = Literal["debug", "info", "warning", "error", "critical"]
LogFormat = Literal["text", "json"]
OURS = __package__


class _ToStandardError(logging.StreamHandler[Any]):
    """Writes to what standard error is at the moment."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


class _Text(logging.Formatter):
    """As commands say what is wrong: "ingest: warning: …"."""

    def format(self, record: logging.LogRecord) -> str:
        return f"ingest: {record.levelname.lower()}: {super().format(record)}"


class _Json(logging.Formatter):
    """An object a line, for collectors of logs. Times are ISO 8601 in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        if record.stack_info:
            said["stack"] = self.formatStack(record.stack_info)
        return json.dumps(said)


def send_logs(level: LogLevel, form: LogFormat) -> None:
    """From now on, the records of this process from this level on are written. May be called again."""
    root, least = logging.getLogger(), logging.getLevelNamesMapping()[level.upper()]
    for handler in [each for each in root.handlers if isinstance(each, _ToStandardError)]:
        root.removeHandler(handler)
    handler = _ToStandardError()
    handler.setFormatter(_Json() if form == "json" else _Text())
    root.addHandler(handler)
    root.setLevel(max(least, logging.WARNING))
    logging.getLogger(OURS).setLevel(least if least < logging.WARNING else logging.NOTSET)


def is_json() -> bool:
    """Whether this process's log is JSON, so that nothing else may be written among it."""
    return any(isinstance(each.formatter, _Json) for each in logging.getLogger().handlers)
