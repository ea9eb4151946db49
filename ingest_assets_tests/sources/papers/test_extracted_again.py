"""When a model is asked about a paper that it was asked about before: its answers may have been paid for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.reconcile import Run, reconcile
from ingest_assets.sources.papers.bundle_stage import Bundles
from ingest_assets.sources.papers.extraction import Extractor
from ingest_assets.sources.papers.extraction.rules import RulesExtractor
from ingest_assets.sources.papers.places import papers_of, workspace_of
from ingest_assets.sources.papers.settings import ARTICLES, BUNDLES, NAME
from ingest_assets_tests.embedding.endpoint_server import Endpoint
from ingest_assets_tests.sources.papers.chat_server import RESULTS, chatting, extractor, relation, says, truth
from ingest_assets_tests.sources.papers.paper_bench import PaperBench, jats
from ingest_assets_tests.sources.papers.small_benches import parked

QUOTE = "Hydrocortisone treats primary adrenal insufficiency (PAI)."


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with chatting() as running:
        yield running


@pytest.fixture
def bench(tmp_path: Path, endpoint: Endpoint) -> Iterator[PaperBench]:
    """A paper that the model was asked about."""
    with PaperBench(tmp_path) as bench:
        add(bench)
        extract(bench, extractor(endpoint))
        assert len(endpoint.requests) == 1
        yield bench


def add(bench: PaperBench, text: str = RESULTS, **about: Any) -> None:
    bench.add("paper.xml", jats("A study", {"Results": text}, pmcid="PMC77", **about))


def extract(bench: PaperBench, asked: Extractor, **options: bool) -> None:
    run = Run(lock_timeout_s=5, **options)  # type: ignore[arg-type]
    reconcile(bench.stage(NAME, ARTICLES), bench.ledger, run)
    reconcile(Bundles(papers_of(bench), asked, ARTICLES), bench.ledger, run)


def bundle(bench: PaperBench) -> bytes:
    return workspace_of(bench).bundle_path("PMC77").read_bytes()


@pytest.mark.parametrize("changes", [{}, {"model": "another"}, {"temperature": 0.5}, {"max_tokens": 500}])
def test_a_model_is_asked_once_whichever_it_is_later(
    bench: PaperBench, endpoint: Endpoint, changes: dict[str, Any]
) -> None:
    before = bundle(bench)
    for options in ({}, {"rebuild": True}, {"retry_parked": True}):
        extract(bench, extractor(endpoint, **changes), **options)
    add(bench, year=2001)  # what is known of the paper is no new text
    extract(bench, extractor(endpoint, **changes))
    assert len(endpoint.requests) == 1
    assert bundle(bench) != before
    assert json.loads(bundle(bench))["entities"] == json.loads(before)["entities"]


def test_a_new_text_is_a_new_question_for_the_same_kind_of_extractor_alone(
    bench: PaperBench, endpoint: Endpoint
) -> None:
    before = bundle(bench)
    add(bench, f"{QUOTE} Nothing else is known.")
    extract(bench, RulesExtractor())
    assert bundle(bench) == before
    extract(bench, extractor(endpoint, model="another"))
    assert len(endpoint.requests) == 2
    assert b"AIRE" not in bundle(bench)
    extract(bench, extractor(endpoint))
    assert len(endpoint.requests) == 2


def test_what_is_asked_for_again_is_asked_once_and_replaces_the_bundle(
    bench: PaperBench, endpoint: Endpoint
) -> None:
    endpoint.then(says(truth(relationships=[relation(1, "PREVENTS", 2, QUOTE)])))
    papers_of(bench).reextract("PMC77")
    for _ in range(2):
        extract(bench, extractor(endpoint))
    assert len(endpoint.requests) == 2
    assert [each["predicate"] for each in json.loads(bundle(bench))["relationships"]] == ["PREVENTS"]


@pytest.mark.parametrize("why", ["it was asked for", "its text is new"])
@pytest.mark.parametrize("lie", ["Sure!", truth(entities=[], relationships=[], paper_id="PMC1")])
def test_a_lie_costs_once_and_takes_nothing_away(
    bench: PaperBench, endpoint: Endpoint, why: str, lie: object
) -> None:
    before = bundle(bench)
    if why == "it was asked for":
        papers_of(bench).reextract("PMC77")
    else:
        add(bench, f"{QUOTE} Nothing else is known.")
    endpoint.then(says(lie))
    for _ in range(3):
        extract(bench, extractor(endpoint))
    assert len(endpoint.requests) == 2
    assert bundle(bench) == before
    assert set(parked(bench, BUNDLES)) == {"PMC77"}
    extract(bench, extractor(endpoint), retry_parked=True)
    assert len(endpoint.requests) == 3
    assert parked(bench, BUNDLES) == {}
