"""What the checks of the spool find: in all that there is, and in what changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.ledger import Ledger, tables
from ingest_assets.ledger.spool_tables import ingestion_manifest, spool_record
from ingest_assets.sources.spool import gates
from ingest_assets.sources.spool.checks import SPOOL_CHECKS
from ingest_assets.sources.spool.decisions import Decider
from ingest_assets_tests.sources.spool.spool_bench import SpoolBench

pytestmark = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
BY = Decider("ada", "as agreed", "cli")
CHECKS = {each.name: each for each in SPOOL_CHECKS if each.of_changes is not None}


@pytest.fixture
def bench(tmp_path: Path, ledger: Ledger) -> Iterator[SpoolBench]:
    with SpoolBench(tmp_path, ledger=ledger) as bench:
        bench.write(["one", "two", ""], batch_tag="a")
        bench.write(["three"], batch_tag="b")
        bench.write(["secret"], batch_tag="letters", pii=True)
        bench.run_all()
        yield bench


def passed(bench: SpoolBench, *, of_changes: bool) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for name, check in CHECKS.items():
        run: Any = check.of_changes if of_changes else check.run
        found[name] = run(bench, "spool").passed
    return found


def test_all_pass_of_what_was_indexed(bench: SpoolBench) -> None:
    assert set(passed(bench, of_changes=True).values()) == {True}
    assert set(passed(bench, of_changes=False).values()) == {True}


@pytest.mark.parametrize(
    ("damaged", "check"),
    [
        (tables.document.delete().filter_by(document_id="a/1"), "archived_batches_are_indexed"),
        (spool_record.delete().filter_by(batch_tag="b"), "records_are_there"),
        (
            ingestion_manifest.update().filter_by(batch_tag="b").values(wanted=False, recorded_with=None),
            "nothing_locked_is_searchable",
        ),
    ],
)
def test_what_is_wrong_is_found_until_it_is_mended(bench: SpoolBench, damaged: Any, check: str) -> None:
    with bench.ledger.transaction() as connection:
        connection.execute(damaged)
    as_they_should_be = dict.fromkeys(CHECKS, True) | {check: False}
    for _ in range(2):
        assert passed(bench, of_changes=True) == as_they_should_be
    assert not passed(bench, of_changes=False)[check]


def test_what_passed_is_not_looked_at_again_until_it_changes(bench: SpoolBench) -> None:
    passed(bench, of_changes=True)
    with bench.ledger.transaction() as connection:
        connection.execute(tables.document.delete().filter_by(document_id="a/1"))
    bench.write(["four"], batch_tag="c")
    bench.run_all()
    assert passed(bench, of_changes=True)["archived_batches_are_indexed"]
    assert not passed(bench, of_changes=False)["archived_batches_are_indexed"], "an audit looks at all"


def test_a_batch_that_is_yet_to_be_withdrawn_is_looked_at_when_it_was(bench: SpoolBench) -> None:
    gates.open_gate(bench.ledger, "letters", BY)
    bench.run_all()
    gates.close_gate(bench.ledger, "letters", BY)
    assert passed(bench, of_changes=True)["nothing_locked_is_searchable"], "it is hidden"
    withdrawn = ingestion_manifest.update().filter_by(batch_tag="letters").values(recorded_with=None)
    with bench.ledger.transaction() as connection:
        connection.execute(withdrawn)
    assert not passed(bench, of_changes=True)["nothing_locked_is_searchable"], "its documents were left"
