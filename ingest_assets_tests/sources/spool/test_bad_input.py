"""What a producer may drop by mistake or on purpose: an outcome and a note for each, and others are taken."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from ingest_assets.ledger import Ledger
from ingest_assets.model import UnavailableError
from ingest_assets.sources.spool.intake.take import Taken
from ingest_assets_tests.sources.spool.intake_bench import IntakeBench, batch
from ingest_assets_tests.sources.spool.test_no_batches import BAD

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
Mount = Callable[[Path, int], None]


@pytest.fixture
def mounted() -> Iterator[Mount]:
    """Mounts a small file system of its own on a folder."""
    folders: list[Path] = []

    def mount(folder: Path, kib: int) -> None:
        folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=700", "tmpfs", str(folder)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("this user cannot mount a file system")
        folders.append(folder)

    yield mount
    for folder in folders:
        subprocess.run(["umount", str(folder)], check=True)


@both
def test_each_gets_its_outcome_and_all_others_are_taken(tmp_path: Path, ledger: Ledger) -> None:
    contents = {name.replace(" ", "-"): data for name, (data, _) in BAD.items()}
    contents["ten-megabytes"] = batch([{"text": "y" * 10_000_000}])
    contents |= {"..up": batch([{"text": "up"}]), "a..b": batch([{"text": "between"}])}
    with closing(IntakeBench(tmp_path, ledger=ledger)) as bench:
        for name, data in contents.items():
            bench.put(f"{name}.msgpack", data)
        (bench.spool.incoming / "link.msgpack").symlink_to("/etc/hostname")
        for number in range(3):
            bench.put(f"good{number}.msgpack", batch([{"text": f"{number}"}], batch_tag=f"good{number}"))
        assert bench.take() == Taken(claimed=3, failed=len(contents) + 1)
        rows = bench.rows()
        logged = [json.loads(line) for path in (tmp_path / "logs").glob("failures*") for line in path.open()]
        said = {line["batch_tag"]: line["message"] for line in logged}
        assert [rows.pop(f"good{number}").status for number in range(3)] == ["queued"] * 3
        delivered = {json.loads(row.files)[0].removesuffix(".msgpack") for row in rows.values()}
        assert delivered == {*contents, "link"}
        for tag, row in rows.items():
            assert (row.status, row.reason) == ("failed", "failed")
            assert row.error
            assert os.path.lexists(bench.spool.failed / row.file)
            assert row.error in (bench.spool.failed / f"{row.file}.txt").read_text()
            assert said[tag] == row.error
        assert not any(bench.spool.incoming.iterdir())
        assert bench.take() == Taken()


def test_a_disk_that_is_full(tmp_path: Path, mounted: Mount) -> None:
    mounted(tmp_path / "spool", 256)
    with closing(IntakeBench(tmp_path)) as bench:
        bench.put("bad.msgpack", b"\xc1")
        bench.put("good.msgpack", batch(batch_tag="good"))
        ballast = bench.spool.root / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4_096))
        with pytest.raises(UnavailableError, match="No space left on device"):
            bench.take()
        rows = bench.rows()
        assert rows["good"].status == "queued"  # the others are taken all the same
        assert sum(row.status == "failed" for row in rows.values()) == 1
        ballast.unlink()
        bench.take()
        assert sorted(bench.files()) == [
            "failed/bad.msgpack",
            "failed/bad.msgpack.txt",
            "processing/good.msgpack",
        ]
        assert bench.rows().keys() == rows.keys()


def test_a_spool_on_several_file_systems(tmp_path: Path, mounted: Mount) -> None:
    spool = tmp_path / "spool"
    for name in ("incoming", "failed"):
        mounted(spool / name, 256)
    spool.chmod(0o700)
    with closing(IntakeBench(tmp_path)) as bench:
        data = batch([{"text": "x" * 90_000}], batch_tag="good")
        bench.put("good.msgpack", data)
        bench.put("bad.msgpack", b"\xc1")
        assert bench.take() == Taken(claimed=1, failed=1)
        assert bench.files()["processing/good.msgpack"] == data
        assert sorted(bench.files()) == [
            "failed/bad.msgpack",
            "failed/bad.msgpack.txt",
            "processing/good.msgpack",
        ]
        # One that there is no room for stays where it is, and is taken when there is.
        ballast = bench.spool.failed / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4_096))
        bench.put("worse.msgpack", b"\xc1\xc1")
        with pytest.raises(UnavailableError, match="No space left on device"):
            bench.take()
        assert bench.files()["processing/worse.msgpack"] == b"\xc1\xc1"
        ballast.unlink()
        bench.take()
        assert bench.files()["failed/worse.msgpack"] == b"\xc1\xc1"
        assert not any(bench.spool.incoming.iterdir())


def test_a_file_that_there_is_no_room_for_keeps_no_smaller_one(tmp_path: Path, mounted: Mount) -> None:
    mounted(tmp_path / "spool" / "processing", 64)
    (tmp_path / "spool").chmod(0o700)
    with closing(IntakeBench(tmp_path)) as bench:
        bench.put("a-large.msgpack", batch([{"text": "x" * 90_000}], batch_tag="large"))
        for number in range(3):
            bench.put(f"b{number}.msgpack", batch([{"text": f"{number}"}], batch_tag=f"small{number}"))
        with pytest.raises(UnavailableError, match=r"'a-large\.msgpack' cannot be moved.*No space left"):
            bench.take()
        assert sorted(bench.rows()) == ["small0", "small1", "small2"]
        assert [each.name for each in bench.spool.incoming.iterdir()] == ["a-large.msgpack"]
        assert not list(bench.spool.processing.glob(".*"))
        subprocess.run(["mount", "-o", "remount,size=1m", str(bench.spool.processing)], check=True)
        assert bench.take() == Taken(claimed=1)
