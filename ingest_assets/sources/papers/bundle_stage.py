"""Pass 1 as a stage: the bundles of the workspace are read, and those that are missing are extracted.

What belongs here: which papers are extracted, and when. What does not: how (`extraction`).
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.graph_tables import paper_bundle, paper_file, paper_request
from ingest_assets.ledger.store import batched, delete_keys, pages, upsert
from ingest_assets.ledger.tables import parked
from ingest_assets.model import (
    ConfigurationError,
    ItemError,
    SourceUnavailableError,
    UnavailableError,
    digest_of,
)
from ingest_assets.reconcile import Delta, Refusal, Run, Step, content_sum, is_parked
from ingest_assets.sources.papers.article import Article
from ingest_assets.sources.papers.bundle_facts import HEAD, corrected, is_about
from ingest_assets.sources.papers.bundles import Bundle
from ingest_assets.sources.papers.extraction import bundle_paper
from ingest_assets.sources.papers.file_rows import read_file
from ingest_assets.sources.papers.merging.bundle_files import (
    MAX_BYTES,
    bundle_bytes,
    read_bundle,
    write_bundle,
)
from ingest_assets.sources.papers.merging.said import said_of
from ingest_assets.sources.papers.papers import Papers
from ingest_assets.sources.papers.settings import NAME
from ingest_assets.sources.papers.wanted import (
    POSTPONED,
    forget_postponed,
    is_lacking,
    is_of_kind,
    is_older,
    parked_of,
    wanted,
)
from ingest_assets.sources.papers.workspace import BundleFile, Workspace, read_whole

if TYPE_CHECKING:
    from ingest_assets.sources.papers.extraction import Extractor
    from ingest_assets.workbench import Workbench

# Part of the fingerprint: raise it when the same file gives another row.
VERSION = "1"
BATCH = 50
PAGE = 500
_bundle, _file, _request = paper_bundle, paper_file, paper_request


class _CannotAskError(Exception):
    """The extractor cannot be asked for the rest of this run. Never leaves this module."""


@dataclass
class Bundles:
    """Keeps `paper_bundle` in step with the workspace's bundles, of which there is one for each paper.

    A paper whose bundle is there is not extracted again, whoever made it, unless somebody asked for it, or
    the paper's text has changed since it was extracted here by an extractor of the same kind: what a model
    made may have been paid for, and is not replaced by what the rules make. A bundle that cannot be read is
    parked, and its last good content stays.

    A paper that the extractor refuses is parked until it changes. When the extractor cannot be asked (it is
    down, its budget is spent, its key is wrong), the paper and all that would follow are parked with that
    reason without being asked about, and the next run tries again: they can be searched all the same.
    """

    papers: Papers
    extractor: Extractor | None  # None: only bundles that others make
    documents: str  # the stage that papers are read in
    classes: tuple[str, ...] = ()  # further names of classes that a bundle may have
    name: str = "bundles"
    source: str = NAME
    part: str = ""
    extracted: dict[str, float] = field(default_factory=dict)  # seconds, by paper
    left_out: dict[str, tuple[str, ...]] = field(default_factory=dict)  # sentences, by paper that was read
    # Papers whose bundle was made from an older text by an extractor of another kind, after a run.
    outdated: list[str] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        by = self.extractor.identity if self.extractor else ""
        return digest_of(self.name, VERSION, by, *self.classes)

    @property
    def workspace(self) -> Workspace:
        return self.papers.workspace

    def input_digest(self, connection: sa.Connection) -> str | None:
        """None while an extraction is to be done, or tried again."""
        if self.extractor is not None and (self._is_asked(connection) or is_lacking(connection, self)):
            return None
        seen = {name: (size, mtime) for name, (_, size, mtime) in self._seen().items()}
        # Also what is recorded: a run writes files after this was asked, and one of them may be lost since.
        rows = connection.execute(sa.select(_bundle.c.paper_id, _bundle.c.size, _bundle.c.mtime_ns))
        differing = sorted(row.paper_id for row in rows if seen.get(row.paper_id) != (row.size, row.mtime_ns))
        found = [f"{name}:{size}:{mtime}" for name, (size, mtime) in seen.items()]
        articles = content_sum(connection, self.source, self.documents)
        return digest_of(self.fingerprint, articles, *found, "differing", *differing)

    def content(self, connection: sa.Connection) -> str:
        return content_sum(connection, self.source, self.name)

    def total(self, connection: sa.Connection) -> int:
        return connection.scalar(sa.select(sa.func.count()).select_from(_bundle)) or 0

    def steps(self, ledger: Ledger, _session: sa.Connection, run: Run) -> Generator[Step]:
        seen = self._require_workspace(ledger)
        self.workspace.clean()
        yield from self._read(ledger, seen, run)
        yield from self._removals(ledger, seen)
        if self.extractor is not None:
            with closing(self.extractor):
                yield from self._extract(ledger, self.extractor, run)
        yield from self._correct(ledger)
        self.outdated = self._outdated(ledger)
        yield Step(partial(self._forget_parked, seen=frozenset(seen)))

    def _is_asked(self, connection: sa.Connection) -> bool:
        """Whether another extraction was asked for that can be done: its paper is there, and not parked."""
        failed = is_parked(self, _file.c.paper_id, sa.func.substr(_file.c.made_from, 1, 32))
        there = _request.join(_file, _file.c.paper_id == _request.c.paper_id)
        query = sa.select(_request.c.paper_id).select_from(there).where(read_file(), ~failed).limit(1)
        return connection.scalar(query) is not None

    def _seen(self) -> dict[str, tuple[BundleFile, int, int]]:
        """The bundles by paper, with size and time."""
        found = {}
        for each in self.workspace.bundle_files():
            stat = each.path.lstat()
            found[each.paper_id] = (each, stat.st_size, stat.st_mtime_ns)
        return found

    def _require_workspace(self, ledger: Ledger) -> dict[str, tuple[BundleFile, int, int]]:
        """A workspace that is not mounted must not be taken for one without bundles."""
        if not self.workspace.bundles.is_dir():
            with ledger.reading() as connection:
                if connection.scalar(sa.select(_bundle.c.paper_id).limit(1)) is not None:
                    raise SourceUnavailableError(
                        f"{self.workspace.bundles} is not there, although papers had bundles in it. Mount or "
                        "restore it, or create the folder if they were removed on purpose."
                    )
        self.workspace.create()
        return self._seen()

    def _read(self, ledger: Ledger, seen: dict[str, tuple[BundleFile, int, int]], run: Run) -> Iterator[Step]:
        known = {
            row.paper_id: (row.size, row.mtime_ns)
            for page in pages(
                ledger,
                sa.select(_bundle.c.paper_id, _bundle.c.size, _bundle.c.mtime_ns),
                _bundle.c.paper_id,
                PAGE,
            )
            for row in page
        }
        new = [
            (each, size, mtime)
            for each, size, mtime in seen.values()
            if run.rebuild or known.get(each.paper_id) != (size, mtime)
        ]
        for batch in batched(new, BATCH):
            rows, refused = [], []
            for each, size, mtime in batch:
                digest = digest_of(str(size), str(mtime))
                if not (run.rebuild or run.retry_parked) and self._is_parked(ledger, each.paper_id, digest):
                    continue
                try:
                    found = read_bundle(each.path, each.paper_id, self.classes)
                    rows.append(self._row(each.paper_id, found.bundle, size, mtime))
                    if found.left_out:
                        self.left_out[each.paper_id] = found.left_out
                except ItemError as error:
                    refused.append(Refusal(each.paper_id, digest, str(error)))
            yield Step(partial(self._record, rows=rows), refused)

    def _is_parked(self, ledger: Ledger, paper_id: str, digest: str) -> bool:
        query = sa.select(is_parked(self, sa.literal(paper_id), sa.literal(digest)))
        with ledger.reading() as connection:
            return bool(connection.scalar(query))

    def _row(self, paper_id: str, bundle: Bundle, size: int, mtime_ns: int) -> dict[str, Any]:
        content = bundle_bytes(bundle).decode()
        made = bundle.extraction_provenance
        return {
            "paper_id": paper_id,
            "size": size,
            "mtime_ns": mtime_ns,
            "digest": digest_of(content),
            "content": content,
            "said": said_of(bundle).as_json(),
            "made_from": _text(made.get("content_digest")),
            "extractor": _text(made.get("extractor")),
        }

    def _record(
        self, connection: sa.Connection, rows: Sequence[dict[str, Any]], *, extracted: bool = False
    ) -> Delta:
        """`extracted`: what may have been asked for is done. A bundle that was only read does not do it."""
        delta = Delta()
        if extracted:
            delete_keys(connection, _request, {}, "paper_id", [row["paper_id"] for row in rows])
        for row in rows:
            before = connection.execute(
                sa.select(_bundle.c.digest).filter_by(paper_id=row["paper_id"])
            ).one_or_none()
            delta.finished.append(row["paper_id"])
            upsert(connection, _bundle, [row])
            if before is not None and before.digest == row["digest"]:
                continue
            if before is not None:
                delta.drop(row["paper_id"], before.digest)
                delta.outcomes.changed += 1
            else:
                delta.outcomes.added += 1
            delta.add(row["paper_id"], row["digest"])
            delta.note([row["paper_id"]])
        return delta

    def _removals(self, ledger: Ledger, seen: dict[str, tuple[BundleFile, int, int]]) -> Iterator[Step]:
        gone = [
            row
            for page in pages(
                ledger, sa.select(_bundle.c.paper_id, _bundle.c.digest), _bundle.c.paper_id, PAGE
            )
            for row in page
            if row.paper_id not in seen
        ]
        for batch in batched(gone, PAGE):
            yield Step(partial(self._remove, gone=batch))

    def _remove(self, connection: sa.Connection, gone: Sequence[Any]) -> Delta:
        delta = Delta()
        delete_keys(connection, _bundle, {}, "paper_id", [row.paper_id for row in gone])
        for row in gone:
            delta.drop(row.paper_id, row.digest)
        delta.outcomes.removed = len(gone)
        delta.note(f"{row.paper_id}: removed" for row in gone)
        return delta

    def _extract(self, ledger: Ledger, extractor: Extractor, run: Run) -> Iterator[Step]:
        reason = ""  # why the extractor cannot be asked in this run, once it is known
        for page in pages(ledger, wanted(extractor), _file.c.file, PAGE):
            postponed = []
            for row in page:
                if not self._is_due(ledger, row, run):
                    continue
                if not reason:
                    try:
                        yield self._extracted(ledger, extractor, row)
                        continue
                    except _CannotAskError as error:
                        reason = str(error)
                postponed.append(Refusal(row.paper_id, POSTPONED, reason))
            if postponed:
                yield Step(partial(self._record, rows=[]), postponed)

    def _is_due(self, ledger: Ledger, row: Any, run: Run) -> bool:
        """Whether to extract a paper that is wanted now."""
        waits = self._is_parked(ledger, row.paper_id, row.made_from[:32])
        if waits and not (run.rebuild or run.retry_parked):
            return False
        return bool(row.asked) or self._is_as_recorded(ledger, row.paper_id)

    def _is_there_still(self, ledger: Ledger, paper_id: str, digest: str) -> bool:
        """Whether the text that was extracted is still that of the paper."""
        query = sa.select(_file.c.made_from).where(_file.c.paper_id == paper_id, read_file())
        with ledger.reading() as connection:
            made_from = connection.scalar(query)
        return made_from is not None and made_from[: len(digest)] == digest

    def _is_as_recorded(self, ledger: Ledger, paper_id: str) -> bool:
        """Whether a paper's bundle is the one that is recorded, or there is none.

        Otherwise somebody has put a file there that is no bundle, or was not read yet: it is not overwritten.
        """
        query = sa.select(_bundle.c.size, _bundle.c.mtime_ns).filter_by(paper_id=paper_id)
        with ledger.reading() as connection:
            row = connection.execute(query).one_or_none()
        try:
            stat = self.workspace.bundle_path(paper_id).lstat()
        except FileNotFoundError:
            return True
        return row is not None and (row.size, row.mtime_ns) == (stat.st_size, stat.st_mtime_ns)

    def _correct(self, ledger: Ledger) -> Iterator[Step]:
        """Have our bundles say what is known of their papers by now, without extracting them again."""
        head = sa.func.substr(_bundle.c.content, 1, HEAD).label("head")  # a page of whole ones is large
        query = (
            sa.select(_file.c.file, _file.c.paper_id, _file.c.facts, head)
            .select_from(_file.join(_bundle, _bundle.c.paper_id == _file.c.paper_id))
            .where(read_file(), _bundle.c.made_from == _file.c.made_from)
        )
        for page in pages(ledger, query, _file.c.file, BATCH):
            for row in page:
                about = bundle_paper(Article.model_validate_json(row.facts))
                if is_about(row.head, about) or not self._is_as_recorded(ledger, row.paper_id):
                    continue
                path = self.workspace.bundle_path(row.paper_id)
                if self.workspace.write(path, corrected(read_whole(path, MAX_BYTES), about)):
                    yield Step(partial(self._record, rows=[self._row_of(row.paper_id)]))

    def _row_of(self, paper_id: str) -> dict[str, Any]:
        """The row of a bundle that was just written."""
        path = self.workspace.bundle_path(paper_id)
        stat = path.lstat()
        found = read_bundle(path, paper_id, self.classes)
        return self._row(paper_id, found.bundle, stat.st_size, stat.st_mtime_ns)

    def _outdated(self, ledger: Ledger) -> list[str]:
        other = ~is_of_kind(self.extractor) if self.extractor is not None else sa.true()
        query = (
            sa.select(_file.c.file, _file.c.paper_id)
            .select_from(_file.join(_bundle, _bundle.c.paper_id == _file.c.paper_id))
            .where(read_file(), is_older(), other)
        )
        return [row.paper_id for page in pages(ledger, query, _file.c.file, PAGE) for row in page]

    def _extracted(self, ledger: Ledger, extractor: Extractor, row: Any) -> Step:
        """Extract one paper. Its file is written first: if this run dies, the next one reads it."""
        paper_id, digest = row.paper_id, row.made_from[:32]
        article = self.papers.article(paper_id)
        started = time.perf_counter()
        try:
            bundle = extractor.extract(article)
        except ItemError as error:
            return Step(partial(self._record, rows=[]), [Refusal(paper_id, digest, str(error))])
        except (UnavailableError, ConfigurationError) as error:
            raise _CannotAskError(str(error)) from error
        with self.papers.changing():
            if not self._is_there_still(ledger, paper_id, digest):
                return Step(partial(self._record, rows=[]))  # removed, or another text by now
            if not row.asked and not self._is_as_recorded(ledger, paper_id):
                return Step(partial(self._record, rows=[]))  # put there meanwhile: the next run reads it
            write_bundle(self.workspace, paper_id, bundle)
        self.extracted[paper_id] = time.perf_counter() - started
        return Step(partial(self._record, rows=[self._row_of(paper_id)], extracted=True))

    def _forget_parked(self, connection: sa.Connection, seen: frozenset[str]) -> Delta:
        """Unpark papers that are gone, or wait for nothing any more, and forget what was asked for them."""
        connection.execute(
            _request.delete().where(~sa.exists().where(_file.c.paper_id == _request.c.paper_id))
        )
        mine = parked_of(self)
        there = sa.exists().where(_file.c.paper_id == parked.c.item_id)
        for row in connection.execute(sa.select(parked.c.item_id).where(*mine, ~there)).all():
            if row.item_id not in seen:
                connection.execute(parked.delete().where(*mine, parked.c.item_id == row.item_id))
        forget_postponed(connection, self, self.extractor)
        return Delta()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def bundles_stage(bench: Workbench) -> Bundles:
    """The stage of a workbench."""
    from ingest_assets.settings import listed
    from ingest_assets.sources.papers.extractors import extractor_of
    from ingest_assets.sources.papers.places import papers_of
    from ingest_assets.sources.papers.settings import ARTICLES, PaperSettings

    settings = bench.settings_of(PaperSettings)
    return Bundles(papers_of(bench), extractor_of(settings), ARTICLES, listed(settings.ingest_paper_classes))
