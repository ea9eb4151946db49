"""Files of papers, parsed in a confined process."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ingest_assets.model import UnavailableError
from ingest_assets.sandbox import Limits, Sandbox
from ingest_assets.sandbox.answers import PART
from ingest_assets.sandbox.folder import Child
from ingest_assets.sources.papers.formats import parsing
from ingest_assets.sources.papers.formats.parsing import Parsed, checked, format_of, parse_files
from ingest_assets_tests.sources.papers.jats_samples import DOCTYPE, article, wrapped
from ingest_assets_tests.sources.papers.pdf_samples import pdf

_TWO = '<article-id pub-id-type="pmid">7</article-id>'
_SMALL = Limits(memory_bytes=96 << 20, cpu_s=5)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with closing(Sandbox(tmp_path_factory.mktemp("home"), _SMALL)) as box:
        yield box


def ids(parsed: Parsed) -> list[str]:
    return [each.article.paper_id for each in parsed.articles]


def test_files_of_every_kind_in_their_order(box: Sandbox, tmp_path: Path) -> None:
    contents = {
        "a.xml": article().encode(),
        "b.pdf": pdf([["Some words of a text about cortisol."]]),
        "c.md": b"# A title\n\nText\n",
        "d.txt": b"Text",
        "e.dat": wrapped(article(), article(ids=_TWO)),
        "PMC5.md": b"<b>Text</b>",
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    found = list(parse_files(box, [tmp_path / name for name in contents]))
    assert [each.path.name for each in found] == list(contents)
    assert [each.error for each in found] == [""] * len(contents)
    assert [ids(each) for each in found] == [["PMC1"], ["b"], ["c"], ["d"], ["PMC1", "pmid-7"], ["PMC5"]]
    for parsed in (*found[:4], found[5]):
        assert [each.content for each in parsed.articles] == [contents[parsed.path.name]]
    for each in found[4].articles:
        (tmp_path / "alone.xml").write_bytes(each.content)
        ((alone,),) = (parsed.articles for parsed in parse_files(box, [tmp_path / "alone.xml"]))
        assert (alone.article, alone.content) == (each.article, each.content)


def test_a_process_that_was_started_ahead_is_used_once_and_only_if_it_lives(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(article())

    class Counting(Sandbox):
        started: ClassVar[list[Child]] = []

        def start(self, *arguments: Any, **limits: Any) -> Child:
            self.started.append(super().start(*arguments, **limits))
            return self.started[-1]

    def parses(box: Sandbox) -> None:
        (parsed,) = parse_files(box, [tmp_path / "a.xml"])
        assert ids(parsed) == ["PMC1"]

    with closing(Counting(tmp_path / "home", _SMALL)) as box:
        parsing.start_ahead(box)
        parses(box)
        assert len(box.started) == 1
        parses(box)
        assert len(box.started) == 2
        parsing.start_ahead(box)
        box.started[-1].close()
        parses(box)
        assert len(box.started) == 4
    assert not any(each.process.is_running for each in Counting.started)
    (tmp_path / "file").touch()
    parsing.start_ahead(Sandbox(tmp_path / "file"))  # where no process can be started, it says nothing


def test_a_file_that_is_wrong_is_its_own_error(box: Sandbox, tmp_path: Path) -> None:
    contents = {
        "bomb.xml": f'<!DOCTYPE a [<!ENTITY a "b">]>{article()}'.encode(),
        "twice.xml": wrapped(article(), article()),
        "half.xml": article().encode()[:-9],
        "none.xml": article(ids="").encode(),
        "binary.xml": bytes(range(256)),
        "PMC5.xml": b"API rate limit exceeded. Try again later.",
        "PMC6.NXML": "Zu viele Anfragen.".encode("utf-16"),
        "PMC7.pdf": b"404 Not Found",
        "empty.md": b"",
        "damaged.pdf": b"%PDF-1.4 and no more",
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "good.xml").write_text(article())
    names = [*contents, "good.xml"]
    found = {each.path.name: each for each in parse_files(box, [tmp_path / name for name in names])}
    assert "DOCTYPE" in found["bomb.xml"].error
    assert "PMC1" in found["twice.xml"].error
    assert "not well-formed" in found["half.xml"].error
    assert "no id" in found["none.xml"].error
    assert "neither XML nor PDF nor text" in found["binary.xml"].error
    assert "named as XML, and is text" in found["PMC5.xml"].error
    assert "named as XML, and is text" in found["PMC6.NXML"].error
    assert "named as a PDF, and is text" in found["PMC7.pdf"].error
    assert "no text" in found["empty.md"].error
    assert "PDF that cannot be read" in found["damaged.pdf"].error
    assert all(not found[name].articles for name in contents)
    assert (ids(found["good.xml"]), found["good.xml"].error) == (["PMC1"], "")


def test_what_is_no_file_is_an_error(box: Sandbox, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "big").touch()
    os.truncate(tmp_path / "big", parsing.MAX_FILE_BYTES + 1)
    found = list(parse_files(box, [tmp_path / name for name in ("pipe", "folder", "absent", "big")]))
    assert [each.error for each in found] == [
        "It is not a file.",
        "It cannot be read: Is a directory.",
        "It cannot be read: No such file or directory.",
        "It is larger than 64 MiB. Split it into several files.",
    ]


def test_a_file_that_kills_its_parser_is_its_own_error_and_another_parser_goes_on(
    box: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "large.xml").write_bytes(b"<a>" + b"<b/>" * 3_000_000 + b"</a>")
    (tmp_path / "good.xml").write_text(article())
    names = ["good.xml", "large.xml", "good.xml"]
    found = list(parse_files(box, [tmp_path / name for name in names]))
    assert [ids(each) for each in found] == [["PMC1"], [], ["PMC1"]]
    assert "more than 96 MiB of memory" in found[1].error


def test_many_files_that_kill_their_parsers_end_it(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsing, "MAX_DEATHS", 0)
    (tmp_path / "large.xml").write_bytes(b"<a>" + b"<b/>" * 3_000_000 + b"</a>")
    with pytest.raises(UnavailableError, match="1 files killed the parser of papers"):
        list(parse_files(box, [tmp_path / "large.xml"] * 2))


def test_nothing_is_fetched(box: Sandbox, tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.setblocking(False)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        (tmp_path / "a.xml").write_text(DOCTYPE.replace("http://127.0.0.1:9/", address) + article())
        external = f'<!DOCTYPE article [<!ENTITY x SYSTEM "{address}">]>{article("<p>&x;</p>")}'
        (tmp_path / "b.xml").write_text(external)
        found = list(parse_files(box, [tmp_path / "a.xml", tmp_path / "b.xml"]))
        assert [bool(each.error) for each in found] == [False, True]
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        (b"  <?xml version='1.0'?>", "a.md", "xml"),
        (b"\xef\xbb\xbf<article>", "a.dat", "xml"),
        ("<a/>".encode("utf-16"), "a", "xml"),
        (b"<!-- a comment -->\n# Title", "a.md", "text"),
        (b"<div>", "a", "xml"),
        (b"%PDF-1.7", "a.xml", "pdf"),
        (b"Text with <xml>", "a.xml", "text"),
        (b"", "a.pdf", "text"),
    ],
)
def test_the_content_decides_what_a_file_is(data: bytes, name: str, kind: str) -> None:
    assert format_of(data, name) == kind


_ARTICLE = b'{"paper_id": "a"}'


def _parts(*parts: tuple[bytes, bytes]) -> bytes:
    return b"".join(PART.pack(kind, len(part)) + part for kind, part in parts)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"junk",
        _parts((b"c", b"content first")),
        _parts((b"?", b"")),
        _parts((b"a", b"{}")),
        _parts((b"a", b'{"paper_id": "../x"}')),
        _parts((b"a", b'{"paper_id": "a", "year": 1e9}')),
        _parts((b"a", b'{"paper_id": "a", "more": 1}')),
        _parts((b"a", b"[" * 100_000)),
        _parts((b"a", _ARTICLE), (b"a", _ARTICLE)),
    ],
)
def test_no_other_answer_is_taken(answer: bytes) -> None:
    found = checked(Path("x"), answer, b"")
    assert found.articles == ()
    assert found.error == parsing.OTHER_FORM
