"""A refresh after any history gives what a build from nothing gives. See `histories`.

Every day a few histories and crashes; `make thorough` tries many more, and every point of a crash.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from ingest_assets.sources.crm.definition import SOURCE as CRM
from ingest_assets_tests.conftest import fresh_schema
from ingest_assets_tests.support.engines import Engines
from ingest_assets_tests.support.histories import (
    FromNothing,
    Operation,
    World,
    histories,
    run_history,
    small_batches,
)
from ingest_assets_tests.support.small_parts import document


def fast(examples: int) -> settings:
    """Shrinking takes minutes; `python -m ingest_assets_tests.soak` does it."""
    phases = (Phase.explicit, Phase.generate)
    return settings(max_examples=examples, phases=phases, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True, scope="module")
def _batches() -> Iterator[None]:
    with small_batches():
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[Engines]:
    engines = Engines(embedded=False)
    yield engines
    engines.close()


@pytest.fixture(scope="module")
def embedded() -> Iterator[Engines]:
    engines = Engines(embedded=True)
    yield engines
    engines.close()


@pytest.fixture(scope="module")
def on_postgres(postgres: str) -> Iterator[Engines]:
    def new_schema(_folder: Path) -> str:
        return fresh_schema(postgres)

    engines = Engines(new_schema, embedded=False)
    yield engines
    engines.close()


@fast(25)
@given(histories)
def test_on_a_server_and_sqlite(server: Engines, history: list[Operation]) -> None:
    run_history(server, history)


@fast(6)
@given(histories)
def test_on_the_embedded_engine_and_sqlite(embedded: Engines, history: list[Operation]) -> None:
    run_history(embedded, history)


@fast(5)
@given(histories)
def test_on_a_server_and_postgres(on_postgres: Engines, history: list[Operation]) -> None:
    run_history(on_postgres, history)


@pytest.mark.thorough
@fast(150)
@given(histories)
def test_many_on_a_server_and_sqlite(server: Engines, history: list[Operation]) -> None:
    run_history(server, history)


@pytest.mark.thorough
@fast(20)
@given(histories)
def test_many_on_the_embedded_engine_and_sqlite(embedded: Engines, history: list[Operation]) -> None:
    run_history(embedded, history)


@pytest.mark.thorough
@fast(15)
@given(histories)
def test_many_on_a_server_and_postgres(on_postgres: Engines, history: list[Operation]) -> None:
    run_history(on_postgres, history)


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("kind", ["server", "embedded"])
@pytest.mark.parametrize("undone", [False, True], ids=["resumed", "undone"])
@pytest.mark.parametrize("rebuild", [False, True], ids=["refresh", "rebuild"])
def test_a_crash_at_every_point(
    request: pytest.FixtureRequest, kind: str, *, undone: bool, rebuild: bool, every: int
) -> None:
    """Whatever a run was doing when it crashed, and even if the edit is undone before the next one.

    The two cases of what comes next take the points in turns. Every day takes a fifth of them.
    """
    engines: Engines = request.getfixturevalue(kind)
    builds: dict[str, FromNothing] = {}  # of the same documents, whatever the point
    crashed = True
    point = int(undone)
    while crashed:
        world = World(engines, builds=builds)
        for number in range(4):
            world.put(document(f"notes/{number}", f"The first text of number {number}. " * 3))
        world.refresh()
        before = dict(world.toy.documents)
        world.put(document("notes/1", "Another text. " * 9))
        world.put(document("notes/9", "A new document."))
        world.toy.documents.pop("notes/2")
        # The embedded engine takes a tenth of a second per commit: crash only the stage that uses it.
        crashed = world.crash(point, rebuild, CRM.stage_names[:-1] if kind == "embedded" else ())
        if undone:
            world.toy.documents = before
        world.check()
        world.close()
        point += every * (4 if rebuild else 2)
    assert point > 10
