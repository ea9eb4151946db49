"""One ledger, two systems: what a source was read from, and who the ledger belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.ledger import tables
from ingest_assets.ledger.installation import Installation
from ingest_assets.model import ConfigurationError
from ingest_assets.stages.adoption import adopt, takeovers
from ingest_assets.stages.origins import OtherOriginError
from ingest_assets.stages.removals import RemovalsHeldError
from ingest_assets_tests.support.engines import local_store
from ingest_assets_tests.support.small_parts import ToyBench, contents, document

Bench = Callable[..., ToyBench]


@pytest.fixture(params=["sqlite", "postgres"])
def bench(
    request: pytest.FixtureRequest, tmp_path: Path, ledger_url_of: Callable[[str], str]
) -> Iterator[Bench]:
    """Gives benches with a store and a ledger of their own."""
    opened: list[ToyBench] = []

    def one(name: str, **settings: Any) -> ToyBench:
        home = tmp_path / name
        home.mkdir(exist_ok=True)
        url = (
            f"sqlite:///{home / 'ledger.sqlite'}" if request.param == "sqlite" else ledger_url_of("postgres")
        )
        opened.append(ToyBench(home, ledger_url=url, store=local_store(), **settings))
        return opened[-1]

    yield one
    for each in opened:
        each.close()


def _same_ledger(bench: ToyBench, **settings: Any) -> ToyBench:
    """Another process with the same folder, ledger and store, and other settings."""
    return ToyBench(
        bench.settings.ingest_home,
        ledger=bench.ledger,
        ledger_url=bench.settings.ledger_url,
        store=bench.engine,
        **settings,
    )


def _fill(bench: ToyBench, count: int, word: str) -> None:
    bench.toy.put(*(document(f"letters/{n}", f"{word} number {n}.") for n in range(count)))


def _file(path: Path) -> str:
    path.write_bytes(b"")
    return str(path)


def test_a_ledger_holds_one_system_and_refuses_another(bench: Bench, tmp_path: Path) -> None:
    ours, theirs = _file(tmp_path / "ours.sqlite"), _file(tmp_path / "théirs.sqlite")
    one = bench("one", crm_db_path=ours)
    _fill(one, 5, "Whale")
    one.refresh()
    before = contents(one.store)
    other = _same_ledger(one, crm_db_path=theirs)
    _fill(other, 2, "Heron")
    with pytest.raises(OtherOriginError) as refused:
        other.refresh()
    assert ours in str(refused.value)
    assert theirs in str(refused.value)
    assert "ingest adopt --source crm" in str(refused.value)
    with pytest.raises(OtherOriginError):
        other.missing("crm")  # what the commands, sensors and `ingest doctor` ask
    assert one.recorded("crm") == (5, 5)
    assert contents(one.store) == before
    assert one.refresh()["records"].moved == 0
    (found,) = takeovers(other, "crm")
    assert (found.whose, found.whose_then) == (ours, theirs)
    adopt(other, "crm")
    other.refresh()
    assert other.recorded("crm") == (2, 2)
    with pytest.raises(OtherOriginError):
        one.refresh()


def test_a_ledger_from_before_origins_were_recorded_records_the_first(bench: Bench, tmp_path: Path) -> None:
    """Even if nothing has changed since."""
    ours, theirs = _file(tmp_path / "ours.sqlite"), _file(tmp_path / "theirs.sqlite")
    old = bench("old")  # without a CRM's path, nothing is recorded
    _fill(old, 5, "Whale")
    old.refresh()
    now = _same_ledger(old, source=old.toy, crm_db_path=ours)
    assert now.refresh()["records"].moved == 0
    other = _same_ledger(old, crm_db_path=theirs)
    with pytest.raises(OtherOriginError):
        other.refresh()


def test_the_sample_crm_gives_way_but_does_not_replace(bench: Bench, tmp_path: Path) -> None:
    one = bench("one")
    _file(tmp_path / "one" / "sample-crm.sqlite")
    _fill(one, 50, "Sample")
    one.refresh()
    real = _same_ledger(one, crm_db_path=_file(tmp_path / "real.sqlite"))
    _fill(real, 4, "Whale")
    real.refresh()  # without a question
    with pytest.raises(OtherOriginError, match="sample-crm"):
        one.refresh()
    assert real.recorded("crm") == (4, 4)


def test_a_wrong_system_is_held_and_not_recorded_where_none_was_recorded_yet(
    bench: Bench, tmp_path: Path
) -> None:
    """As on the first run after an upgrade from a version that recorded no systems."""
    one = bench("one", crm_db_path=_file(tmp_path / "real.sqlite"))
    _fill(one, 60, "Whale")
    one.refresh()
    with one.ledger.transaction() as connection:
        connection.execute(tables.source_origin.delete())
    wrong = _same_ledger(one, crm_db_path=_file(tmp_path / "wrong.sqlite"))
    _fill(wrong, 2, "Oats")
    for _ in range(2):
        with pytest.raises(RemovalsHeldError):
            wrong.refresh()
    assert one.recorded("crm") == (60, 60)
    assert one.refresh()["records"].moved == 0  # it is still nobody's, so the right one is not refused
    with pytest.raises(OtherOriginError):
        wrong.refresh()


def test_a_ledger_of_another_name_is_refused(bench: Bench) -> None:
    one = bench("one", ingest_installation_name="sales")
    _fill(one, 3, "Whale")
    one.refresh()
    renamed = _same_ledger(one, source=one.toy, ingest_installation_name="marketing")
    with pytest.raises(ConfigurationError, match='is "marketing", but the ledger belongs to "sales"'):
        renamed.refresh()
    adopt(renamed, "crm")
    assert renamed.refresh()["collection"].moved == 0
    assert renamed.installation == Installation(one.installation.id, "marketing")
