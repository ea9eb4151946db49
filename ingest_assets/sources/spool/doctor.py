"""What `ingest doctor` says of the spool: folders, partitions, who is told of batches, and the logs.

What belongs here: a function for each part that can be wrong, in `LOOKS`. What does not: repairing it.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import sqlalchemy as sa

from ingest_assets.internet import is_on_the_internet
from ingest_assets.model import IngestError, when
from ingest_assets.sources.spool.settings import SpoolSettings
from ingest_assets.stages.shapes import Finding

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

PROBE = "gate.probe"  # an event that tells nothing; it is sent with a wrong token only
_OTHERS_WRITE = stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def findings(bench: Workbench) -> Iterator[Finding]:
    """One line each."""
    settings = bench.settings_of(SpoolSettings)
    if settings.spool_dir is None:
        return
    for name, look in LOOKS.items():
        try:
            yield from look(bench, settings)
        except (IngestError, OSError) as error:
            yield Finding(name, "wrong", str(error))


# --- Folders, partitions and vectors ------------------------------------------------------------------------

_FOLDERS, _PARTITIONS, _VECTORS = "spool: folders", "spool: partitions", "spool: vectors"


def _folders(bench: Workbench, settings: SpoolSettings) -> Iterator[Finding]:
    """Whether the folders are safe, and this installation's."""
    from ingest_assets.sources.spool.owner import require_own
    from ingest_assets.sources.spool.places import Spool
    from ingest_assets.sources.spool.waiting import waiting

    spool = Spool.of(settings)
    if not spool.root.is_dir():
        wrong = _wrong_with_root(spool.root)
        said = f"{spool.root} is not there yet: the first refresh creates it."
        yield Finding(_FOLDERS, "wrong" if wrong else "ok", wrong or said)
        return
    faults = [*spool.faults()]
    yield from (Finding(_FOLDERS, "wrong", fault) for fault in faults)
    require_own(spool, bench.installation)
    if not faults:
        found = waiting(spool)
        ignored = f" {found.ignored} things in incoming are no batches." if found.ignored else ""
        yield Finding(_FOLDERS, "ok", f"{spool.root}: {found.files} files are waiting.{ignored}")


def _wrong_with_root(root: Path) -> str:
    """What keeps a folder that is not there from being created; "" if nothing does."""
    if os.path.lexists(root):
        return f"{root} is no folder. Set SPOOL_DIR to a folder that can be written."
    there = next(folder for folder in root.parents if os.path.lexists(folder))
    try:
        # Permissions do not say all: some file systems are read-only, or have no folders but their own.
        Path(tempfile.mkdtemp(prefix=".ingest-doctor-", dir=there)).rmdir()
    except OSError as error:
        hint = "Set SPOOL_DIR to a folder that can be written."
        return f"{root} cannot be created: {there}: {error.strerror}. {hint}"
    return ""


def _partitions(bench: Workbench, _settings: SpoolSettings) -> Iterator[Finding]:
    """Whether the table of records has the partitions that it needs, and they can be made."""
    from ingest_assets.sources.spool import partitions
    from ingest_assets.sources.spool.maintenance import last_run

    if not bench.has_ledger or bench.ledger.is_sqlite:
        return
    with bench.ledger.reading() as connection:
        may = connection.scalar(sa.text("select has_schema_privilege(current_schema(), 'CREATE')"))
        lost = sorted(partitions.lost(connection))
    last = last_run(bench.ledger)
    if not may:
        yield Finding(_PARTITIONS, "wrong", "The ledger's user must not make partitions: grant it CREATE.")
    elif last is not None and last.error:
        yield Finding(_PARTITIONS, "wrong", last.error)
    elif lost:
        said = f"Somebody dropped {', '.join(lost)}: the next refresh loads their batches again."
        yield Finding(_PARTITIONS, "wrong", said)
    else:
        said = f"looked after at {when(last.at)}" if last else "made by the first refresh"
        yield Finding(_PARTITIONS, "ok", f"The partitions of the records are {said}.")


