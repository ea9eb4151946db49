"""Questions about the graph: what a plain search of all rows would find, in bounded work, on both ledgers."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_assets.ledger import Ledger, tables
from ingest_assets.model import RequestError
from ingest_assets.sources.papers.graph import edges, lookup
from ingest_assets.sources.papers.graph import queries as ask
from ingest_assets.sources.papers.graph.names import looked_up, words_in
from ingest_assets.sources.papers.graph.pages import PageOf
from ingest_assets.sources.papers.graph.walks import Bounds
from ingest_assets_tests.conftest import fresh_schema
from ingest_assets_tests.sources.papers.graph_samples import (
    HUB,
    all_pages,
    asking,
    hub,
    key_of,
    said,
    small,
)
from ingest_assets_tests.sources.papers.loading import (
    Rows,
    add_paper,
    entity,
    load,
    old_bundle,
    relationship,
)
from ingest_assets_tests.support.plans import asked_of, plan_of, statements_of


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('graph') / 'ledger.sqlite'}"
    else:
        url = fresh_schema(request.getfixturevalue("postgres"))
    opened = Ledger(url)
    load(opened, small(), "small")
    load(opened, hub(), "hub")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def old(ledger: Ledger) -> Rows:
    rows = old_bundle()
    load(ledger, rows)
    return rows


@pytest.fixture(scope="module", autouse=True)
def papers(ledger: Ledger) -> None:
    gone = [{"kind": "retraction", "about_this": True}]
    add_paper(ledger, "PMC1", title="Cortisol", year=2020, journal="J", notices=[])
    add_paper(ledger, "PMC2", title="A wrong one", year=2019, journal="J", notices=gone)
    add_paper(ledger, "PMC2", rank=1, title="The same as PDF", notices=[])


def test_an_old_graph_is_counted(ledger: Ledger, old: Rows) -> None:
    found = ask.stats(ledger)
    assert (found.entities, found.relationships, found.mentions, found.evidence) == (342, 359, 817, 405)
    assert found.provisional == sum(each["status"] == "provisional" for each in old.entities)
    assert found.predicates["TREATS"] == 59
    assert found.classes["disease"] == 84
    info = ask.bundle_info(ledger)
    assert (info.bundle_id, info.label) == ("ad1163786a404a01bf6104f4aede46f2", "medical-literature")


def test_every_entity_is_found_by_its_id_with_all_its_statements(ledger: Ledger, old: Rows) -> None:
    for row in old.entities[::11]:
        found = ask.entity(ledger, row["entity_id"], page=PageOf(100))
        own = [r for r in old.relationships if row["entity_id"] in {r["subject_id"], r["object_id"]}]
        assert {said(each) for each in found.statements} == {key_of(each) for each in own}
        assert found.mentions == row["total_mentions"]
        for each in found.statements:
            assert len(each.evidence) == min(each.evidence_count, ask.SENTENCES)


def test_every_name_leads_to_an_entity_that_has_it_or_to_a_choice(ledger: Ledger, old: Rows) -> None:
    several: list[str] = []
    for row in old.entities[::11]:
        for name in [row["name"], *row["properties"]["synonyms"]]:
            try:
                found = ask.entity(ledger, f"  {name.upper()} ")
            except RequestError as error:
                several.append(str(error))
                continue
            names = {found.entity.name, *found.synonyms}
            assert looked_up(name) in {looked_up(each) for each in names}
    assert all("entities are called" in each for each in several)
    assert len(several) < 10


@settings(max_examples=25)
@given(st.data())
def test_a_search_finds_all_with_words_that_begin_so(ledger: Ledger, old: Rows, data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(old.entities))
    words = words_in(data.draw(st.sampled_from([row["name"], *row["properties"]["synonyms"]])))
    chosen = data.draw(st.lists(st.sampled_from(words), min_size=1, max_size=3)) if words else ["x"]
    asked = [word[: data.draw(st.integers(1, len(word)))] for word in chosen]

    def fits(each: dict[str, Any]) -> bool:
        names = [each["name"], *each["properties"]["synonyms"]]
        has = [word for name in names for word in words_in(name)]
        begins = any(looked_up(name).startswith(looked_up(" ".join(asked))) for name in names)
        return begins or all(any(word.startswith(start) for word in has) for start in asked)

    found = all_pages(lambda page: ask.search(ledger, " ".join(asked), page=page), "entities", 100)
    ids = [each.entity_id for each in found]
    assert len(set(ids)) == len(ids)
    of_ids = {i for i in ids if looked_up(i).startswith(looked_up(" ".join(asked)))}
    assert set(ids) - of_ids == {each["entity_id"] for each in old.entities if fits(each)} - of_ids


def test_the_closest_name_comes_first_and_classes_narrow(ledger: Ledger) -> None:
    def names(text: str, kind: str | None = None) -> list[str]:
        return [each.name for each in ask.search(ledger, text, entity_class=kind, source="small").entities]

    assert names("addison disease")[0] == "Addison Disease"
    assert names("ADDISON\u2019S dis") == ["Addison Disease"]
    assert names("ai") == ["Artificial intelligence", "Adrenal Insufficiency"]
    assert names("ai", "method") == ["Artificial intelligence"]
    assert names("insuff adr") == ["Adrenal Insufficiency"]
    assert names("zzz") == []
    with pytest.raises(RequestError, match=r"no class 'planet'\. It has Concept, Disease"):
        names("ai", "planet")
    with pytest.raises(RequestError, match="no letters"):
        names("--")
    with pytest.raises(RequestError, match="no letters"):
        names("a\udfff")


def test_a_name_of_several_is_a_choice_and_an_unknown_one_gets_suggestions(ledger: Ledger) -> None:
    def meant(asked: str) -> str:
        return ask.entity(ledger, asked, source="small").entity.entity_id

    assert meant("hgnc:2592") == meant("21-HYDROXYLASE") == "HGNC:2592"
    with pytest.raises(RequestError, match=r"2 entities are called 'AI'.*AI:1.*MeSH:D000309"):
        meant("AI")
    with pytest.raises(RequestError, match="Close names are 'Adrenal Insufficiency'"):
        meant("Adrenal insuficiency")
    for nothing in ("", " ", "\0", "a\ud800"):
        with pytest.raises(RequestError, match="empty"):
            meant(nothing)
    with pytest.raises(RequestError, match=r"There is no knowledge graph yet.*ingest paper add"):
        ask.entity(ledger, "x", source="nobody")


def test_an_id_that_gave_way_leads_on_and_one_that_ended_says_so(ledger: Ledger) -> None:
    rows: list[dict[str, Any]] = [
        {"entity_id": "old-1", "successor": "old-2"},
        {"entity_id": "old-2", "successor": "HGNC:2592"},
        {"entity_id": "ended", "successor": None},
    ]
    with ledger.transaction() as connection:
        for row in rows:
            values = {"source": "small", "kind": "Gene", "age": 1, "retired": True, **row}
            connection.execute(tables.entity.insert().values(**values))
    found = ask.entity(ledger, "old-1", source="small")
    assert (found.asked, found.entity.entity_id, found.gave_way) == ("old-1", "HGNC:2592", True)
    assert found.earlier_ids == ["old-2"]
    assert ask.path(ledger, "old-2", "Addison disease", source="small").start.gave_way
    with pytest.raises(RequestError, match="Nothing is left of the entity ended"):
        ask.entity(ledger, "ended", source="small")


def test_evidence_of_a_retracted_paper_says_so_and_comes_last(ledger: Ledger) -> None:
    [found] = ask.relationships(ledger, subject="hydrocortisone", source="small").statements
    assert (found.predicate, found.papers_count) == ("TREATS", 2)
    first, second = found.evidence
    assert (first.text, first.paper.title, first.paper.year, first.section, first.paper.retracted) == (
        "Hydrocortisone replaces cortisol.",
        "Cortisol",
        2020,
        "results",
        False,
    )
    assert (second.paper.title, second.paper.retracted) == ("A wrong one", True)


def test_relationships_are_narrowed_and_paged_in_one_order(ledger: Ledger, old: Rows) -> None:
    subject = old.relationships[0]["subject_id"]
    questions: list[tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = [
        ({"predicate": "treats"}, lambda r: r["predicate"] == "TREATS"),
        ({"subject": subject}, lambda r: r["subject_id"] == subject),
        (
            {"object_": "C0001623", "predicate": "INDICATES"},
            lambda r: key_of(r)[1:] == ("INDICATES", "C0001623"),
        ),
        (
            {"predicate": "associated with", "min_confidence": 0.8},
            lambda r: r["predicate"] == "ASSOCIATED_WITH" and r["confidence"] >= 0.8,
        ),
    ]
    for wanted, fits in questions:
        found = all_pages(asking(ask.relationships, ledger, **wanted), "statements")
        keys = [said(each) for each in found]
        assert len(keys) == len(set(keys))
        assert set(keys) == {key_of(row) for row in old.relationships if fits(row)}
        order = [(each.confidence, each.evidence_count) for each in found]
        assert order == sorted(order, reverse=True)


def test_relationships_of_papers_are_those_they_have_a_sentence_for(ledger: Ledger, old: Rows) -> None:
    paper = "PMC10667925"
    found = all_pages(lambda page: ask.relationships(ledger, papers=[paper], page=page), "statements")
    keys = {row["relationship_key"] for row in old.evidence if row["document_id"] == paper}
    assert {":".join(said(each)) for each in found} == keys
    answer = ask.relationships(ledger, papers=[paper], predicate="indicates", page=PageOf(100))
    assert answer.cut == ""
    assert {":".join(said(each)) for each in answer.statements} == {
        key for key in keys if ":INDICATES:" in key
    }


def test_of_too_many_sentences_of_papers_the_surest_count(
    ledger: Ledger, old: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edges, "FROM_PAPERS", 5)
    papers = sorted({row["document_id"] for row in old.evidence})[:20]
    of_papers = [row for row in old.evidence if row["document_id"] in papers]
    surest = sorted((row["confidence"] for row in of_papers), reverse=True)[4]
    may_be = {row["relationship_key"] for row in of_papers if row["confidence"] >= surest}
    must_be = {row["relationship_key"] for row in of_papers if row["confidence"] > surest}
    answer = ask.relationships(ledger, papers=papers)
    found = {":".join(said(each)) for each in answer.statements}
    assert "only the 5 surest were looked at" in answer.cut
    assert must_be <= found <= may_be
    assert 0 < len(found) <= 5 < len({row["relationship_key"] for row in of_papers})


def test_a_search_says_when_more_ids_begin_so_than_were_compared(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No name has a word that begins with these letters: only ids do."""
    assert not ask.search(ledger, "e", source="hub").cut
    monkeypatch.setattr(lookup, "COMPARED", 10)
    assert ask.search(ledger, "e", source="hub").cut


