"""What `ingest doctor` reports about repositories: their settings, and their mirrors.

What belongs here: checking, without the network. What does not: fetching.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ingest_assets.model import IngestError
from ingest_assets.sources.repositories.kept import bounds_of, repositories_of
from ingest_assets.stages.shapes import Finding

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench


def findings(bench: Workbench) -> Iterator[Finding]:
    """The files and folders that settings name, then one finding a repository that is kept in step."""
    yield from _paths(bench)
    if bench.has_ledger:
        yield from _repositories(bench)


def _paths(bench: Workbench) -> Iterator[Finding]:
    bounds = bounds_of(bench.settings)
    files: dict[str, list[Path | None]] = {
        "INGEST_REPOSITORY_CA_FILE": [bounds.policy.ca_file],
        "INGEST_REPOSITORY_KNOWN_HOSTS": [bounds.policy.known_hosts],
        "INGEST_REPOSITORY_SSH_KEYS": list(bounds.policy.ssh_keys.values()),
    }
    for name, paths in files.items():
        for path in paths:
            if path is not None and not path.is_file():
                yield Finding(name, "wrong", f"There is no file {path}.")
    for folder in bounds.policy.local_roots:
        if not folder.is_dir():
            yield Finding("INGEST_REPOSITORY_ROOTS", "wrong", f"There is no folder {folder}.")


def _repositories(bench: Workbench) -> Iterator[Finding]:
    repositories = repositories_of(bench)
    for each in repositories.all():
        name = f"repository {each.id}"
        if each.removed:
            yield Finding(name, "ok", "It leaves the index with the next refresh.")
            continue
        try:
            commit = repositories.head(each)
        except IngestError as error:
            yield Finding(name, "wrong", str(error))
        else:
            if not each.committed:
                yield Finding(name, "ok", "It is read as it stands on disk.")
                continue
            yield Finding(
                name, "ok", f"It was last read at {commit[:12]}." if commit else "It has no commit."
            )
