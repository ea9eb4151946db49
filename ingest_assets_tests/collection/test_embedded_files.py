"""The embedded engine on disk: revisions that are never changed, readers that are never disturbed."""

from __future__ import annotations

import hashlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.collection import files, shards
from ingest_assets.collection.base import Leg
from ingest_assets.collection.embedded import EmbeddedStore
from ingest_assets.fields import COMMON_FIELDS, conditions_of
from ingest_assets_tests.collection.points import dense, ids_of, make_points, sparse_of, write
from ingest_assets_tests.support.engines import memory_folder
from ingest_assets_tests.support.small_parts import ToyBench, contents, document

NAME = "test_chunks"
WIDE = 64


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    store = EmbeddedStore(tmp_path)
    store.create(NAME, 1, 4)
    write(store, NAME, 1, make_points(range(10)))
    store.publish(NAME, 1)
    yield store
    store.close()


@pytest.fixture
def home() -> Iterator[Path]:
    folder = memory_folder()
    yield folder
    shutil.rmtree(folder)


def _count(store: EmbeddedStore) -> int:
    with store.reader(NAME) as reader:
        return reader.count()


def _bytes_of(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _live_folder(home: Path) -> Path:
    return home / NAME / (home / NAME / "CURRENT").read_text().strip()


def test_nothing_is_visible_before_the_commit(store: EmbeddedStore) -> None:
    with store.writer(NAME, 1) as writer:
        writer.upsert(make_points(range(10, 20)))
        writer.delete(ids_of([0]))
        assert _count(store) == 10
        writer.commit()
        assert _count(store) == 19


def test_what_was_not_committed_is_discarded(store: EmbeddedStore, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), store.writer(NAME, 1) as writer:  # noqa: PT012 - it has to fail within
        writer.upsert(make_points(range(10, 20)))
        _ = 1 / 0
    assert _count(store) == 10
    assert sorted(p.name for p in (tmp_path / NAME).iterdir()) == [
        "000001-000000",
        "000001-000001",
        "CURRENT",
    ]


def test_a_writer_that_writes_nothing_makes_no_revision(store: EmbeddedStore, tmp_path: Path) -> None:
    before = _live_folder(tmp_path)
    with store.writer(NAME, 1) as writer:
        writer.commit()
    assert _live_folder(tmp_path) == before


def test_a_reader_keeps_its_revision_through_many_commits(store: EmbeddedStore, tmp_path: Path) -> None:
    """Even when the revision's folder is gone, and for data that it has not read before."""
    folder = _live_folder(tmp_path)
    with EmbeddedStore(tmp_path).reader(NAME) as reader:
        for n in range(20, 25):
            write(store, NAME, 1, make_points([n, 3], text=f"text of {n}"))
        store.create(NAME, 2, 4)
        store.publish(NAME, 2)
        store.drop(NAME, 1)
        assert not folder.exists()
        assert reader.count() == 10
        assert len(list(reader.scan())) == 10
        assert reader.payloads(ids_of([3]))[ids_of([3])[0]]["text"] == "text 3"
        answers = reader.query([Leg("dense", dense=dense(3)), Leg("bm25", sparse=sparse_of([1003]))], limit=2)
        assert [answer[0].id for answer in answers] == ids_of([3]) * 2
    assert _count(store) == 0


def test_an_open_store_sees_each_commit_of_another(store: EmbeddedStore, tmp_path: Path) -> None:
    with_readers = EmbeddedStore(tmp_path)
    for n in range(10, 14):
        assert _count(with_readers) == n
        write(store, NAME, 1, make_points([n]))
    with_readers.close()


@pytest.mark.usefixtures("store")
def test_readers_of_one_revision_do_not_make_each_other_reopen(tmp_path: Path) -> None:
    """Opening takes a tenth of a second: two servers that make each other reopen are slow."""
    others = [EmbeddedStore(tmp_path), EmbeddedStore(tmp_path)]
    opened = []
    for other in others * 3:
        with other.reader(NAME) as reader:
            opened.append(reader)
    assert len({id(reader) for reader in opened}) == 2
    for other in others:
        other.close()


def test_a_revision_that_is_removed_while_it_is_opened_is_not_read(
    store: EmbeddedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commits happen after a reader has read the name and before it has opened the folder."""
    load, folder = shards.load_shard, _live_folder(tmp_path)

    def slow_load(path: Path) -> Any:
        shard = load(path)
        if path == folder and folder.exists():
            monkeypatch.setattr(shards, "load_shard", load)
            write(store, NAME, 1, make_points([10]))
            write(store, NAME, 1, make_points([11]))
            assert not folder.exists()
        return shard

    other = EmbeddedStore(tmp_path)
    monkeypatch.setattr(shards, "load_shard", slow_load)
    assert _count(other) == 12
    other.close()


def test_what_the_engine_makes_anew_of_a_removed_revision_does_not_stay(
    store: EmbeddedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes folders that it does not find while it opens a revision, which is removed at that moment."""
    load, folder = shards.load_shard, _live_folder(tmp_path)

    def slow_load(path: Path) -> Any:
        monkeypatch.setattr(shards, "load_shard", load)
        shard = load(path)
        write(store, NAME, 1, make_points([10]))
        write(store, NAME, 1, make_points([11]))
        store.close()  # it removes in a thread
        (folder / "segments" / "payload_index").mkdir(parents=True)
        return shard

    other = EmbeddedStore(tmp_path)
    monkeypatch.setattr(shards, "load_shard", slow_load)
    assert _count(other) == 12
    other.close()
    assert not folder.exists()


def test_only_two_revisions_are_kept(store: EmbeddedStore, tmp_path: Path) -> None:
    for n in range(10, 16):
        write(store, NAME, 1, make_points([n]))
    store.close()
    assert len([p for p in (tmp_path / NAME).iterdir() if p.is_dir()]) == 2


def test_a_collection_whose_folder_is_lost_is_not_live(store: EmbeddedStore, tmp_path: Path) -> None:
    shutil.rmtree(_live_folder(tmp_path))
    assert store.live(NAME) is None


@pytest.fixture
def small_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments get a graph, and their large files are linked, with only a few points."""
    monkeypatch.setattr(shards, "INDEXING_THRESHOLD_KIB", 64)
    monkeypatch.setattr(files, "_WRITE_ONCE_MIN_BYTES", 1 << 10)


@pytest.mark.usefixtures("small_graphs")
@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.thorough) for n in (1, 2))])
def test_a_published_revision_is_never_changed(home: Path, seed: int) -> None:
    """Its files are shared, as hard links, with the copies that later refreshes write to."""
    store, chance = EmbeddedStore(home), random.Random(seed)
    store.create(NAME, 1, WIDE)
    write(store, NAME, 1, make_points(range(4_000), dimension=WIDE))
    store.publish(NAME, 1)
    held = set(range(4_000))
    linked = graphs = 0
    for round_ in range(4):
        folder = _live_folder(home)
        before = _bytes_of(folder)
        graphs += sum("vector_index" in name for name in before)
        with store.writer(NAME, 1) as writer:
            gone = chance.sample(sorted(held), k=[5, 1_200, 900, 40][round_])
            writer.delete(ids_of(gone))
            held -= set(gone)
            writer.upsert(make_points(chance.sample(sorted(held), k=50), dimension=WIDE, text="changed"))
            new = range(10_000 + 1_000 * round_, 10_000 + 1_000 * round_ + chance.choice([3, 500]))
            writer.upsert(make_points(new, dimension=WIDE))
            held |= set(new)
            writer.commit()
        assert _bytes_of(folder) == before
        later = _live_folder(home)
        linked += sum(path.stat().st_nlink > 1 for path in later.rglob("*") if path.is_file())
        assert set(contents(store, NAME)) == set(ids_of(held))
    assert linked, "no file was shared: this test proves nothing"
    assert graphs, "no segment had an index: this test proves nothing"
    with store.reader(NAME) as reader:
        best = [
            reader.query([Leg("dense", dense=dense(n, WIDE))], limit=1)[0][0].id for n in sorted(held)[:50]
        ]
    assert sum(a == b for a, b in zip(best, ids_of(sorted(held)[:50]), strict=True)) >= 48
    store.close()


@pytest.mark.usefixtures("small_graphs")
def test_a_graph_finds_nearly_what_a_scan_does_and_scores_it_exactly(home: Path) -> None:
    """Its vectors have one byte per number; the points found are scored with the full vectors."""
    store, points = EmbeddedStore(home), make_points(range(3_000), dimension=WIDE)
    store.create(NAME, 1, WIDE)
    write(store, NAME, 1, points)
    store.publish(NAME, 1)
    assert list(_live_folder(home).rglob("quantized.data")), "nothing was quantized: this test proves nothing"
    even = [n for n in range(3_000) if n % 2 == 0]
    for limit, where, numbers, least in [
        (100, None, range(3_000), 0.9),
        (10, None, range(3_000), 0.95),
        (100, {"kind": ["even"]}, even, 0.95),
        (10, {"kind": ["even"]}, even, 0.99),
        (10, {"entity_ids": ["entity 1"], "kind": ["even"]}, [n for n in even if n % 3 == 1], 0.93),
    ]:
        rows = dict(zip(ids_of(numbers), numbers, strict=True))
        right = 0
        with store.reader(NAME) as reader:
            for n in range(10_000, 10_020):
                asked = dense(n, WIDE)
                exact = {key: float(points.dense[row] @ asked) for key, row in rows.items()}
                [found] = reader.query(
                    [Leg("dense", dense=asked)], limit, conditions_of(where or {}, COMMON_FIELDS)
                )
                assert [s for _, s in found] == pytest.approx([exact[key] for key, _ in found], abs=1e-5)
                right += len({key for key, _ in found} & set(sorted(exact, key=exact.__getitem__)[-limit:]))
        assert right >= least * 20 * limit, (limit, where)
    store.close()


READ = """
import sys
from pathlib import Path
from ingest_assets.collection.embedded import EmbeddedStore
from ingest_assets.model import NotPublishedError
store, seen = EmbeddedStore(Path(sys.argv[1])), set()
print("ready", flush=True)
# After each commit there are twenty or forty points, all of one colour.
while not (Path(sys.argv[1]) / "stop").exists():
    for one in (store, EmbeddedStore(Path(sys.argv[1]))):
        with one.reader("test_chunks") as reader:
            ids = [key for key, _ in reader.scan()]
            colours = {payload["text"] for payload in reader.payloads(ids).values()}
            assert reader.count() == len(ids), (reader.count(), len(ids))
            assert len(ids) in (20, 40), len(ids)
            assert len(colours) == 1, colours
            seen.add(colours.pop())
print(len(seen), flush=True)
"""


def test_another_process_can_read_at_any_time(home: Path) -> None:
    """During commits and switches of generation it never sees an empty or half-written index."""
    store = EmbeddedStore(home)
    store.create(NAME, 1, 4)
    write(store, NAME, 1, make_points(range(20), text="colour"))
    store.publish(NAME, 1)
    command = [sys.executable, "-c", READ, str(home)]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    generation = 1
    for round_ in range(30):
        size = 20 if round_ % 2 else 40
        if round_ % 6 == 5:
            store.create(NAME, generation + 1, 4)
            write(store, NAME, generation + 1, make_points(range(size), text=f"colour {round_}"))
            store.publish(NAME, generation + 1)
            store.drop(NAME, generation - 1)
            generation += 1
            continue
        with store.writer(NAME, generation) as writer:
            writer.upsert(make_points(range(20), text=f"colour {round_}"))
            writer.delete(ids_of(range(size, 40)))
            writer.upsert(make_points(range(20, size), text=f"colour {round_}"))
            writer.commit()
    (home / "stop").touch()
    outputs = [reader.communicate(timeout=60)[0] for reader in readers]
    assert [reader.returncode for reader in readers] == [0, 0]
    assert all(int(output) > 3 for output in outputs)


# Imports take most of a second, so one process does them, and forks another for each number of points.
WRITE = """
import os, signal, sys
from pathlib import Path
import qdrant_edge
from ingest_assets_tests.support.crashes import Fuse, FusedStore
from ingest_assets_tests.support.small_parts import ToyBench, ToySource, document
from ingest_assets.collection.embedded import EmbeddedStore

class Killer(Fuse):
    def __init__(self, points):
        self.left = points

    def point(self):
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

def write(points):
    home = Path(sys.argv[1])
    store = FusedStore(EmbeddedStore(home / "collections"), Killer(points))
    toy = ToySource([document(f"notes/{n}", f"New text {n}") for n in range(3, 12)])
    ToyBench(home, source=toy, store=store).refresh(rebuild=sys.argv[2] == "rebuild")

for line in sys.stdin:
    child = os.fork()
    if not child:
        write(int(line))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@contextmanager
def _writers(home: Path, how: str) -> Iterator[Callable[[int], int]]:
    """Writes in a child process, which is killed after a number of points. Returns its exit code."""
    command = [sys.executable, "-c", WRITE, str(home), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as loaded:

        def write(points: int) -> int:
            assert loaded.stdin is not None
            assert loaded.stdout is not None
            loaded.stdin.write(f"{points}\n")
            loaded.stdin.flush()
            return int(loaded.stdout.readline())

        yield write


@pytest.mark.parametrize("how", ["refresh", "rebuild"])
@pytest.mark.parametrize("every", [12, pytest.param(3, marks=pytest.mark.thorough)])
def test_a_killed_writer_leaves_the_live_index_as_it_was(tmp_path: Path, how: str, every: int) -> None:
    points, ended = 0, False
    with ToyBench(tmp_path) as bench:
        bench.toy.put(*(document(f"notes/{n}", f"Old text {n}") for n in range(9)))
        bench.refresh()
        before = contents(bench.store)
    with _writers(tmp_path, how) as write:
        while not ended:
            code = write(points)
            ended = code == 0
            assert ended or code == -signal.SIGKILL
            with ToyBench(tmp_path) as bench:
                held = contents(bench.store)
                titles = {payload["text"].split("\n")[-1].split()[0] for payload, _, _ in held.values()}
                assert held == before or titles == {"New"}, "half of a refresh is visible"
                bench.toy.put(*(document(f"notes/{n}", f"Old text {n}") for n in range(9)))
                bench.refresh()
                assert contents(bench.store) == before
            points += every
    assert points > every
    left = {path.name.split("-")[0] for path in (tmp_path / "collections" / "crm_chunks").iterdir()}
    assert not left & {"work", "trash"}


@given(
    parts=st.lists(st.tuples(st.sampled_from([b"\0", b"x", b"\0y", b"z\0"]), st.integers(1, 9)), max_size=8)
)
def test_a_copy_has_the_same_bytes(parts: list[tuple[bytes, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as name:
        patch.setattr(files, "_COPY_BLOCK", 4)
        source, target = Path(name, "source"), Path(name, "target")
        source.write_bytes(b"".join(text * count for text, count in parts))
        files.copy_sparse(source, target)
        assert target.read_bytes() == source.read_bytes()


def test_what_lost_its_holes_has_them_again_in_a_copy(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"begins" + bytes(40 << 20) + b"ends")
    files.copy_sparse(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks * 512 < 3 << 20
