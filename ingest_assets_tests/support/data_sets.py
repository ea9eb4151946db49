"""The data sets that tests use and the repository does not hold: a folder `shared` beside it has them.

A test asks for one by a fixture, which gives the real files where they are. Where they are not it gives a
generated substitute, or skips the test if none would be honest: figures that were published of real data, the
vectors of a real model. INGEST_REQUIRE_SHARED_DATA=1 demands the real ones: then a missing one is a failure.
What belongs here: which data sets there are, and counting what went without. What does not: substitutes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest

from ingest_assets_tests.support import substitutes

SHARED = Path(__file__).resolve().parents[3] / "shared"
REQUIRED = "INGEST_REQUIRE_SHARED_DATA"

# Fixture: its place below the folder.
PLACES = {
    "northwind": "data/crm/northwind_create.sql",
    "labelled_people": "data/people/fake_1000.csv",
    "sentence_model": "models/all-MiniLM-L6-v2-int8",
    "minilm": "models/all-MiniLM-L6-v2-int8",
}
_PROPERTY = "data set is absent"  # of a test's report, which xdist hands to the controlling process


@dataclass(frozen=True)
class DataSet:
    """A file or folder, and whether it is the real one."""

    path: Path
    is_real: bool


@pytest.fixture(scope="session")
def northwind(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """An SQLite file with the tables of Northwind."""
    folder = tmp_path_factory.mktemp("northwind")
    script = _real("northwind")
    if script is None:
        return DataSet(substitutes.northwind(folder), is_real=False)
    with closing(connect(folder / "northwind.db")) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.executescript(script.read_text("utf-8"))
    return DataSet(folder / "northwind.db", is_real=True)


@pytest.fixture(scope="session")
def labelled_people(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """A CSV file of 1,000 people, some of them several times; `benchmarks.entity_sets` reads it."""
    return _real_or("labelled_people", substitutes.people, tmp_path_factory)


@pytest.fixture(scope="session")
def sentence_model(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """A folder with an ONNX model that fastembed loads by the name of all-MiniLM-L6-v2."""
    return _real_or("sentence_model", substitutes.sentence_model, tmp_path_factory)


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The real all-MiniLM-L6-v2, for tests of exactly its vectors."""
    folder = _real("minilm")
    if folder is None:
        pytest.skip(f"there is no substitute for shared/{PLACES['minilm']}")
    return folder


def note_absent(items: Iterable[pytest.Item]) -> None:
    """Have the reports of tests say which of their data sets are absent."""
    absent = {fixture for fixture, place in PLACES.items() if not (SHARED / place).exists()}
    for item in items:
        for fixture in sorted(absent & set(getattr(item, "fixturenames", ()))):
            item.user_properties.append((_PROPERTY, fixture))


def summary(reports: Mapping[str, Sequence[Any]]) -> str | None:
    """How many tests went without a data set, by pytest's reports of each outcome. None if none did."""
    counts = {
        outcome: sum(_lacked_data(report) for report in reports.get(outcome, ()))
        for outcome in ("passed", "failed", "skipped")
    }
    substituted, skipped = counts["passed"] + counts["failed"], counts["skipped"]
    if not substituted + skipped:
        return None
    used = "1 test" if substituted == 1 else f"{substituted} tests"
    left_out = "1 was" if skipped == 1 else f"{skipped} were"
    return f"shared data: {used} used a generated substitute, {left_out} skipped"


def _lacked_data(report: Any) -> bool:
    return any(name == _PROPERTY for name, _ in getattr(report, "user_properties", ()))


def _real_or(fixture: str, substitute: Callable[[Path], Path], folders: pytest.TempPathFactory) -> DataSet:
    path = _real(fixture)
    if path is not None:
        return DataSet(path, is_real=True)
    return DataSet(substitute(folders.mktemp(fixture)), is_real=False)


def _real(fixture: str) -> Path | None:
    """The path of the real one; None if it is absent. Fails if it is demanded."""
    path = SHARED / PLACES[fixture]
    if path.exists():
        return path
    if os.environ.get(REQUIRED, "0") not in {"", "0"}:
        reason = f"shared/{PLACES[fixture]} is absent beside the repository, and {REQUIRED} demands it"
        pytest.fail(reason, pytrace=False)
    return None