def _vectors(bench: Workbench, settings: SpoolSettings) -> Iterator[Finding]:
    """Whether vectors that come along are those of the index's model."""
    if not settings.spool_vectors_model:
        return
    own = bench.dense_model.identity
    if settings.spool_vectors_model == own:
        yield Finding(_VECTORS, "ok", "Vectors that come along are used if they can be.")
    else:
        said = f"Vectors that come along are ignored, because the index's model is {own}"
        yield Finding(_VECTORS, "wrong", f"{said}, and SPOOL_VECTORS_MODEL names another one.")


# --- The listener -------------------------------------------------------------------------------------------

_GATE, _TEMPLATES, _OUTBOX = "spool: gate", "spool: templates", "spool: outbox"
_ALERTS, _LOGS, _PLAINTEXT = "spool: alerts", "spool: logs", "spool: connections"


def _gate(_bench: Workbench, settings: SpoolSettings) -> Iterator[Finding]:
    """Whether the listener answers, and refuses who does not know the token."""
    from ingest_assets.sources.spool.notifier.delivery import LISTENER, listener
    from ingest_assets.sources.spool.notifier.webhook import NoAnswerError

    if settings.gate_url is None:
        yield Finding(_GATE, "not configured", "No listener is told of batches: GATE_URL names one.")
        return
    listener(settings)  # raises if the token cannot be sent
    body = {"event": PROBE, "ts": when(time.time())}
    with listener(settings, token=f"wrong-{secrets.token_hex(12)}") as wrong:
        try:
            status = wrong.post(json.dumps(body).encode()).status
        except NoAnswerError as error:
            said = f"{error} Start it, or correct GATE_URL, or GATE_CA_FILE for its certificate."
            yield Finding(_GATE, "wrong", said)
            return
    if status not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        yield Finding(_GATE, "wrong", f"{LISTENER} answered {status} to a wrong token: {_advice(status)}")
    elif settings.gate_token is None:
        yield Finding(_GATE, "wrong", f"{LISTENER} wants a token: set GATE_TOKEN.")
    else:
        yield Finding(_GATE, "ok", f"{LISTENER} answers, and refuses a wrong token.")


def _advice(status: int) -> str:
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return "set GATE_URL to where this leads, because redirects are not followed."
    if status >= HTTPStatus.BAD_REQUEST:
        return "check GATE_URL, and have it answer 401 to whoever does not know the token."
    return "anybody can tell it of batches. Have it answer 401 to whoever does not know the token."


def _templates(_bench: Workbench, settings: SpoolSettings) -> Iterator[Finding]:
    from ingest_assets.sources.spool.notifier.templates import Templates

    Templates(settings)
    whose = f"in {settings.gate_templates}" if settings.gate_templates else "that ship"
    yield Finding(_TEMPLATES, "ok", f"The templates {whose} give valid bodies.")


def _outbox(bench: Workbench, _settings: SpoolSettings) -> Iterator[Finding]:
    from ingest_assets.sources.spool.notifier.outbox import state_of

    if not bench.has_ledger:
        return
    state = state_of(bench.ledger)
    said = f"Events that wait for the listener: {state.waiting:,}; put aside: {state.dead:,}."
    if state.dead:
        yield Finding(
            _OUTBOX, "wrong", f"{said} {state.error} `ingest spool deliver --again` tries them again."
        )
    else:
        yield Finding(_OUTBOX, "wrong" if state.error else "ok", f"{said} {state.error or ''}".rstrip())


# --- People and logs ----------------------------------------------------------------------------------------


def _alerts(_bench: Workbench, settings: SpoolSettings) -> Iterator[Finding]:
    """Whether there is somebody to be alerted. Nobody is, by looking."""
    from ingest_assets.sources.spool.notifier import alerts

    urls = alerts.urls(settings)
    if settings.alert_webhook_url is None and not urls:
        hint = "ALERT_WEBHOOK_URL and ALERT_URLS name who is."
        yield Finding(_ALERTS, "not configured", f"Nobody is alerted of failures: {hint}")
        return
    if settings.alert_webhook_url is not None:
        alerts.webhook(settings.alert_webhook_url.get_secret_value())
    unknown = [str(number) for number, url in enumerate(urls, 1) if alerts.loaded(url) is None]
    if unknown:
        said = f"Of ALERT_URLS, Apprise knows no such service: number {', '.join(unknown)}."
        yield Finding(_ALERTS, "wrong", f"{said} Write each as Apprise's documentation says.")
    else:
        hook = 1 if settings.alert_webhook_url else 0
        yield Finding(_ALERTS, "ok", f"{hook + len(urls)} recipients are alerted of failures.")


