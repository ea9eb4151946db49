"""What becomes of a file that was claimed and scanned: a new batch, one that is known, or none.

A batch is the content of its file: the same content is the same batch, under whatever name it comes.

What belongs here: rows of the manifest and events, in one transaction, and what has to be done with the file
after it. What does not: doing that (`take`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import sqlalchemy as sa

from ingest_assets.ledger.spool_tables import ingestion_manifest as _manifest
from ingest_assets.model import when
from ingest_assets.sources.spool import failing, files, manifest
from ingest_assets.sources.spool.intake import tags
from ingest_assets.sources.spool.intake.facts import Facts, Scan
from ingest_assets.sources.spool.notifier.outbox import DONE, OPEN, enqueue
from ingest_assets.sources.spool.places import SUFFIX, Spool, is_regular, remove_thing

_TAGS_AT_ONCE = 4  # of a file that are looked up together
_MAX_FILES = 20  # names that a batch is remembered to have come under
Gate = Literal["locked", "open"]
_UNREAD = "unread"  # in `extra`, of a batch whose file could not be read


@dataclass(frozen=True, slots=True)
class Claimed:
    """A file in `processing`."""

    name: str
    delivered: str  # the name that it was delivered under, as far as that is known; for people
    scan: Scan
    is_left_over: bool  # by an earlier run


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a file is, and what has to be done with it once that is recorded."""

    what: Literal["claimed", "failed", "redelivered", "known"]
    batch_tag: str
    target: Literal["stay", "archive", "failed", "drop"] = "stay"
    as_name: str = ""
    error: str = ""
    reason: str = ""  # of a batch that failed
    cause: str = ""  # and what people are alerted of


