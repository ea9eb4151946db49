"""The papers that are kept: added, listed, removed, and what the ledger knows of their files.

The ledger remembers what a parser made of each file, so that a file is parsed once. If a file is lost, what
it was parsed to stays; if the ledger is lost, the files are parsed again.

What belongs here: which papers there are. What does not: their sections as documents (`source`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.graph_tables import paper_author_block, paper_bundle, paper_file, paper_request
from ingest_assets.ledger.store import batched, delete_keys, pages, upsert
from ingest_assets.model import ItemError, RequestError, UnavailableError, digest_of
from ingest_assets.sources.papers.article import Article
from ingest_assets.sources.papers.file_rows import file_row, read_file
from ingest_assets.sources.papers.formats import parsing
from ingest_assets.sources.papers.inbox import WaitingFile, take_out
from ingest_assets.sources.papers.library import FORMATS, KeptFile, Library
from ingest_assets.sources.papers.renaming import by_authority, may_be_same, move_bundle, move_request
from ingest_assets.sources.papers.settings import BUNDLES, NAME

if TYPE_CHECKING:
    from ingest_assets.sandbox import Sandbox
    from ingest_assets.sources.papers.workspace import Workspace

LOCK = f"{NAME}-files"  # held while files are added or removed
LOCK_TIMEOUT_S = 60.0
BATCH = 200
PAGE = 500
INBOX = "inbox/"  # before the name of a file of the inbox that could not be taken in
NOT_NAMED = f"The names of papers end in {', '.join(parsing.SUFFIXES)}: rename it if it is one."
_NOT_RANKED = len(FORMATS)

State = Literal["added", "changed", "unchanged", "skipped"]
_file = paper_file


class UnknownPaperError(RequestError):
    """There is no such paper."""

    def __init__(self, paper_id: str) -> None:
        super().__init__(
            f"There is no paper {paper_id[:130]!r}. `ingest paper list` shows those there are, "
            "`ingest paper add` adds one."
        )


@dataclass(frozen=True, slots=True)
class Added:
    """What became of one paper of a file that was to be added; of the file, if it holds none.

    A file of a folder that is not named as a paper's is skipped: nobody has looked into it.
    """

    file: str
    paper_id: str = ""
    title: str = ""
    state: State = "unchanged"
    error: str = ""


@dataclass(frozen=True, slots=True)
class KeptPaper:
    """A paper that is kept: what is known of it, without its text."""

    paper_id: str
    facts: dict[str, Any]  # of the article, as JSON
    files: tuple[str, ...]  # the best first; none if only its bundle is there
    sections: int
    error: str = ""  # why the file that would be read cannot be parsed

    @property
    def title(self) -> str:
        return str(self.facts.get("title", ""))


class Papers:
    """The papers of one installation."""

    def __init__(self, ledger: Ledger, library: Library, workspace: Workspace, sandbox: Sandbox) -> None:
        self.ledger, self.library, self.workspace, self.sandbox = ledger, library, workspace, sandbox

    def add_files(self, paths: Sequence[Path], asked: str = "") -> Iterator[Added]:
        """Parse files, and keep the papers in them. What cannot be parsed is said, and the rest goes on.

        `asked` is the PMCID for which a file was fetched: nothing but that paper is kept of it.
        """
        by_name: dict[str, Path] = {}
        for parsed in parsing.parse_files(self.sandbox, paths):
            others = [found.article.paper_id for found in parsed.articles]
            if asked and others and asked not in others:
                yield Added(
                    parsed.path.name,
                    error=f"{asked} was asked for, and what came is {', '.join(others[:3])}: nothing was "
                    "kept. Look whether the PMCID is right, and what answers at INGEST_PAPER_EFETCH_URL.",
                )
                continue
            for found in parsed.articles:
                name = found.article.paper_id
                if by_name.setdefault(name, parsed.path) != parsed.path and _is_named_by_file(found.article):
                    yield Added(
                        parsed.path.name, error=f"{by_name[name]} has the same name: rename one of them."
                    )
                elif not asked or name == asked:
                    yield self._keep(parsed.path.name, found.article, found.content)
            if parsed.error:
                yield Added(parsed.path.name, error=parsed.error)

    def all(self) -> Iterator[KeptPaper]:
        """Every paper of which there is a file, by the name of the file that is read."""
        for page in pages(self.ledger, sa.select(*_SHOWN).where(read_file()), _file.c.file, PAGE):
            files = self._files_of([row.paper_id for row in page])
            yield from (_paper(files[row.paper_id]) for row in page)

    def _files_of(self, paper_ids: Sequence[str]) -> dict[str, list[Any]]:
        query = sa.select(*_SHOWN).where(_file.c.paper_id.in_(paper_ids)).order_by(_file.c.rank)
        found: dict[str, list[Any]] = {}
        with self.ledger.reading() as connection:
            for row in connection.execute(query):
                found.setdefault(row.paper_id, []).append(row)
        return found

    def get(self, paper_id: str) -> KeptPaper:
        """Raises UnknownPaperError."""
        rows = self._files_of([paper_id]).get(paper_id)
        with self.ledger.reading() as connection:
            bundle = connection.scalar(
                sa.select(paper_bundle.c.content).where(paper_bundle.c.paper_id == paper_id)
            )
        if rows:
            return _paper(rows)
        if bundle is not None and self.has_bundle(paper_id):
            return KeptPaper(paper_id, json.loads(bundle)["paper"], (), 0)
        if any(each.paper_id == paper_id for each in self.workspace.bundle_files()):
            return KeptPaper(paper_id, {}, (), 0, "Only its bundle is there, which could not be read so far.")
        raise UnknownPaperError(paper_id)

    def has_bundle(self, paper_id: str) -> bool:
        """Whether a bundle that the ledger has was not removed since: the ledger learns it with a run."""
        return not self.workspace.bundles.is_dir() or self.workspace.bundle_path(paper_id).exists()

    def article(self, paper_id: str) -> Article:
        """The article as it is indexed. Raises UnknownPaperError."""
        query = sa.select(_file.c.article).where(_file.c.paper_id == paper_id, read_file())
        with self.ledger.reading() as connection:
            text = connection.scalar(query)
        if text is None:
            raise UnknownPaperError(paper_id)
        return Article.model_validate_json(text)

    def remove(self, paper_id: str) -> KeptPaper:
        """Remove a paper and its bundle. With the next run it leaves the index and the graph.

        Raises UnknownPaperError.
        """
        found = self.get(paper_id)
        with self.changing():
            # The bundle first: without it, the paper would only be extracted again.
            self.workspace.remove_bundle(paper_id)
            for name in found.files:
                self.library.remove(name)
            with self.ledger.transaction() as connection:
                for table in (_file, paper_author_block, paper_request):
                    delete_keys(connection, table, {}, "paper_id", [paper_id])
        return found

    def reextract(self, paper_id: str) -> None:
        """Have the next run extract a paper again, whoever made its bundle, also if it is parked."""
        from ingest_assets.ledger.tables import parked

        mine = (parked.c.source == NAME, parked.c.stage == BUNDLES, parked.c.item_id == paper_id)
        with self.ledger.transaction() as connection:
            upsert(connection, paper_request, [{"paper_id": paper_id}])
            connection.execute(parked.delete().where(*mine))

    def sync(self) -> None:
        """Parse the files that are new, changed, or were parsed by another version."""
        with self.changing():
            known = {name: rest for name, *rest in self._rows(_file.c.size, _file.c.mtime_ns, _file.c.parser)}
            new = [
                each
                for each in self.library.files()
                if known.get(each.name) != [each.size, each.mtime_ns, parsing.VERSION]
            ]
            for batch in batched(new, BATCH):
                self._parse(batch)

    def take_in(self, waiting: Sequence[WaitingFile]) -> None:
        """Add the files of the inbox. Those that hold no paper stay there, until they change.

        Raises UnavailableError when one that was added cannot be removed from there.
        """
        with self.changing():
            seen = {name: rest for name, *rest in self._rows(_file.c.size, _file.c.mtime_ns, _file.c.parser)}
        new = [
            each for each in waiting
            if seen.get(INBOX + each.path.name) != [each.size, each.mtime_ns, parsing.VERSION]
        ]  # fmt: skip
        errors = {each.path.name: NOT_NAMED for each in new if not parsing.is_named_as_paper(each.path)}
        for added in self.add_files([each.path for each in new if each.path.name not in errors]):
            if added.error:
                errors[added.file] = f"{errors.get(added.file, '')} {added.error}".strip()
        for each in new:
            if each.path.name in errors:
                self._refused(each, errors[each.path.name])
            else:
                take_out(each)
        done = {INBOX + each.path.name for each in new if each.path.name not in errors}
        self._forget_inbox({INBOX + each.path.name for each in waiting} - done)

    def _keep(self, file: str, article: Article, content: bytes) -> Added:
        """Keep one paper, under the one id of all its files."""
        suffix = _suffix(content, file)
        with self.changing():
            try:
                paper_id = self._one_id(article)
            except ItemError as error:
                return Added(file, title=article.title, error=str(error))
            before = self._row(f"{paper_id}{suffix}")
            kept = self.library.keep(paper_id, suffix, content)
            row = file_row(kept, article)
            self._remember(row)
        state: State = "added" if before is None else "changed"
        if before is not None and before.digest == row["digest"]:
            state = "unchanged"
        return Added(file, paper_id, article.title, state)

    def _one_id(self, article: Article) -> str:
        """The id of the paper: if another file of it is there under a lesser id, that one is renamed."""
        same = [
            (column, value)
            for column, value in ((_file.c.doi, article.doi), (_file.c.pmid, article.pmid))
            if value
        ]
        where = sa.or_(*(column == value for column, value in same), _file.c.paper_id == article.paper_id)
        with self.ledger.reading() as connection:
            rows = connection.execute(sa.select(*_SHOWN).where(where, _file.c.paper_id != "")).all()
        others = [row for row in rows if may_be_same(json.loads(row.facts), article)]
        _require_agreement([json.loads(row.facts) for row in others], article)
        chosen: str = min({article.paper_id, *(row.paper_id for row in others)}, key=by_authority)
        for row in others:
            if row.paper_id != chosen:
                self._rename(row, chosen)
        return chosen

    def _rename(self, row: Any, paper_id: str) -> None:
        self.library.rename(row.file, paper_id)
        # Before the row goes: after a crash, it is by the row that the rest is done.
        move_bundle(self.ledger, self.workspace, row.paper_id, paper_id)
        with self.ledger.transaction() as connection:
            move_request(connection, row.paper_id, paper_id)
            delete_keys(connection, _file, {}, "file", [row.file])
            delete_keys(connection, paper_author_block, {}, "paper_id", [row.paper_id])
        self._parse([each for each in self.library.files() if each.paper_id == paper_id])

    def _parse(self, files: Sequence[KeptFile]) -> None:
        paths = [self.library.path(each.name) for each in files]
        for each, parsed in zip(files, parsing.parse_files(self.sandbox, paths), strict=True):
            if len(parsed.articles) == 1 and not parsed.error:
                row = file_row(each, parsed.articles[0].article)
            else:
                error = parsed.error or f"{each.name} holds {len(parsed.articles)} papers."
                row = self._failed_row(each, error)
            self._remember(row)

    def _remember(self, row: dict[str, Any]) -> None:
        """Record a file, and by what the authors of its paper are found."""
        from ingest_assets.sources.papers.graph.authors import author_blocks

        paper_id = row["paper_id"]
        with self.ledger.transaction() as connection:
            upsert(connection, _file, [row])
            facts = connection.scalar(
                sa.select(_file.c.facts).where(_file.c.paper_id == paper_id, read_file())
            )
            delete_keys(connection, paper_author_block, {}, "paper_id", [paper_id])
            blocks = author_blocks(paper_id, json.loads(facts)) if facts else []
            upsert(connection, paper_author_block, blocks)

    def _failed_row(self, file: KeptFile, error: str) -> dict[str, Any]:
        """The row of a file that cannot be parsed any more: what it was parsed to before stays."""
        before = self._row(file.name)
        row = dict(before._mapping) if before is not None else _EMPTY | {"file": file.name}
        seen = {"paper_id": file.paper_id, "rank": file.rank, "size": file.size, "mtime_ns": file.mtime_ns}
        return row | seen | {"parser": parsing.VERSION, "error": error}

    def _refused(self, file: WaitingFile, error: str) -> None:
        row = _EMPTY | {
            "file": INBOX + file.path.name,
            "size": file.size,
            "mtime_ns": file.mtime_ns,
            "parser": parsing.VERSION,
            "digest": digest_of("inbox", file.path.name, str(file.size), str(file.mtime_ns)),
            "error": error,
        }
        with self.ledger.transaction() as connection:
            upsert(connection, _file, [row])

    def _forget_inbox(self, waiting: set[str]) -> None:
        query = sa.select(_file.c.file).where(_file.c.paper_id == "")
        with self.ledger.transaction() as connection:
            gone = set(connection.scalars(query)) - waiting
            delete_keys(connection, _file, {}, "file", sorted(gone))

    def _row(self, name: str) -> Any:
        with self.ledger.reading() as connection:
            return connection.execute(sa.select(_file).where(_file.c.file == name)).one_or_none()

    def _rows(self, *columns: sa.Column[Any]) -> Iterator[Any]:
        for page in pages(self.ledger, sa.select(_file.c.file, *columns), _file.c.file, 5_000):
            yield from page

    def changing(self) -> AbstractContextManager[None]:
        """Be the only process that adds or removes papers."""
        return self.ledger.lock(LOCK, LOCK_TIMEOUT_S)


_SHOWN = (
    _file.c.file,
    _file.c.paper_id,
    _file.c.facts,
    _file.c.sections,
    _file.c.error,
    _file.c.article.is_not(None).label("readable"),
)
_EMPTY: dict[str, Any] = {
    "paper_id": "", "rank": _NOT_RANKED, "digest": "", "error": None, "article": None, "made_from": "",
    "doi": "", "pmid": "", "facts": "{}", "notices": "[]", "sections": "[]",
}  # fmt: skip


def _is_named_by_file(article: Article) -> bool:
    """Whether nothing but its file's name says which paper it is."""
    return not (article.pmcid or article.doi or article.pmid)


