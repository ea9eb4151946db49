"""The files of papers that are kept, one for each paper and format, below INGEST_HOME.

A file's name is the paper's id and its format: "PMC123.xml". Files are replaced whole.

What belongs here: the folder. What does not: what is in the files (`papers`).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ingest_assets.model import UnavailableError
from ingest_assets.private import make_private_folder

# The best first: of several files of a paper, the first one is read.
FORMATS = (".xml", ".pdf", ".md", ".txt")
_DRAFT = ".new"


class KeptFile(NamedTuple):
    """A file, as a look at its folder shows it."""

    name: str
    paper_id: str
    rank: int  # of its format, from 0
    size: int
    mtime_ns: int


class Library:
    """The folder of kept files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def files(self) -> list[KeptFile]:
        """What is kept, by name."""
        return sorted(self._files())

    def path(self, name: str) -> Path:
        return self.folder / name

    def keep(self, paper_id: str, suffix: str, content: bytes) -> KeptFile:
        """Keep a file, instead of the one of that paper and format if there is one.

        Raises UnavailableError when it cannot be written: what was there stays.
        """
        name = f"{paper_id}{suffix}"
        path = self.path(name)
        try:
            if not path.is_file() or path.read_bytes() != content:
                make_private_folder(self.folder)
                self._replace(path, content)
        except OSError as error:
            raise UnavailableError(
                f"The paper cannot be kept in {self.folder}: {error.strerror}. Nothing was changed."
            ) from error
        return _kept(path)

    def rename(self, name: str, paper_id: str) -> None:
        """The paper turned out to have another id. A file of that id and format wins."""
        old, new = self.path(name), self.path(f"{paper_id}{Path(name).suffix}")
        if new.exists():
            old.unlink(missing_ok=True)
        elif old.exists():
            old.replace(new)

    def remove(self, name: str) -> None:
        self.path(name).unlink(missing_ok=True)

    def _replace(self, path: Path, content: bytes) -> None:
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_DRAFT}")
        try:
            with draft.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def _files(self) -> Iterator[KeptFile]:
        with suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                path = Path(entry.path)
                if path.suffix in FORMATS and not entry.name.startswith(".") and entry.is_file():
                    yield _kept(path)


def _kept(path: Path) -> KeptFile:
    found = path.stat()
    rank = FORMATS.index(path.suffix)
    return KeptFile(path.name, path.stem, rank, found.st_size, found.st_mtime_ns)
