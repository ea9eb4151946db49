"""The extraction endpoint is down or refuses us: papers are searched all the same, and tried again."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.ledger import Ledger
from ingest_assets.reconcile import Run, Stage, reconcile
from ingest_assets.sources.papers.bundle_stage import Bundles
from ingest_assets.sources.papers.checks import GRAPH_CHECKS
from ingest_assets.sources.papers.definition import SOURCE
from ingest_assets.sources.papers.places import papers_of
from ingest_assets.sources.papers.settings import ARTICLES, BUNDLES, NAME
from ingest_assets_tests.embedding.endpoint_server import Endpoint, Reply
from ingest_assets_tests.sources.papers.chat_server import RESULTS, chatting, envelope, extractor, truth
from ingest_assets_tests.sources.papers.paper_bench import PaperBench, jats
from ingest_assets_tests.sources.papers.small_benches import found, names, parked

PAPERS = [f"PMC{number}" for number in (77, 78, 79)]


def says(body: dict[str, Any]) -> object:
    """What a good model says of whichever paper it is asked about."""
    paper_id = next(each for each in PAPERS if each in str(body["messages"]))
    return envelope(truth(paper_id=paper_id))


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with chatting(says) as running:
        yield running


@pytest.fixture
def bench(tmp_path: Path, ledger: Ledger) -> Iterator[PaperBench]:
    unused = "http://127.0.0.1:1"  # `refresh` names the endpoint
    settings: dict[str, Any] = {"pass1_llm_url": unused, "pass1_llm_model": "m"}
    with PaperBench(tmp_path, ledger=ledger, pass1_llm_backend="openai", **settings) as bench:
        for paper_id in PAPERS:
            bench.add(f"{paper_id}.xml", jats(f"Paper {paper_id}", {"Results": RESULTS}, pmcid=paper_id))
        yield bench


def refresh(bench: PaperBench, endpoint: Endpoint, **spec: Any) -> None:
    """A run of every stage that asks this endpoint, with short waits between attempts."""
    for name in SOURCE.stage_names:
        stage: Stage = bench.stage(NAME, name)
        if name == BUNDLES:
            stage = Bundles(papers_of(bench), extractor(endpoint, **spec), ARTICLES)
        reconcile(stage, bench.ledger, Run(lock_timeout_s=5))


def lacking(bench: PaperBench) -> str:
    """What the check of bundles complains about."""
    check = next(each for each in GRAPH_CHECKS if each.name == "every_paper_has_a_bundle")
    result = check.run(bench, NAME)
    return "" if result.passed else result.sentence


def answering(**reply: Any) -> Callable[[Endpoint], dict[str, Any]]:
    def fails(endpoint: Endpoint) -> dict[str, Any]:
        endpoint.usual = Reply(body=lambda _: {}, **reply)
        return {}

    return fails


def closed(_endpoint: Endpoint) -> dict[str, Any]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return {"url": f"http://127.0.0.1:{free.getsockname()[1]}"}


FAILURES: dict[str, tuple[Callable[[Endpoint], dict[str, Any]], int, str]] = {
    "closed": (closed, 0, "could not be reached"),
    "503": (answering(status=503), 2, "answered 503, 2 attempts"),
    "401": (answering(status=401), 1, "answered 401: check the API key"),
}


@pytest.mark.parametrize("how", FAILURES)
def test_papers_are_searched_and_the_next_run_tries_again(
    bench: PaperBench, endpoint: Endpoint, how: str
) -> None:
    fails, requests, says_why = FAILURES[how]
    works = endpoint.usual
    refresh(bench, endpoint, **fails(endpoint))
    assert len(endpoint.requests) == requests  # of the first paper; the others are not tried
    assert set(parked(bench)) == set(PAPERS)
    assert all(says_why in reason for reason in parked(bench, BUNDLES).values())
    assert found(bench, "hydrocortisone") >= {f"{paper_id}/results" for paper_id in PAPERS}
    assert names(bench) == {}
    assert lacking(bench) == f"Papers without a bundle: 3 ({', '.join(PAPERS)}). `ingest parked` says why."
    endpoint.usual = works
    refresh(bench, endpoint)
    assert parked(bench) == {}
    assert set(names(bench)) >= {"Hydrocortisone", "AIRE"}
    assert lacking(bench) == ""


@pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
def test_a_budget_that_is_spent_leaves_the_rest_for_the_next_run(
    bench: PaperBench, endpoint: Endpoint
) -> None:
    spec = {"max_tokens": 1_000}
    refresh(bench, endpoint, **spec, max_run_tokens=4_000)
    there = len(PAPERS) - len(parked(bench))
    assert 0 < there < len(PAPERS)
    assert len(endpoint.requests) == there
    assert all("this run has used" in reason for reason in parked(bench, BUNDLES).values())
    assert lacking(bench).startswith(f"Papers without a bundle: {len(PAPERS) - there} (")
    assert "Hydrocortisone" in names(bench)  # the graph is of what is there
    assert found(bench, "hydrocortisone") >= {f"{paper_id}/results" for paper_id in PAPERS}
    refresh(bench, endpoint, **spec)
    assert (parked(bench), lacking(bench)) == ({}, "")
    assert len(endpoint.requests) == len(PAPERS)
