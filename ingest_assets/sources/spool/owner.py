"""Whose a spool is: one installation takes batches from it, because its ledger says what lies in it."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path

from ingest_assets.ledger.installation import Installation
from ingest_assets.model import ConfigurationError, UnavailableError
from ingest_assets.sources.spool.places import DRAFT, Spool, sync_folder

OWNER = ".spool.owner"


def require_own(spool: Spool, installation: Installation) -> None:
    """Make a spool this installation's. Raises ConfigurationError if it is another one's.

    UnavailableError if that cannot be written.
    """
    file = spool.root / OWNER
    if not os.path.lexists(file):
        _claim(spool.root, json.dumps({"id": installation.id, "name": installation.name}))
    try:
        owner = json.loads(file.read_text(encoding="utf-8"))
        owner_id, name = owner["id"], owner["name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{file} should say whose the spool is, and cannot be read. Delete it if no other installation "
            f"uses {spool.root}."
        ) from error
    if owner_id != installation.id:
        raise ConfigurationError(
            f"{spool.root} is the spool of another installation ({name}). Set SPOOL_DIR to a folder of its "
            f"own, or delete {file} if that installation is gone."
        )


def _claim(root: Path, owner: str) -> None:
    """Write whose it is, all of it or nothing, unless somebody else has just done so."""
    draft = root / f".{secrets.token_hex(8)}{DRAFT}"
    try:
        try:
            with open(draft, "x", encoding="utf-8", opener=_private) as new:
                new.write(owner)
                new.flush()
                os.fsync(new.fileno())
            with suppress(FileExistsError):
                (root / OWNER).hardlink_to(draft)
            sync_folder(root)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise UnavailableError(
            f"{root / OWNER}, which says whose the spool is, cannot be written: {error.strerror}. Make room, "
            "or set the permissions, and run it again. The file system must have hard links."
        ) from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
