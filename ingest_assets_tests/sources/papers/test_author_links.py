"""Authors of papers and people of other sources: linked by e-mail, or name and organisation; never merged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets.ledger import graph_tables, tables
from ingest_assets.model import Document, Identity, RequestError
from ingest_assets.sources.papers.graph import authors
from ingest_assets.sources.papers.graph.author_links import links_of_paper, links_of_person, names_a_paper
from ingest_assets.sources.papers.graph.authors import author_blocks
from ingest_assets_tests.conftest import fresh_schema
from ingest_assets_tests.sources.papers.loading import add_paper
from ingest_assets_tests.support.engines import local_store
from ingest_assets_tests.support.plans import plan_of, statements_of
from ingest_assets_tests.support.small_parts import ToyBench, document

AUTHORS = [
    {
        "name": "Sofia Llahana",
        "email": "sofia.llahana@city.ac.uk",
        "affiliations": ["School of Health, Univ. X"],
    },
    {
        "name": "Eystein S Husebye",
        "email": "",
        "affiliations": ["Dept. of Medicine, Nordlab AS, Bergen, Norway"],
    },
    {"name": "Kari Nordmann", "email": "", "affiliations": ["Elsewhere University, Oslo"]},
    {"name": "", "email": "", "affiliations": []},
]


def person(number: int, name: str, *emails: str, organisation: str = "") -> Document:
    identity = Identity("person", name, emails=emails, organisation=organisation)
    return document(f"people/{number}", f"About {name}.", title=name, identity=identity)


PEOPLE = [
    person(1, "S. Llahana", "Sofia.Llahana@City.ac.uk", organisation="City University"),
    person(2, "Eystein Husebye", "eystein@nordlab.example", organisation="Nordlab"),
    person(3, "Kari Nordmann", "kari@firm.example", organisation="Firm"),
    person(4, "Somebody Else", "else@firm.example", organisation="Nordlab"),
]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToyBench]:
    folder: Path = tmp_path_factory.mktemp("links")
    url = f"sqlite:///{folder / 'ledger.sqlite'}"
    if request.param == "postgres":
        url = fresh_schema(request.getfixturevalue("postgres"))
    store = local_store()
    with ToyBench(folder, ledger_url=url, store=store) as bench:
        bench.toy.put(*PEOPLE)
        for stage in ("records", "match_models", "entities"):
            bench.do(stage)
        put(bench, "PMC1", AUTHORS)
        put(bench, "PMC2", AUTHORS[1:])
        yield bench
    store.close()


def put(bench: ToyBench, paper: str, authors: list[dict[str, Any]]) -> None:
    facts: dict[str, Any] = {"title": "About cortisol", "authors": authors}
    add_paper(bench.ledger, paper, **facts)
    with bench.ledger.transaction() as connection:
        connection.execute(graph_tables.paper_author_block.insert(), author_blocks(paper, facts))


def entity_of(bench: ToyBench, record: str) -> str:
    with bench.ledger.reading() as connection:
        query = sa.select(tables.entity_member.c.entity_id).filter_by(document_id=record)
        return str(connection.scalar(query))


def test_an_address_links_strongly_and_a_name_only_with_an_organisation(bench: ToyBench) -> None:
    found = links_of_paper(bench.ledger, "PMC1")
    by_author = {each.author: each for each in found.links}
    assert set(by_author) == {"Sofia Llahana", "Eystein S Husebye"}
    assert not found.cut
    strong, weak = by_author["Sofia Llahana"], by_author["Eystein S Husebye"]
    assert strong.entity_id == entity_of(bench, "people/1")
    assert "email" in strong.because
    assert (weak.entity_id, weak.because) == (entity_of(bench, "people/2"), ["name", "organisation"])
    assert strong.weight > weak.weight
    assert (found.links[0].author_number, found.links[0].source) == (0, "crm")
    for each in found.links:
        assert each.probability == pytest.approx(2**each.weight / (1 + 2**each.weight), abs=0.01)


def test_a_person_has_the_links_that_the_papers_have(bench: ToyBench) -> None:
    of_papers = [link for paper in ("PMC1", "PMC2") for link in links_of_paper(bench.ledger, paper).links]
    for number in (1, 2):
        entity = entity_of(bench, f"people/{number}")
        expected = {
            (link.paper_id, link.author, link.weight) for link in of_papers if link.entity_id == entity
        }
        found = links_of_person(bench.ledger, entity if number == 1 else f"people/{number}").links
        assert {(each.paper_id, each.author, each.weight) for each in found} == expected
        assert len(found) == number  # the second paper lacks the first author
    few = links_of_person(bench.ledger, "people/2", limit=1)
    assert (len(few.links), few.cut) == (1, True)


def test_people_of_a_source_that_the_caller_may_not_see_are_not_there(bench: ToyBench) -> None:
    assert links_of_paper(bench.ledger, "PMC1", sees=lambda source: source != "crm").links == []
    assert links_of_paper(bench.ledger, "PMC1", sees=lambda source: source == "crm").links
    with pytest.raises(RequestError, match="There is no paper, and no person"):
        links_of_person(bench.ledger, "people/1", sees=lambda source: source == "papers")


def test_nothing_is_merged(bench: ToyBench) -> None:
    def rows() -> Any:
        with bench.ledger.reading() as connection:
            return [
                connection.execute(sa.select(t)).all() for t in (tables.entity_member, tables.match_block)
            ]

    before = rows()
    links_of_paper(bench.ledger, "PMC1")
    assert rows() == before


def test_what_is_unknown_is_said(bench: ToyBench) -> None:
    assert names_a_paper(bench.ledger, "PMC1")
    assert not names_a_paper(bench.ledger, "people/1")
    with pytest.raises(RequestError, match="no paper 'PMC9'"):
        links_of_paper(bench.ledger, "PMC9")
    for nobody in ("people/99", "", "\0", "\ud800"):
        with pytest.raises(RequestError, match="no person or record"):
            links_of_person(bench.ledger, nobody)
    with pytest.raises(RequestError, match="1 to 100"):
        links_of_paper(bench.ledger, "PMC1", limit=0)


def test_nobody_is_looked_for_among_all_people(bench: ToyBench) -> None:
    with statements_of(bench.ledger) as selects:
        links_of_paper(bench.ledger, "PMC1")
        links_of_person(bench.ledger, "people/2")
    plans = {statement: plan_of(bench.ledger, statement, selects[statement]) for statement in selects}
    assert len(plans) > 8
    for statement, plan in plans.items():
        for table in ("document", "entity_member", "match_block", "paper_file", "paper_author_block"):
            assert f"SCAN {table}" not in plan or "min(" in statement, (statement, plan)
            assert f"Seq Scan on {table}" not in plan, (statement, plan)


def test_the_parts_of_an_affiliation_may_be_organisations() -> None:
    facts = {
        "authors": [{"name": "A B", "email": "x", "affiliations": ["Dept. X, Nordlab AS; Oslo, Norway"]}, {}]
    }
    first, second = authors.authors_of("P", facts)
    assert {"nordlab", "oslo", "norway"} <= first.organisations
    assert (second.name, second.organisations) == ("", frozenset())
    rows = author_blocks("P", facts)
    assert rows == sorted(rows, key=lambda row: (row["block"], row["author"]))
    assert {row["author"] for row in rows} == {0}
