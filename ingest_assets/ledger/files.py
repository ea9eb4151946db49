"""The files of an SQLite ledger, which only its user may read, and whose locks nobody else can hold.

What belongs here: creating, narrowing and naming them. What does not: what is in them (`store`).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ingest_assets.model import ConfigurationError
from ingest_assets.private import is_ours_alone, keep_private, make_private_file, make_private_folder


def make_private(file: Path) -> None:
    """Create what is missing for this user alone; narrow the ledger's own files, not a folder that is there.

    Raises ConfigurationError when the folder cannot be created.
    """
    try:
        if not file.parent.is_dir():
            make_private_folder(file.parent)
    except OSError as error:
        raise ConfigurationError(
            f"The ledger's folder {file.parent} cannot be created: {error.strerror}. Check INGEST_HOME."
        ) from error
    # If the file cannot be created, opening it says why. SQLite's other files get the mode of this one.
    with suppress(OSError):
        make_private_file(file)
    for beside in ("-wal", "-shm", "-journal"):
        keep_private(file.with_name(file.name + beside))


def lock_folder(file: Path) -> Path:
    """Where the locks of a ledger are: a folder of their own, because the ledger may be in a shared one.

    Raises ConfigurationError when others could enter it, or it cannot be created.
    """
    folder = file.with_name(f"{file.name}.locks")
    try:
        make_private_folder(folder)
        safe = is_ours_alone(folder)
    except OSError as error:
        raise ConfigurationError(
            f"The folder {folder} of the ledger's locks cannot be used: {error.strerror}. Check INGEST_HOME."
        ) from error
    if not safe:
        raise ConfigurationError(
            f"{folder} belongs to another user, or others can enter it: they could hold the ledger's locks. "
            "Remove it, or point INGEST_LEDGER_URL to a folder of your own."
        )
    return folder
