"""Telling people of failures: a webhook, and mail and chat through Apprise.

People are told of a cause once, until it ends. If nobody can be told, that is tried again with the next
failure or delivery, at most once a minute. Nothing here raises, or takes long: a run must not fail of it.

What belongs here: the causes that people were told of (`alert` in the ledger), and telling them. What does
not: what a failure is (`failures`).
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.spool_tables import alert as _alert
from ingest_assets.ledger.store import insert_if_absent
from ingest_assets.model import ConfigurationError, UnavailableError, when
from ingest_assets.redaction import keep_secret, keep_secrets_of_url, redact
from ingest_assets.sources.spool.notifier.webhook import NoAnswerError, Webhook
from ingest_assets.sources.spool.settings import SpoolSettings

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

LOCK = "spool-alerts"
TIMEOUT_S = 10.0  # for one alert
BUDGET_S = 20.0  # for all that one call tells; no alert is begun later
RETRY_S = 60.0
LEDGER_S = 5.0  # that others may hold the ledger
WEBHOOK = "The webhook at ALERT_WEBHOOK_URL"
_LETTERS = 8  # a part of an Apprise URL that is as long may be a key
_log = logging.getLogger(__name__)


def alert(
    bench: Workbench, cause: str, facts: Mapping[str, Any], *, now: Callable[[], float] = time.time
) -> None:
    """Tell people of a failure, unless they were told of its cause and it has not ended.

    `facts`: batch_tag, reason, healed, message. Called outside of transactions.
    """
    try:
        _note(bench, cause, facts, now())
    except Exception as error:  # noqa: BLE001 - whatever is wrong with an alert, the run goes on
        _log.warning(f"People could not be alerted of {cause}: {redact(str(error))}")
    send_unsent(bench, now=now)


def end(bench: Workbench, cause: str) -> None:
    """What a cause was about works again: people are told of the next failure of it."""
    try:
        if not is_known(bench, cause):
            return
        with bench.ledger.brief_transaction(LEDGER_S) as connection:
            connection.execute(_alert.delete().where(_alert.c.cause == cause))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with an alert, the run goes on
        _log.warning(f"That {cause} has ended could not be recorded: {redact(str(error))}")


def is_known(bench: Workbench, cause: str) -> bool:
    """Whether a cause was met and has not ended."""
    with bench.ledger.reading() as connection:
        return connection.scalar(sa.select(_alert.c.cause).filter_by(cause=cause)) is not None


def forget(ledger: Ledger, before: float) -> None:
    """Forget causes that were last met before a time, and that nothing has ended."""
    with ledger.transaction() as connection:
        connection.execute(_alert.delete().where(_alert.c.seen_at < before))


def send_unsent(bench: Workbench, *, now: Callable[[], float] = time.time) -> None:
    """Tell people of causes that nobody could be told of, unless that was tried a moment ago."""
    try:
        settings = bench.settings_of(SpoolSettings)
        if (settings.alert_webhook_url or settings.alert_urls) and _unsent(bench, now()):
            _send_alone(bench, settings, now)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with an alert, the run goes on
        _log.warning(f"Alerts could not be sent: {redact(str(error))}")


def _note(bench: Workbench, cause: str, facts: Mapping[str, Any], now: float) -> None:
    body = json.dumps({**facts, "since": when(now)}, ensure_ascii=False)
    row = {"cause": cause, "since": now, "seen_at": now, "times": 0, "next_at": now, "body": body}
    met = _alert.update().where(_alert.c.cause == cause)
    with bench.ledger.brief_transaction(LEDGER_S) as connection:
        insert_if_absent(connection, _alert, row)
        connection.execute(met.values(seen_at=now, times=_alert.c.times + 1))


def _unsent(bench: Workbench, now: float) -> list[Any]:
    """Some that nobody was told of; none if one of them failed a moment ago, as others would now."""
    query = sa.select(_alert).where(_alert.c.sent_at.is_(None)).order_by(_alert.c.since).limit(100)
    with bench.ledger.reading() as connection:
        found = list(connection.execute(query))
    # A time that is too far away was written when the clock was wrong.
    if any(now < row.next_at <= now + RETRY_S for row in found):
        return []
    # What was tried goes last: one that is refused, whatever is wrong with it, keeps no other one.
    return sorted(found, key=lambda row: row.next_at)


def _send_alone(bench: Workbench, settings: SpoolSettings, now: Callable[[], float]) -> None:
    try:
        with bench.ledger.lock(LOCK, timeout_s=0):
            ends = time.monotonic() + BUDGET_S
            # Also those that came meanwhile, from others who found this lock taken.
            while found := _unsent(bench, now()):
                for row in found:
                    if time.monotonic() >= ends or not _send(bench, settings, row, now):
                        return
    except UnavailableError:
        return  # another process sends them


def _send(bench: Workbench, settings: SpoolSettings, row: Any, now: Callable[[], float]) -> bool:
    """Whether anybody could be told."""
    told = _tell_all(list(recipients(settings)), json.loads(row.body))
    values = {"sent_at": now()} if told else {"next_at": now() + RETRY_S}
    with bench.ledger.brief_transaction(LEDGER_S) as connection:
        connection.execute(_alert.update().where(_alert.c.cause == row.cause).values(values))
    return told


def _tell_all(recipients: Sequence[Recipient], body: Mapping[str, Any]) -> bool:
    """Whether anybody was told. In threads, all at once: services of Apprise have no limit that holds."""
    told: set[str] = set()

    def tell(recipient: Recipient) -> None:
        try:
            if recipient.tell(body):
                told.add(recipient.name)
        except Exception as error:  # noqa: BLE001 - whatever a service raises, and what it says may show keys
            _log.warning(f"{recipient.name} failed ({type(error).__name__}).")

    threads = [threading.Thread(target=tell, args=(each,), daemon=True) for each in recipients]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + TIMEOUT_S + 1  # of which a webhook's own limit leaves a second
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
    reached = frozenset(told)  # a thread may go on
    for each in recipients:
        if each.name not in reached:
            _log.warning(f"{each.name} could not be told of a failure.")
    return bool(reached)


class Recipient(NamedTuple):
    """Somebody to be told."""

    name: str  # without secrets
    tell: Callable[[Mapping[str, Any]], bool]  # whether that succeeded


def recipients(settings: SpoolSettings) -> Iterator[Recipient]:
    """All who are to be told."""
    if settings.alert_webhook_url is not None:
        url = settings.alert_webhook_url.get_secret_value()
        yield Recipient(WEBHOOK, partial(_tell_webhook, url))
    for number, url in enumerate(urls(settings), 1):
        kind = url.partition("://")[0]
        yield Recipient(f"Number {number} of ALERT_URLS ({kind})", partial(_tell_apprise, url))


def urls(settings: SpoolSettings) -> list[str]:
    """Those of ALERT_URLS. A comma or space separates two where the next one begins; others are of a URL."""
    given = settings.alert_urls.get_secret_value() if settings.alert_urls else ""
    found = [url for url in re.split(r"[\s,;]+(?=[A-Za-z0-9+.-]+://)", given.strip()) if url]
    for url in found:
        _keep_secrets(url)
    return found


def _keep_secrets(url: str) -> None:
    """Hide an Apprise URL, and each part of it that may be a key: they are parts of paths, too."""
    keep_secret(url)
    keep_secrets_of_url(url)
    for part in re.split(r"[/@:?&=,]+", url.partition("://")[2]):
        if len(part) >= _LETTERS and re.search(r"\d", part):
            keep_secret(part)


def webhook(url: str) -> Webhook:
    """The webhook to alert. Raises ConfigurationError when its URL is none."""
    return Webhook(WEBHOOK, url, timeout_s=TIMEOUT_S)


def _tell_webhook(url: str, body: Mapping[str, Any]) -> bool:
    try:
        with webhook(url) as opened:
            reply = opened.post(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))
    except (NoAnswerError, ConfigurationError) as error:
        _log.warning(str(error))
        return False
    return reply.is_taken


def _tell_apprise(url: str, body: Mapping[str, Any]) -> bool:
    title = f"Spool: {body['reason']}{', healed' if body['healed'] else ''}"
    facts = "\n".join(f"{name}: {body[name]}" for name in ("batch_tag", "reason", "healed", "since"))
    service = loaded(url)
    return service is not None and bool(service.notify(title=title, body=f"{body['message']}\n\n{facts}"))


def loaded(url: str) -> Any | None:
    """Apprise with one service; None if it does not know such a URL."""
    # Its messages show parts of URLs, which are keys, and say nothing that ours do not.
    logger = logging.getLogger("apprise")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    import apprise

    asset = apprise.AppriseAsset(
        storage_mode=apprise.PersistentStoreMode.MEMORY, plugin_paths=[], secure_logging=True
    )
    service = apprise.Apprise(asset=asset)
    return service if service.add(url) else None


def plaintext_host(url: str) -> str | None:
    """The host that an Apprise URL sends to without encryption; None if there is none."""
    for service in loaded(url) or ():
        # Services without a `protocol` have an encrypted form only.
        if (
            service.protocol
            and not service.secure
            and getattr(service, "secure_mode", "insecure") == "insecure"
        ):
            return str(getattr(service, "smtp_host", None) or service.host or "") or None
    return None