class Recorder:
    """Records what files are. The caller holds the source's lock and that of the spool."""

    def __init__(self, spool: Spool, gate_url: str | None) -> None:
        self._spool, self._gate_url = spool, gate_url

    def record(self, connection: sa.Connection, claimed: Sequence[Claimed]) -> list[Verdict]:
        """Record files. Doing it again, after a crash at any point, leads to the same."""
        by_digest: dict[str, Claimed] = {}
        for each in claimed:
            by_digest.setdefault(each.scan.digest, each)
        first = list(by_digest.values())
        rows = _known_rows(connection, first)
        verdicts = self._new(connection, [each for each in first if each.name not in rows])
        for each in first:
            if each.name in rows:
                verdicts[each.name] = self._known(connection, rows[each.name], each)
        for each in claimed:
            if each.name not in verdicts:  # the same content as another of them
                row = manifest.find_by_digest(connection, each.scan.digest)
                verdicts[each.name] = _dropped(connection, row)
        return [verdicts[each.name] for each in claimed]

    def _known(self, connection: sa.Connection, row: Any, claimed: Claimed) -> Verdict:
        if row.gone is not None:
            return _dropped(connection, row)
        if row.status == "failed" and claimed.is_left_over and self._is_of(row, claimed):
            # A crash came between the row and the move.
            reason = row.reason or manifest.FAILED
            unread = is_unread(row.extra)
            cause = failing.unreadable(row.file) if unread else failing.unindexed(reason, row.source)
            return Verdict("known", row.batch_tag, "failed", row.file, row.error or "", reason, cause)
        if row.status == "failed" or is_unread(row.extra):
            return self._again(connection, row, claimed)
        return self._here_already(connection, row, claimed)

    def _is_of(self, row: Any, claimed: Claimed) -> bool:
        """Whether a file in `processing` is that of the batch which failed."""
        if tags.climbs(claimed.name):  # its name is not the one that the row has
            return files.find(self._spool, row) is None
        return bool(row.file == claimed.name)

    def _new(self, connection: sa.Connection, claimed: Sequence[Claimed]) -> dict[str, Verdict]:
        tags_of = _free_tags(connection, claimed)
        verdicts, batches = {}, []
        for each in claimed:
            tag = tags_of[each.name]
            values, verdicts[each.name] = self._values(connection, each, tag, "locked")
            delivered = json.dumps([each.delivered], ensure_ascii=False)
            own = {"batch_tag": tag, "files": delivered, "attempts": _attempts(each)}
            batches.append(values | own | {"processed": 0, "purge": False})
        manifest.insert_all(connection, batches)
        for values in batches:
            self._tell(connection, values["batch_tag"], values)
        return verdicts

    def _again(self, connection: sa.Connection, row: Any, claimed: Claimed) -> Verdict:
        """A batch that failed was delivered again, or is tried again because somebody asked for it."""
        self._forget_failed_file(row, claimed)
        # An open gate stays open.
        gate: Gate = "open" if row.gate == "open" else "locked"
        values, verdict = self._values(connection, claimed, row.batch_tag, gate)
        delivered = [*json.loads(row.files), claimed.delivered]
        values["files"] = json.dumps(list(dict.fromkeys(delivered))[-_MAX_FILES:], ensure_ascii=False)
        values["extra"] = json.dumps(_without_unread(row.extra) | json.loads(values["extra"]), sort_keys=True)
        values["attempts"] = row.attempts + _attempts(claimed)
        values["recorded_with"] = None if row.recorded_with is None else ""  # they are recorded again
        manifest.change(connection, row.batch_tag, **values)
        self._tell(connection, row.batch_tag, values)
        return verdict

    def _forget_failed_file(self, row: Any, claimed: Claimed) -> None:
        """The old file has the same content: it makes room for the new one before anything says so."""
        if not row.file or row.file == claimed.name or row.digest != claimed.scan.digest:
            return
        old = self._spool.failed / row.file
        if not is_regular(old) or files.holds(old, row.digest):  # else somebody has mended it
            remove_thing(old)
        remove_thing(self._spool.failed / files.note_name(row.file))

    def _here_already(self, connection: sa.Connection, row: Any, claimed: Claimed) -> Verdict:
        done = row.status == "success"
        there = files.find(self._spool, row)
        if there == self._spool.processing / claimed.name:
            return Verdict("known", row.batch_tag)
        # A gate that is closed again leaves the file where it is. Another file of this name is not it.
        if there is not None and files.holds(there, row.digest):
            return _dropped(connection, row)
        # The file of the batch was lost, or a crash came before it got its name: this one is it.
        name = self._free(connection, row.file or tags.settled_name(claimed.name), claimed, row.batch_tag)
        if name != row.file:
            manifest.change(connection, row.batch_tag, file=name)
        if not claimed.is_left_over:
            manifest.note(connection, row.batch_tag, restored=True)
        return Verdict("known", row.batch_tag, "archive" if done else "stay", name)

    def _free(self, connection: sa.Connection, wanted: str, claimed: Claimed, tag: str) -> str:
        """The name for a batch's file, from now on in all folders; the one that it has, if that is wanted."""
        is_own = wanted == claimed.name
        folders = (each for each in self._spool.ours if not (is_own and each == self._spool.processing))
        return files.free(connection, wanted, folders, but=tag)

    def _values(
        self, connection: sa.Connection, claimed: Claimed, tag: str, gate: Gate
    ) -> tuple[dict[str, Any], Verdict]:
        """The columns that follow from a scan, and the verdict. `gate` is that of a personal batch."""
        scan, facts, now = claimed.scan, claimed.scan.facts, time.time()
        common = {
            "digest": scan.digest,
            "total_files": 1,
            "total_bytes": scan.bytes,
            "queued_at": now,
            "started_at": None,
            "loaded": False,
        }
        if facts is None:
            error = str(scan.error)
            name = self._free(connection, tags.settled_name(claimed.name), claimed, tag)
            cause = failing.unreadable(claimed.name)
            verdict = Verdict("failed", tag, "failed", name, error, manifest.FAILED, cause)
            return common | _failed(name, scan.mtime, error, now), verdict
        wanted = tags.archive_name(tag, facts.batch_tag, scan.digest, claimed.name)
        name = self._free(connection, wanted, claimed, tag)
        return common | _queued(name, facts, gate), Verdict("claimed", tag, "stay", name)

    def _tell(self, connection: sa.Connection, tag: str, values: Mapping[str, Any]) -> None:
        """What the listener is told of a claim, and of its end if there is nothing to index."""
        said = {"batch_tag": tag, "pii": values["pii"], "ts": when(time.time())}
        count = values["total_records"]
        opened = said | {"event": OPEN, "spool": self._spool.root.name, "bytes": values["total_bytes"]}
        enqueue(connection, tag, OPEN, opened | {"count": count}, gate_url=self._gate_url)
        if values["status"] == "failed":
            ended = said | {"event": DONE, "status": "failed", "reason": values["reason"], "processed": 0}
            enqueue(connection, tag, DONE, ended, gate_url=self._gate_url)


def is_unread(extra: str) -> bool:
    """Whether the file of a batch could not be read, so that nothing is known of it."""
    return bool(json.loads(extra).get(_UNREAD))


