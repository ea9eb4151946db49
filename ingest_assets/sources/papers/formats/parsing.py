"""Files of papers to articles, in a confined process: what others wrote is parsed there, and checked here.

What is in a file decides how it is read: XML begins with `<`, a PDF with `%PDF`, and the rest must be text.
But text in a file that is named as XML or PDF is no paper: it is what some server said in place of one.

What belongs here: files, the process, and its answers. What does not: a format (`jats`, `pdf`, `prose`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ingest_assets.ahead import StartedAhead
from ingest_assets.model import ItemError, UnavailableError
from ingest_assets.sandbox import ConfinedError, Sandbox
from ingest_assets.sandbox.answers import PART, split
from ingest_assets.sandbox.folder import Child
from ingest_assets.sources.papers.article import Article

# What the same file becomes is the same as long as this is. Change it with whatever changes an article.
VERSION = "2"

MAX_FILE_BYTES = 64 << 20
CPU_S = 60.0  # of one file, at most: a hundred papers take two
# More files than this that kill their parsers, in one call, are an attack.
MAX_DEATHS = 20
MAX_ERROR = 2_000  # characters of what is wrong with a file
_NOUN = "the parser of papers"
OTHER_FORM = "The parser of papers gave an answer of another form."
_ARTICLE, _CONTENT, _ERROR = b"a", b"c", b"x"
_TEXTS = frozenset((".md", ".markdown", ".txt", ".text"))
# What the names of papers' files end in. Whoever gives a folder means those in it: any other text, such as a
# table or a script, can be read too, but is not a paper.
SUFFIXES = (".xml", ".nxml", ".pdf", *sorted(_TEXTS))
_OTHERS = {".xml": "XML", ".nxml": "XML", ".pdf": "a PDF"}
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_SPACE = b" \t\r\n\0"  # with the zeros of UTF-16
_ahead: StartedAhead[Child] = StartedAhead("parser of papers")


@dataclass(frozen=True, slots=True)
class ParsedArticle:
    """One paper of a file."""

    article: Article
    content: bytes  # of a file that holds it alone


@dataclass(frozen=True, slots=True)
class Parsed:
    """What became of a file. With an error, `articles` are those that it does not concern."""

    path: Path
    articles: tuple[ParsedArticle, ...]
    error: str  # a sentence, or ""


def start_ahead(sandbox: Sandbox) -> None:
    """Start a process for the next `parse_files` of this context, while others prepare what it will parse.

    It ends with the sandbox. Where no process can be started, `parse_files` says so.
    """
    with suppress(UnavailableError):
        _ahead.keep(_started(sandbox))


def parse_files(sandbox: Sandbox, paths: Sequence[Path]) -> Iterator[Parsed]:
    """What each file holds, in this order. One process parses them all; another goes on if a file kills it.

    One file and its articles are in memory at a time. Raises UnavailableError when no process can be started,
    or when more than a few files killed theirs.
    """
    with closing(_Parser(sandbox)) as parser:
        for path in paths:
            yield parser.parsed(path)


class _Parser:
    """The parent's side."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._child: Child | None = None
        self._deaths = 0

    def parsed(self, path: Path) -> Parsed:
        if self._deaths > MAX_DEATHS:
            raise UnavailableError(
                f"{self._deaths} files killed {_NOUN}, and are refused. Run it again to go on."
            )
        try:
            data = _content(path)
            return checked(path, self._answer(data, path), data)
        except ConfinedError as error:
            self._deaths += 1
            self.close()
            return Parsed(path, (), str(error))
        except ItemError as error:
            return Parsed(path, (), str(error))

    def _answer(self, data: bytes, path: Path) -> bytes:
        if self._child is None:
            self._child = _ahead.take(lambda child: child.process.is_running) or _started(self._sandbox)
        return self._child.process.ask("parse", data, path.name)

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


def _started(sandbox: Sandbox) -> Child:
    limits = sandbox.limits
    return sandbox.start(_Parsing(), _NOUN, limits=replace(limits, cpu_s=min(limits.cpu_s, CPU_S)))


def _content(path: Path) -> bytes:
    """A file's bytes. Raises ItemError when it is no file, cannot be read, or is too large."""
    try:
        # Not waiting for whoever might write into a pipe of that name.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:  # noqa: PTH123 - by its descriptor
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ItemError("It is not a file.")
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ItemError(f"It cannot be read: {error.strerror}.") from error
    if len(data) > MAX_FILE_BYTES:
        raise ItemError(f"It is larger than {MAX_FILE_BYTES >> 20} MiB. Split it into several files.")
    return data


def checked(path: Path, answer: bytes, data: bytes) -> Parsed:
    """What the process answered about a file with this content. Nothing in it is trusted."""
    from pydantic import ValidationError

    articles: list[ParsedArticle] = []
    error = ""
    for kind, part in split(answer):
        if kind == _ARTICLE:
            try:
                articles.append(ParsedArticle(Article.model_validate_json(part), data))
            except ValidationError:
                return Parsed(path, (), OTHER_FORM)
        elif kind == _CONTENT and articles:
            articles[-1] = ParsedArticle(articles[-1].article, part)
        elif kind == _ERROR:
            error = part.decode("utf-8", "replace")[:MAX_ERROR]
        else:
            return Parsed(path, (), OTHER_FORM)
    if len({each.article.paper_id for each in articles}) < len(articles) or not (articles or error):
        return Parsed(path, (), OTHER_FORM)
    return Parsed(path, tuple(articles), error)


class _Parsing:
    """The task of the process."""

    def parse(self, data: bytes, name: str) -> bytes:
        found, error = parsed_here(data, name)
        parts: list[tuple[bytes, bytes]] = []
        for article, content in found:
            parts.append((_ARTICLE, article.model_dump_json().encode("utf-8", "surrogatepass")))
            if content is not None:
                parts.append((_CONTENT, content))
        if error:
            parts.append((_ERROR, error[:MAX_ERROR].encode("utf-8", "replace")))
        return b"".join(PART.pack(kind, len(part)) + part for kind, part in parts)


def parsed_here(data: bytes, name: str) -> tuple[list[tuple[Article, bytes | None]], str]:
    """The articles of a file by its bytes and its name, and what is wrong with others; in this process.

    Raises ItemError when there is none.
    """
    kind = format_of(data, name)
    if kind == "xml":
        from ingest_assets.sources.papers.formats import jats

        found, error = jats.parse(data)
        return [(each.article, each.content) for each in found], error
    if kind == "pdf":
        from ingest_assets.sources.papers.formats import pdf

        return [(pdf.parse(data, name), None)], ""
    from ingest_assets.sources.papers.formats import prose

    article = prose.parse(data, name)
    if named := _OTHERS.get(Path(name).suffix.lower()):
        raise ItemError(f"It is named as {named}, and is text. If the text is a paper, name it .txt or .md.")
    return [(article, None)], ""


def is_named_as_paper(path: Path) -> bool:
    """Whether the file's name says that it may hold a paper."""
    return path.suffix.lower() in SUFFIXES


def format_of(data: bytes, name: str) -> str:
    """By how it begins: "xml", "pdf" or "text". Markdown may begin with a tag."""
    begin = data[:1_024]
    for mark in _BYTE_ORDER_MARKS:
        begin = begin.removeprefix(mark)
    begin = begin.lstrip(_SPACE)
    if begin.startswith(b"%PDF"):
        return "pdf"
    declared = begin.replace(b"\0", b"").startswith((b"<?xml", b"<!DOCTYPE"))
    is_text = Path(name).suffix.lower() in _TEXTS
    return "xml" if declared or (begin.startswith(b"<") and not is_text) else "text"
