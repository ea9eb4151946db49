"""What is done with the file of a batch that failed: a note that says why, a line in the failure log, a move.

What belongs here: the file. What does not: the row of the manifest, which says so already.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ingest_assets.sources.spool.files import note_name
from ingest_assets.sources.spool.manifest import OTHER
from ingest_assets.sources.spool.places import Spool, moving
from ingest_assets.sources.spool.settings import SpoolSettings

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


def put_aside(
    bench: Workbench,
    there: Path | None,
    *,
    as_name: str,
    batch_tag: str,
    error: str,
    delivered: str,
    cause: str,
    reason: str = OTHER,
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
