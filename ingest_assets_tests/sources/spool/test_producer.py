"""What producers write with `write_batch` is what is read."""

from __future__ import annotations

import math
import os
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest_assets.sandbox import Sandbox
from ingest_assets.sources.spool import write_batch
from ingest_assets.sources.spool.intake.facts import Facts, Record
from ingest_assets.sources.spool.intake.reading import BatchReader
from ingest_assets.sources.spool.places import Spool
from ingest_assets.sources.spool.sample import write_samples
from ingest_assets.sources.spool.settings import SpoolSettings
from ingest_assets.sources.spool.waiting import waiting

SECRET = "Ada Lovelace"
_YEAR = (datetime(2025, 1, 1), datetime(2026, 1, 1))  # noqa: DTZ001 - the strategy adds the zone


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Spool:
    made = Spool(tmp_path_factory.mktemp("spool") / "spool", quiet_s=60)
    made.prepare()
    return made


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchReader]:
    given = SpoolSettings(_env_file=None, spool_vectors_model="theirs", spool_quiet_s=0)
    with closing(Sandbox(tmp_path_factory.mktemp("box"))) as box, closing(BatchReader(box, given)) as made:
        yield made


def _read(reader: BatchReader, path: Path) -> tuple[Facts, list[Record]]:
    scan = reader.scan(path)
    assert scan.error is None
    assert scan.facts is not None
    return scan.facts, [record for page in reader.records(path) for record in page]


_clean = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=12)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | _clean
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_clean, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
_vectors = st.lists(st.floats(-9, 9, width=32), min_size=3, max_size=3)
_records = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "text": _clean | st.none(),
            "source": st.sampled_from(["crm", "helpdesk", None]),
            "metadata": st.dictionaries(_clean, _values, max_size=3) | st.none(),
            "embedding": _vectors | st.none(),
        },
    ),
    max_size=9,
)


@given(records=_records, source=st.sampled_from(["a", "Help desk", "ü/../.."]), pii=st.booleans(),
       tag=st.none() | st.sampled_from(["t", "a:b+c.d"]),
       at=st.none() | st.datetimes(*_YEAR, timezones=st.just(UTC)))  # fmt: skip
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
def test_what_is_written_is_read(
    spool: Spool, reader: BatchReader, records: list[dict[str, Any]], source: str, pii: bool,
    tag: str | None, at: datetime | None,
) -> None:  # fmt: skip
    path = write_batch(spool.root, records, source=source, pii=pii, batch_tag=tag, created_at=at)
    facts, found = _read(reader, path)
    path.unlink()
    assert (facts.source, facts.pii, facts.records) == (source, pii, len(records))
    if tag is not None:
        assert facts.batch_tag == tag
    if at is not None:
        assert facts.created_at == pytest.approx(at.timestamp(), abs=1e-5)
    assert len(found) == facts.records - facts.skipped
    for record in found:
        given_ = records[record.number]
        assert record.text == given_["text"]
        assert record.source == (given_.get("source") or source)
        vector = given_.get("embedding")
        assert (record.vector is not None) == (vector is not None and any(vector))
        assert record.metadata == (given_.get("metadata") or {})


