"""Pass 1 as a stage: which papers are extracted, whose bundles stay, and what a bad one does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.model import (
    ConfigurationError,
    ItemError,
    Outcomes,
    SourceUnavailableError,
    UnavailableError,
)
from ingest_assets.reconcile import Run, reconcile
from ingest_assets.sources.papers.adding import add_all
from ingest_assets.sources.papers.article import Article
from ingest_assets.sources.papers.bundle_facts import HEAD
from ingest_assets.sources.papers.bundle_stage import Bundles, bundles_stage
from ingest_assets.sources.papers.bundles import Bundle
from ingest_assets.sources.papers.extraction.rules import RulesExtractor
from ingest_assets.sources.papers.jobs import retry
from ingest_assets.sources.papers.metadata import bundles_metadata
from ingest_assets.sources.papers.places import papers_of, workspace_of
from ingest_assets.sources.papers.settings import ARTICLES, NAME
from ingest_assets_tests.sources.papers.paper_bench import PaperBench, jats
from ingest_assets_tests.sources.papers.small_benches import names, parked, put_bundle, refresh, rest


def paper(number: int, text: str = "Aspirin reduces the risk of myocardial infarction.") -> str:
    return jats(f"Paper {number}", {"Results": text}, pmcid=f"PMC{number}")


def theirs(name: str = "Zyxol", **more: Any) -> str:
    entities = [
        {"id": "d1", "class": "Drug", "name": name},
        {"id": "d2", "class": "Disease", "name": "Wound"},
    ]
    said = [{"subject": "d1", "predicate": "TREATS", "object": "d2"}]
    whole = {"paper": {"title": "Theirs"}, "entities": entities, "relationships": said}
    return json.dumps(whole | more)


class Watched:
    """The rules, which count what they are asked, and fail as they are told."""

    def __init__(self, identity: str = "watched:1") -> None:
        self.identity = identity  # also what its bundles say of who made them
        self.asked: list[str] = []
        self.fails: dict[str, Exception] = {}
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

    def extract(self, article: Article) -> Bundle:
        self.asked.append(article.paper_id)
        if article.paper_id in self.fails:
            raise self.fails[article.paper_id]
        made = RulesExtractor().extract(article)
        by = made.extraction_provenance | {"extractor": self.identity}
        return made.model_copy(update={"extraction_provenance": by})


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PaperBench]:
    with PaperBench(tmp_path) as bench:
        yield bench


@pytest.fixture
def watched() -> Watched:
    return Watched()


def extract(bench: PaperBench, extractor: Any, **options: bool) -> Outcomes:
    """The stage of the articles, and pass 1 by this extractor."""
    run = Run(lock_timeout_s=5, **options)  # type: ignore[arg-type]
    reconcile(bench.stage(NAME, ARTICLES), bench.ledger, run)
    return reconcile(Bundles(papers_of(bench), extractor, ARTICLES), bench.ledger, run)


def path_of(bench: PaperBench, paper_id: str) -> Path:
    return workspace_of(bench).bundle_path(paper_id)


def test_a_paper_is_extracted_once(bench: PaperBench, watched: Watched) -> None:
    bench.add("1.xml", paper(1))
    assert extract(bench, watched).added == 1
    before = path_of(bench, "PMC1").stat()
    for options in ({}, {}, {"rebuild": True}):
        assert not extract(bench, watched, **options).moved
    bench.add("1.xml", paper(1))  # the same again
    extract(bench, watched)
    assert watched.asked == ["PMC1"]
    assert path_of(bench, "PMC1").stat() == before
    assert watched.closed > 0  # after each run: an endpoint's connections are not kept


def test_a_bundle_that_is_there_is_kept_whoever_made_it(bench: PaperBench, watched: Watched) -> None:
    put_bundle(bench, "PMC1", theirs())
    bench.add("1.xml", paper(1))
    assert extract(bench, watched).added == 1
    bench.add("1.xml", paper(1, "A corrected text about metformin."))
    extract(bench, watched)
    assert watched.asked == []
    assert path_of(bench, "PMC1").read_text() == theirs()


def test_a_corrected_version_is_extracted_again(bench: PaperBench, watched: Watched) -> None:
    bench.add("1.xml", paper(1))
    bench.add("2.xml", paper(2))
    extract(bench, watched)
    bench.add("1.xml", paper(1, "Metformin treats type 2 diabetes mellitus."))
    done = extract(bench, watched)
    assert (watched.asked, done.changed) == (["PMC1", "PMC2", "PMC1"], 1)
    assert "etformin" in path_of(bench, "PMC1").read_text()


def test_another_extractor_replaces_no_bundle_unless_it_is_asked_to(bench: PaperBench) -> None:
    bench.add("1.xml", paper(1))
    bench.add("2.xml", paper(2))
    put_bundle(bench, "PMC2", theirs())
    extract(bench, Watched())
    other = Watched("other:1")
    extract(bench, other)
    assert other.asked == []
    for paper_id in ("PMC1", "PMC2"):
        papers_of(bench).reextract(paper_id)
    extract(bench, other)
    extract(bench, other)
    assert other.asked == ["PMC1", "PMC2"]  # once
    assert "Zyxol" not in path_of(bench, "PMC2").read_text()


def test_a_bundle_of_another_kind_of_extractor_outlives_a_corrected_text(bench: PaperBench) -> None:
    bench.add("1.xml", paper(1))
    bench.add("2.xml", paper(2))
    paid, free = Watched("model-1:large"), Watched("rules:1")
    extract(bench, paid)
    before = path_of(bench, "PMC1").read_bytes()
    bench.add("1.xml", paper(1, "Metformin treats type 2 diabetes mellitus."))
    for extractor in (free, None):
        stage = Bundles(papers_of(bench), extractor, ARTICLES)
        reconcile(bench.stage(NAME, ARTICLES), bench.ledger, Run(lock_timeout_s=5))
        reconcile(stage, bench.ledger, Run(lock_timeout_s=5))
        assert stage.outdated == ["PMC1"]
        assert bundles_metadata(bench, stage)["outdated"] == 1
        assert path_of(bench, "PMC1").read_bytes() == before
    assert free.asked == []
    papers_of(bench).reextract("PMC1")
    extract(bench, free)
    assert free.asked == ["PMC1"]
    bench.add("1.xml", paper(1, "Aspirin treats pain."))
    newer = Watched("rules:2")  # another version of the same kind
    extract(bench, newer)
    assert newer.asked == ["PMC1"]


@pytest.mark.parametrize("content", ["{", theirs("Unseen")])
def test_a_file_that_somebody_put_there_since_is_not_overwritten(
    bench: PaperBench, watched: Watched, content: str
) -> None:
    bench.add("1.xml", paper(1))
    bench.add("2.xml", paper(2))
    extract(bench, watched)
    bench.add("1.xml", paper(1, "Metformin treats type 2 diabetes mellitus."))
    put_bundle(bench, "PMC1", content)
    bench.add("3.xml", paper(3))

    class Slow(Watched):
        def extract(self, article: Article) -> Bundle:
            put_bundle(bench, article.paper_id, content)  # while it is extracted
            return super().extract(article)

    extract(bench, Slow())
    extract(bench, watched)
    for paper_id in ("PMC1", "PMC3"):
        assert path_of(bench, paper_id).read_text() == content


def test_what_is_known_of_a_paper_is_corrected_without_another_extraction(
    bench: PaperBench, watched: Watched
) -> None:
    text = {"Results": "Aspirin reduces the risk of myocardial infarction."}
    bench.add("1.xml", jats("One", text, pmcid="PMC1"))
    bench.add("2.xml", jats("Two", text, pmcid="PMC2"))
    put_bundle(bench, "PMC2", theirs())
    extract(bench, watched)
    for number, title in ((1, "One"), (2, "Two")):
        bench.add("x.xml", jats(title, text, pmcid=f"PMC{number}", year=2001, doi="10.1/x", kind="review"))
    for extractor in (None, watched):
        extract(bench, extractor)
        made = json.loads(path_of(bench, "PMC1").read_text())
        facts = {name: made["paper"][name] for name in ("year", "doi", "study_type")}
        assert facts == {"year": 2001, "doi": "10.1/x", "study_type": "review"}
        assert {each["study_type"] for each in made["evidence_entities"]} == {"review"}
    assert watched.asked == ["PMC1"]
    assert path_of(bench, "PMC2").read_text() == theirs()
    found = path_of(bench, "PMC1").read_bytes()
    path_of(bench, "PMC1").unlink()
    extract(bench, watched)
    assert path_of(bench, "PMC1").read_bytes() == found


def test_what_is_known_of_a_paper_is_corrected_however_many_authors_it_has(
    bench: PaperBench, watched: Watched
) -> None:
    text = {"Results": "Aspirin reduces the risk of myocardial infarction."}
    people = "".join(
        f"<contrib><name><surname>Surname{n}</surname><given-names>Given{n}</given-names></name></contrib>"
        for n in range(1_500)
    )
    many = f"<contrib-group>{people}</contrib-group>"
    bench.add("1.xml", jats("One", text, pmcid="PMC1", authors=many))
    extract(bench, watched)
    before = path_of(bench, "PMC1").stat()
    extract(bench, watched)
    assert path_of(bench, "PMC1").stat() == before
    bench.add("1.xml", jats("One", text, pmcid="PMC1", authors=many, year=2001))
    assert extract(bench, watched).changed == 1
    said = json.loads(path_of(bench, "PMC1").read_text())["paper"]
    assert (said["year"], len(said["authors"])) == (2001, 1_500)
    assert len(json.dumps(said["authors"])) > HEAD
    assert watched.asked == ["PMC1"]


def requests(bench: PaperBench) -> list[tuple[Any, ...]]:
    return bench.rows()["paper_request"]


def test_a_bundle_of_others_is_replaced_when_that_is_asked_for_before_the_first_run(
    bench: PaperBench, watched: Watched
) -> None:
    put_bundle(bench, "PMC1", theirs())
    put_bundle(bench, "PMC2", "{")
    for number in (1, 2):
        bench.add(f"{number}.xml", paper(number))
        papers_of(bench).reextract(f"PMC{number}")
    extract(bench, watched)
    extract(bench, watched)
    assert watched.asked == ["PMC1", "PMC2"]  # once
    assert "Zyxol" not in path_of(bench, "PMC1").read_text()
    assert parked(bench) == {}
    assert requests(bench) == []


def test_without_an_extractor_nothing_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "1.xml"
    file.write_text(paper(1))
    with PaperBench(tmp_path, pass1_llm_backend="none") as bench:
        with pytest.raises(ConfigurationError, match="PASS1_LLM_BACKEND"):
            list(add_all(bench, [str(file)], reextract=True))
        assert list(papers_of(bench).all()) == []
        list(add_all(bench, [str(file)]))
        papers_of(bench).reextract("PMC1")  # when there was one
        refresh(bench)
        assert up_to_date(bench, None)
    with PaperBench(tmp_path) as bench:
        refresh(bench)
        assert requests(bench) == []


def up_to_date(bench: PaperBench, extractor: Any) -> bool:
    stage = Bundles(papers_of(bench), extractor, ARTICLES)
    with bench.ledger.reading() as connection:
        return stage.input_digest(connection) is not None


def test_what_was_asked_for_and_fails_waits_until_it_is_asked_for_again(
    bench: PaperBench, watched: Watched
) -> None:
    bench.add("1.xml", paper(1))
    extract(bench, watched)
    before = path_of(bench, "PMC1").read_bytes()
    watched.fails["PMC1"] = ItemError("No.")
    papers_of(bench).reextract("PMC1")
    assert not up_to_date(bench, watched)
    extract(bench, watched)
    assert up_to_date(bench, watched)
    assert len(watched.asked) == 2
    assert path_of(bench, "PMC1").read_bytes() == before
    papers_of(bench).reextract("PMC1")
    watched.fails.clear()
    extract(bench, watched)
    assert len(watched.asked) == 3
    assert (requests(bench), parked(bench)) == ([], {})


def test_what_was_asked_for_a_paper_that_is_gone_is_forgotten(bench: PaperBench, watched: Watched) -> None:
    bench.add("1.xml", paper(1))
    papers_of(bench).reextract("PMC1")
    papers_of(bench).reextract("PMC404")
    papers_of(bench).remove("PMC1")
    extract(bench, watched)
    assert requests(bench) == []
    bench.add("1.xml", paper(1))
    put_bundle(bench, "PMC1", theirs())
    extract(bench, watched)
    assert watched.asked == []


def test_the_same_paper_may_be_asked_for_twice_in_a_row(bench: PaperBench, watched: Watched) -> None:
    bench.add("1.xml", paper(1))
    extract(bench, watched)
    for count in (2, 3):
        papers_of(bench).reextract("PMC1")
        extract(bench, watched)
        assert len(watched.asked) == count
    extract(bench, watched)
    assert len(watched.asked) == 3


def test_a_paper_that_has_no_bundle_yet_may_be_asked_for_again(bench: PaperBench, watched: Watched) -> None:
    bench.add("1.xml", paper(1))
    papers_of(bench).reextract("PMC1")
    extract(bench, watched)
    assert watched.asked == ["PMC1"]


def test_a_bundle_that_is_deleted_is_made_again(bench: PaperBench, watched: Watched) -> None:
    bench.add("1.xml", paper(1))
    extract(bench, watched)
    before = path_of(bench, "PMC1").read_bytes()
    path_of(bench, "PMC1").unlink()
    extract(bench, watched)
    assert watched.asked == ["PMC1", "PMC1"]
    assert path_of(bench, "PMC1").read_bytes() == before


def test_only_bundles_of_others(tmp_path: Path) -> None:
    with PaperBench(tmp_path, pass1_llm_backend="none") as bench:
        bench.add("1.xml", paper(1))
        bench.add("2.xml", paper(2))
        put_bundle(bench, "PMC2", theirs())
        assert bundles_stage(bench).extractor is None
        refresh(bench)
        assert set(names(bench)) == {"Zyxol", "Wound"}
        assert not path_of(bench, "PMC1").exists()
        assert parked(bench) == {}
        put_bundle(bench, "PMC1", theirs("Wvutol"))
        refresh(bench)
        assert set(names(bench)) == {"Zyxol", "Wvutol", "Wound"}


BAD = {
    "not JSON": ("{", "not JSON"),
    "half": (theirs()[:40], "not JSON"),
    "empty": ("", "not JSON"),
    "a list": ("[]", "not a bundle"),
    "a class that is none": (theirs().replace("Drug", "Spaceship"), "unknown class"),
    "NaN": (theirs(notes=["x"]).replace('["x"]', "NaN"), "PMC1"),
    "two entities of one id": (
        json.dumps({"paper": {}, "entities": [{"id": "d", "class": "Drug", "name": n} for n in "ab"]}),
        "two entities",
    ),
}


@pytest.mark.parametrize(
    ("what", "before"),
    [
        pytest.param(what, n % 3 != 0, marks=[pytest.mark.thorough] if n > 4 or n in (1, 2) else [])
        for n, what in enumerate(BAD)
    ],
)
def test_a_bad_bundle_is_parked_and_left_alone(
    bench: PaperBench, watched: Watched, what: str, before: bool
) -> None:
    content, says = BAD[what]
    bench.add("1.xml", paper(1))
    bench.add("2.xml", paper(2))
    if before:
        put_bundle(bench, "PMC1", theirs())
        extract(bench, watched)
    put_bundle(bench, "PMC1", content, 1_700_000_000)
    for options in ({}, {}, {"retry_parked": True}, {"rebuild": True}):
        extract(bench, watched, **options)
        assert says in parked(bench, "bundles")["PMC1"]
    assert watched.asked == ["PMC2"]
    assert path_of(bench, "PMC1").read_text() == content
    refresh(bench)
    assert ("Zyxol" in names(bench)) == before  # the last good one
    rest(path_of(bench, "PMC1"), theirs("Mended"), 1_700_000_100)
    refresh(bench)
    assert parked(bench) == {}
    assert "Mended" in names(bench)
    assert "Zyxol" not in names(bench)


def test_a_bad_bundle_is_replaced_when_that_is_asked_for(bench: PaperBench, watched: Watched) -> None:
    bench.add("1.xml", paper(1))
    extract(bench, watched)
    put_bundle(bench, "PMC1", "{", 1_700_000_000)
    extract(bench, watched)
    papers_of(bench).reextract("PMC1")
    extract(bench, watched)
    assert watched.asked == ["PMC1", "PMC1"]
    assert json.loads(path_of(bench, "PMC1").read_text())["entities"]
    assert parked(bench) == {}


def test_a_bad_bundle_that_is_taken_away_is_forgotten(bench: PaperBench, watched: Watched) -> None:
    put_bundle(bench, "PMC7", "{")
    extract(bench, watched)
    assert set(parked(bench)) == {"PMC7"}
    path_of(bench, "PMC7").unlink()
    extract(bench, watched)
    assert parked(bench) == {}


def test_a_bad_bundle_of_a_paper_is_taken_away_and_the_paper_is_extracted(
    bench: PaperBench, watched: Watched
) -> None:
    bench.add("1.xml", paper(1))
    put_bundle(bench, "PMC1", "{")
    extract(bench, watched)
    assert set(parked(bench)) == {"PMC1"}
    path_of(bench, "PMC1").unlink()
    extract(bench, watched)
    assert parked(bench) == {}
    assert path_of(bench, "PMC1").exists()


def test_a_relationship_without_its_subject_is_left_out(bench: PaperBench) -> None:
    said = [{"subject": s, "predicate": "TREATS", "object": "d2"} for s in ("d1", "nobody")]
    entities = [{"id": f"d{n}", "class": "Drug", "name": f"Zyxol{n}"} for n in (1, 2)]
    put_bundle(bench, "PMC1", json.dumps({"paper": {}, "entities": entities, "relationships": said}))
    refresh(bench)
    assert parked(bench) == {}
    assert len(bench.rows()["graph_relationship"]) == 1


def test_without_the_folder_of_bundles_nothing_is_removed(bench: PaperBench) -> None:
    put_bundle(bench, "PMC1", theirs())
    refresh(bench)
    folder = workspace_of(bench).bundles
    folder.rename(folder.with_name("away"))
    with pytest.raises(SourceUnavailableError, match="Mount or"):
        refresh(bench)
    assert set(names(bench)) == {"Zyxol", "Wound"}
    folder.mkdir()  # removed on purpose
    refresh(bench)
    assert names(bench) == {}


def test_without_the_workspace_nothing_is_removed(bench: PaperBench) -> None:
    put_bundle(bench, "PMC1", theirs())
    refresh(bench)
    files = bench.files()
    root = workspace_of(bench).root
    root.rename(root.with_name("away"))
    with pytest.raises(SourceUnavailableError, match="Mount or"):
        refresh(bench)
    assert not root.exists()
    root.with_name("away").rename(root)
    assert not any(outcomes.moved for outcomes in refresh(bench).values())
    assert bench.files() == files


def test_what_fails_for_one_paper_keeps_no_other_out(bench: PaperBench, watched: Watched) -> None:
    for number in (1, 2, 3):
        bench.add(f"{number}.xml", paper(number))
    watched.fails["PMC2"] = ItemError("The model answers prose.")
    done = extract(bench, watched)
    assert (done.added, done.parked) == (2, 1)
    assert parked(bench, "bundles") == {"PMC2": "The model answers prose."}
    extract(bench, watched)
    assert watched.asked == ["PMC1", "PMC2", "PMC3"]  # it waits
    del watched.fails["PMC2"]
    extract(bench, watched, retry_parked=True)
    assert watched.asked[3:] == ["PMC2"]
    assert parked(bench) == {}


def test_a_parked_paper_is_extracted_when_its_text_changes(bench: PaperBench, watched: Watched) -> None:
    bench.add("1.xml", paper(1))
    watched.fails["PMC1"] = ItemError("No.")
    extract(bench, watched)
    watched.fails.clear()
    bench.add("1.xml", paper(1, "Metformin treats diabetes."))
    extract(bench, watched)
    assert watched.asked == ["PMC1", "PMC1"]
    assert parked(bench) == {}


def test_whoever_asks_for_a_parked_paper_again_has_it_extracted(bench: PaperBench, watched: Watched) -> None:
    for number in (1, 2):
        bench.add(f"{number}.xml", paper(number))
        watched.fails[f"PMC{number}"] = ItemError("No.")
    extract(bench, watched)
    watched.fails.clear()
    retry(bench, ["PMC1"])
    extract(bench, watched)
    assert watched.asked == ["PMC1", "PMC2", "PMC1"]
    assert set(parked(bench)) == {"PMC2"}


def test_a_parked_paper_that_is_removed_is_forgotten(bench: PaperBench, watched: Watched) -> None:
    bench.add("1.xml", paper(1))
    watched.fails["PMC1"] = ItemError("No.")
    extract(bench, watched)
    papers_of(bench).remove("PMC1")
    extract(bench, watched)
    assert parked(bench) == {}


def test_a_failed_extraction_of_a_corrected_version_leaves_the_last_good_bundle(
    bench: PaperBench, watched: Watched
) -> None:
    bench.add("1.xml", paper(1))
    extract(bench, watched)
    before = path_of(bench, "PMC1").read_bytes()
    bench.add("1.xml", paper(1, "Metformin treats diabetes."))
    watched.fails["PMC1"] = ItemError("No.")
    extract(bench, watched)
    assert set(parked(bench)) == {"PMC1"}
    assert path_of(bench, "PMC1").read_bytes() == before
    watched.fails.clear()
    extract(bench, watched, retry_parked=True)
    assert parked(bench) == {}
    assert path_of(bench, "PMC1").read_bytes() != before


def test_an_extractor_that_is_down_is_asked_once_and_again_by_the_next_run(
    bench: PaperBench, watched: Watched
) -> None:
    for number in (1, 2, 3):
        bench.add(f"{number}.xml", paper(number))
    watched.fails["PMC2"] = UnavailableError("The endpoint is down.")
    for asked in (["PMC1", "PMC2"], ["PMC1", "PMC2", "PMC2"]):
        assert extract(bench, watched).parked == 2
        assert watched.asked == asked
        assert parked(bench, "bundles") == dict.fromkeys(("PMC2", "PMC3"), "The endpoint is down.")
        assert not up_to_date(bench, watched)
    assert path_of(bench, "PMC1").exists()
    assert not path_of(bench, "PMC2").exists()
    watched.fails.clear()
    done = extract(bench, watched)
    assert watched.asked[3:] == ["PMC2", "PMC3"]
    assert (done.added, parked(bench)) == (2, {})
    assert up_to_date(bench, watched)


def test_a_paper_that_was_refused_still_waits_while_others_are_tried_again(
    bench: PaperBench, watched: Watched
) -> None:
    for number in (1, 2):
        bench.add(f"{number}.xml", paper(number))
    watched.fails = {"PMC1": ItemError("No."), "PMC2": UnavailableError("Down.")}
    extract(bench, watched)
    extract(bench, watched)
    assert watched.asked == ["PMC1", "PMC2", "PMC2"]
    assert parked(bench) == {"PMC1": "No.", "PMC2": "Down."}


def test_a_corrected_version_that_could_not_be_asked_about_is_tried_again(
    bench: PaperBench, watched: Watched
) -> None:
    bench.add("1.xml", paper(1))
    extract(bench, watched)
    before = path_of(bench, "PMC1").read_bytes()
    bench.add("1.xml", paper(1, "Metformin treats diabetes."))
    watched.fails["PMC1"] = ConfigurationError("Check the API key.")
    extract(bench, watched)
    assert parked(bench) == {"PMC1": "Check the API key."}
    assert path_of(bench, "PMC1").read_bytes() == before
    watched.fails.clear()
    extract(bench, watched)
    assert parked(bench) == {}
    assert path_of(bench, "PMC1").read_bytes() != before


@pytest.mark.parametrize("other", [None, Watched("rules:1")])
def test_what_another_extractor_is_not_to_extract_is_no_longer_parked(
    bench: PaperBench, other: Watched | None
) -> None:
    paid = Watched("model-1:large")
    bench.add("1.xml", paper(1))
    extract(bench, paid)
    bench.add("1.xml", paper(1, "Metformin treats diabetes."))
    paid.fails["PMC1"] = UnavailableError("Down.")
    extract(bench, paid)
    assert set(parked(bench)) == {"PMC1"}
    extract(bench, other)
    assert parked(bench) == {}
    assert up_to_date(bench, other)


def test_a_bundle_is_named_by_its_file(bench: PaperBench) -> None:
    put_bundle(bench, "PMC1", theirs(paper={"title": "T", "pmcid": "PMC999"}))
    refresh(bench)
    assert not any(b"PMC999" in content for name, content in bench.files().items() if "medlit" in name)
