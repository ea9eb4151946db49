"""Dropping a file that is somewhere else into the spool, as a producer would.

What belongs here: the copy. What does not: what is in the file, which `intake` looks at when it is taken.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ingest_assets.sources.spool.places import SUFFIX, Spool, free_name, open_regular
from ingest_assets.sources.spool.producer import draft

PIECE = 1 << 20


class Dropped(NamedTuple):
    """What became of a file that was to be added."""

    file: str  # as it was given
    name: str = ""  # in `incoming`
    error: str = ""


def add_all(spool: Spool, given: Iterable[str]) -> Iterator[Dropped]:
    """Copy each file into `incoming`, under its own name if that is free; what cannot be copied says why."""
    spool.prepare()
    for file in given:
        try:
            yield Dropped(file, _add(spool, Path(file)))
        except (OSError, ValueError) as error:  # ValueError: a null byte in the name
            said = (error.strerror if isinstance(error, OSError) else "") or str(error)
            yield Dropped(file, error=f"{said[:1].upper()}{said[1:].removesuffix('.')}.")


def _add(spool: Spool, path: Path) -> str:
    # A link that somebody names means the file it leads to.
    with open_regular(path.expanduser().resolve(strict=True)) as source, spool.lock():
        name = free_name(_name(path), spool.incoming)
        with draft(spool.incoming / name) as target:
            shutil.copyfileobj(source, target, PIECE)
    return name


def _name(path: Path) -> str:
    """A name that is looked at in `incoming`."""
    stem = path.name.removesuffix(SUFFIX).lstrip(".") or "batch"
    return f"{stem}{SUFFIX}"