def test_a_file_is_whole_private_and_alone(spool: Spool) -> None:
    before = os.umask(0o027)
    try:
        paths = {write_batch(spool.root, [{"text": "x"}], source="same") for _ in range(20)}
        paths |= {
            write_batch(str(spool.root), [{"text": "x"}], source="s", batch_tag="same") for _ in range(3)
        }
    finally:
        os.umask(before)
    assert len(paths) == 23
    assert set(spool.incoming.iterdir()) == paths
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o640}
    assert waiting(spool).whole == 23  # at once, though it was quiet for no time
    for path in paths:
        path.unlink()


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ([["x"]], "Record 0: It is a list"),
        ([{"text": "x"}, {"text": 5}], "Record 1: Its text is not text"),
        ([{"text": b"x"}], "Its text is not text"),
        ([{"txt": SECRET}], "other names"),
        ([{"text": f"{SECRET}\ud800"}], "half a character"),
        ([{"text": "x", "source": 5}], "source is not text"),
        ([{"text": "x", "metadata": [1]}], "metadata holds"),
        ([{"text": "x", "metadata": {SECRET: {1, 2}}}], "of type set"),
        ([{"text": "x", "metadata": {5: SECRET}}], "of type int"),
        ([{"text": "x", "metadata": {"a": math.nan}}], "of type float"),
        ([{"text": "x", "metadata": {"a": 1 << 64}}], "of type int"),
        ([{"text": "x", "metadata": {"a": SECRET.encode()}}], "of type bytes"),
        ([{"text": "x", "embedding": [1.0, math.inf]}], "not finite"),
        ([{"text": "x", "embedding": []}], "0 numbers"),
        ([{"embedding": [1.0]}, {"text": "y", "embedding": [1.0, 2.0]}], "Record 1: Its embedding has 2"),
        ([{"text": "x", "embedding": [SECRET]}], "Record 0: Its embedding is not"),
        ([{"text": "x", "embedding": SECRET}], "Record 0: Its embedding is not"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_batch_leaves_no_file(spool: Spool, records: Any, why: str) -> None:
    with pytest.raises((TypeError, ValueError), match=why) as error:
        write_batch(spool.root, records, source="s")
    assert SECRET not in repr(error.value) + repr(error.value.__context__) + repr(error.value.__cause__)
    assert not any(spool.incoming.iterdir())


def test_metadata_that_is_too_deep(spool: Spool) -> None:
    deep: Any = {}
    for _ in range(20):
        deep = {"in": deep}
    with pytest.raises(ValueError, match="16 deep"):
        write_batch(spool.root, [{"text": "x", "metadata": deep}], source="s")


@pytest.mark.parametrize("tag", ["", "..", "a/b", ".a", "a b", "x" * 201, "a..b", "é" * 150])
def test_tags_that_would_be_changed_are_refused(spool: Spool, tag: str) -> None:
    with pytest.raises(ValueError, match="batch_tag"):
        write_batch(spool.root, [], source="s", batch_tag=tag)


def test_other_arguments(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="incoming"):
        write_batch(tmp_path / "nowhere", [], source="s")
    for source in ("", " ", "x" * 201):
        with pytest.raises(ValueError, match="source"):
            write_batch(spool.root, [], source=source)
    with pytest.raises(TypeError):
        write_batch(spool.root, [], source=5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="others have 3"):
        write_batch(spool.root, [{"text": "x", "embedding": [1.0]}], source="s", embedding_dim=3)


def test_records_are_not_gathered(spool: Spool) -> None:
    def records(count: int) -> Iterator[dict[str, str]]:
        for number in range(count):
            yield {"text": f"{number}" * 20}

    def peak(count: int) -> int:
        tracemalloc.start()
        write_batch(spool.root, records(count), source="s").unlink()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(20_000) < 1.5 * peak(200) + 200_000


def test_it_needs_neither_settings_nor_the_rest_of_the_product(spool: Spool) -> None:
    code = (
        "import sys; from ingest_assets.sources.spool import write_batch\n"
        f"write_batch({str(spool.root)!r}, [dict(text='x')], source='s').unlink()\n"
        "heavy = {'pydantic', 'sqlalchemy', 'numpy', 'dagster', 'typer', 'ingest_assets.settings'}\n"
        "sys.exit(sorted(heavy & set(sys.modules)) or None)"
    )
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "SPOOL_QUIET_S": "nonsense",
    }
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_samples(reader: BatchReader, tmp_path: Path) -> None:
    written = write_samples(tmp_path / "spool")
    assert [each.path.parent for each in written] == [tmp_path / "spool" / "incoming"] * 5
    scans = [reader.scan(each.path) for each in written]
    facts = [scan.facts for scan in scans]
    assert [each is None for each in facts] == [False] * 4 + [True]
    assert [each.pii for each in facts if each] == [False, False, True, False]
    assert [each.skipped for each in facts if each] == [0, 0, 0, 6]
    assert "ends before" in str(scans[-1].error)
    again = write_samples(tmp_path / "spool")
    assert not {each.path for each in written} & {each.path for each in again}