def _logs(_bench: Workbench, settings: SpoolSettings) -> Iterator[Finding]:
    from ingest_assets.sources.spool.notifier.failures import file_of

    logs = {
        "RAG_LOG_FILE": settings.rag_log_file,
        "SPOOL_FAILURE_LOG": file_of(settings.spool_failure_log, time.time()),
    }
    for name, file in logs.items():
        wrong = _wrong_with(file.absolute())
        yield Finding(_LOGS, "wrong" if wrong else "ok", f"{name}: {wrong or f'{file} can be written to.'}")


def _wrong_with(file: Path) -> str:
    """What keeps a log from being written, or private; "" if nothing does."""
    if os.path.lexists(file):
        found = file.lstat()
        if not stat.S_ISREG(found.st_mode):
            return f"{file} is no file: remove it."
        if not os.access(file, os.W_OK):
            return f"{file} cannot be written to: give this user the right."
        if os.name != "nt" and found.st_mode & _OTHERS:
            return f"Others may read {file}: run chmod 600 on it."
    there = next(folder for folder in file.parents if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return f"Nothing can be created in {there}: give this user the right, or choose another folder."
    mode = there.stat().st_mode
    if there == file.parent and os.name != "nt" and mode & _OTHERS_WRITE and not mode & stat.S_ISVTX:
        return f"Everybody may write to {there}: run chmod o-w on it."
    return ""


# --- Connections --------------------------------------------------------------------------------------------


def _connections(bench: Workbench, settings: SpoolSettings) -> Iterator[Finding]:
    """What goes over the internet as plain text."""
    for name, host, port in (*_plain_urls(bench, settings), *_plain_alerts(settings)):
        if is_on_the_internet(host, port or 80):
            said = f"{name} leads to the internet without encryption"
            yield Finding(_PLAINTEXT, "wrong", f"{said}: use https, or the encrypted form of the service.")
    for name, host, port in _plain_ledger(bench):
        if is_on_the_internet(host, port):
            said = f"{name} leads to the internet without encryption"
            yield Finding(_PLAINTEXT, "wrong", f"{said}: add sslmode=verify-full to it.")


def _plain_urls(bench: Workbench, settings: SpoolSettings) -> Iterator[tuple[str, str, int | None]]:
    alert_url = settings.alert_webhook_url
    common = bench.settings
    given = {
        "GATE_URL": settings.gate_url,
        "ALERT_WEBHOOK_URL": alert_url.get_secret_value() if alert_url else None,
        "QDRANT_URL": common.qdrant_url,
        "SPARK_CONTROL_URL" if common.spark_control_url else "EMBED_BASE_URL": common.embed_url,
    }
    for name, text in given.items():
        url = urlsplit(str(text or ""))
        if url.scheme == "http":
            yield name, url.hostname or "", url.port


def _plain_alerts(settings: SpoolSettings) -> Iterator[tuple[str, str, int | None]]:
    from ingest_assets.sources.spool.notifier import alerts

    for number, each in enumerate(alerts.urls(settings), 1):
        if (host := alerts.plaintext_host(each)) is not None:
            yield f"ALERT_URLS, number {number}", host, None


def _plain_ledger(bench: Workbench) -> Iterator[tuple[str, str, int]]:
    """The ledger's host, which gets all texts, if the connection that there is with it is not encrypted."""
    if not bench.has_ledger or bench.ledger.is_sqlite:
        return
    with bench.ledger.reading() as connection:
        about = connection.connection.driver_connection.info  # type: ignore[union-attr]
        if (
            not about.ssl_in_use and about.host and not about.host.startswith("/")
        ):  # else a socket of this host
            yield bench.settings.ledger_variable or "INGEST_LEDGER_URL", about.host, about.port


LOOKS: dict[str, Callable[[Workbench, SpoolSettings], Iterator[Finding]]] = {
    _FOLDERS: _folders,
    _PARTITIONS: _partitions,
    _VECTORS: _vectors,
    _GATE: _gate,
    _TEMPLATES: _templates,
    _OUTBOX: _outbox,
    _ALERTS: _alerts,
    _LOGS: _logs,
    _PLAINTEXT: _connections,
}
