"""Where the file of a batch is, and moving it on as the batch ends; what was done before is not done again.

What belongs here: the files of batches that are in the manifest. What does not: claiming new ones (`intake`),
and how a file is moved (`places`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.ledger.spool_tables import ingestion_manifest as _manifest
from ingest_assets.sources.spool import manifest
from ingest_assets.sources.spool.places import (
    PIECE,
    Spool,
    another_name,
    free_name,
    moving,
    open_regular,
    remove_thing,
    sync_folder,
)
from ingest_assets.sources.spool.waiting import look

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench


def note_name(name: str) -> str:
    """The file beside a failed one that says why it failed."""
    return f"{name}.txt"


def free(connection: sa.Connection, name: str, folders: Iterable[Path], *, but: str = "") -> str:
    """The name, or one made of it, that nothing in the folders and no batch has, `but` the one of this tag.

    A name is one batch's in all folders, also while its file is not there: so nobody takes another's file.
    """
    folders = tuple(folders)
    has_it = _manifest.c.file == sa.bindparam("name")
    taken = sa.select(_manifest.c.batch_tag).where(has_it, _manifest.c.batch_tag != but).limit(1)
    found = free_name(name, *folders)
    while connection.scalar(taken, {"name": found}) is not None:
        found = free_name(another_name(name), *folders)
    return found


def find(spool: Spool, batch: Any) -> Path | None:
    """Where a batch's file is, which follows from its row; None if it is not there."""
    places = (folder / batch.file for folder in _folders(spool, batch)) if batch.file else ()
    return next((place for place in places if os.path.lexists(place)), None)


def _folders(spool: Spool, batch: Any) -> tuple[Path, ...]:
    if batch.status == "success":
        return (spool.archive,)
    if batch.gone is not None:  # it is called failed wherever it was
        return spool.ours
    if batch.status == "failed":
        return (spool.failed,)
    # On its way into the archive, or again out of it: because its gate was closed.
    return spool.processing, spool.archive


def holds(place: Path, digest: str) -> bool:
    """Whether a file has this content. Reads all of it."""
    try:
        with open_regular(place) as file:
            content = blake2b(digest_size=16)
            while piece := file.read(PIECE):
                content.update(piece)
            return content.hexdigest() == digest
    except OSError:
        return False


def to_archive(bench: Workbench, spool: Spool, batches: Iterable[Any]) -> dict[str, str]:
    """Move files of batches into the archive. Returns their names there by tag; "" for one that is gone.

    A file keeps its name, unless somebody put another one there: then its new name is recorded before the
    move. Raises UnavailableError.
    """
    moved: dict[str, str] = {}
    with spool.lock():
        for batch in batches:
            name = batch.file
            if not name:
                continue
            try:
                if os.path.lexists(spool.archive / name) and os.path.lexists(spool.processing / name):
                    with bench.ledger.transaction() as connection:
                        name = free(connection, name, spool.ours)
                        manifest.mark(connection, batch.batch_tag, file=name)
                spool.place(batch.file, spool.processing, spool.archive, name)
                moved[batch.batch_tag] = name
            except FileNotFoundError:  # it is there already: a crash came, or its gate was closed meanwhile
                is_there = holds(spool.archive / name, batch.digest)
                moved[batch.batch_tag] = name if is_there else ""
        if moved:
            with moving(spool.archive):
                sync_folder(spool.archive)
                sync_folder(spool.processing)
    return moved


def delete(spool: Spool, batch: Any) -> None:
    """Delete a batch's file, where its row says it is, with its note. The caller holds the lock."""
    if not batch.file:
        return
    for folder in _folders(spool, batch):
        remove_thing(folder / batch.file)
        if folder == spool.failed:
            remove_thing(folder / note_name(batch.file))


def listing(spool: Spool) -> list[str]:
    """What would be different if a file came, changed or went, in `incoming` or `processing`."""
    waiting = [f"{each.name} {each.bytes} {each.mtime_ns}" for each in look(spool) if each is not None]
    claimed = [path.name for path in spool.processing.iterdir()]
    return [*sorted(waiting), "", *sorted(claimed)]
