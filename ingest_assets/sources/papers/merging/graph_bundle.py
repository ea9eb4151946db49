"""The folder `medlit_bundle`: a kgbundle of version v1, which says what is in it and whether it is whole.

What belongs here: its files, and checking them. What does not: the rows (`graph`), and when they are written
(`passes`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from ingest_assets.model import digest_of
from ingest_assets.sources.papers.merging.batches import batched
from ingest_assets.sources.papers.merging.graph_rows import (
    EntityRow,
    EvidenceRow,
    Json,
    MentionRow,
    RelationshipRow,
)
from ingest_assets.sources.papers.workspace import Draft, Workspace, file_digest

MANIFEST = "manifest.json"
README = "docs/README.md"
KINDS = ("entities", "relationships", "mentions", "evidence", "doc_assets")
_ABOUT = """# A knowledge graph of scientific papers

Entities, what papers state of them, where they are mentioned, and the sentences that support each statement.
It is made from the bundles of single papers, and is the same whenever it is made from the same bundles.
"""
Row = EntityRow | RelationshipRow | MentionRow | EvidenceRow


def file_of(kind: str) -> str:
    """The name of the file with the rows of a kind."""
    return f"{kind}.jsonl"


def write_lines(draft: Draft, rows: Iterable[Row]) -> int:
    """Write rows, of which few are in memory at a time. Returns how many they are."""
    written = 0
    for batch in batched(rows):
        draft.write(lines(batch))
        written += len(batch)
    return written


def lines(rows: Sequence[Row]) -> bytes:
    """Rows as a file has them."""
    listed = to_json([row.as_json() for row in rows])
    # No text in JSON has these four characters, and no field of a row is a list of objects. It takes half the
    # time that it takes to make one line after the other.
    return listed[1:-1].replace(b'},{"', b'}\n{"') + b"\n" if len(listed) > 2 else b""  # noqa: PLR2004 - "[]"


def readme() -> bytes:
    """The documentation that `doc_assets.jsonl` lists."""
    return _ABOUT.encode()


def doc_assets() -> bytes:
    """The content of `doc_assets.jsonl`."""
    return to_json({"path": README, "content_type": "text/markdown"}) + b"\n"


def bundle_id(drafts: dict[str, Draft]) -> str:
    """The id of a bundle with these files: a digest of their content, 32 hex characters."""
    return digest_of(*(drafts[kind].digest for kind in KINDS))


def manifest(drafts: dict[str, Draft], counts: dict[str, int], created_at: str) -> bytes:
    """The manifest of files that are complete, by kind. Its id is a digest of their content."""
    digests = {kind: drafts[kind].digest for kind in KINDS}
    content: dict[str, Any] = {
        "bundle_version": "v1",
        "bundle_id": bundle_id(drafts),
        "domain": "medlit",
        "label": "medical-literature",
        "created_at": created_at,
    }
    for kind in ("entities", "relationships", "doc_assets", "mentions", "evidence"):
        content[kind] = {"path": file_of(kind), "format": "jsonl"}
    content["metadata"] = {
        **{f"{name}_count": number for name, number in counts.items()},
        "description": "Knowledge graph of scientific papers",
        "digests": digests,
    }
    return to_json(content, indent=2) + b"\n"


def read_manifest(workspace: Workspace) -> dict[str, Any] | None:
    """The manifest; None if there is none that can be read."""
    try:
        content = from_json((workspace.graph / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def is_whole(workspace: Workspace) -> bool:
    """Whether all files are those of the manifest. They are not while they are being replaced."""
    found = read_manifest(workspace)
    digests = (found or {}).get("metadata", {}).get("digests")
    if not isinstance(digests, dict):
        return False
    return all(file_digest(workspace.graph / file_of(kind)) == digests.get(kind) for kind in KINDS)


def read_lines(workspace: Workspace, kind: str) -> Iterator[bytes]:
    """The rows of a kind as JSON, in their order."""
    with (workspace.graph / file_of(kind)).open("rb") as file:
        for line in file:
            yield line.rstrip(b"\n")


def read_mentions(workspace: Workspace, place: tuple[int, int]) -> list[MentionRow]:
    """The mentions in a part of their file, which starts and stops at these bytes: for loading elsewhere."""
    return [MentionRow(**fields) for fields in _lines_of(workspace, "mentions", place)]


def read_evidence(workspace: Workspace, place: tuple[int, int]) -> list[EvidenceRow]:
    """The evidence in a part of its file, in the same way."""
    return [EvidenceRow(**fields) for fields in _lines_of(workspace, "evidence", place)]


def _lines_of(workspace: Workspace, kind: str, place: tuple[int, int]) -> Iterator[Json]:
    start, stop = place
    with (workspace.graph / file_of(kind)).open("rb") as file:
        file.seek(start)
        for line in file.read(stop - start).splitlines():
            yield without_made_up_offsets(from_json(line, cache_strings="keys"))


def without_made_up_offsets(fields: Json) -> Json:
    """The fields of a mention or evidence as we hold them: no offsets where no section is known."""
    if fields["section"] is None:
        fields["start_offset"] = fields["end_offset"] = None
    return fields


def paths(workspace: Workspace) -> dict[str, Path]:
    """The files by kind, in the order in which they are replaced; the manifest is replaced after them."""
    return {kind: workspace.graph / file_of(kind) for kind in KINDS}
