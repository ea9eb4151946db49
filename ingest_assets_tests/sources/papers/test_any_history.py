"""Papers and bundles in any history, with crashes, give what a build from nothing gives, byte for byte."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ingest_assets.sources.papers.papers import UnknownPaperError
from ingest_assets.sources.papers.places import papers_of, workspace_of
from ingest_assets_tests.sources.papers.paper_bench import PaperBench, jats
from ingest_assets_tests.support.crashes import Crash, Fuse
from ingest_assets_tests.support.engines import Engines

SENTENCES = (
    "Metformin is used to treat type 2 diabetes mellitus in most patients.",
    "Aspirin reduces the risk of myocardial infarction.",
    "Mutations of the TP53 gene are associated with breast cancer.",
    "Hydrocortisone treats adrenal insufficiency, also known as Addison's disease.",
    "We found no association between aspirin and asthma.",
    "Insulin resistance (IR) was measured in all patients with obesity. IR was high.",
)
PAPERS = range(3)

texts = st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=3, unique=True).map(" ".join)
forms = st.sampled_from(("xml", "md"))
years = st.sampled_from((2001, 2020))
adding = st.tuples(st.just("add"), st.sampled_from(PAPERS), forms, texts, years)
correcting = st.tuples(st.just("correct"), st.sampled_from(PAPERS), forms, years)
removing = st.tuples(st.just("remove"), st.sampled_from(PAPERS))
others = st.tuples(st.just("bundle"), st.sampled_from((*PAPERS, 7)), texts, years)
losing = st.tuples(st.just("lose"), st.sampled_from((*PAPERS, 7)))
running = st.tuples(st.just("run"), st.none() | st.integers(0, 12))
anything = adding | adding | correcting | removing | others | losing | running
histories = st.lists(anything, min_size=2, max_size=7)


def paper(number: int, form: str, text: str, year: int) -> tuple[str, str]:
    """A file of a paper: as XML it has a PMCID and a DOI, as Markdown the DOI alone."""
    doi = f"10.1000/paper.{number}"
    if form == "xml":
        return f"p{number}.xml", jats(
            f"Paper {number}", {"Results": text}, pmcid=f"PMC{100 + number}", doi=doi, year=year
        )
    return (
        f"p{number}.md",
        f"---\ntitle: Paper {number}\ndoi: {doi}\nyear: {year}\n---\n# Results\n\n{text}\n",
    )


def bundle(text: str, year: int) -> str:
    """A bundle that somebody else made: of few entities, so that several say the same otherwise."""
    drug, disease = ("aspirin", "asthma") if "aspirin" in text.lower() else ("metformin", "diabetes")
    entities = [
        {"id": "d1", "class": "Drug", "name": drug, "rxnorm_id": "1191" if drug == "aspirin" else None},
        {"id": "d2", "class": "Disease", "name": disease},
    ]
    evidence = [{"id": "e1", "class": "Evidence", "paper_id": "paper_1", "text": text, "confidence": 0.9}]
    said = {"subject": "d1", "predicate": "TREATS", "object": "d2", "evidence_ids": ["e1"], "confidence": 0.9}
    whole = {"paper": {"title": "Theirs", "year": year}, "entities": entities, "evidence_entities": evidence}
    return json.dumps(whole | {"relationships": [said], "extraction_provenance": {}, "notes": []})


class History:
    """One history, and what should be there after it."""

    def __init__(self, bench: PaperBench) -> None:
        self.bench = bench
        self.kept: dict[tuple[int, str], tuple[str, int]] = {}  # paper and format: text and year
        self.theirs: dict[str, str] = {}  # paper: the bundle that others made

    def do(self, what: str, *given: Any) -> None:
        getattr(self, what)(*given)

    def add(self, number: int, form: str, text: str, year: int) -> None:
        self.bench.add(*paper(number, form, text, year))
        self.kept[number, form] = text, year

    def correct(self, number: int, form: str, year: int) -> None:
        """The same text, with another year."""
        if (number, form) in self.kept:
            self.add(number, form, self.kept[number, form][0], year)

    def remove(self, number: int) -> None:
        for paper_id in (f"PMC{100 + number}", f"doi-10.1000-paper.{number}"):
            try:
                papers_of(self.bench).remove(paper_id)
            except UnknownPaperError:
                continue
            self.theirs.pop(paper_id, None)
            self.kept = {key: said for key, said in self.kept.items() if key[0] != number}

    def bundle(self, number: int, text: str, year: int) -> None:
        workspace = workspace_of(self.bench)
        workspace.create()
        paper_id = f"PMC{100 + number}"
        self.theirs[paper_id] = bundle(text, year)
        workspace.bundle_path(paper_id).write_text(self.theirs[paper_id])

    def lose(self, number: int) -> None:
        """Somebody deletes a bundle."""
        workspace = workspace_of(self.bench)
        if workspace.bundles.is_dir():
            workspace.bundle_path(f"PMC{100 + number}").unlink(missing_ok=True)
            self.theirs.pop(f"PMC{100 + number}", None)

    def run(self, crash_after: int | None) -> None:
        fuse = Fuse()
        fuse.light(crash_after)
        with suppress(Crash):
            self.bench.run_all(progress=lambda _moved: fuse.point())


def held(bench: PaperBench) -> tuple[Any, ...]:
    return bench.files(), bench.rows(), bench.points()


def from_nothing(history: History, bench: PaperBench) -> tuple[Any, ...]:
    workspace = workspace_of(bench)
    workspace.create()
    for paper_id, content in history.theirs.items():
        workspace.bundle_path(paper_id).write_text(content)
    for (number, form), (text, year) in sorted(history.kept.items(), reverse=True):
        bench.add(*paper(number, form, text, year))
    bench.run_all()
    return held(bench)


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    engines = Engines(embedded=False)
    yield engines
    engines.close()


def check(engines: Engines, steps: list[Any]) -> None:
    folder = Path(tempfile.mkdtemp(dir=engines.folder()))
    ledger, store = engines.lend_ledger(), engines.lend_store()
    other_ledger, other_store = engines.lend_ledger(), engines.lend_store()
    try:
        (folder / "a").mkdir()
        (folder / "b").mkdir()
        with PaperBench(folder / "a", ledger=ledger, store=store) as bench:
            history = History(bench)
            for step in steps:
                history.do(*step)
            bench.run_all()
            found = held(bench)
            again = {name: outcomes.moved for name, outcomes in bench.run_all().items()}
            assert not any(again.values()), again
            assert held(bench)[0] == found[0]
        with PaperBench(folder / "b", ledger=other_ledger, store=other_store) as bench:
            wanted = from_nothing(history, bench)
        assert found[0].keys() == wanted[0].keys()
        for mine, theirs in zip(found, wanted, strict=True):
            for name in mine:
                assert mine[name] == theirs[name], name
    finally:
        for each in (ledger, other_ledger):
            engines.take_ledger(each)
        for each_store in (store, other_store):
            engines.take_store(each_store)
        shutil.rmtree(folder)


RULES: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "phases": (Phase.explicit, Phase.generate),
}


@settings(max_examples=3, derandomize=True, **RULES)
@given(histories)
def test_on_sqlite(engines: Engines, steps: list[Any]) -> None:
    check(engines, steps)


@pytest.mark.thorough
@settings(max_examples=60, **RULES)
@given(histories)
def test_many_on_sqlite(engines: Engines, steps: list[Any]) -> None:
    check(engines, steps)


def test_a_correction_of_the_year_alone(engines: Engines) -> None:
    check(engines, [("add", 0, "xml", SENTENCES[0], 2001), ("run", None), ("correct", 0, "xml", 2020)])