def test_what_cannot_be_asked_is_said(ledger: Ledger) -> None:
    with pytest.raises(RequestError, match="at least a subject"):
        ask.relationships(ledger, source="small")
    with pytest.raises(RequestError, match=r"no predicate 'eats'\. It has ASSOCIATED_WITH, REGULATES"):
        ask.relationships(ledger, predicate="eats", source="small")
    with pytest.raises(RequestError, match="1 to 100"):
        PageOf(0)
    for cursor in ("x", "", "bnVsbA==", "WzEsMiwzLDRd", "WyJhIiwxLCJiIiwiYyJd", "W251bGwsMSwiYiIsImMiXQ=="):
        with pytest.raises(RequestError, match="not a cursor"):
            ask.neighbours(ledger, "hub", page=PageOf(cursor=cursor), source="hub")
    for cursor in ("at-", "at--1", "at-²", "7", f"at-{'9' * 30}"):
        with pytest.raises(RequestError, match="not a cursor"):
            ask.within_hops(ledger, "hub", page=PageOf(cursor=cursor), source="hub")
    assert ask.relationships(ledger, papers=["\0", "\ud800", "no"], source="small").statements == []
    for hops in (0, 5):
        with pytest.raises(RequestError, match="1 to 4 hops"):
            ask.within_hops(ledger, "hub", hops=hops, source="hub")