def _require_agreement(others: Sequence[dict[str, Any]], article: Article) -> None:
    """Whoever claims one id of a paper must not replace it: the other ids have to agree.

    Raises ItemError.
    """
    for name in ("pmcid", "doi", "pmid"):
        ids = {facts.get(name) for facts in others} | {getattr(article, name)}
        if len(known := sorted(filter(None, ids))) > 1:
            here = ", ".join(sorted({str(facts.get("paper_id")) for facts in others}))
            raise ItemError(
                f"It claims to be {here}, but their ids contradict each other: {' and '.join(known)}. If "
                "this file is right, remove the other paper first."
            )


def require_readable(papers: Papers) -> None:
    """Raises UnavailableError when the folder of kept files is gone, although there are papers."""
    query = sa.select(_file.c.file).where(_file.c.paper_id != "").limit(1)
    with papers.ledger.reading() as connection:
        kept = connection.scalar(query)
    if kept is not None and not papers.library.folder.is_dir():
        raise UnavailableError(
            f"The folder of kept papers, {papers.library.folder}, is not there. Mount it, or restore it."
        )


def _suffix(content: bytes, file: str) -> str:
    kind = parsing.format_of(content, file)
    if kind in {"xml", "pdf"}:
        return f".{kind}"
    return ".md" if Path(file).suffix.lower() in {".md", ".markdown"} else ".txt"


def _paper(rows: Sequence[Any]) -> KeptPaper:
    """`rows` are those of its files, the best format first."""
    read = next((row for row in rows if row.readable), rows[0])
    error = next((row.error for row in rows if row.error), "")
    files = tuple(row.file for row in rows)
    return KeptPaper(read.paper_id, json.loads(read.facts), files, len(json.loads(read.sections)), error)
