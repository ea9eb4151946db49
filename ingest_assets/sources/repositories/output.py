"""What `ingest repository` prints: text for people, JSON for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ingest_assets.terminal import console_of, escape, print_json, table

if TYPE_CHECKING:
    from ingest_assets.model import SkippedItem
    from ingest_assets.sources.repositories.kept import Repository


def one(found: Repository, what: str, as_json: bool) -> None:
    """A repository that was added, or is to be removed."""
    if as_json:
        return print_json(asdict(found))
    at = f" at {found.ref}" if found.ref else ""
    console_of().print(f"{what}: {escape(found.id)}{escape(at)}. Run `ingest refresh` to do it now.")
    return None


def stays(found: Repository, as_json: bool) -> None:
    """A repository that was taken from a project, and that others have."""
    if as_json:
        return print_json(asdict(found))
    console_of().print(f"No longer of the project: {escape(found.id)}. It stays for others.")
    return None


def several(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """All repositories that are kept in step."""
    if as_json:
        return print_json({"repositories": list(rows)})
    if not rows:
        console_of().print("No repository is kept in step. `ingest repository add URL` adds one.")
        return None
    cells = [
        [
            row["id"],
            row["ref"] or "default branch",
            ", ".join(row["projects"]),
            f"{row['files']:,}",
            "leaves" if row["removed"] else "",
        ]
        for row in rows
    ]
    return table(("repository", "ref", "projects", "files in the index", ""), cells, right=False)


def skips(found: Sequence[SkippedItem], prefix: str, as_json: bool) -> None:
    """What is left out; `prefix` precedes the paths in the ids."""
    rows = [
        {
            "path": each.id.removeprefix(prefix),
            "reason": each.reason,
            "size": each.size,
            "detail": each.detail,
        }
        for each in found
    ]
    if as_json:
        return print_json({"skipped": rows})
    if not rows:
        console_of().print("Nothing is left out.")
        return None
    cells = [[str(row[name]) for name in ("path", "reason", "detail")] for row in rows]
    return table(("file", "reason", "detail"), cells, right=False)
