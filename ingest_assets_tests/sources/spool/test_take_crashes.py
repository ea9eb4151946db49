"""A crash at any point while files are taken: afterwards each content is accounted for exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest_assets.ledger import Ledger
from ingest_assets.sources.spool import places
from ingest_assets.sources.spool.intake.reading import BatchReader
from ingest_assets.sources.spool.intake.take import Taken
from ingest_assets_tests.sources.spool.intake_bench import IntakeBench, batch
from ingest_assets_tests.support.crashes import Crash, Fuse

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)

# Contents by number: ordinary, with a tag that others have, personal, and no batches.
CONTENTS = [
    batch([{"text": "zero"}]),
    batch([{"text": "one"}], batch_tag="tag"),
    batch([{"text": "two"}], batch_tag="tag"),
    batch([{"text": "three"}], pii=True),
    batch([{"text": "four"}, {"text": 4}]),
    batch([{"text": "five"}])[:-1],
    b"",
]
_deliveries = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, len(CONTENTS) - 1)), min_size=1, max_size=5
)


@pytest.fixture
def bench(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[IntakeBench]:
    """One process reads for all examples: starting one takes as long as an example."""
    with closing(IntakeBench(tmp_path, ledger=ledger)) as made:
        reader = BatchReader.of(made)
        end = reader.close
        monkeypatch.setattr(BatchReader, "of", lambda *_: reader)
        monkeypatch.setattr(BatchReader, "close", lambda _self: None)
        yield made
        end()


@both
@given(
    rounds=st.lists(st.tuples(_deliveries, st.integers(0, 40)), min_size=1, max_size=4),
    other_file_system=st.booleans(),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_each_content_is_accounted_for_exactly_once(
    bench: IntakeBench, rounds: list[tuple[list[tuple[str, int]], int]], other_file_system: bool
) -> None:
    bench.forget_all()
    delivered = set()
    fuse = Fuse()
    with _fused(fuse, other_file_system):
        for deliveries, points in rounds:
            for name, number in deliveries:
                path = bench.spool.incoming / f"{name}.msgpack"
                if not path.exists():
                    path.write_bytes(CONTENTS[number])
                    delivered.add(CONTENTS[number])
            fuse.light(points)
            with suppress(Crash):
                bench.take()
            fuse.light(None)
        bench.take()
        assert bench.take() == Taken()
    _assert_accounted(bench, delivered)


def _assert_accounted(bench: IntakeBench, delivered: set[bytes]) -> None:
    rows, files = bench.rows(), bench.files()
    held = {}
    for tag, row in rows.items():
        folder = "failed" if row.status == "failed" else "processing"
        held[f"{folder}/{row.file}"] = tag
        if row.status == "failed":
            held[f"failed/{row.file}.txt"] = tag
            assert row.error in files[f"failed/{row.file}.txt"].decode()
        events = bench.events(tag)
        assert events == ["gate.open"] if row.status == "queued" else events[:2] == ["gate.open", "gate.done"]
    assert sorted(held) == sorted(files)
    contents = Counter(data for name, data in files.items() if not name.endswith(".txt"))
    assert contents == Counter(delivered)
    for row in rows.values():
        assert (row.status == "failed") == (row.total_records == 0)
        assert row.gate == ("locked" if row.pii else "none")
        assert row.wanted == (row.status == "queued" and not row.pii)
    assert not [path for folder in bench.spool.ours for path in folder.iterdir() if path.name.startswith(".")]


@contextmanager
def _fused(fuse: Fuse, other_file_system: bool) -> Iterator[None]:
    """The process may end before and after each change of the disk and of the ledger."""
    with pytest.MonkeyPatch.context() as patch:
        renamed: Callable[..., bool] = places._renamed
        if other_file_system:
            renamed = lambda source, target: source.parent.name != "incoming" and _rename(source, target)  # noqa: E731
        patch.setattr(places, "_renamed", _with_points(fuse, renamed))
        for owner, name in (
            (places, "_copy"),
            (places, "sync_folder"),
            (Path, "unlink"),
            (Path, "rename"),
            (Path, "write_text"),
            (Path, "chmod"),
        ):
            patch.setattr(owner, name, _with_points(fuse, getattr(owner, name)))
        patch.setattr(Ledger, "transaction", _fused_transaction(fuse, Ledger.transaction))
        yield


_rename = places._renamed


def _with_points(fuse: Fuse, inner: Callable[..., Any]) -> Callable[..., Any]:
    def called(*args: Any, **kwargs: Any) -> Any:
        fuse.point()
        result = inner(*args, **kwargs)
        fuse.point()
        return result

    return called


def _fused_transaction(fuse: Fuse, inner: Callable[..., Any]) -> Callable[..., Any]:
    @contextmanager
    def transaction(self: Ledger) -> Iterator[Any]:
        fuse.point()
        with inner(self) as connection:
            yield connection
            fuse.point()  # all is done, and not committed
        fuse.point()

    return transaction


@both
def test_a_name_that_looks_like_a_path_fails_after_a_crash_at_any_point_too(
    bench: IntakeBench,
) -> None:
    is_over, points = False, 0
    while not is_over:
        bench.forget_all()
        for each in bench.spool.incoming.iterdir():
            each.unlink()
        bench.put("a..b.msgpack", CONTENTS[0])
        fuse = Fuse()
        with _fused(fuse, other_file_system=False):
            fuse.light(points)
            with suppress(Crash):
                bench.take()
                is_over = True
            fuse.light(None)
            bench.take()
        ((tag, row),) = bench.rows().items()
        assert (row.status, row.attempts, ".." in row.file) == ("failed", 1, False), points
        assert sorted(bench.files()) == [f"failed/{row.file}", f"failed/{row.file}.txt"]
        assert bench.events(tag) == ["gate.open", "gate.done"]
        points += 1
    assert points > 5
