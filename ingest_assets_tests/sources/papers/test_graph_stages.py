"""Passes 2 and 3 and the load as stages: checks, ids that give way, decisions, edited files, and the lock."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ingest_assets.ledger import Ledger
from ingest_assets.ledger.graph_tables import (
    graph_entity,
    graph_evidence,
    graph_mention,
    graph_name,
    graph_relationship,
    paper_bundle,
)
from ingest_assets.model import UnavailableError
from ingest_assets.sources.papers.checks import GRAPH_CHECKS
from ingest_assets.sources.papers.places import papers_of, workspace_of
from ingest_assets.sources.papers.settings import NAME
from ingest_assets.stages.successors import living_id
from ingest_assets_tests.sources.papers.paper_bench import PaperBench, jats
from ingest_assets_tests.sources.papers.small_benches import names, put_bundle, refresh

TEXTS = {
    1: "Metformin is used to treat type 2 diabetes mellitus in most patients.",
    2: "Aspirin reduces the risk of myocardial infarction. Metformin was given as well.",
}


def add(bench: PaperBench, *numbers: int) -> None:
    for number in numbers:
        bench.add(f"{number}.xml", jats(f"Paper {number}", {"Results": TEXTS[number]}, pmcid=f"PMC{number}"))


def bundle(*entities: tuple[str, dict[str, Any]], same: bool = False) -> str:
    """Drugs, each of which treats one disease."""
    named = [{"id": f"d{n}", "class": "Drug", "name": name} | ids for n, (name, ids) in enumerate(entities)]
    disease = {"id": "w", "class": "Disease", "name": "Wound"}
    said: list[dict[str, Any]] = [
        {"subject": each["id"], "predicate": "TREATS", "object": "w"} for each in named
    ]
    if same:
        said.append({"subject": "d0", "predicate": "SAME_AS", "object": "d1", "confidence": 0.95})
    return json.dumps({"paper": {"title": "T"}, "entities": [*named, disease], "relationships": said})


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PaperBench]:
    with PaperBench(tmp_path) as bench:
        yield bench


def checks(bench: PaperBench) -> dict[str, bool]:
    return {each.name: each.run(bench, NAME).passed for each in GRAPH_CHECKS}


def living(bench: PaperBench, entity_id: str) -> str | None:
    with bench.ledger.reading() as connection:
        return living_id(connection, NAME, entity_id)


def change(bench: PaperBench, statement: Any) -> None:
    with bench.ledger.transaction() as connection:
        assert connection.execute(statement).rowcount


def tamper_offsets(bench: PaperBench) -> None:
    with bench.ledger.transaction() as connection:
        row = connection.execute(sa.select(graph_mention.c.key, graph_mention.c.row).limit(1)).one()
        moved = json.loads(row.row)
        moved["start_offset"] += 1
        query = graph_mention.update().where(graph_mention.c.key == row.key)
        connection.execute(query.values(row=json.dumps(moved)))


def lose_a_line(bench: PaperBench) -> None:
    path = workspace_of(bench).graph / "mentions.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))


def lie_in_the_manifest(bench: PaperBench) -> None:
    path = workspace_of(bench).graph / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"bundle_id": "other"}))


TAMPERINGS: dict[str, tuple[str, Callable[[PaperBench], None]]] = {
    "a bundle is lost": ("every_paper_has_a_bundle", lambda b: change(b, paper_bundle.delete())),
    "a subject is lost": (
        "ids_resolve",
        lambda b: change(b, graph_relationship.update().values(subject_id="none")),
    ),
    "an object is lost": (
        "ids_resolve",
        lambda b: change(b, graph_relationship.update().values(object_id="none")),
    ),
    "a mention of nothing": (
        "ids_resolve",
        lambda b: change(b, graph_mention.update().values(entity_id="x")),
    ),
    "a name of nothing": ("ids_resolve", lambda b: change(b, graph_name.update().values(entity_id="x"))),
    "evidence of nothing": (
        "ids_resolve",
        lambda b: change(b, graph_evidence.update().values(relationship_key="a:b:c")),
    ),
    "an offset": ("offsets_quote_the_text", tamper_offsets),
    "rows are lost": ("counts_agree", lambda b: change(b, graph_mention.delete())),
    "a line is lost": ("counts_agree", lose_a_line),
    "another manifest": ("counts_agree", lie_in_the_manifest),
    "an authority knows it": (
        "nothing_provisional_is_known",
        lambda b: change(
            b,
            graph_entity.update()
            .where(graph_entity.c.entity_class == "Drug")
            .values(
                folded="same",
                provisional=sa.case((graph_entity.c.entity_id == first_drug(b), True), else_=False),
            ),
        ),
    ),
}


def first_drug(bench: PaperBench) -> str:
    query = sa.select(sa.func.min(graph_entity.c.entity_id)).where(graph_entity.c.entity_class == "Drug")
    with bench.ledger.reading() as connection:
        return str(connection.scalar(query))


# One for each check, every day.
OFTEN = ("a bundle is lost", "a name of nothing", "an offset", "a line is lost", "an authority knows it")


@pytest.mark.parametrize(
    "what",
    [each if each in OFTEN else pytest.param(each, marks=pytest.mark.thorough) for each in TAMPERINGS],
)
def test_checks_pass_and_fail_when_their_thing_is_broken(bench: PaperBench, what: str) -> None:
    add(bench, 1, 2)
    refresh(bench)
    assert checks(bench) == dict.fromkeys((each.name for each in GRAPH_CHECKS), True)
    concerned, tamper = TAMPERINGS[what]
    before = bench.rows()
    tamper(bench)
    assert concerned in {name for name, passed in checks(bench).items() if not passed}
    refresh(bench, rebuild=True)  # mends all of it
    assert all(checks(bench).values())
    assert bench.rows() == before


def test_an_id_that_gives_way_leads_on_for_ever(bench: PaperBench) -> None:
    put_bundle(bench, "PMC1", bundle(("Zyxol", {})))
    refresh(bench)
    first = names(bench)["Zyxol"]
    put_bundle(bench, "PMC2", bundle(("Zyxol", {"umls_id": "C0000001"})))
    refresh(bench)
    second = names(bench)["Zyxol"]
    put_bundle(bench, "PMC3", bundle(("Zyxol", {"umls_id": "C0000001", "mesh_id": "D000001"})))
    refresh(bench)
    third = names(bench)["Zyxol"]
    assert len({first, second, third}) == 3
    assert [living(bench, each) for each in (first, second, third)] == [third] * 3
    # Without the paper that knew the last id, the one before it returns, and the last one leads to it.
    for paper_id, stays in (("PMC3", second), ("PMC2", first)):
        papers_of(bench).remove(paper_id)
        refresh(bench)
        assert names(bench)["Zyxol"] == stays
        assert living(bench, stays) == stays
    papers_of(bench).remove("PMC1")
    refresh(bench)
    assert living(bench, first) is None
    put_bundle(bench, "PMC3", bundle(("Zyxol", {"umls_id": "C0000001", "mesh_id": "D000001"})))
    refresh(bench)
    assert living(bench, third) == third


def test_a_curator_merges_and_splits(tmp_path: Path) -> None:
    decisions = tmp_path / "decisions.csv"
    with PaperBench(tmp_path) as bench:
        put_bundle(bench, "PMC1", bundle(("Zyxol", {}), ("Wvutol", {})))
        put_bundle(bench, "PMC2", bundle(("Abcol", {}), ("Defol", {}), same=True))
        refresh(bench)
        apart = names(bench)
    assert {"Zyxol", "Wvutol"} <= set(apart)
    assert len({"Abcol", "Defol"} & set(apart)) == 1
    header = "left,right,verdict,who,why\n"
    said = "Drug/Zyxol,Drug/Wvutol,same,Ada,one\nDrug/Abcol,Drug/Defol,different,Ada,two\n"
    decisions.write_text(header + said)
    with PaperBench(tmp_path, ingest_paper_decisions=decisions) as bench:
        refresh(bench)
        decided = names(bench)
        assert len({"Zyxol", "Wvutol"} & set(decided)) == 1
        assert {"Abcol", "Defol"} <= set(decided)
        one = next(decided[name] for name in ("Zyxol", "Wvutol") if name in decided)
        assert {living(bench, apart[name]) for name in ("Zyxol", "Wvutol")} == {one}
    decisions.write_text(header)
    with PaperBench(tmp_path, ingest_paper_decisions=decisions) as bench:
        refresh(bench)
        assert names(bench) == apart


@pytest.mark.parametrize("how", ["edited", "deleted"])
def test_files_of_the_workspace_that_somebody_edits_are_written_again(bench: PaperBench, how: str) -> None:
    add(bench, 1, 2)
    refresh(bench)
    files, rows = bench.files(), bench.rows()
    for name in files:
        if name.startswith("medlit"):
            path = workspace_of(bench).root / name
            path.write_text("[]") if how == "edited" else path.unlink()
            refresh(bench)
            assert bench.files() == files, name
    assert bench.rows() == rows
    assert not any(outcomes.moved for outcomes in refresh(bench).values())


HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def test_a_workspace_that_another_process_holds(bench: PaperBench) -> None:
    add(bench, 1)
    refresh(bench)
    files = bench.files()
    lock = workspace_of(bench).lock_file
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        add(bench, 2)
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="holds its lock"):
            refresh(bench)
        assert time.monotonic() - started < 20  # it waits for 5 s
        held = bench.files()
        assert {name: held[name] for name in files} == files
    finally:
        holder.kill()
        holder.wait()
    # The system has let go of it.
    refresh(bench)
    assert len(names(bench)) > 2
    assert all(checks(bench).values())


def test_papers_on_postgres_are_as_on_sqlite(tmp_path: Path, ledger_url_of: Callable[[str], str]) -> None:
    held = []
    for kind in ("sqlite", "postgres"):
        (tmp_path / kind).mkdir()
        ledger = Ledger(ledger_url_of(kind))
        with PaperBench(tmp_path / kind, ledger=ledger) as bench:
            add(bench, 1, 2)
            put_bundle(bench, "PMC7", bundle(("Zyxol", {}), ("Wvutol", {}), same=True))
            refresh(bench)
            papers_of(bench).remove("PMC1")
            refresh(bench)
            # Of PMC7 there is only a bundle, which others made.
            assert [name for name, passed in checks(bench).items() if not passed] == [
                "every_bundle_has_its_paper"
            ]
            assert not any(outcomes.moved for outcomes in refresh(bench).values())
            held.append((bench.files(), bench.rows(), bench.points()))
        ledger.close()
    assert held[0][0] == held[1][0]
    assert held[0][1] == held[1][1]
    assert held[0][2] == held[1][2]
