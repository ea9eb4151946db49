"""The chain of the audit log: how a row's digest follows from the row before, and the triggers that guard it.

Each row holds the digest of the digest before it and of its own content, so a row cannot be changed,
removed or put between two others without the digests after it. `audit_log_head`, a single row, holds
the newest number and digest; whoever appends locks it. The triggers refuse to change or delete a row,
and to insert one that does not follow the newest. Whoever owns the database can remove them, and the
chain then shows what was changed.

What belongs here: what the migrations, the log and its verification share. What does not: appending and
verifying (`audit_log`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

START = "0" * 64  # the digest before the first row
CONTENT = ("number", "at", "who", "transport", "tool", "arguments", "outcome", "message")

_GROWS = "the audit log can only grow"
_NEXT = f"{_GROWS}: a row must follow the newest one"
_KEPT = f"{_GROWS}: its rows are never changed or deleted"
_HEAD = f"{_GROWS}: its head moves on by one row at a time"


def digest_after(previous: str, row: Mapping[str, Any]) -> str:
    """The digest of a row, 64 hexadecimal digits: SHA-256 of the previous digest and the row's content."""
    content = json.dumps(
        [previous, *(row[name] for name in CONTENT)], separators=(",", ":"), default=_never_written
    )
    return hashlib.sha256(content.encode()).hexdigest()


def _never_written(value: object) -> object:
    """What JSON cannot hold, such as bytes in the place of a text, gives a digest that no row has."""
    return [type(value).__name__, repr(value)]


# By name. The first two are older than the chain, and named in migration 0005.
SQLITE_TRIGGERS = {
    "audit_log_no_update": (
        "CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log "
        f"BEGIN SELECT RAISE(ABORT, '{_KEPT}'); END"
    ),
    "audit_log_no_delete": (
        "CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log "
        f"BEGIN SELECT RAISE(ABORT, '{_KEPT}'); END"
    ),
    # REPLACE deletes without firing triggers for deletes, but not before those for inserts.
    "audit_log_only_next": (
        "CREATE TRIGGER audit_log_only_next BEFORE INSERT ON audit_log "
        "WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM audit_log) "
        f"BEGIN SELECT RAISE(ABORT, '{_NEXT}'); END"
    ),
    "audit_log_one_head": (
        "CREATE TRIGGER audit_log_one_head BEFORE INSERT ON audit_log_head "
        f"BEGIN SELECT RAISE(ABORT, '{_HEAD}'); END"
    ),
    "audit_log_head_stays": (
        "CREATE TRIGGER audit_log_head_stays BEFORE DELETE ON audit_log_head "
        f"BEGIN SELECT RAISE(ABORT, '{_HEAD}'); END"
    ),
    "audit_log_head_moves_on": (
        "CREATE TRIGGER audit_log_head_moves_on BEFORE UPDATE ON audit_log_head "
        "WHEN NEW.id IS NOT OLD.id OR NEW.number NOT IN (OLD.number, OLD.number + 1) "
        f"BEGIN SELECT RAISE(ABORT, '{_HEAD}'); END"
    ),
}

_RAISE = "RAISE EXCEPTION '{}';"
# Bodies of functions, by name.
POSTGRES_FUNCTIONS = {
    "audit_log_only_grows": f" BEGIN {_RAISE.format(_KEPT)} END ",
    "audit_log_follows": (
        " BEGIN IF NEW.number IS DISTINCT FROM (SELECT coalesce(max(number), 0) + 1 FROM audit_log) "
        f"THEN {_RAISE.format(_NEXT)} END IF; RETURN NEW; END "
    ),
    "audit_log_head_only_moves": f" BEGIN {_RAISE.format(_HEAD)} END ",
}
# (table, when, function) by name.
POSTGRES_TRIGGERS = {
    "audit_log_no_change": (
        "audit_log",
        "BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW",
        "audit_log_only_grows",
    ),
    "audit_log_no_truncate": (
        "audit_log",
        "BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT",
        "audit_log_only_grows",
    ),
    "audit_log_only_next": (
        "audit_log",
        "BEFORE INSERT ON audit_log FOR EACH ROW",
        "audit_log_follows",
    ),
    "audit_log_one_head": (
        "audit_log_head",
        "BEFORE INSERT OR DELETE ON audit_log_head FOR EACH ROW",
        "audit_log_head_only_moves",
    ),
    "audit_log_head_no_truncate": (
        "audit_log_head",
        "BEFORE TRUNCATE ON audit_log_head FOR EACH STATEMENT",
        "audit_log_head_only_moves",
    ),
    "audit_log_head_moves_on": (
        "audit_log_head",
        (
            "BEFORE UPDATE ON audit_log_head FOR EACH ROW "
            "WHEN (NEW.id <> OLD.id OR NEW.number NOT IN (OLD.number, OLD.number + 1))"
        ),
        "audit_log_head_only_moves",
    ),
}