def test_neighbours_of_a_hub_come_a_page_at_a_time(ledger: Ledger) -> None:
    for direction, expected in (("out", HUB // 2), ("in", HUB // 2), ("both", HUB)):
        found = all_pages(
            asking(ask.neighbours, ledger, "hub", direction=direction, source="hub"),
            "neighbours",
            100,
        )
        assert len({each.entity.entity_id for each in found}) == len(found) == expected
        sure = [each.statement.confidence for each in found]
        assert sure == sorted(sure, reverse=True)
    own = ask.neighbours(ledger, "CYP21A2", source="small").neighbours
    assert [each.entity.name for each in own] == ["Addison Disease", "CYP21A2"]


def test_a_walk_says_when_it_was_cut(ledger: Ledger) -> None:
    small_walk = ask.within_hops(ledger, "hydrocortisone", hops=4, source="small")
    assert [(each.entity.name, each.hops) for each in small_walk.reached] == [
        ("Adrenal Insufficiency", 1),
        ("Addison Disease", 2),
        ("CYP21A2", 3),
    ]
    assert small_walk.cut == ""
    large = ask.within_hops(ledger, "hub", hops=2, source="hub", bounds=Bounds(10, 20, 1_000))
    assert large.count == 20
    assert large.reached[0].entity.entity_id == f"e{HUB - 1}"
    assert "only the 20 surest" in large.cut
    assert "10 entities were not followed" in large.cut
    ended = ask.within_hops(ledger, "hub", hops=1, source="hub", bounds=Bounds(10, 100, 30))
    assert (ended.count, "ended after 30" in ended.cut) == (30, True)


def test_a_path_goes_through_a_hub(ledger: Ledger) -> None:
    found = ask.path(ledger, "far", "e7", source="hub")
    assert [said(each) for each in found.steps] == [
        ("e0", "AFFECTS", "far"),
        ("e0", "TREATS", "hub"),
        ("hub", "CAUSES", "e7"),
    ]
    assert found.hops == 3
    assert ask.path(ledger, "hub", "hub", source="hub").hops == 0
    assert ask.path(ledger, "lonely", "CYP21A2", source="small").hops is None
    assert ask.path(ledger, "far", "e7", max_hops=2, source="hub").hops is None
    # What a walk had reached when it met a bound is a path all the same.
    surest = f"e{HUB - 1}"
    ended = ask.path(ledger, "hub", surest, source="hub", bounds=Bounds(10, 100, 1))
    assert (ended.hops, "ended after 1 " in ended.cut) == (1, True)


def test_a_walk_asks_as_often_in_a_dense_graph(ledger: Ledger) -> None:
    """Each of 120 entities on the way, with many relationships, was once asked about alone."""
    ends = [entity("left", "Left"), entity("right", "Right")]
    middle = [entity(f"m{i}", f"Middle {i}") for i in range(120)]
    said_of = [relationship("left", "CAUSES", f"m{i}", i / 200) for i in range(120)]
    said_of += [
        relationship(f"m{i}", "CAUSES", f"m{(i * 7 + n) % 120}", n / 100)
        for i in range(120)
        for n in range(1, 7)
    ]
    said_of.append(relationship("m3", "TREATS", "far", 0.5))
    said_of.append(relationship("far", "TREATS", "right", 0.5))
    load(ledger, Rows([*ends, *middle, entity("far", "Far")], said_of), "dense")
    with asked_of(ledger) as asked:
        found = ask.path(ledger, "left", "right", source="dense")
        walk = ask.within_hops(ledger, "left", hops=3, bounds=Bounds(200, 200, 2_000), source="dense")
    assert (found.hops, found.cut, walk.count, walk.cut) == (3, "", 122, "")
    assert len([each for each in asked if "UNION ALL" in each]) <= 10
    assert len(asked) < 50


_numbers = itertools.count()
_pairs = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=16, unique=True)


@settings(max_examples=25)
@given(pairs=_pairs, start=st.integers(0, 7), end=st.integers(0, 7), hops=st.integers(1, 4))
def test_walks_and_paths_are_breadth_first(
    ledger: Ledger, pairs: list[tuple[int, int]], start: int, end: int, hops: int
) -> None:
    source = f"walk-{next(_numbers)}"
    found = [relationship(f"n{a}", "CAUSES", f"n{b}", ((a * 7 + b) % 10) / 10) for a, b in pairs]
    load(ledger, Rows([entity(f"n{i}", f"Node {i}") for i in range(8)], found), source)
    distance, queue = {start: 0}, deque([start])
    while queue:
        here = queue.popleft()
        for a, b in pairs:
            for one, other in ((a, b), (b, a)):
                if one == here and other not in distance:
                    distance[other] = distance[here] + 1
                    queue.append(other)
    walk = ask.within_hops(ledger, f"n{start}", hops=hops, page=PageOf(100), source=source)
    within = {f"n{node}": far for node, far in distance.items() if 0 < far <= hops}
    assert {each.entity.entity_id: each.hops for each in walk.reached} == within
    route = ask.path(ledger, f"n{start}", f"n{end}", max_hops=hops, source=source)
    assert route.hops == (far if (far := distance.get(end, 99)) <= hops else None)
    at = f"n{start}"
    for step in route.steps:
        ends = [step.subject.entity_id, step.object.entity_id]
        assert at in ends
        at = ends[1 - ends.index(at)]
    assert route.hops is None or at == f"n{end}"


def test_an_answer_fits_its_budget(ledger: Ledger, old: Rows) -> None:
    budget = 4_000
    busiest = "C0001623"
    pages = 0
    cursor = None
    seen: list[Any] = []
    while pages == 0 or cursor:
        answer = ask.neighbours(ledger, busiest, page=PageOf(100, cursor, budget))
        assert len(answer.model_dump_json()) <= budget + 200  # the cursor
        seen += [said(each.statement) for each in answer.neighbours]
        cursor, pages = answer.next_cursor, pages + 1
    own = {key_of(r) for r in old.relationships if busiest in {r["subject_id"], r["object_id"]}}
    assert (set(seen), len(seen), pages > 2) == (own, len(own), True)


def test_no_question_reads_a_whole_table(ledger: Ledger) -> None:
    with statements_of(ledger) as selects:
        ask.entity(ledger, "spoke number 7", source="hub")
        ask.search(ledger, "spo num", entity_class="disease", source="hub")
        ask.search(ledger, "spo num", source="hub")
        with pytest.raises(RequestError):
            ask.entity(ledger, "spoke numbre 7", source="hub")
        place = PageOf(5, ask.neighbours(ledger, "hub", page=PageOf(5), source="hub").next_cursor)
        ask.neighbours(ledger, "hub", predicate="causes", page=place, source="hub")
        ask.relationships(ledger, subject="hub", object_="e7", predicate="CAUSES", source="hub")
        ask.relationships(ledger, predicate="TREATS", min_confidence=0.2, source="hub")
        ask.relationships(ledger, papers=["PMC1"], source="hub")
        ask.within_hops(ledger, "hub", hops=2, source="hub")
        ask.path(ledger, "far", "e7", source="hub")
    assert len(selects) > 15
    assert any("UNION ALL" in each for each in selects)
    for statement, parameters in selects.items():
        if "graph_state" in statement or "min(" in statement:
            continue  # one row, and one look-up
        plan = plan_of(ledger, statement, parameters)
        # Of the rows that few words, names or sentences lead to, any may be read.
        # A range of an index of which nothing but the source is known is as long as the table.
        forbidden = ["SCAN graph_", "SCAN paper_", "(source=?)", "Seq Scan on graph_", "Seq Scan on paper_"]
        if "ORDER BY graph_relationship" in statement:
            forbidden += ["TEMP B-TREE", "Sort"]
        assert not [each for each in forbidden if each in plan], (statement, plan)


def test_without_a_graph_the_answer_says_what_to_run(tmp_path: Path) -> None:
    opened = Ledger(f"sqlite:///{tmp_path / 'empty.sqlite'}")
    for question in (ask.stats, ask.bundle_info):
        with pytest.raises(RequestError, match="no knowledge graph"):
            question(opened)
    opened.close()
