"""For producers: writing a batch into a spool, named, written and renamed as it should be.

Needs nothing of this product but its package and msgpack: no settings, no ledger. Memory does not grow with
the number of records.
"""

from __future__ import annotations

import math
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

VERSION = 1
MAX_SOURCE = MAX_TAG = 200  # characters
MAX_DEPTH = 16  # of metadata
_FIELDS = frozenset(("source", "text", "metadata", "batch_tag", "embedding", "pii"))
_TAG = re.compile(r"\w[\w.:+-]*")
_COUNT, _LIST = b"\xce", b"\xdd"  # what begins a number, and a list, of four bytes
_RENAMED_NS = 10_000_000
_INTEGERS = (-(1 << 63), (1 << 64) - 1)


def write_batch(
    spool_dir: Path | str,
    records: Iterable[Mapping[str, Any]],
    *,
    source: str,
    pii: bool = False,
    batch_tag: str | None = None,
    created_at: datetime | float | None = None,
    embedding_dim: int | None = None,
) -> Path:
    """Write records as one batch into `spool_dir`/incoming, and return its file.

    It is written beside its name, synced, and renamed: whoever reads the spool sees all of it or nothing. Its
    mode is 0640, less what the umask takes away.

    Args:
        spool_dir: what SPOOL_DIR is for those who read it. `incoming` must be there.
        records: each a mapping with `text`, and if there are any `source` (else the batch's), `metadata` (as
            JSON can have it) and `embedding` (a sequence of finite numbers). A record without text, or with
            None, keeps its number and is not indexed.
        source: where the records come from, such as "helpdesk".
        pii: whether it holds personal data; then it is not indexed before its gate is opened.
        batch_tag: of up to 200 letters, digits and `_.:+-`; else made of the source, the time and chance.
        created_at: when the records are from; a number is seconds since 1970, and the default is now.
        embedding_dim: the length of the embeddings; else that of the first.

    Raises ValueError or TypeError for what cannot be a batch, with the number of the record and nothing of
    what is in it; FileNotFoundError if there is no `incoming`; other OSErrors. Then there is no file.
    """
    _require_text("The source", source, MAX_SOURCE)
    if not source.strip():
        raise ValueError("The source is empty.")
    at = _moment(created_at)
    tag = _tag(source, at) if batch_tag is None else _required_tag(batch_tag)
    # Its own name: the same tag may have been used before.
    name = tag if batch_tag is None else f"{tag}.{secrets.token_hex(4)}"
    folder = Path(spool_dir) / "incoming"
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}: it is made when the spool is first read.")
    path = folder / f"{name}.msgpack"
    envelope = {"version": VERSION, "created_at": at.isoformat(), "source": source, "batch_tag": tag}
    with draft(path) as file:
        _write(file, envelope | {"pii": True} if pii else envelope, records, embedding_dim)
    return path


