"""Papers over HTTP: jobs that add them, what is known of them, and who may do what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ingest_assets_tests.interfaces.http.served import AGENT, READER, TOKENS, WRITER, Served, served
from ingest_assets_tests.sources.papers.home_of_papers import home_of_papers


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = home_of_papers(tmp_path_factory.mktemp("papers-http"))
    with served(home, ingest_api_tokens=TOKENS) as running:
        yield running


def said(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


def test_papers_are_listed_and_shown(server: Served) -> None:
    with server.client(READER) as reader:
        first = said(reader.get("/papers", params={"limit": 1}))
        assert [each["paper_id"] for each in first["papers"]] == ["PMC1"]
        rest = said(reader.get("/papers", params={"after": first["next_after"]}))
        assert [each["paper_id"] for each in rest["papers"]] == ["PMC2"]
        assert rest["next_after"] is None
        shown = said(reader.get("/papers/PMC1"))
        assert (shown["title"], shown["year"], shown["notices"]) == ("Paper 1", 2020, [])
        assert shown["bundle"]["entities"] == 2
        assert "PMC1/results" in [each["document_id"] for each in shown["sections"]]
        for wrong, status in (("PMC9", 404), ("x" * 201, 400), ("%00", 400)):
            assert reader.get(f"/papers/{wrong}").status_code == status


def test_the_graph_is_asked(server: Served) -> None:
    with server.client(READER) as reader:
        found = said(reader.get("/graph/entities", params={"text": "metformin"}))
        assert found
        stats = said(reader.get("/graph/stats"))
        assert stats
        assert said(reader.get("/graph/bundle"))
        assert reader.get("/graph/nothing").status_code == 404
        hits = said(
            reader.get("/search", params={"query": "metformin", "source": "papers", "filter": "pmcid=PMC2"})
        )
        assert {each["document_id"].partition("/")[0] for each in hits["hits"]} == {"PMC2"}


def test_who_may_do_what(server: Served) -> None:
    asked = {"paper": "PMC77"}
    with server.client() as nobody, server.client(READER) as reader, server.client(WRITER) as writer:
        assert nobody.post("/papers/jobs", json=asked).status_code == 401
        assert nobody.get("/papers").status_code == 401
        assert nobody.get("/graph/stats").status_code == 401
        assert reader.post("/papers/jobs", json=asked).status_code == 403
        assert reader.delete("/papers/PMC1").status_code == 403
        assert writer.post("/papers/jobs", json=asked).status_code == 403
        with server.client(AGENT) as agent:
            queued = said(agent.post("/papers/jobs", json=asked), 202)
        assert said(reader.get(f"/papers/jobs/{queued['job_id']}"))["status"] == "queued"


def test_a_job_is_queued_once_and_followed(server: Served) -> None:
    with server.client(AGENT) as client:
        job = said(client.post("/papers/jobs", json={"paper": "pmc10667925"}), 202)
        assert (job["status"], job["paper"], job["pmcid"]) == ("queued", "PMC10667925", None)
        assert (job["entities_added"], job["relationships_added"], job["error"]) == (0, 0, None)
        same = said(client.post("/papers/jobs", json={"paper": "PMC10667925"}), 202)
        assert same["job_id"] == job["job_id"]
        assert said(client.get(f"/papers/jobs/{job['job_id']}")) == job
        unknown = "00000000-0000-0000-0000-000000000000"
        assert client.get(f"/papers/jobs/{unknown}").status_code == 404
        assert client.get("/papers/jobs/none").status_code in (400, 404)


@pytest.mark.parametrize(
    "paper",
    ["", "none.xml", "/etc/passwd", "file:///etc/passwd", "https://elsewhere.example/x.xml",
     "http://eutils.ncbi.nlm.nih.gov/x.xml", "https://127.0.0.1/x", "https://a:secret-1@eutils.ncbi.nlm.nih.gov/x",
     "https://eutils.ncbi.nlm.nih.gov/x?key=secret-1", "PMC0", "x" * 2_001, "a\x00b"],
)  # fmt: skip
def test_what_may_not_be_fetched_is_refused(server: Served, paper: str) -> None:
    with server.client(AGENT) as client:
        answer = client.post("/papers/jobs", json={"paper": paper})
        assert answer.status_code in (400, 403), answer.text
        assert answer.json()["error"]["message"]
        assert "secret-1" not in answer.text


def test_a_paper_is_removed(server: Served) -> None:
    with server.client(AGENT) as client:
        said(client.get("/papers/PMC2"))
        removed = said(client.delete("/papers/PMC2"))
        assert (removed["paper_id"], removed["title"]) == ("PMC2", "Paper 2")
        for answer in (client.delete("/papers/PMC2"), client.get("/papers/PMC2")):
            assert answer.status_code == 404
        assert [each["paper_id"] for each in said(client.get("/papers"))["papers"]] == ["PMC1"]
