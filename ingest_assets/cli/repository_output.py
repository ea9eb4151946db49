"""What `ingest repository` prints: text for people, JSON for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ingest_assets.cli.output import console_of, escape, print_json, table

if TYPE_CHECKING:
    from ingest_assets.repositories import Repository
    from ingest_assets.sources.repositories.tree import Skip


def one(found: Repository, what: str, as_json: bool) -> None:
    """A repository that was added or is to go."""
    if as_json:
        return print_json(asdict(found))
    at = f" at {found.ref}" if found.ref else ""
    console_of().print(f"{what}: {escape(found.id)}{escape(at)}. Run `ingest refresh` to do it now.")
    return None


def several(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """All that are kept in step."""
    if as_json:
        return print_json({"repositories": list(rows)})
    if not rows:
        console_of().print("No repository is kept in step. `ingest repository add URL` adds one.")
        return None
    cells = [
        [row["id"], row["ref"] or "default branch", f"{row['files']:,}", "leaves" if row["removed"] else ""]
        for row in rows
    ]
    return table(("repository", "ref", "files in the index", ""), cells, right=False)


def skips(found: Sequence[Skip], as_json: bool) -> None:
    """What is left out."""
    if as_json:
        fields = ("path", "reason", "size", "detail")
        return print_json({"skipped": [{name: getattr(skip, name) for name in fields} for skip in found]})
    if not found:
        console_of().print("Nothing is left out.")
        return None
    return table(
        ("file", "reason", "detail"), [[s.path, s.reason, s.detail or ""] for s in found], right=False
    )
