"""Agents and papers: queueing a job, following it, looking up papers and the graph, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from mcp import Client

from ingest_assets_tests.interfaces.mcp.agents import Served, plain, serve
from ingest_assets_tests.sources.papers.home_of_papers import home_of_papers

URL = "https://papers.example/a/b.xml"


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Papers may be fetched from three hosts, by agents from two of them."""
    home = home_of_papers(tmp_path_factory.mktemp("papers-mcp")).with_settings(
        ingest_paper_hosts="eutils.ncbi.nlm.nih.gov,papers.example,private.example",
        ingest_agent_paper_hosts="eutils.ncbi.nlm.nih.gov,papers.example",
    )
    with serve(home) as running:
        yield running


def test_the_tools_of_papers(agents: Served) -> None:
    async def listed(client: Client) -> Any:
        return (await client.list_tools()).tools

    found = {tool.name: tool for tool in agents.talk(listed)}
    assert set(found) >= {
        "ingest_paper", "check_ingest_status", "list_papers", "get_paper", "find_relationships",
        "find_entities_within_hops", "get_bundle_info",
    }  # fmt: skip
    assert "remove_paper" not in found
    assert found["ingest_paper"].annotations.open_world_hint
    assert "ingest_paper" not in {tool.name for tool in agents.talk(listed, token="reads")}


def test_an_agent_queues_a_job_and_follows_it(agents: Served) -> None:
    job = agents.call("ingest_paper", paper="pmc10667925").ok()
    assert (job["status"], job["paper"], job["entities_added"]) == ("queued", "PMC10667925", 0)
    assert agents.call("ingest_paper", paper="PMC10667925").ok()["job_id"] == job["job_id"]
    followed = agents.call("check_ingest_status", token="reads", job_id=job["job_id"]).ok()
    assert (followed["job_id"], followed["status"]) == (job["job_id"], "queued")
    assert agents.call("ingest_paper", paper=URL).ok()["status"] == "queued"


@pytest.mark.parametrize(
    ("paper", "says"),
    [
        ("https://private.example/a.xml", "Agents may not have papers fetched from there."),
        ("https://other.example/a.xml", ""),
        (f"{URL}?id=all-that-I-know", "without a query"),
        ("https://papers.example/" + "a" * 300, "plain, short path"),
        ("https://papers.example/a%20b", "plain, short path"),
        ("http://papers.example/a.xml", ""),
        ("https://papers.example:8443/a.xml", ""),
        ("https://eutils.ncbi.nlm.nih.gov/entrez/eutils/esearch.fcgi?term=secret", "without a query"),
        ("/etc/passwd", ""),
        ("file:///etc/passwd", ""),
        ("PMC0", ""),
        ("", ""),
    ],
)
def test_what_an_agent_may_not_fetch(agents: Served, paper: str, says: str) -> None:
    assert says in agents.call("ingest_paper", paper=paper).refused()


def test_scopes(agents: Served) -> None:
    assert "ingest" in agents.call("ingest_paper", token="reads", paper="PMC5").refused()
    assert "no such tool" in agents.call("remove_paper", paper_id="PMC1").refused()
    agents.call("check_ingest_status", job_id="00000000-0000-0000-0000-000000000000").refused()


def test_papers_and_the_graph_are_looked_up(agents: Served) -> None:
    listed = agents.call("list_papers", token="reads", limit=1).ok()
    assert [plain(each["title"]) for each in listed["papers"]] == ["Paper 1"]
    shown = agents.call("get_paper", token="reads", paper_id="PMC2").ok()
    assert plain(shown["title"]) == "Paper 2"
    assert shown["bundle"]["relationships"] == 1
    agents.call("get_paper", paper_id="PMC9").refused()
    assert agents.call("get_bundle_info", token="reads").ok()
    hits = agents.call("search", token="reads", query="metformin", source="papers").ok()["hits"]
    assert {hit["document_id"].partition("/")[0] for hit in hits} == {"PMC1", "PMC2"}
