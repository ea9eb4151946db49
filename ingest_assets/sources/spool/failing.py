"""What is done with the file of a batch that failed: a note that says why, a line in the failure log, a move.

What belongs here: the file, and what people are alerted of. What does not: the row of the manifest, which
says so already.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ingest_assets.sources.spool.files import note_name
from ingest_assets.sources.spool.places import SUFFIX, Spool, moving
from ingest_assets.sources.spool.settings import NAME, SpoolSettings

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

_NOTE = """\
This batch is not in the index, and nothing of it is.

Why: {error}
Delivered as: {delivered}
Batch: {batch_tag}

Mend it and deliver it again, or have it tried again as it is:
    ingest spool retry {batch_tag}
"""


# Where times, numbers and digests begin: helpdesk-20260131T090000Z-1f2e3d4c, batch17, export-e3b0.
_COUNTED = re.compile(r"[0-9]|\b[0-9a-fA-F]{8,}\b|\b(?=[a-fA-F]*[0-9])[0-9a-fA-F]{4,}\b")


def unindexed(reason: str, source: str) -> str:
    """What people are alerted of once, until a batch of the source is indexed."""
    return f"{NAME} {reason} {source}".rstrip()


def unreadable(name: str) -> str:
    """What people are alerted of once, until a file of such a name can be read.

    What cannot be read has no source: what its name has in common with others tells who wrote it.
    """
    return f"{NAME} unreadable {_kind_of_name(name)}".rstrip()


def _kind_of_name(name: str) -> str:
    """What the names of a producer's files have in common: all before the first time, number or digest."""
    return _COUNTED.split(name.removesuffix(SUFFIX), maxsplit=1)[0].strip("-_.:+")


def put_aside(
    bench: Workbench,
    there: Path | None,
    *,
    as_name: str,
    batch_tag: str,
    error: str,
    delivered: str,
    cause: str,
    reason: str,
) -> None:
    """Move a file, unless it is lost, to `failed`, under a name that is free there and that its row has.

    The move comes last: as long as the file is in `processing`, the next run does all of this again. The
    caller holds the spool's lock, and no transaction. Raises UnavailableError.
    """
    from ingest_assets.sources.spool.notifier.failures import record_failure

    spool = Spool.of(bench.settings_of(SpoolSettings))
    note = spool.failed / note_name(as_name)
    with moving(note):
        note.write_text(_NOTE.format(error=error, delivered=delivered, batch_tag=batch_tag), "utf-8")
        note.chmod(0o600)
    record_failure(bench, batch_tag=batch_tag, reason=reason, healed=False, message=error, cause=cause)
    if there is not None:
        spool.move(there.name, there.parent, spool.failed, as_name)
