"""What a server sent in place of a paper, recognised by its first and last bytes. Nothing is parsed here.

What belongs here: telling a paper's file from an error, a web page and a part of a file. What does not:
reading a paper, which happens in a confined process (the parsers).
"""

from __future__ import annotations

import re
from pathlib import Path

from ingest_assets.jobs.errors import JobTargetError
from ingest_assets.model import UnavailableError
from ingest_assets.sources.papers.fetching.locations import Location

_HEAD, _TAIL = 1 << 16, 1 << 12
_PDF_WITHIN = 1_024  # bytes before a PDF's mark that readers skip
_PROLOGUE = re.compile(
    rb"\A(\xef\xbb\xbf)?(\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE\s[^\[>]*(\[.*?\]\s*)?>)*",
    re.DOTALL | re.IGNORECASE,
)
_ROOT = re.compile(rb"<([A-Za-z_][A-Za-z0-9_.:-]*)")
_AFTER_ROOT = re.compile(rb"(\s+|<!--.*?-->|<\?.*?\?>)*\Z", re.DOTALL)
_ARTICLE = re.compile(rb"<article[\s>/]")
_ERROR = re.compile(rb"<ERROR>(.{0,300}?)</ERROR>|<Reply[^>]{0,300}?\serror=[\"'](.{0,300}?)[\"']", re.DOTALL)
_WIDE = (b"\xff\xfe", b"\xfe\xff")  # UTF-16, which is left to the parser
_TEXTS = {"text/plain": ".txt", "text/markdown": ".md", "text/x-markdown": ".md"}


def suffix_of(file: Path, content_type: str, location: Location) -> str:
    """The kind of the file that was fetched: ".xml", ".pdf", ".txt" or ".md".

    Raises:
        JobTargetError: there is no such paper, or what is there is not a paper.
        UnavailableError: the server sent a part of it, or a page that says why it does not.
    """
    head, tail, size = _ends(file)
    if not head.strip():
        raise UnavailableError(f"The server sent nothing for {location.shown}.")
    if b"%PDF-" in head[:_PDF_WITHIN] and location.kind != "pmc":
        return ".pdf"
    start = _PROLOGUE.match(head)
    root = _ROOT.match(head, start.end() if start else 0)
    if root is not None or head.startswith(_WIDE):
        _require_paper(head, tail, size, b"" if root is None else root[1], location)
        return ".xml"
    if location.kind == "pmc":
        raise UnavailableError(f"NCBI did not send XML for {location.shown}: it may be overloaded.")
    suffix = _TEXTS.get(content_type.partition(";")[0].strip().lower())
    if suffix is None or b"\0" in head:
        raise JobTargetError(f"{location.shown} is neither XML nor PDF nor text: it is not a paper.")
    return suffix


def _require_paper(head: bytes, tail: bytes, size: int, root: bytes, location: Location) -> None:
    if root.lower() == b"html":
        if location.kind == "pmc":
            raise UnavailableError(f"NCBI answered with a web page in place of {location.shown}.")
        raise JobTargetError(
            f"{location.shown} is a web page: give the URL of the paper's XML or PDF, or its PMCID."
        )
    said = _ERROR.search(head)
    if said and not _ARTICLE.search(head):
        words = (said[1] or said[2] or b"").decode("utf-8", "replace")
        shown = " ".join("".join(c if c.isprintable() else " " for c in words).split())[:150].rstrip(".")
        raise JobTargetError(f"{location.shown} cannot be fetched: NCBI says: {shown}.")
    if root.lower() in {b"efetchresult", b"error"}:
        raise JobTargetError(f"{location.shown} cannot be fetched: NCBI answered with an error.")
    if root == b"pmc-articleset" and size <= _HEAD and not _ARTICLE.search(head):
        raise JobTargetError(f"NCBI has no article {location.shown}: check the PMCID.")
    if root and not _is_whole(tail, root):
        raise UnavailableError(f"The server sent only a part of {location.shown}.")


def _is_whole(tail: bytes, root: bytes) -> bool:
    """Whether a document ends with the end of its root element, and what may follow that."""
    end = tail.rfind(b"</" + root)
    if end < 0:
        return tail.rstrip().endswith(b"/>")  # a root without content
    close = tail.find(b">", end)
    return close >= 0 and _AFTER_ROOT.match(tail, close + 1) is not None


def _ends(file: Path) -> tuple[bytes, bytes, int]:
    with file.open("rb") as opened:
        head = opened.read(_HEAD)
        size = opened.seek(0, 2)
        opened.seek(max(0, size - _TAIL))
        return head, opened.read(_TAIL), size
