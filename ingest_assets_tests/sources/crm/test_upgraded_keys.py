"""Upgrading an index that was made when a key of 7.0 was another one than 7: it asks, then all is as new."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote_from_bytes

import pytest
import sqlalchemy as sa

from ingest_assets.ledger import tables
from ingest_assets.reconcile import reconcile
from ingest_assets.sources.crm import extract, mapping, render
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets.sources.crm.text import Cell, key_part
from ingest_assets.stages.removals import RemovalsHeldError
from ingest_assets_tests.sources.crm_databases import make, mapping_of
from ingest_assets_tests.support.engines import local_store
from ingest_assets_tests.support.small_parts import ToyBench, contents, dump

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
PEOPLE = """
[[documents]]
name = "people"
table = "people"
key = "id"
kind = "person"
title = "{name}"
body = "Knows oats."
identity = { kind = "person", name = "{name}", emails = "mail" }

[[documents]]
name = "calls"
table = "calls"
key = "id"
kind = "call"
title = "Call {id}"
body = "About oats."
refs = [{ to = "people", columns = "person" }]
"""
TABLES = """
CREATE TABLE people (id REAL PRIMARY KEY, name, mail);
CREATE TABLE calls (id INTEGER PRIMARY KEY, person);
"""


def _old_key_part(cell: Cell) -> str | None:
    return quote_from_bytes(repr(cell).encode(), safe="") if isinstance(cell, float) else key_part(cell)


@pytest.fixture
def bench(tmp_path: Path, ledger_url: str) -> Iterator[ToyBench]:
    store = local_store()
    with ToyBench(tmp_path, ledger_url=ledger_url, store=store) as bench:
        yield bench
    store.close()


def _made_the_old_way(bench: ToyBench, folder: Path, people: int, monkeypatch: pytest.MonkeyPatch) -> None:
    crm = make(folder / "crm.db", TABLES)
    with closing(sqlite3.connect(crm)) as connection, connection:
        rows = [(n + 1, f"Person {chr(97 + n % 26)}{n}", f"p{n}@x.example") for n in range(people)]
        connection.executemany("INSERT INTO people VALUES (?, ?, ?)", rows)
        connection.execute("INSERT INTO people VALUES (0.5, 'Half', NULL)")
        connection.execute("INSERT INTO calls VALUES (1, 1), (2, 0.5), (3, '2.0')")
    with monkeypatch.context() as before:
        for module in (extract, render):
            before.setattr(module, "key_part", _old_key_part)
        before.setattr(mapping, "RENDER_VERSION", "1")
        _read(bench, folder)
        bench.refresh()
    assert {"people/1.0", "people/0.5"} < _ids(bench)
    _read(bench, folder)


def _read(bench: ToyBench, folder: Path) -> None:
    bench.toy = CrmSource(folder / "crm.db", mapping_of(folder, PEOPLE))  # type: ignore[assignment]


def _ids(bench: ToyBench) -> set[str]:
    with bench.ledger.reading() as connection:
        return set(connection.scalars(sa.select(tables.document.c.document_id)))


def _pointed(bench: ToyBench) -> set[str]:
    return {payload["document_id"] for payload, *_ in contents(bench.store).values()}


@both
def test_most_ids_are_others_so_it_asks(
    bench: ToyBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _made_the_old_way(bench, tmp_path, 60, monkeypatch)
    before = dump(bench.ledger, but=("last_success", "input_digest_at_success", "at"))
    with pytest.raises(RemovalsHeldError, match=r"remove 60 of 64 documents .*60 of 61 person.*people/1\.0"):
        bench.refresh()
    after = dump(bench.ledger, but=("last_success", "input_digest_at_success", "at"))
    assert {name for name in after if after[name] != before[name]} == {"held_removal"}

    run = bench.run(allow_removals=True)
    for name in bench.sources["crm"].stage_names:
        reconcile(bench.stage("crm", name), bench.ledger, run)
    _is_as_new(bench, 60)


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_a_few_are_exchanged_unasked(
    bench: ToyBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _made_the_old_way(bench, tmp_path, 5, monkeypatch)
    bench.refresh()
    _is_as_new(bench, 5)


def _is_as_new(bench: ToyBench, people: int) -> None:
    expected = {f"people/{n + 1}" for n in range(people)} | {"people/0.5", "calls/1", "calls/2", "calls/3"}
    assert _ids(bench) == _pointed(bench) == expected
    with bench.ledger.reading() as connection:
        query = sa.select(tables.document.c.document_id, tables.document.c.refs)
        refs = dict(connection.execute(query).tuples().all())
        members = set(connection.scalars(sa.select(tables.entity_member.c.document_id)))
    assert [refs[f"calls/{n}"] for n in (1, 2, 3)] == ['["people/1"]', '["people/0.5"]', '["people/2"]']
    assert members == {each for each in expected if each.startswith("people/")}
    assert bench.refresh()["records"].moved == 0
