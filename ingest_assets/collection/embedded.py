"""The Qdrant engine in this process (qdrant-edge-py), with one directory per published revision.

    <home>/<collection>/CURRENT                the live revision's name
    <home>/<collection>/000003-000017/         generation 3, revision 17: its content never changes again
    <home>/<collection>/work-000003/           the single writer's copy; deleted if an earlier run left it
    <home>/<collection>/OWNER                  the mark of the name: whose this folder is
    <home>/<collection>/OWNER-000003           the mark of generation 3

A writer never touches what readers may have open: it works on a copy, and `commit` makes the copy the
next revision. Large files that the engine never rewrites are hard links in the copy, so a commit costs
little more than what changed. The write-ahead log is off: a crash loses the copy, not a collection, and
without the log any number of processes can read a revision at once.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Thread

from ingest_assets.collection.base import Store
from ingest_assets.collection.embedded_reader import EmbeddedReader, identity_of
from ingest_assets.collection.embedded_writer import EmbeddedWriter
from ingest_assets.collection.files import clone_shard, create_text, replace_text, sync, sync_tree
from ingest_assets.collection.marks import NAME, Mark, mark_from
from ingest_assets.collection.shards import create_shard, load_shard, load_whole_shard
from ingest_assets.fields import FilterField
from ingest_assets.model import IngestError, NotPublishedError, UnavailableError
from ingest_assets.private import keep_private, make_private_folder

_REVISION = re.compile(r"(\d{6,})-(\d{6,})")
_TRASH = "trash-"  # before the name of what is to be removed
_OPEN_ATTEMPTS = 3


class EmbeddedStore:
    """Collections as directories below `home`."""

    commit_every: int | None = None
    layout = ""

    def __init__(self, home: Path) -> None:
        self._home = home
        keep_private(home)
        self._readers: dict[str, EmbeddedReader] = {}  # of the live revisions, kept open between calls
        self._removing: list[Thread] = []

    @property
    def place(self) -> str:
        return f"The engine in this process ({self._home})"

    def live(self, collection: str) -> int | None:
        current = self._current(collection)
        return current[0] if current and self._path(collection, *current).exists() else None

    def revision(self, collection: str) -> str:
        current = self._current(collection)
        return ":".join(map(str, identity_of(self._path(collection, *current)))) if current else ""

    def generations(self, collection: str) -> list[int]:
        return sorted({generation for generation, _ in self._revisions(collection)})

    def create(
        self,
        collection: str,
        generation: int,
        dimension: int,
        fields: Sequence[FilterField] = (),
        mark: Mark | None = None,
    ) -> None:
        self.drop(collection, generation)
        work = self._clean_work(collection, generation)
        make_private_folder(work)
        if mark is not None:
            self.set_mark(collection, generation, mark)
        shard = create_shard(work, dimension, fields)
        shard.flush()
        shard.close()
        self._adopt(collection, generation, 0, work)

    @contextmanager
    def writer(self, collection: str, generation: int) -> Iterator[EmbeddedWriter]:
        mine = (collection, generation)
        writer = EmbeddedWriter(partial(self.begin, *mine), partial(self.finish, *mine))
        try:
            yield writer
        finally:
            writer.discard()

    @contextmanager
    def reader(self, collection: str, generation: int | None = None) -> Iterator[EmbeddedReader]:
        is_live = generation is None or generation == self.live(collection)
        reader = self._live_reader(collection) if is_live else self._open(collection, generation)
        reader.users += 1
        try:
            yield reader
        finally:
            reader.users -= 1
            self._close_unless_wanted(collection, reader)

    def adapt(self, collection: str, generation: int) -> bool:  # noqa: ARG002 - nothing can be set
        return True

    def settle(self, collection: str, generation: int) -> None:
        """A commit has indexed it."""

    def health(self, collection: str, generation: int) -> None:
        """It is in this process."""

    def at_each_node(self) -> dict[str, Store]:
        return {}

    def publish(self, collection: str, generation: int) -> None:
        self._point_to(collection, generation, self._newest(collection, generation))

    def drop(self, collection: str, generation: int) -> None:
        self._clean_work(collection, generation)
        for number, revision in self._revisions(collection):
            if number == generation:
                self._remove(self._path(collection, generation, revision))
        self._mark_file(collection, generation).unlink(missing_ok=True)

    def mark(self, collection: str, generation: int) -> Mark | None:
        try:
            text = self._mark_file(collection, generation).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None
        try:
            return mark_from(json.loads(text))
        except ValueError:
            return mark_from(None)

    def set_mark(self, collection: str, generation: int, mark: Mark) -> None:
        file = self._mark_file(collection, generation)
        make_private_folder(file.parent)
        replace_text(file, _mark_text(mark))

    def claim(self, collection: str, mark: Mark) -> Mark:
        file = self._mark_file(collection, NAME)
        make_private_folder(file.parent)
        create_text(file, _mark_text(mark))
        return self.mark(collection, NAME) or mark

    def _mark_file(self, collection: str, generation: int) -> Path:
        name = "OWNER" if generation == NAME else f"OWNER-{generation:06d}"
        return self._home / collection / name

    def close(self) -> None:
        while self._readers:
            self._readers.popitem()[1].close()
        while self._removing:
            self._removing.pop().join()

    def _live_reader(self, collection: str) -> EmbeddedReader:
        """The open reader, if its revision is still live: opening one takes a tenth of a second."""
        kept = self._readers.get(collection)
        if kept is not None and kept.identity == identity_of(self._readable(collection, None)):
            return kept
        return self._keep(collection, self._open(collection, None))

    def _keep(self, collection: str, reader: EmbeddedReader) -> EmbeddedReader:
        """Keep the reader of the live revision open, in place of the one before."""
        before = self._readers.get(collection)
        self._readers[collection] = reader
        if before is not None:
            self._close_unless_wanted(collection, before)
        return reader

    def _close_unless_wanted(self, collection: str, reader: EmbeddedReader) -> None:
        if not reader.users and self._readers.get(collection) is not reader:
            reader.close()

    # Revisions on disk

    def base(self, collection: str, generation: int) -> Path:
        """The directory that a writer of the generation starts from."""
        current = self._current(collection)
        # A newer revision of the live generation comes from a commit that did not finish.
        if current and current[0] == generation:
            return self._path(collection, *current)
        return self._path(collection, generation, self._newest(collection, generation))

    def begin(self, collection: str, generation: int) -> Path:
        """A fresh copy of the generation for its writer."""
        base, work = self.base(collection, generation), self._clean_work(collection, generation)
        clone_shard(base, work)
        return work

    def finish(self, collection: str, generation: int, work: Path) -> None:
        """Make the writer's copy the next revision, and the live one if its generation is live."""
        current = self._current(collection)
        is_live = current is not None and current[0] == generation
        revision = self._newest(collection, generation) + 1
        path = self._adopt(collection, generation, revision, work)
        # Opening applies the engine's journals and removes them. This is done once here, so that whoever
        # opens the published revision first does not write to it while others read or copy it.
        reader = EmbeddedReader(load_shard(path), path)
        sync_tree(path)
        if is_live:
            self._point_to(collection, generation, revision)
            self._keep(collection, reader)
        else:
            reader.close()
        self._prune(collection, generation, revision)

    def _adopt(self, collection: str, generation: int, revision: int, work: Path) -> Path:
        path = self._path(collection, generation, revision)
        sync_tree(work)
        work.rename(path)
        sync(work.parent)
        return path

    def _prune(self, collection: str, generation: int, newest: int) -> None:
        # The revision before the newest stays: a reader may be about to open it.
        for number, revision in self._revisions(collection):
            if number == generation and revision < newest - 1:
                _set_aside(self._path(collection, number, revision))
        # Also what a run has left that was killed meanwhile. Nobody has to wait for it.
        trash = list((self._home / collection).glob(f"{_TRASH}*"))
        thread = Thread(target=_remove_all, args=(trash,), name="removes old revisions")
        thread.start()
        self._removing = [each for each in self._removing if each.is_alive()] + [thread]

    def _remove(self, path: Path) -> None:
        shutil.rmtree(_set_aside(path), ignore_errors=True)

    def _clean_work(self, collection: str, generation: int) -> Path:
        work = self._home / collection / f"work-{generation:06d}"
        if work.exists():
            self._remove(work)  # renamed first: a process of a run that is gone may still write to it
        return work

    def _current(self, collection: str) -> tuple[int, int] | None:
        try:
            name = (self._home / collection / "CURRENT").read_text().strip()
        except FileNotFoundError:
            return None
        match = _REVISION.fullmatch(name)
        if not match:
            raise IngestError(f"{self._home / collection / 'CURRENT'} holds {name!r}, not a revision's name.")
        return int(match[1]), int(match[2])

    def _point_to(self, collection: str, generation: int, revision: int) -> None:
        name = self._path(collection, generation, revision).name
        replace_text(self._home / collection / "CURRENT", name + "\n")

    def _path(self, collection: str, generation: int, revision: int) -> Path:
        return self._home / collection / f"{generation:06d}-{revision:06d}"

    def _revisions(self, collection: str) -> list[tuple[int, int]]:
        directory = self._home / collection
        names = [path.name for path in directory.iterdir()] if directory.exists() else []
        return sorted((int(m[1]), int(m[2])) for name in names if (m := _REVISION.fullmatch(name)))

    def _newest(self, collection: str, generation: int) -> int:
        revisions = [r for g, r in self._revisions(collection) if g == generation]
        if not revisions:
            raise NotPublishedError(f"The collection {collection} has no generation {generation}.")
        return max(revisions)

    def _open(self, collection: str, generation: int | None) -> EmbeddedReader:
        for attempt in range(_OPEN_ATTEMPTS):
            path = self._readable(collection, generation)
            try:
                return EmbeddedReader(load_whole_shard(path), path)
            except UnavailableError:
                # A commit may have removed the revision after CURRENT was read and before it was opened.
                if attempt == _OPEN_ATTEMPTS - 1 or path == self._readable(collection, generation):
                    raise
        raise AssertionError("unreachable")

    def _readable(self, collection: str, generation: int | None) -> Path:
        if generation is not None:
            return self.base(collection, generation)
        current = self._current(collection)
        if current is None:
            raise NotPublishedError(f"Nothing has been published as {collection} yet. Run `ingest build`.")
        return self._path(collection, *current)


def _set_aside(path: Path) -> Path:
    """Rename what is to be removed. Returns its new name."""
    # A reader that still finds the old name after opening has opened all of it, and not what was left of it.
    # Windows refuses while a reader has it mapped; the next commit tries again.
    trash = path.with_name(f"{_TRASH}{path.name}")
    with suppress(OSError):
        path.rename(trash)
    return trash


def _remove_all(folders: Sequence[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _mark_text(mark: Mark) -> str:
    return json.dumps(mark.to_json(), ensure_ascii=False, indent=1) + "\n"
