"""No message of the spool holds words of a record, because what steps, repairs and refusals say is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_assets import reconcile as reconciling
from ingest_assets.ledger import Ledger
from ingest_assets.orchestration.quotes import quoting_as
from ingest_assets.queries.skipped import skipped_items
from ingest_assets.quoting import quotes_allowed
from ingest_assets.reconcile import Stage
from ingest_assets.sources.registry import load_sources
from ingest_assets.sources.spool.decisions import Decider
from ingest_assets.sources.spool.definition import SOURCE
from ingest_assets.sources.spool.gates import close_gate, open_gate
from ingest_assets.sources.spool.settings import NAME
from ingest_assets.stages.parked import parked_items
from ingest_assets_tests.sources.spool.home_of_spool import home_of_spool
from ingest_assets_tests.sources.spool.spool_bench import SpoolBench
from ingest_assets_tests.support.fixtures import IngestHere, ingest_here

__all__ = ["ingest_here"]  # a fixture
SECRET = "Marmaduke Quillfeather complained of his neighbour"
BY = Decider("ada", "as agreed", "cli")


@pytest.fixture
def bench(tmp_path: Path, ledger: Ledger) -> Iterator[SpoolBench]:
    with SpoolBench(tmp_path, ledger=ledger) as bench:
        yield bench


@pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
def test_what_is_refused_is_listed_and_logged_without_words(bench: SpoolBench) -> None:
    bench.model.refuses = lambda text: "Marmaduke" in text
    bench.write([SECRET, "an ordinary text"], pii=True, batch_tag="letters")
    bench.run_all()
    open_gate(bench.ledger, "letters", BY)
    with quoting_as(SOURCE):
        bench.run_all()
    assert bench.only().status == "failed"
    said = str([parked_items(bench), skipped_items(bench, NAME, ""), bench.only(), bench.events()])
    logs = "".join(path.read_text() for path in (bench.folder / "logs").iterdir())
    notes = "".join(path.read_text() for path in bench.spool.failed.glob("*.txt"))
    assert "Marmaduke" not in said + logs + notes
    close_gate(bench.ledger, "letters", BY)
    assert parked_items(bench) == []


def test_a_fault_of_a_step_quotes_nothing() -> None:
    def step() -> None:
        with quoting_as(SOURCE):
            raise KeyError(SECRET)

    with pytest.raises(Exception, match="KeyError") as raised:
        step()
    assert "Marmaduke" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_repair_quotes_no_more_than_a_run(
    tmp_path: Path, ingest_here: IngestHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of_spool(tmp_path)
    allowed: list[bool] = []
    real = reconciling.reconcile

    def noting(stage: Stage, *given: object) -> object:
        allowed.append(quotes_allowed())
        return real(stage, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(reconciling, "reconcile", noting)
    assert ingest_here(home, "audit", "--repair").status == 0
    assert allowed == [False]


def test_sources_say_whether_they_are_quoted() -> None:
    for source in load_sources().values():
        with source.quoting():
            assert quotes_allowed() is (source.name != NAME)
    assert quotes_allowed()
