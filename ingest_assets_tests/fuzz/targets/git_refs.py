"""Where a repository's parts are, and what its refs are: a server's answers, and the files of a local one.

What belongs here: names and pointers. What does not: objects (`git_objects`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ingest_assets.model import IngestError
from ingest_assets.sources.repositories.local import git_folder
from ingest_assets.sources.repositories.mirror import remote_heads
from ingest_assets.sources.repositories.objects import Objects
from ingest_assets.sources.repositories.origin import checked_ref, parse_origin, spoken_id
from ingest_assets.sources.repositories.policy import Policy
from ingest_assets.sources.repositories.refs import local_refs, refs_of
from ingest_assets_tests.fuzz.target import Parse, Place, Target, divided, joined, plain
from ingest_assets_tests.sources.repositories.git_server import LOOPBACK, GitServer

_SHORT = 20  # characters: a word of the message may be the same
_OID, _OTHER = b"1" * 40, b"2" * 40
_REFS = b"# pack-refs with: peeled fully-peeled sorted\n%s refs/heads/main\n%s refs/tags/v1\n^%s\n" % (
    _OID,
    _OTHER,
    _OID,
)


# --- A server's answers -------------------------------------------------------------------------------------


@contextmanager
def _asking(place: Place) -> Iterator[Parse]:
    """What a server answers when it is asked for its refs: first its abilities, then the refs."""
    with GitServer(place.folder).running() as server:
        origin = parse_origin(server.url(), LOOPBACK)

        def parse(data: bytes) -> None:
            first, second = divided(data, 2)

            def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
                asks = environ["REQUEST_METHOD"] == "GET"
                kind = "advertisement" if asks else "result"
                body = first if asks else second
                headers = [
                    ("Content-Type", f"application/x-git-upload-pack-{kind}"),
                    ("Content-Length", str(len(body))),
                ]
                start("200 OK", headers)
                return [body]

            server.misbehave = answer
            for ref in (None, "main", "v1"):
                remote_heads(origin, LOOPBACK).digest(ref)

        yield parse


def _line(text: bytes) -> bytes:
    return b"%04x%s" % (len(text) + 4, text)


def _answers() -> list[bytes]:
    service = _line(b"# service=git-upload-pack\n") + b"0000"
    abilities = b"".join(
        map(
            _line,
            (
                b"version 2\n",
                b"agent=git/2\n",
                b"ls-refs=unborn\n",
                b"fetch=shallow\n",
                b"object-format=sha1\n",
            ),
        )
    )
    refs = (b"%s HEAD symref-target:refs/heads/main\n" % _OID, b"%s refs/heads/main\n" % _OID,
            b"%s refs/tags/v1 peeled:%s\n" % (_OTHER, _OID))  # fmt: skip
    old = b"%s HEAD\0multi_ack symref=HEAD:refs/heads/main agent=git/2\n" % _OID
    older = _line(old) + _line(refs[1]) + _line(b"%s refs/tags/v1^{}\n" % _OID)
    return [
        joined(service + abilities + b"0000", b"".join(map(_line, refs)) + b"0000"),
        joined(service + older + b"0000", b""),
        joined(service + b"0000", b"0000"),
    ]


def _taken(data: bytes) -> None:
    """Refs as dulwich gives them, by line."""
    pairs = [line.partition(b" ")[::2] for line in data.split(b"\n")]
    for name, oid in pairs:
        refs = refs_of([*pairs], name)
        refs.digest(name.decode("utf-8", "replace"))
        assert all(len(each) == len(_OID) for each in refs.ids.values())
        assert refs.default_branch is None or refs.default_branch.isprintable() or oid is not None


# --- The files of a local repository ------------------------------------------------------------------------


@contextmanager
def _opening(place: Place) -> Iterator[Parse]:
    """The files that say where others are. Nothing outside the folder is opened."""
    root = place.folder / "allowed"
    repository, work = root / "repository", root / "work"

    def parse(data: bytes) -> None:
        shutil.rmtree(root, ignore_errors=True)
        pointer, head, common, config, alternates, packed, branch = divided(data, 7)
        _write(repository, {
            "HEAD": head, "config": config, "objects/info/alternates": alternates, "packed-refs": packed,
            "refs/heads/main": branch,
        })  # fmt: skip
        _write(work, {".git": pointer, "commondir": common})
        for path in (repository, work):
            try:
                folder = git_folder(path, (root,))
                assert folder.common.is_relative_to(root)
                local_refs(folder).digest(None)
                with Objects(folder.common / "objects", files=folder.files) as objects:
                    objects.folders()
                    assert _OID.decode() not in objects
            except IngestError as error:
                _require("passwd" not in str(error))

    yield parse


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _local_inputs() -> list[bytes]:
    config = b"[core]\n\trepositoryformatversion = 0\n\tbare = true\n[extensions]\n\tobjectformat = sha1\n"
    head = b"ref: refs/heads/main\n"
    return [
        joined(b"gitdir: ../repository\n", head, b"../repository\n", config, b"", _REFS, _OID + b"\n"),
        joined(b"gitdir: .\n", _OID + b"\n", b".", config, b"../../work\n", b"", b"ref: refs/heads/main\n"),
    ]


def _require(kept: bool) -> None:
    assert kept, "a message shows what it must not"


# --- What people write --------------------------------------------------------------------------------------

_POLICY = Policy(
    protocols=frozenset({"https", "http", "ssh", "file"}),
    local_roots=(Path(__file__).parents[3],),
    known_hosts=Path(__file__),
)


def _origin(data: bytes) -> None:
    """What is accepted has an id that can be shown, and a URL without a password that is accepted again."""
    text = data.decode("utf-8", "surrogateescape")
    spoken_id(text)
    try:
        checked_ref(text)
    except IngestError as error:
        _require(text not in str(error) or len(text) < _SHORT)
    origin = parse_origin(text, _POLICY)
    assert origin.id.isprintable()
    assert (origin.url is None) != (origin.path is None)
    origin.link("a/b c.py", "main")
    if origin.url is not None:
        assert ":" not in origin.url.partition("://")[2].rpartition("@")[0]
        assert parse_origin(origin.url, _POLICY).id == origin.id


_URLS = (
    b"https://github.com/owner/name.git", b"git@github.com:owner/name.git",
    b"ssh://git@example.com:2222/~/a/b", b"https://[2001:db8::1]:8443/a/b%20c",
    b"http://example.com/\xc3\xa9/x.git/", b"host:path/to/it", b"file://localhost/srv/git/x.git",
    b"/srv/git/x.git", b"ssh://[2606:4700::1111]/a", b"me@[2606:4700::1111]:a/b",
    b"https://xn--bcher-kva.example/a",
)  # fmt: skip

TARGETS = (
    Target(
        name="ref_answers",
        open=_asking,
        seeds=_answers,
        tokens=(b"0000", b"0001", b"0002", b"0004", b"ffff", b"symref-target:", b"peeled:", b"unborn", b"\n",
                b"\0", b"ERR no\n", b"shallow ", b"version 2\n", b"version 9\n", b"001e"),
        brief=60,
    ),
    Target(
        name="refs",
        open=plain(_taken),
        seeds=lambda: [b"refs/heads/main %s\nHEAD %s\nrefs/tags/v1^{} %s" % (_OID, _OID, _OTHER)],
        tokens=(b"refs/heads/", b"^{}", b"HEAD", _OID, b"0" * 40, b"\xe2\x80\xae", b"\xff"),
    ),
    Target(
        name="local_repositories",
        open=_opening,
        seeds=_local_inputs,
        tokens=(b"gitdir: ", b"ref: ", b"refs/heads/main", b"HEAD", b"../", b"/etc/passwd", b"\0", b"\n",
                b"\xff", b"/", b"x" * 300, b"^", b"#", b"/proc/self/environ", b"objectformat = sha256\n",
                _OID),
    ),
    Target(
        name="origins",
        open=plain(_origin),
        seeds=lambda: _URLS,
        tokens=(b"://", b":", b"@", b"..", b"%2e", b"%25", b"%", b"[", b"]", b"\0", b"::", b"#", b"?", b"\\",
                b"/", b"~", b"file", b"\xe2\x80\xae", b"\xff", b" ", b"-", b".git", b"\xef\xbc\x8f", b"xn--",
                b"\xc2\xa0", b".", b"%E2%80%AE"),
        brief=1_500,
    ),
)  # fmt: skip
