"""The sample CRM: the same everywhere, in the promised proportions, and with a correct ground truth."""

from __future__ import annotations

import csv
import hashlib
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from ingest_assets.model import ConfigurationError
from ingest_assets.sources.crm.mapping import load_mapping
from ingest_assets.sources.crm.reader import CrmSource
from ingest_assets.sources.crm.sample import edit_sample, write_sample
from ingest_assets_tests.sources.crm_databases import digests, documents


def _content(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return hashlib.sha256("\n".join(connection.iterdump()).encode()).hexdigest()


def test_the_same_seed_gives_the_same_crm(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_sample(tmp_path / name, documents=500, seed=seed)
    a, b, c = (_content(tmp_path / name) for name in "abc")
    assert a == b
    assert a != c
    truths = [(tmp_path / f"{name}.truth.csv").read_text() for name in "ab"]
    assert truths[0] == truths[1]


def test_it_has_the_promised_proportions(tmp_path: Path) -> None:
    truth = write_sample(tmp_path / "crm.db", documents=4_000, seed=2, duplicates=0.1)
    source = CrmSource(truth.path, load_mapping())
    found = documents(source)
    assert len(found) == truth.documents == 4_000
    assert source.repaired == 0
    kinds = Counter(document.kind for document in found.values())
    assert kinds["person"] == truth.people == 600
    assert kinds["organisation"] == truth.organisations == 240
    assert kinds["opportunity"] == truth.opportunities == 280
    assert sum(kinds[kind] for kind in ("email", "meeting", "call", "note")) == truth.interactions == 2_880
    assert all(ref in found for document in found.values() for ref in document.refs)
    bodies = [found[f"interactions/{number + 1}"].body for number in range(truth.interactions)]
    assert len(set(bodies)) > 0.95 * len(bodies)
    assert "{" not in "".join(bodies)
    assert any(3_000 <= len(body) <= 8_500 for body in bodies)
    with closing(sqlite3.connect(truth.path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_the_ground_truth(tmp_path: Path) -> None:
    truth = write_sample(tmp_path / "crm.db", documents=4_000, seed=3, duplicates=0.1)
    found = documents(CrmSource(truth.path, load_mapping()))
    with truth.truth_path.open(encoding="utf-8", newline="") as file:
        rows = {row["id"]: row["cluster"] for row in csv.DictReader(file)}
    assert rows == truth.clusters
    assert set(rows) == {i for i, document in found.items() if document.identity}
    assert all(rows[cluster] == cluster for cluster in rows.values())
    duplicates = [i for i, cluster in rows.items() if i != cluster]
    assert 0.07 < len(duplicates) / len(rows) < 0.13
    assert any(found[i].title != found[rows[i]].title for i in duplicates)
    # No e-mail address or telephone number is shared by two different people.
    owners: dict[str, str] = {}
    for document_id, document in found.items():
        if document.identity:
            for mark in (*document.identity.emails, *document.identity.phones):
                digits = (
                    "".join(c for c in mark if c.isdigit()).lstrip("0") if "@" not in mark else mark.lower()
                )
                assert owners.setdefault(digits, rows[document_id]) == rows[document_id]


def test_a_file_is_only_overwritten_on_request(tmp_path: Path) -> None:
    path = tmp_path / "crm.db"
    path.write_text("precious")
    with pytest.raises(ConfigurationError, match="exists"):
        write_sample(path, documents=10, seed=1)
    assert path.read_text() == "precious"
    write_sample(path, documents=10, seed=1, overwrite=True)
    assert len(digests(CrmSource(path, load_mapping()))) == 10


def test_edits_change_exactly_the_documents_they_return(tmp_path: Path) -> None:
    path = tmp_path / "crm.db"
    write_sample(path, documents=2_000, seed=4)
    source = CrmSource(path, load_mapping())
    before = digests(source)
    touched = edit_sample(path, seed=1, changes=20, deletes=8, inserts=12)
    after = digests(source)
    assert touched == sorted(i for i in before | after if before.get(i) != after.get(i))
    assert len(before.keys() - after.keys()) == 8
    assert len(after.keys() - before.keys()) <= 12
    assert edit_sample(path, seed=1, changes=0, deletes=0, inserts=0) == []
    assert digests(source) == after


@pytest.mark.parametrize("documents_wanted", [2, 3, 17])
def test_small_samples(tmp_path: Path, documents_wanted: int) -> None:
    truth = write_sample(tmp_path / "crm.db", documents=documents_wanted, seed=1)
    assert len(digests(CrmSource(truth.path, load_mapping()))) == truth.documents == documents_wanted
