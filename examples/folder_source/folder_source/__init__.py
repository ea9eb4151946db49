"""A folder of text and Markdown files as a source of Ingest Assets: each sub-folder is a part of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ingest_assets.sources import (
    Document,
    FilterField,
    Finding,
    ItemError,
    Missing,
    Partitioning,
    SkippedItem,
    Source,
    SourceDefinition,
    SourceItem,
    SourceSettings,
    SourceUnavailableError,
    Words,
    chunks_stage,
    digest_of,
    documents_stage,
    record_chunker,
)

if TYPE_CHECKING:
    from ingest_assets.workbench import Workbench

NAME, FILES = "folders", "files"
TOP = "_top"  # the part with the files directly in the folder
FORMATS = {".txt": "text", ".md": "markdown"}
VERSION = "1"  # bump it when the same file gives a different document


class FolderSettings(SourceSettings):
    """The environment variable is FOLDER_SOURCE_PATH."""

    folder_source_path: Path | None = None


class Folder:
    """The files of one part."""

    def __init__(self, root: Path, part: str) -> None:
        self.name, self.root, self.part = NAME, root, part
        self.repaired = 0  # nothing is ever cleaned
        self.skipped: list[SkippedItem] = []

    def signature(self) -> str | None:
        """Changes when a file is added, removed or written to; reads no content."""
        try:
            stats = [(str(path), path.stat()) for path in self._paths()]
        except OSError:
            return None
        return digest_of(VERSION, *(f"{name} {s.st_size} {s.st_mtime_ns}" for name, s in stats))

    @contextmanager
    def read(self) -> Iterator[Iterator[SourceItem]]:
        """Every file of a known format; the others are skipped."""
        self.skipped = []
        yield self._items()

    def _items(self) -> Iterator[SourceItem]:
        try:
            for path in self._paths():
                document_id = f"{self.part}/{path.relative_to(self._base()).as_posix()}"
                if path.suffix.lower() not in FORMATS:
                    size = path.stat().st_size
                    self.skipped.append(SkippedItem(document_id, "unknown_format", size))
                    continue
                content = path.read_bytes()
                digest = digest_of(VERSION, path.suffix.lower(), content)
                yield SourceItem(document_id, digest, partial(_render, document_id, path, content))
        except OSError as error:
            raise SourceUnavailableError(f"{self.root} cannot be read completely: {error}.") from error

    def _base(self) -> Path:
        return self.root if self.part == TOP else self.root / self.part

    def _paths(self) -> list[Path]:
        base = self._base()
        found = sorted(base.iterdir()) if self.part == TOP else sorted(base.rglob("*"))
        return [path for path in found if path.is_file() and not path.is_symlink()]


def _render(document_id: str, path: Path, content: bytes) -> Document:
    try:
        body = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ItemError(f"{document_id} is not valid UTF-8: {error.reason} at byte {error.start}.") from error
    attributes = {"format": FORMATS[path.suffix.lower()], "words": len(body.split())}
    return Document(
        id=document_id,
        kind="file",
        title=path.stem,
        uri=path.as_uri(),
        time=None,
        context=(("File", document_id),),
        body=body,
        attributes=attributes,
    )


def _root(bench: Workbench) -> Path:
    path = bench.settings_of(FolderSettings).folder_source_path
    if path is None or not path.is_dir():
        raise SourceUnavailableError(f"FOLDER_SOURCE_PATH={path} is not a folder, or it cannot be reached.")
    return path.absolute()


def _parts(bench: Workbench) -> Sequence[str]:
    folders = [path.name for path in _root(bench).iterdir() if path.is_dir() and not path.is_symlink()]
    return [TOP, *sorted(folders)]


def _open(bench: Workbench, part: str) -> Source:
    return Folder(_root(bench), part)


def _missing(bench: Workbench) -> Missing | None:
    if bench.settings_of(FolderSettings).folder_source_path is None:
        return Missing("FOLDER_SOURCE_PATH is not set", "Set it to a folder of text and Markdown files.")
    return None


def _doctor(bench: Workbench) -> Iterator[Finding]:
    if _missing(bench) is None:
        yield Finding("FOLDER_SOURCE_PATH", "ok", f"{_root(bench)} has {len(_parts(bench)) - 1} sub-folders.")


SOURCE = SourceDefinition(
    name=NAME,
    title="Folders",
    words=Words(
        about="text and Markdown files",
        example_query="what we agreed",
        example_filters={"format": "markdown"},
        example_document="meetings/2026-01.md",
    ),
    settings=FolderSettings,
    open=_open,
    missing=_missing,
    stages=(
        documents_stage(
            FILES, "One row per text or Markdown file; a partition per sub-folder.", in_parts=True
        ),
        chunks_stage(FILES),
    ),
    chunker=record_chunker,
    attributes=("format", "words"),
    fields=(
        FilterField(name="format", description='"text" or "markdown".', normalise=str.lower, on_hits=True),
        FilterField(name="words", type="number", description="How many words a file has."),
    ),
    partitions=Partitioning(noun="folder", parts=_parts, hint="Make a sub-folder."),
    doctor=_doctor,
)
