"""Pages of batches, as programs and agents get them."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.ledger import Ledger
from ingest_assets.paging import BUDGET, size
from ingest_assets.sources.operations import Asking
from ingest_assets.sources.spool import manifest
from ingest_assets.sources.spool.operations import OPERATIONS
from ingest_assets_tests.sources.spool.spool_bench import SpoolBench
from ingest_assets_tests.sources.spool.test_manifest import ROW

OPERATION = {each.name: each for each in OPERATIONS}
COUNT = 150
TAGS = [f"{n:03}-{'t' * 190}" for n in range(COUNT)]


@pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("agent", [True, False])
def test_pages_hold_each_batch_once_and_fit_into_an_answer(
    tmp_path: Path, ledger: Ledger, agent: bool
) -> None:
    rows = [
        ROW
        | {"batch_tag": tag, "digest": f"{n:032}", "source": "ü\u202e" * 500, "gate": "locked", "pii": True}
        | {"status": "failed" if n % 3 == 0 else "queued"}
        for n, tag in enumerate(TAGS)
    ]
    with ledger.transaction() as connection:
        manifest.insert_all(connection, rows[::-1])
    with SpoolBench(tmp_path, ledger=ledger) as bench:
        asking = Asking(bench, "ada", "http", agent)
        whole = pages(asking, "list_batches", "batches")
        failed = pages(asking, "list_batches", "batches", status="failed")
        locked = pages(asking, "list_gates", "gates")
        opened = pages(asking, "list_gates", "gates", state="open")
        other = pages(asking, "list_batches", "batches", status="success")
    assert [list(chain(*each)) for each in (whole, failed, locked)] == [TAGS, TAGS[::3], TAGS]
    assert opened == other == [[]]
    if not agent:
        assert [len(page) for page in whole] == [100, 50]


def pages(asking: Asking, name: str, what: str, **given: Any) -> list[list[str]]:
    """The tags on each page."""
    found, after = [], None
    operation = OPERATION[name]
    while True:
        answer: Any = operation.run(asking, operation.takes(limit=100, after=after, **given))
        assert not asking.agent or size(answer) <= BUDGET
        found.append([each.batch_tag for each in getattr(answer, what)])
        after = answer.next_after
        if after is None:
            return found