@contextmanager
def draft(path: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name when all of it is on disk."""
    beside = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # Last written before it was renamed: that is how a reader knows that it is whole. Clocks of file
        # systems move in steps.
        before = time.time_ns() - _RENAMED_NS
        os.utime(beside, ns=(before, before))
        beside.rename(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if os.name != "nt":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _write(
    file: IO[bytes], envelope: Mapping[str, Any], records: Iterable[Mapping[str, Any]], dimension: int | None
) -> None:
    """Write the envelope and one record after the other; then their number, which is known at the end."""
    from msgpack import Packer

    packer = Packer()
    file.write(packer.pack_map_header(len(envelope) + 3))
    for name, value in envelope.items():
        file.write(packer.pack(name) + packer.pack(value))
    file.write(packer.pack("count"))
    count_at = file.tell()
    file.write(_COUNT + bytes(4) + packer.pack("records"))
    list_at = file.tell()
    file.write(_LIST + bytes(4))
    writer = _Writer(dimension)
    count = 0
    for record in records:
        try:
            file.write(writer.packed(record))
        except (TypeError, ValueError) as error:
            # Without the cause: an encoding error holds the text.
            raise type(error)(f"Record {count}: {error}") from None
        count += 1
    file.write(packer.pack("embedding_dim") + packer.pack(writer.dimension))
    for mark, at in ((_COUNT, count_at), (_LIST, list_at)):
        file.seek(at)
        file.write(mark + count.to_bytes(4, "big"))


class _Writer:
    """Records to bytes. Raises TypeError and ValueError that hold nothing of what is in them."""

    def __init__(self, dimension: int | None) -> None:
        from msgpack import Packer

        self.dimension = dimension
        self._packer = Packer()
        self._of_vectors = Packer(use_single_float=True)  # the index has no more

    def packed(self, record: Mapping[str, Any]) -> bytes:
        if not isinstance(record, Mapping):
            raise TypeError(f"It is a {type(record).__name__}, and not a mapping.")
        unknown = len(set(record) - _FIELDS)
        if unknown:
            raise ValueError(f"It has {unknown} fields of other names than {', '.join(sorted(_FIELDS))}.")
        given = {name: value for name, value in record.items() if value is not None}
        parts = [self._packer.pack_map_header(len(given))]
        for name, value in given.items():
            parts.append(self._packer.pack(name))
            parts.append(self._vector(value) if name == "embedding" else self._value(name, value))
        return b"".join(parts)

    def _value(self, name: str, value: Any) -> bytes:
        if name in {"source", "text", "batch_tag"}:
            _require_text(f"Its {name}", value, MAX_SOURCE if name == "source" else None)
        elif name == "pii":
            value = bool(value)
        else:
            value = _plain(value, 1) if isinstance(value, Mapping) else _refused(value)
        packed: bytes = self._packer.pack(value)
        return packed

    def _vector(self, value: Sequence[float]) -> bytes:
        if isinstance(value, str) or not all(hasattr(each, "__float__") for each in value):
            raise TypeError("Its embedding is not a list of numbers.")
        numbers = [float(each) for each in value]
        if self.dimension is None:
            self.dimension = len(numbers)
        if len(numbers) != self.dimension or not numbers:
            raise ValueError(f"Its embedding has {len(numbers)} numbers, and others have {self.dimension}.")
        if not all(map(math.isfinite, numbers)):
            raise ValueError("Its embedding holds a number that is not finite.")
        packed: bytes = self._of_vectors.pack(numbers)
        return packed


def _plain(value: Any, depth: int) -> Any:
    """Metadata as JSON can have it."""
    if depth > MAX_DEPTH:
        raise ValueError(f"Its metadata is nested more than {MAX_DEPTH} deep.")
    if isinstance(value, Mapping):
        names = [each if isinstance(each, str) else _refused(each) for each in value]
        return {_plain(name, depth): _plain(value[name], depth + 1) for name in names}
    if isinstance(value, list | tuple):
        return [_plain(each, depth + 1) for each in value]
    if isinstance(value, str):
        _require_text("Its metadata", value, None)
    elif not _is_json(value):
        _refused(value)
    return value


def _is_json(value: Any) -> bool:
    """Whether JSON and MessagePack both have the value, which is neither a text nor made of others."""
    if isinstance(value, int):
        return _INTEGERS[0] <= value <= _INTEGERS[1]
    return value is None or (isinstance(value, float) and math.isfinite(value))


def _refused(value: Any) -> Any:
    raise TypeError(f"Its metadata holds a value of type {type(value).__name__} that JSON cannot have.")


def _require_text(what: str, value: Any, most: int | None) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{what} is not text.")
    if most is not None and len(value) > most:
        raise ValueError(f"{what} has more than {most} characters.")
    try:
        value.encode()
    except UnicodeEncodeError:
        is_half = True
    else:
        is_half = False
    if is_half:  # outside of the handler, whose error holds the text
        raise ValueError(f"{what} holds half a character (a lone surrogate).")


def _moment(created_at: datetime | float | None) -> datetime:
    if isinstance(created_at, datetime):
        return created_at.astimezone(UTC)
    return datetime.fromtimestamp(time.time() if created_at is None else created_at, UTC)


def _tag(source: str, at: datetime) -> str:
    """Unique, whoever else writes batches of this source at this moment."""
    name = re.sub(r"[^\w-]+", "-", source)[: MAX_TAG // 4].strip("-") or "batch"
    return f"{name}-{at:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def _required_tag(tag: str) -> str:
    _require_text("The batch_tag", tag, MAX_TAG)
    if not _TAG.fullmatch(tag) or ".." in tag or len(tag.encode()) > MAX_TAG:
        raise ValueError(
            "The batch_tag may have letters, digits and _.:+- only, and begins with one of the first."
        )
    return tag
