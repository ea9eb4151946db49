"""Files of different batches never have one name, so that nothing done to a batch reaches another's file."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.ledger import Ledger
from ingest_assets.sources.spool import files, gates, removing
from ingest_assets.sources.spool.decisions import Decider
from ingest_assets_tests.sources.spool.intake_bench import batch
from ingest_assets_tests.sources.spool.spool_bench import SpoolBench
from ingest_assets_tests.support.crashes import Crash

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
BY = Decider("tester", "a test", "cli")
HAPPENED = [0]


@pytest.fixture
def bench(tmp_path: Path, ledger: Ledger) -> Iterator[SpoolBench]:
    with SpoolBench(tmp_path, ledger=ledger) as made:
        yield made


def _put(bench: SpoolBench, name: str, data: bytes) -> str:
    """Deliver a file, later than those before. Returns its digest."""
    path = bench.spool.incoming / f"{name}.msgpack"
    path.write_bytes(data)
    HAPPENED[0] += 1
    then = time.time() - 1_000_000 + HAPPENED[0]
    os.utime(path, (then, then))
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _contents(bench: SpoolBench) -> dict[str, bytes]:
    """What is in the files of batches, by tag, and nothing else is there."""
    held = {}
    for tag, row in bench.batches().items():
        place = files.find(bench.spool, row)
        if place is not None:
            held[tag] = place
    lying = [path for folder in bench.spool.ours for path in folder.iterdir() if path.suffix == ".msgpack"]
    assert sorted(held.values()) == sorted(lying)
    return {tag: place.read_bytes() for tag, place in held.items()}


@both
def test_a_name_is_not_given_again_while_a_batch_has_it(bench: SpoolBench) -> None:
    monday = batch([{"text": "monday"}], batch_tag="mon")
    tuesday = batch([{"text": "tuesday"}], batch_tag="tue", pii=True)
    _put(bench, "daily", monday)
    bench.run_all()
    (bench.spool.archive / "daily.msgpack").unlink()
    _put(bench, "daily", tuesday)
    bench.run_all()
    assert _contents(bench) == {"tue": tuesday}
    _put(bench, "again", monday)
    bench.run_all()
    assert _contents(bench) == {"mon": monday, "tue": tuesday}
    removing.remove(bench, "mon", BY)
    assert _contents(bench) == {"tue": tuesday}
    gates.open_gate(bench.ledger, "tue", BY)
    bench.run_all()
    assert [*bench.texts().values()] == ["tuesday"]


@both
@pytest.mark.parametrize("rebuild", [False, True])
def test_a_locked_batch_keeps_its_file_whatever_another_is_called(bench: SpoolBench, rebuild: bool) -> None:
    victim = batch([{"text": "victim"}], batch_tag="T")
    locked = batch([{"text": "personal"}], batch_tag="P", pii=True)
    tag = f"T-{_digest(victim)[:8]}"
    _put(bench, "a", batch([{"text": "first"}], batch_tag="T"))
    _put(bench, tag, locked)
    _put(bench, "v", victim)
    bench.run_all()
    if rebuild:
        bench.run_all(rebuild=True)
    assert bench.batches()[tag].status == "success"
    assert _contents(bench)[tag] == victim
    removing.remove(bench, tag, BY)
    assert _contents(bench)["P"] == locked
    gates.open_gate(bench.ledger, "P", BY)
    bench.run_all()
    assert sorted(bench.texts().values()) == ["first", "personal"]


@both
def test_a_crash_after_the_move_finds_the_same_file(
    bench: SpoolBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim, other = batch([{"text": "victim"}], batch_tag="T"), batch([{"text": "other"}], batch_tag="O")
    tag = f"T-{_digest(victim)[:8]}"
    _put(bench, "a", batch([{"text": "first"}], batch_tag="T"))
    _put(bench, tag, other)
    bench.run_all()
    _put(bench, "v", victim)
    inner = files.to_archive

    def crashing(*args: Any) -> Any:
        inner(*args)
        raise Crash

    with monkeypatch.context() as patch, suppress(Crash):
        patch.setattr(files, "to_archive", crashing)
        bench.run_all()
    bench.run_all()
    held = _contents(bench)
    assert (held[tag], held["O"]) == (victim, other)
    removing.remove(bench, tag, BY)
    assert _contents(bench)["O"] == other


@both
def test_what_somebody_put_into_the_archive_is_neither_overwritten_nor_taken_for_a_batch(
    bench: SpoolBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = batch([{"text": "mine"}], batch_tag="t", pii=True)
    _put(bench, "a", data)
    bench.run_all()
    foreign = bench.spool.archive / "a.msgpack"
    foreign.write_bytes(b"a backup")
    gates.open_gate(bench.ledger, "t", BY)
    place = type(bench.spool).place

    def crashing(*_: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch, suppress(Crash):
        patch.setattr(type(bench.spool), "place", crashing)
        bench.run_all()
    assert type(bench.spool).place is place
    bench.run_all()
    bench.run_all()
    row = bench.only()
    assert row.status == "success"
    assert (bench.spool.archive / row.file).read_bytes() == data
    assert foreign.read_bytes() == b"a backup"


@both
def test_a_redelivery_replaces_a_file_that_is_no_longer_the_batch(bench: SpoolBench) -> None:
    data = batch([{"text": "mine"}], batch_tag="t")
    _put(bench, "a", data)
    bench.run_all()
    (bench.spool.archive / "a.msgpack").write_bytes(b"something else")
    _put(bench, "b", data)
    bench.run_all()
    assert (bench.spool.archive / bench.only().file).read_bytes() == data


@both
def test_a_link_in_failed_is_no_file_to_try_again(bench: SpoolBench) -> None:
    data = batch([{"text": "mine"}], batch_tag="t", created_at=1)
    _put(bench, "a", data)
    bench.run_all()
    row = bench.only()
    place = bench.spool.failed / row.file
    place.unlink()
    place.symlink_to(bench.folder / "elsewhere.msgpack")
    (bench.folder / "elsewhere.msgpack").write_bytes(data)
    with pytest.raises(removing.BatchStateError, match="deliver it again"):
        removing.retry(bench, row.batch_tag, BY)
    assert bench.only().status == "failed"
    _put(bench, "b", data)
    bench.run_all()
    assert (bench.spool.failed / bench.only().file).read_bytes() == data


@both
def test_a_link_in_place_of_a_claimed_file_does_not_stand_for_it(bench: SpoolBench) -> None:
    data = batch([{"text": "mine"}], batch_tag="t", pii=True)
    _put(bench, "a", data)
    bench.run_all()
    place = bench.spool.processing / bench.only().file
    place.unlink()
    place.symlink_to("/etc/hostname")
    _put(bench, "b", data)
    bench.run_all()
    gates.open_gate(bench.ledger, "t", BY)
    bench.run_all()
    assert [*bench.texts().values()] == ["mine"]


# --- Tags ---------------------------------------------------------------------------------------------------


@both
def test_nobody_can_use_up_the_tags_of_a_batch(bench: SpoolBench) -> None:
    victim = batch([{"text": "victim"}], batch_tag="T")
    digest = _digest(victim)
    ends = ["", f"-{digest[:8]}", f"-{digest[:16]}", f"-{digest}", *(f"-{digest}-{n}" for n in range(2, 9))]
    for number, end in enumerate(ends):
        _put(bench, f"a{number}", batch([{"text": f"{number}"}], batch_tag=f"T{end}"))
    _put(bench, "v", victim)
    _put(bench, "w", batch([{"text": "another"}], batch_tag="another"))
    bench.run_all()
    batches = bench.batches()
    assert {row.status for row in batches.values()} == {"success"}
    assert batches[f"T-{digest}-9"].digest == digest
    _assert_same_when_built_anew(bench)


@both
def test_a_batch_that_was_tried_again_has_the_same_tag_when_built_anew(
    bench: SpoolBench, tmp_path: Path, ledger: Ledger
) -> None:
    with SpoolBench(tmp_path, ledger=ledger, spool_max_records=1) as strict:
        _put(strict, "big", batch([{"text": "one"}, {"text": "two"}], batch_tag="R"))
        _put(strict, "bad", batch([{"text": "q"}], batch_tag="Q")[:-1])
        strict.run_all()
    tags = list(bench.batches())
    (bench.spool.failed / "bad.msgpack").write_bytes(batch([{"text": "q"}], batch_tag="Q"))
    for tag in tags:
        removing.retry(bench, tag, BY)
    bench.run_all()
    assert sorted(bench.texts().values()) == ["one", "q", "two"]
    assert sorted(bench.batches()) == sorted(tags)
    _assert_same_when_built_anew(bench)


def _assert_same_when_built_anew(bench: SpoolBench) -> None:
    with SpoolBench(bench.folder / "anew") as anew:
        for path in bench.spool.archive.iterdir():
            (anew.spool.incoming / path.name).write_bytes(path.read_bytes())
        anew.run_all()
        assert anew.documents() == bench.documents()
