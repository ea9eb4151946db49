"""What `ingest spool` and `ingest gate` print: text for people, JSON for machines. Nothing of any record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ingest_assets.model import when
from ingest_assets.sources.spool.decisions import DECISIONS
from ingest_assets.sources.spool.places import SUFFIX
from ingest_assets.terminal import print_json, say, table

if TYPE_CHECKING:
    from ingest_assets.sources.spool.adding import Dropped
    from ingest_assets.sources.spool.maintenance import Maintained
    from ingest_assets.sources.spool.notifier.delivery import Delivered
    from ingest_assets.sources.spool.waiting import Waiting

_TIMES = ("created_at", "queued_at", "started_at", "finished_at", "updated_at", "gone_at")
_UNSHOWN = {"extra", "events", "unread"}  # of one batch: shown in parts, or said by its error
_SAME = (
    *("batch_tag", "status", "reason", "error", "source", "pii", "gate", "gone", "total_files"),
    *("total_bytes", "total_records", "skipped", "processed", "attempts"),
)


def added(rows: Sequence[Dropped], as_json: bool) -> None:
    """What became of each file that was to be added."""
    if as_json:
        return print_json({"files": [each._asdict() for each in rows]})
    for each in rows:
        said = f"not added. {each.error}" if each.error else f"added as incoming/{each.name}"
        say(f"{each.file}: {said}")
    if any(not each.error for each in rows):
        say("Run `ingest refresh --source spool` to index them now.")
    return None


def batches(rows: Sequence[Any], more: bool, found: Waiting, nothing: str, as_json: bool) -> None:
    """A page of batches, and what nobody has taken yet. `nothing` says that there are no batches."""
    if as_json:
        shown = [_facts(row) for row in rows]
        waiting = {"files": found.files, "bytes": found.bytes, "oldest_age_s": round(found.oldest_age_s, 1)}
        return print_json({"batches": shown, "next_after": _next(rows, more), "incoming": waiting})
    if found.files:
        say(f"{found.files:,} files wait in incoming: `ingest refresh --source spool` takes them.")
    if found.ignored:
        say(f"{found.ignored:,} things in incoming are left alone: no files, or not named NAME{SUFFIX}.")
    if not rows:
        return say(nothing)
    cells = [
        [row.batch_tag, row.gone or row.status, row.reason or "", row.gate if row.pii else "",
         _indexed(row), when(row.queued_at)]
        for row in rows
    ]  # fmt: skip
    table(("batch", "status", "reason", "gate", "in the index", "claimed"), cells, right=False)
    return _say_more(rows, more)


def batch(row: Any, events: Sequence[Any], as_json: bool) -> None:
    """One batch."""
    told = [_event(each) for each in events]
    facts = _facts(row) | {
        "files": json.loads(row.files),
        "file": row.file,
        "extra": json.loads(row.extra),
        "events": told,
    }
    if as_json:
        return print_json(facts)
    decisions = {name: facts["extra"].pop(name) for name in DECISIONS if name in facts["extra"]}
    shown = {name: value for name, value in (facts | facts["extra"]).items() if name not in _UNSHOWN}
    cells = [
        [name.replace("_", " "), _cell(value)] for name, value in shown.items() if value not in (None, "")
    ]
    for name, made in decisions.items():
        cells.append([name.replace("_", " "), f"by {made['by']} at {made['at']}"])
    table(("field", "value"), cells, right=False)
    for each in told:
        why = f": {each['error']}" if each["error"] else ""
        say(f"{each['event']}: {each['state']}{why}")
    return None


def gates(rows: Sequence[Any], more: bool, state: str, as_json: bool) -> None:
    """A page of personal batches."""
    if as_json:
        return print_json({"gates": [_facts(row) for row in rows], "next_after": _next(rows, more)})
    if not rows:
        return say(f"No gate is {state}.")
    cells = [
        [row.batch_tag, row.status, row.source, f"{row.total_records:,}", when(row.queued_at)] for row in rows
    ]
    table(("batch", "status", "source", "records", "claimed"), cells, right=False)
    return _say_more(rows, more)


def decided(row: Any, what_follows: str, as_json: bool) -> None:
    """A batch about which somebody has decided."""
    if as_json:
        return print_json(_facts(row))
    gate = f", its gate {row.gate}" if row.pii else ""
    return say(f"{row.batch_tag} is {row.gone or row.status}{gate}. {what_follows}")


def waited(batch_tag: str, is_open: bool, as_json: bool) -> None:
    """Whether a gate was opened."""
    if as_json:
        return print_json({"batch_tag": batch_tag, "open": is_open})
    return say(f"The gate of {batch_tag} is {'open' if is_open else 'still locked'}.")


def delivered(found: Delivered, put_back: int, has_listener: bool, as_json: bool) -> None:
    """What the listener has heard."""
    if as_json:
        return print_json(found._asdict() | {"put_back": put_back})
    if not has_listener:
        say("GATE_URL is not set: nobody is told.")
    if put_back:
        say(f"{put_back:,} events that were put aside are tried again.")
    return say(f"{found.sent:,} events sent, {found.waiting:,} wait, {found.dead:,} are put aside.")


def maintained(found: Maintained, as_json: bool) -> None:
    """What the maintenance of partitions did."""
    if as_json:
        return print_json(asdict(found))
    for what, months in (("made", found.made), ("dropped", found.dropped)):
        if months:
            say(f"Partitions {what}: {', '.join(months)}.")
    if not (found.made or found.dropped or found.error):
        say("No partition had to be made or dropped.")
    return say(f"Not made: {', '.join(found.wanted)}. {found.error}") if found.error else None


def _indexed(row: Any) -> str:
    """How many of a batch's records are in the index; nothing of one that is gone."""
    return "" if row.gone else f"{row.processed:,} of {row.total_records - row.skipped:,}"


def _facts(row: Any) -> dict[str, Any]:
    times = {name: None if (at := getattr(row, name)) is None else when(at) for name in _TIMES}
    return {name: getattr(row, name) for name in _SAME} | times


def _event(row: Any) -> Mapping[str, Any]:
    at = row.delivered_at
    about = {"event": row.event, "state": row.state, "attempts": row.attempts, "error": row.error}
    return about | {"delivered_at": None if at is None else when(at)}


def _next(rows: Sequence[Any], more: bool) -> str | None:
    return rows[-1].batch_tag if more else None


def _say_more(rows: Sequence[Any], more: bool) -> None:
    if more:
        say(f"There are more: --after '{_next(rows, more)}'")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