def known_names(connection: sa.Connection, names: Sequence[str]) -> set[str]:
    """Those of some files in `processing` that belong there; others a crash left, or are to be read again."""
    m = _manifest.c
    rows = connection.execute(sa.select(m.file, m.extra, m.status, m.gone).where(m.file.in_(names)))
    return {row.file for row in rows if _is_on_its_way(row) and not is_unread(row.extra)}


def _is_on_its_way(row: Any) -> bool:
    return row.gone is None and row.status in {"queued", "processing"}


def _known_rows(connection: sa.Connection, claimed: Sequence[Claimed]) -> dict[str, Any]:
    """The batches that files are, by the names of the files. Nobody else changes them meanwhile."""
    m = _manifest.c
    with_content = sa.select(_manifest).where(m.digest.in_([each.scan.digest for each in claimed]))
    by_digest = {row.digest: row for row in connection.execute(with_content.with_for_update())}
    # What is to be read again may have another content by now.
    of_name = sa.select(_manifest).where(m.file.in_([each.name for each in claimed]))
    # By the name alone: the index of states would lead to all that wait at gates.
    by_name = {
        row.file: row
        for row in connection.execute(of_name.with_for_update())
        if row.gone is None and row.status == "queued" and is_unread(row.extra)
    }
    found = {each.name: by_digest.get(each.scan.digest, by_name.get(each.name)) for each in claimed}
    return {name: row for name, row in found.items() if row is not None}


def _free_tags(connection: sa.Connection, claimed: Sequence[Claimed]) -> dict[str, str]:
    """A tag for each file: the first that no batch has."""
    wanted = {each.name: _wanted_tags(each) for each in claimed}
    m = _manifest.c
    free: dict[str, str] = {}
    while left := [name for name in wanted if name not in free]:
        tries = {name: list(islice(wanted[name], _TAGS_AT_ONCE)) for name in left}
        every = {tag for names in tries.values() for tag in names}
        taken = {*connection.scalars(sa.select(m.batch_tag).where(m.batch_tag.in_(every))), *free.values()}
        for name, names in tries.items():
            tag = next((tag for tag in names if tag not in taken), None)
            if tag is not None:
                free[name] = tag
                taken.add(tag)
    return free


def _wanted_tags(claimed: Claimed) -> Iterator[str]:
    scan, facts = claimed.scan, claimed.scan.facts
    stem = claimed.name.removesuffix(SUFFIX)
    if facts is None:
        return tags.tags_for_unreadable(stem, scan.digest)
    return tags.tags_for(facts.batch_tag, facts.source, facts.created_at, stem, scan.digest)


def _dropped(connection: sa.Connection, row: Any) -> Verdict:
    times = json.loads(row.extra).get("redelivered", 0)
    manifest.note(connection, row.batch_tag, redelivered=times + 1)
    return Verdict("redelivered", row.batch_tag, "drop")


def _attempts(claimed: Claimed) -> int:
    """How often it was tried to index a file by now: one that cannot be read was; others begin later."""
    return int(claimed.scan.facts is None)


def _without_unread(extra: str) -> dict[str, Any]:
    return {name: value for name, value in json.loads(extra).items() if name != _UNREAD}


def _failed(name: str, mtime: float, error: str, now: float) -> dict[str, Any]:
    return {
        "status": "failed",
        "reason": manifest.FAILED,
        "error": error,
        "finished_at": now,
        "source": "",
        "file": name,
        "total_records": 0,
        "skipped": 0,
        "created_at": mtime,
        "pii": False,
        "gate": "none",
        "wanted": False,
        "extra": json.dumps({_UNREAD: True}),
    }


def _queued(name: str, facts: Facts, gate: str) -> dict[str, Any]:
    counts = {
        "vectors": facts.vectors,
        "vectors_ignored": facts.vectors_ignored,
        "metadata_dropped": facts.metadata_dropped,
        "repaired": facts.repaired,
    }
    extra = {} if facts.dimension is None else {"dimension": facts.dimension}
    gate = gate if facts.pii else "none"
    return {
        "status": "queued",
        "reason": None,
        "error": None,
        "finished_at": None,
        "source": facts.source,
        "file": name,
        "total_records": facts.records,
        "skipped": facts.skipped,
        "created_at": facts.created_at,
        "pii": facts.pii,
        "gate": gate,
        "wanted": gate != "locked",
        "extra": json.dumps(extra | {name: count for name, count in counts.items() if count}),
    }
