"""`ingest graph` and the graph's operations: text for people, JSON for programs, answers of bounded size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner, Result

from ingest_assets.ledger import Ledger
from ingest_assets.model import RequestError
from ingest_assets.sources.operations import Asking
from ingest_assets.sources.papers.graph.commands import graph
from ingest_assets.sources.papers.graph.operations import GRAPH_OPERATIONS
from ingest_assets_tests.sources.papers.loading import (
    Rows,
    add_paper,
    entity,
    evidence,
    load,
    relationship,
)

NASTY = "Ward\x1b[31m [bold]red[/bold] \u202e"


def rows() -> Rows:
    entities = [
        entity("MeSH:D000309", "Adrenal Insufficiency", synonyms=["AI"]),
        entity("RxNorm:5492", "Hydrocortisone", "Drug", status="provisional"),
        entity("nasty", NASTY, "Concept"),
    ]
    entities += [entity(f"long-{i}", f"Long {i} " + "x" * 900, synonyms=["y" * 900] * 30) for i in range(40)]
    found = [
        relationship("RxNorm:5492", "TREATS", "MeSH:D000309", 0.9),
        relationship("nasty", "CAUSES", "MeSH:D000309", 0.2),
    ]
    found += [relationship(f"long-{i}", "AFFECTS", f"long-{(i * 7 + 1) % 40}", 0.5) for i in range(40)]
    found += [relationship("long-0", "AFFECTS", f"long-{i}", 0.6) for i in range(2, 40)]
    said = [evidence(found[0], f"{NASTY} Hydrocortisone replaces cortisol.", confidence=0.9)]
    said += [evidence(each, f"{i} " + "z" * 5_000) for each in found[2:] for i in range(3)]
    return Rows(entities, found, [], said)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graph-home")
    ledger = Ledger(f"sqlite:///{folder / 'ledger.sqlite'}")
    load(ledger, rows())
    add_paper(ledger, "PMC1", title="Cortisol " * 100, year=2020, authors=[], notices=[])
    ledger.close()
    return folder


@pytest.fixture
def ingest(home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("INGEST_LEDGER_URL", f"sqlite:///{home / 'ledger.sqlite'}")
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(graph, arguments, catch_exceptions=True)

    return run


@pytest.mark.parametrize(
    ("arguments", "shown", "field"),
    [
        (
            ("entity", "ai"),
            ["Adrenal Insufficiency", "Also called: AI", "Hydrocortisone TREATS"],
            "statements",
        ),
        (("search", "adrenal"), ["Adrenal Insufficiency", "MeSH:D000309"], "entities"),
        (("neighbours", "hydrocortisone"), ["confidence 0.90, 1 paper", "PMC1, Cortisol"], "neighbours"),
        (("relationships", "--predicate", "treats"), ["Hydrocortisone TREATS Adrenal"], "statements"),
        (("within", "hydrocortisone"), ["within reach of Hydrocortisone: 2", "hops"], "reached"),
        (("path", "nasty", "hydrocortisone"), ["2 statements connect"], "steps"),
        (("stats",), ["Bundle b1", "relationships", "TREATS"], "predicates"),
        (("links", "PMC1"), ["No author is like a person"], "links"),
    ],
)
def test_every_command_is_for_people_and_for_programs(
    ingest: Any, arguments: tuple[str, ...], shown: list[str], field: str
) -> None:
    said = ingest(*arguments)
    assert said.exit_code == 0, said.exception
    for each in shown:
        assert each in " ".join(said.stdout.split())
    assert "\x1b[31m" not in said.stdout
    assert "\u202e" not in said.stdout
    assert field in json.loads(ingest(*arguments, "--json").stdout)


def test_the_text_of_papers_is_printed_as_it_is(ingest: Any) -> None:
    said = ingest("entity", "nasty").stdout
    assert "[bold]red[/bold]" in said
    found = json.loads(ingest("entity", "nasty", "--json").stdout)
    assert found["entity"]["entity_id"] == "nasty"


def test_pages_follow_each_other(ingest: Any) -> None:
    seen: list[str] = []
    more: tuple[str, ...] = ()
    while True:
        page = json.loads(ingest("neighbours", "long-0", "--limit", "7", "--json", *more).stdout)
        seen += [f"{each['direction']} {each['entity']['entity_id']}" for each in page["neighbours"]]
        if page["next_cursor"] is None:
            break
        more = ("--cursor", page["next_cursor"])
    assert len(seen) == len(set(seen)) == 40
    assert "--cursor" in ingest("neighbours", "long-0").stdout


def test_a_wrong_question_is_answered_with_what_to_do(
    ingest: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = ingest("entity", "hydrocortison")
    assert isinstance(wrong.exception, RequestError)
    assert "Close names are 'Hydrocortisone'" in str(wrong.exception)
    monkeypatch.setenv("INGEST_LEDGER_URL", f"sqlite:///{tmp_path / 'absent.sqlite'}")
    nothing = ingest("stats")
    assert "There is no knowledge graph yet. `ingest paper add`" in str(nothing.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def asking(home: Path) -> Iterator[Asking]:
    ledger = Ledger(f"sqlite:///{home / 'ledger.sqlite'}")
    bench: Any = SimpleNamespace(ledger=ledger)  # operations need no other part of a workbench
    yield Asking(bench, "ada", "http", agent=True)
    ledger.close()


ARGUMENTS: dict[str, dict[str, Any]] = {
    "get_graph_entity": {"entity": "long-0"},
    "search_graph_entities": {"text": "long", "limit": 50},
    "find_relationships": {"predicate": "affects", "limit": 50},
    "find_graph_neighbours": {"entity": "long-0", "limit": 50},
    "find_entities_within_hops": {"entity": "long-0", "hops": 4, "limit": 50},
    "find_graph_path": {"start": "long-3", "end": "long-4"},
    "get_bundle_info": {},
    "get_graph_stats": {},
    "find_author_links": {"id": "PMC1"},
}


@pytest.mark.parametrize("operation", GRAPH_OPERATIONS, ids=lambda each: each.name)
def test_every_answer_fits_and_pages_lead_to_all(operation: Any, asking: Asking) -> None:
    given = ARGUMENTS[operation.name]
    answer = operation.run(asking, operation.takes(**given))
    assert isinstance(answer, operation.answers)
    assert len(answer.model_dump_json()) <= 15_000
    items = {"entities": 40, "statements": 78, "neighbours": 40, "reached": 39}
    [field] = [name for name in items if hasattr(answer, name)] or [""]
    if not hasattr(answer, "next_cursor"):
        return
    count = len(getattr(answer, field))
    while answer.next_cursor:
        answer = operation.run(asking, operation.takes(**given, cursor=answer.next_cursor))
        assert len(answer.model_dump_json()) <= 15_000
        count += len(getattr(answer, field))
    assert count == items[field]


def test_operations_are_told_apart_and_take_what_their_example_gives() -> None:
    assert len({each.name for each in GRAPH_OPERATIONS}) == len(GRAPH_OPERATIONS)
    assert len({each.path for each in GRAPH_OPERATIONS}) == len(GRAPH_OPERATIONS)
    for each in GRAPH_OPERATIONS:
        example = each.description.partition("Example: ")[2]
        each.takes(**json.loads(example))
        assert each.path.startswith("/graph/")
        assert each.scope == "read"
        with pytest.raises(ValidationError):
            each.takes(**json.loads(example), unknown=1)
