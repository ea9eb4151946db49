"""Sending the events of the outbox to the listener at GATE_URL: at least once, and in order within a batch.

What counts is the status: 2xx is delivered, and a redirect is not. An event that is refused is tried again,
at growing intervals, and put aside after GATE_MAX_ATTEMPTS refusals. Where nobody answers, or only a proxy in
front of a listener that is down, or where the token is refused, the event is not at fault, and is tried until
the listener has it.

What belongs here: when an event is sent, and what follows from the answer. What does not: the rows
(`outbox`), the bodies (`templates`), the request (`webhook`).
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.sources.spool.decisions import Decider, log, require_short
from ingest_assets.sources.spool.manifest import OTHER
from ingest_assets.sources.spool.notifier import alerts, outbox
from ingest_assets.sources.spool.notifier.events_log import log_event
from ingest_assets.sources.spool.notifier.failures import end_cause, record_failure
from ingest_assets.sources.spool.notifier.templates import Templates
from ingest_assets.sources.spool.notifier.webhook import NoAnswerError, Webhook
from ingest_assets.sources.spool.settings import SpoolSettings

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

LOCK = "spool-outbox"
PAGE = 200  # events that are read at once
MIN_WAIT_S, MAX_WAIT_S = 1.0, 3_600.0  # between two attempts
# What people are alerted of.
REFUSED, UNREACHABLE, PUT_ASIDE = "gate token refused", "gate listener unreachable", "gate events put aside"
LISTENER = "The listener at GATE_URL"
_TOKEN_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class Delivered(NamedTuple):
    """What became of the outbox in one call."""

    sent: int
    waiting: int
    dead: int  # put aside until `redeliver`


def deliver(
    bench: Workbench, *, budget_s: float, at_once: bool = False, now: Callable[[], float] = time.time
) -> Delivered:
    """Send what is due, unless another process does, and alerts that nobody has got yet.

    `at_once` sends what waits for its next attempt, too, as somebody may ask who has mended the listener.

    No request is begun after `budget_s` seconds, and none after one that was not answered, or whose token was
    refused: a call takes `budget_s` and one GATE_TIMEOUT_S at most. Alerts have a limit of their own. Called
    outside of transactions.
    Raises ConfigurationError when settings or templates are wrong; everything waits until they are not.
    """
    alerts.send_unsent(bench, now=now)
    settings = bench.settings_of(SpoolSettings)
    sent = 0
    with ExitStack() as stack:
        if settings.gate_url is not None and _is_alone(bench, stack):
            outbox.hurry(bench.ledger, now(), 0 if at_once else MAX_WAIT_S)
            delivery = _Delivery(bench, settings, now)
            sent = delivery.run(time.monotonic() + budget_s)
    with bench.ledger.reading() as connection:
        waiting, dead = outbox.counts(connection)
    if not dead:
        end_cause(bench, PUT_ASIDE)
    if sent:
        log_event(bench, "delivered", sent=sent, waiting=waiting, dead=dead)
    return Delivered(sent, waiting, dead)


def redeliver(
    bench: Workbench,
    by: Decider,
    batch_tag: str | None = None,
    *,
    now: Callable[[], float] = time.time,
) -> int:
    """Have what was put aside, of one batch or of all, tried again. Returns how many events that are.

    Raises RequestError for a reason that is too long.
    """
    require_short(by.why)
    with bench.ledger.transaction() as connection:
        events = outbox.put_back(connection, now(), batch_tag)
        log(connection, "redeliver_events", batch_tag, by, events=events)
    return events


def listener(settings: SpoolSettings, *, token: str | None = None) -> Webhook:
    """The listener, with its token or another one. Raises ConfigurationError when settings are wrong."""
    assert settings.gate_url is not None
    if token is None:
        token = settings.gate_token.get_secret_value().strip() if settings.gate_token else ""
    return Webhook(
        LISTENER,
        settings.gate_url,
        token=token,
        ca_file=settings.gate_ca_file,
        timeout_s=settings.gate_timeout_s,
    )


def _is_alone(bench: Workbench, stack: ExitStack) -> bool:
    """Whether no other process delivers; if so, none does until the stack is closed."""
    try:
        stack.enter_context(bench.ledger.lock(LOCK, timeout_s=0))
    except UnavailableError:
        return False
    return True


class _Delivery:
    """One call's."""

    def __init__(self, bench: Workbench, settings: SpoolSettings, now: Callable[[], float]) -> None:
        self._bench, self._settings, self._now = bench, settings, now
        self._ends = 0.0
        self._sent = 0
        self._ended: set[str] = set()  # causes
        self._stopped = False  # by a listener that nothing more should be sent to now

    def run(self, ends: float) -> int:
        """Send until nothing is due, `time.monotonic()` is `ends`, or the listener stops it."""
        self._ends = ends
        events = self._due()
        first = next(events, None)
        if first is None:
            return 0
        self._templates = Templates(self._settings)
        with listener(self._settings) as self._listener:
            self._send(first)
            for row in events:
                self._send(row)
        return self._sent

    def _due(self) -> Iterator[Any]:
        """Events to be sent, as long as any should be. Each is no longer due when the next is asked for."""
        while True:
            with self._bench.ledger.reading() as connection:
                page = outbox.due(connection, self._now(), PAGE)
            for row in page:
                if self._stopped or time.monotonic() >= self._ends:
                    return
                yield row
            if not page:
                return

    def _send(self, row: Any) -> None:
        try:
            body = self._templates.render(json.loads(row.body))
        except ConfigurationError as error:  # what the samples did not show; other events may do
            self._refused(row, str(error))
            return
        try:
            reply = self._listener.post(body, {"Idempotency-Key": key_of(row)})
        except NoAnswerError as error:
            self._unanswered(row, str(error))
            return
        said = f"{LISTENER} answered {reply.status}."
        if reply.is_not_now:
            self._unanswered(row, said, reply.retry_after_s)
            return
        self._works(UNREACHABLE)
        if reply.status not in _TOKEN_REFUSED:
            self._works(REFUSED)
        if reply.is_taken:
            with self._bench.ledger.transaction() as connection:
                outbox.mark_delivered(connection, row, self._now())
            self._sent += 1
            return
        if reply.status in _TOKEN_REFUSED:
            self._token_refused(row, f"{LISTENER} refused GATE_TOKEN ({reply.status}): correct the token.")
            return
        self._refused(row, said)

    def _token_refused(self, row: Any, said: str) -> None:
        """Nothing is taken with this token, which says nothing of the event.

        Unless the token was accepted since the same was said of it: then it is the event that is refused.
        """
        self._stopped = True
        if row.error == said and not alerts.is_known(self._bench, REFUSED):
            self._refused(row, said)
        else:
            self._postpone(row, said, refused=False)
        self._alert(row, REFUSED, said)

    def _refused(self, row: Any, error: str) -> None:
        if row.refused + 1 < self._settings.gate_max_attempts:
            self._postpone(row, error, refused=True)
            return
        with self._bench.ledger.transaction() as connection:
            outbox.put_aside(connection, row, error)
        said = f"{row.event} was put aside after {row.refused + 1:,} refusals. {error}"
        record_failure(
            self._bench,
            batch_tag=row.batch_tag,
            reason=OTHER,
            healed=False,
            message=said,
            cause=PUT_ASIDE,
            now=self._now,
        )

    def _unanswered(self, row: Any, error: str, after_s: float | None = None) -> None:
        """Nobody took the event. `after_s` is for how long the listener asked to be left alone."""
        self._stopped = True
        self._postpone(row, error, refused=False)
        if after_s:
            with self._bench.ledger.transaction() as connection:
                outbox.leave_alone(connection, self._now() + min(after_s, MAX_WAIT_S))
        # Not at once: a listener that is started again is away for a moment.
        if row.attempts + 1 >= self._settings.gate_max_attempts:
            self._alert(row, UNREACHABLE, f"{error} Events wait until it answers.")

    def _postpone(self, row: Any, error: str, *, refused: bool) -> None:
        next_at = self._now() + wait_s(row.attempts + 1)
        with self._bench.ledger.transaction() as connection:
            outbox.postpone(connection, row, next_at, error, refused=refused)

    def _works(self, cause: str) -> None:
        """What a cause was about has worked: asked once a call, because it costs a query."""
        if cause not in self._ended:
            self._ended.add(cause)
            end_cause(self._bench, cause)

    def _alert(self, row: Any, cause: str, message: str) -> None:
        facts = {"batch_tag": row.batch_tag, "reason": OTHER, "healed": False, "message": message}
        alerts.alert(self._bench, cause, facts, now=self._now)


def key_of(row: Any) -> str:
    """By which the listener tells a repetition: event and batch, and from the second settlement its number.

    Characters of a tag that are special in a header, and colons, are percent-encoded.
    """
    nth = f":{row.nth}" if row.nth > 1 else ""
    return f"{row.event}:{quote(row.batch_tag, safe='')}{nth}"


def wait_s(attempts: int) -> float:
    """Seconds until the next attempt after so many: 1, 2, 4 … up to an hour.

    Up to a quarter less, so that many events that failed together are not tried together.
    """
    longest = min(MAX_WAIT_S, MIN_WAIT_S * 2.0 ** min(attempts - 1, 32))
    return max(MIN_WAIT_S, longest * random.uniform(0.75, 1.0))  # noqa: S311 - no secret
