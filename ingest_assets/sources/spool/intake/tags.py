"""Tags of batches and names of their files: unique, and harmless wherever they end up.

What belongs here: pure functions from names to names. What does not: which ones are taken (`take`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain, count

from ingest_assets.characters import visible
from ingest_assets.sources.spool.places import SUFFIX

MAX_TAG = 200  # characters, and bytes: a tag becomes the name of a file
SHORT = 8  # hex digits of a digest, in a tag
_MAX_SHOWN = 255
_OTHERS = re.compile(r"[^\w.:+-]+")
_DOTS = re.compile(r"\.{2,}")


def safe(text: str, most: int = MAX_TAG) -> str:
    """The text with a dash for whatever a tag may not have; "" if nothing is left."""
    text = _DOTS.sub(".", _OTHERS.sub("-", text)).strip(".-")
    return text.encode()[:most].decode(errors="ignore").rstrip(".-")


def tags_for(envelope_tag: str, source: str, created_at: float, stem: str, digest: str) -> Iterator[str]:
    """Tags for a batch, without end: the first that is free is its own.

    The first is what its file is named by, if `archive_name` made that of another tag than the envelope's: so
    an index that is built again from the archive has the same tags, in whatever order the batches come.
    """
    if named := _tag_in(stem, digest):
        yield named
    tag = safe(envelope_tag)
    if tag:
        yield tag
    else:
        at = datetime.fromtimestamp(created_at, UTC)
        tag = f"{safe(source, 100) or 'batch'}-{at:%Y%m%dT%H%M%SZ}"
    yield from _with_digests(tag, digest)


def tags_for_unreadable(stem: str, digest: str) -> Iterator[str]:
    """Tags for a file that is no batch."""
    return _with_digests(safe(stem) or "batch", digest)


def archive_name(tag: str, envelope_tag: str, digest: str, name: str) -> str:
    """The name for a batch's file: the one it has; one that says its tag, if that is not the envelope's.

    It has digits of the digest, by which `tags_for` knows that it does.
    """
    if tag == safe(envelope_tag):
        return name
    return f"{tag}{SUFFIX}" if _tag_in(tag, digest) == tag else f"{tag}.{digest[:SHORT]}{SUFFIX}"


def _tag_in(stem: str, digest: str) -> str:
    """The tag that the name of a batch's file says; "" if it does not end in digits of the batch's digest."""
    own = f"-(?:{digest[:SHORT]}|{digest[: 2 * SHORT]}|{digest}(?:-[0-9]+)?)"
    made_free = rf"(?:\.[0-9a-f]{{{SHORT}}})?"  # by digits of chance, because the name was taken
    found = re.fullmatch(rf"(.+{own}){made_free}|(.+)\.{digest[:SHORT]}{made_free}", stem)
    return safe(found[1] or found[2]) if found else ""


def _with_digests(tag: str, digest: str) -> Iterator[str]:
    ends = (f"{digest}-{number}" for number in count(2))
    for end in chain((digest[:SHORT], digest[: 2 * SHORT], digest), ends):
        yield f"{safe(tag, MAX_TAG - len(end) - 1)}-{end}"


def file_name(delivered: str) -> str:
    """The name that a file gets in our folders."""
    stem = os.fsencode(delivered).decode("utf-8", "replace").removesuffix(SUFFIX)
    return (safe(stem) or "batch") + SUFFIX


def climbs(name: str) -> bool:
    """Whether a file's name looks like a path to another folder."""
    return ".." in name


def claimed_name(delivered: str) -> str:
    """The name that a file gets when it is claimed: `file_name`, with two dots at its end if it `climbs`.

    So a run that goes on after a crash judges the file as the one before it would have.
    """
    name = file_name(delivered)
    return f"{name.removesuffix(SUFFIX)}.{SUFFIX}" if climbs(delivered) else name


def settled_name(claimed: str) -> str:
    """The name that a claimed file gets once it is recorded what it is: its own, without those two dots."""
    return file_name(claimed) if climbs(claimed) else claimed


def shown(delivered: str) -> str:
    """A file's name as it was delivered, for people and the ledger."""
    return visible(os.fsencode(delivered).decode("utf-8", "backslashreplace"))[:_MAX_SHOWN]
