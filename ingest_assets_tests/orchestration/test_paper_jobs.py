"""Jobs that add papers, through Dagster: fetched from a server on loopback, extracted, merged and indexed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingest_assets.definitions import build_defs
from ingest_assets.document_text import PLAIN
from ingest_assets.jobs.queue import cancel, start, status_of
from ingest_assets.jobs.workers import mark_running
from ingest_assets.orchestration.assets import JOB_TAG
from ingest_assets.orchestration.resources import Ingest
from ingest_assets.queries.search import open_search
from ingest_assets.sources.operations import Asking
from ingest_assets.sources.papers.graph_stages import graph_counts
from ingest_assets.sources.papers.jobs import target
from ingest_assets.sources.papers.operations import OPERATIONS
from ingest_assets.sources.papers.places import papers_of
from ingest_assets.stages.parked import parked_items
from ingest_assets_tests.embedding.endpoint_server import Reply
from ingest_assets_tests.orchestration.jobs import QUIET
from ingest_assets_tests.sources.papers.chat_server import chatting, entity, envelope, relation
from ingest_assets_tests.sources.papers.paper_bench import jats
from ingest_assets_tests.sources.papers.paper_server import PaperServer, Sent, serving_papers
from ingest_assets_tests.support.built_index import Home

ONE = jats(
    "Metformin for all",
    {"Results": "Metformin is used to treat type 2 diabetes mellitus in most patients."},
    pmcid="PMC1",
)
TWO = jats(
    "More of it",
    {"Results": "Metformin is used to treat type 2 diabetes mellitus. Aspirin reduces asthma in patients."},
    pmcid="PMC2",
)
EMPTY = "<?xml version='1.0'?><pmc-articleset></pmc-articleset>"


class PaperJobs:
    """Jobs of papers, launched as the daemon does it, and the server that they fetch from."""

    def __init__(self, home: Home, instance: dg.DagsterInstance, server: PaperServer) -> None:
        self.home, self.instance, self.server = home, instance, server
        self.papers: dict[str, str] = {"1": ONE, "2": TWO}
        server.answer = self._answer
        defs = build_defs(home.overrides).get_repository_def()
        self.checks: dict[str, bool] = {}  # of the last run: whether it passed, by name
        self.sensor = defs.get_sensor_def("indexing_jobs_sensor")

    def _answer(self, path: str) -> Sent:
        asked = re.search(r"[?&]id=(\d+)", path)
        return Sent(self.papers.get(asked[1] if asked else "", EMPTY).encode())

    def start(self, location: str, **options: Any) -> str:
        with self.home.bench() as bench:
            found, _ = target(bench, location, None)
            return start(bench.ledger, found, **options).job_id

    def tick(self) -> Sequence[dg.RunRequest]:
        resources = {"ingest": Ingest(overrides=self.home.overrides)}
        with dg.build_sensor_context(instance=self.instance, resources=resources) as context:
            said = self.sensor(context)
        return said if isinstance(said, list) else []

    def run(self, request: dg.RunRequest) -> bool:
        name = request.job_name or "index_paper"
        definition = build_defs(self.home.overrides).resolve_job_def(name)
        done = definition.execute_in_process(
            instance=self.instance,
            run_config=QUIET | dict(request.run_config),
            partition_key=request.partition_key,
            tags=dict(request.tags),
            raise_on_error=False,
        )
        self.checks = {each.check_name: each.passed for each in done.get_asset_check_evaluations()}
        return bool(done.success)

    def done(self, location: str, *, unmet: bool = False, **options: Any) -> dict[str, Any]:
        """One job from its start to its end, as callers see it. `unmet`: its run is to get through."""
        job_id = self.start(location, **options)
        assert self.shown(job_id)["status"] == "queued"
        [request] = self.tick()
        assert request.tags[JOB_TAG] == job_id
        ok = self.run(request)
        shown = self.shown(job_id)
        assert ok == (unmet or shown["status"] == "complete"), shown
        return shown

    def shown(self, job_id: str) -> dict[str, Any]:
        """What `check_ingest_status` answers."""
        operation = next(each for each in OPERATIONS if each.name == "check_ingest_status")
        with self.home.bench() as bench:
            asking = Asking(bench=bench, caller="tester", transport="http", agent=False)
            answer = operation.run(asking, operation.takes.model_validate({"job_id": job_id}))
            return dict(answer.model_dump(mode="json", context=PLAIN))

    def found(self, query: str) -> set[str]:
        """The sections that a search finds."""
        with self.home.bench() as bench:
            hits = open_search(bench, "papers").search(query, limit=10).hits
            return {hit.document_id for hit in hits}

    def counts(self) -> dict[str, int]:
        with self.home.bench() as bench, bench.ledger.reading() as connection:
            return graph_counts(connection, "papers")


@pytest.fixture
def server() -> Iterator[PaperServer]:
    with serving_papers() as running:
        yield running


@pytest.fixture
def paper_home(tmp_path: Path, server: PaperServer) -> Home:
    (tmp_path / "papers").mkdir()
    home = Home(tmp_path / "papers").with_settings(
        crm_db_path=None,
        ingest_workspace_root=str(tmp_path / "papers" / "workspace"),
        ingest_paper_efetch_url=f"{server.base}/efetch.fcgi",
        ingest_paper_protocols="https,http",
        ingest_paper_private_addresses=True,
        ingest_paper_hosts=f"127.0.0.1:{server.port}",
        ncbi_api_key="a-key",  # of which more requests are allowed in a second
        cancellation_check_interval_seconds=0.01,
        progress_update_interval_seconds=0.01,
    )
    home.dagster.mkdir()
    (home.dagster / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    return home


@pytest.fixture
def jobs(paper_home: Home, server: PaperServer) -> Iterator[PaperJobs]:
    with paper_home.instance() as instance:
        yield PaperJobs(paper_home, instance, server)


def test_a_job_adds_a_paper_and_says_what_it_added(jobs: PaperJobs) -> None:
    first = jobs.done("PMC1")
    assert (first["status"], first["error"]) == ("complete", None)
    assert (first["paper_title"], first["pmcid"]) == ("Metformin for all", "PMC1")
    counts = jobs.counts()
    assert first["entities_added"] == counts["entities"] == 2
    assert first["relationships_added"] == counts["relationships"] == 1
    assert all(first[name] >= 0 for name in ("pass1_s", "pass2_s", "pass3_s", "load_s"))
    assert first["pass1_s"] > 0
    # The counts of the second paper are of what it added, not of all.
    second = jobs.done("PMC2")
    assert (second["status"], second["paper_title"]) == ("complete", "More of it")
    assert second["entities_added"] == jobs.counts()["entities"] - counts["entities"] > 0
    assert second["relationships_added"] == jobs.counts()["relationships"] - counts["relationships"]
    # What is there already adds nothing, and is not extracted again.
    again = jobs.done("PMC1")
    assert (again["status"], again["entities_added"], again["relationships_added"]) == ("complete", 0, 0)
    assert (again["paper_title"], again["pmcid"], again["pass1_s"]) == ("Metformin for all", "PMC1", 0.0)
    forced = jobs.done("PMC1", force_reindex=True)
    assert (forced["status"], forced["entities_added"]) == ("complete", 0)
    assert forced["pass1_s"] > 0


NONE = (EMPTY, ONE[: len(ONE) // 2])  # not found, and not whole
MORE = ("<html><body>Not found</body></html>", "", "%PDF-1.7 no", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>")


@pytest.mark.parametrize("contents", [NONE, pytest.param(MORE, marks=pytest.mark.thorough)], ids=len)
def test_a_paper_that_is_not_there_fails_the_job(jobs: PaperJobs, contents: tuple[str, ...]) -> None:
    jobs.done("PMC1")
    counts = jobs.counts()
    for content in contents:
        jobs.papers["9"] = content
        failed = jobs.done("PMC9")
        assert failed["status"] == "failed", content
        assert failed["error"]
        assert str(jobs.home.path) not in failed["error"]
        assert "Traceback" not in failed["error"]
        assert (failed["entities_added"], failed["paper_title"], failed["pmcid"]) == (0, None, None)
    assert jobs.counts() == counts
    jobs.papers["9"] = ONE.replace("PMC1", "PMC9").replace(">1<", ">9<")
    assert jobs.done("PMC9")["status"] == "complete"


def test_another_paper_than_the_one_that_was_asked_for_fails_the_job(jobs: PaperJobs) -> None:
    jobs.papers["9"] = ONE
    failed = jobs.done("PMC9")
    assert failed["status"] == "failed"
    assert "PMC9 was asked for, and what came is PMC1" in failed["error"]
    with jobs.home.bench() as bench:
        assert list(papers_of(bench).all()) == []


@pytest.mark.thorough
def test_a_server_that_is_down_fails_the_job(jobs: PaperJobs) -> None:
    jobs.server.answer = lambda _path: Sent(b"", status=404)
    failed = jobs.done("PMC1")
    assert failed["status"] == "failed"
    assert failed["error"]


def test_a_paper_whose_bundle_cannot_be_read_fails_the_job(jobs: PaperJobs) -> None:
    bundles = Path(jobs.home.settings["ingest_workspace_root"]) / "pass1_bundles"
    bundles.mkdir(parents=True)
    (bundles / "paper_PMC1.json").write_text("{")
    for _ in range(2):  # also when it is parked already
        failed = jobs.done("PMC1", unmet=True)
        assert (failed["status"], failed["entities_added"]) == ("failed", 0)
        assert "not extracted" in failed["error"]
        assert jobs.found("metformin") == {"PMC1/title", "PMC1/results"}
    # Another paper's job is not concerned.
    assert jobs.done("PMC2")["status"] == "complete"


DOWN = Reply(status=503, body=lambda _: {}, headers={"Retry-After": "0"})
SAID = {
    "paper_id": "PMC1",
    "entities": [entity(1, "Drug", "Metformin"), entity(2, "Disease", "type 2 diabetes mellitus")],
    "relationships": [relation(1, "TREATS", 2, "Metformin is used to treat type 2 diabetes mellitus")],
}


def test_an_extraction_that_is_down_fails_the_job_but_the_paper_is_searched(
    paper_home: Home, server: PaperServer
) -> None:
    with chatting(lambda _: envelope(SAID)) as endpoint:
        works, endpoint.usual = endpoint.usual, DOWN
        home = paper_home.with_settings(
            pass1_llm_backend="openai", pass1_llm_url=endpoint.url, pass1_llm_model="m"
        )
        with home.instance() as instance:
            jobs = PaperJobs(home, instance, server)
            job_id = jobs.start("PMC1")
            assert jobs.run(jobs.tick()[0])  # what it could do is done
            failed = jobs.shown(job_id)
            assert (failed["status"], failed["entities_added"]) == ("failed", 0)
            assert (failed["missing"], failed["error_type"]) == ({"parked": 1}, "UnavailableError")
            assert endpoint.url not in failed["error"]  # that is for the operator
            assert not jobs.checks["every_paper_has_a_bundle"]
            assert not jobs.checks["nothing_parked"]
            assert jobs.found("metformin") == {"PMC1/title", "PMC1/results"}
            with home.bench() as bench:
                said = status_of(bench.ledger, job_id)["error_message"] or ""
                assert said.startswith("The paper was not extracted; the next run tries again.")
                assert f"{endpoint.url}/v1/chat/completions answered 503" in said
                assert [each.error for each in parked_items(bench)] == [said.partition(". ")[2]]
            endpoint.usual = works
            done = jobs.done("PMC1")
            assert (done["status"], done["entities_added"], done["relationships_added"]) == ("complete", 2, 1)
            assert all(jobs.checks.values())


def test_a_cancelled_job_adds_nothing(jobs: PaperJobs) -> None:
    early = jobs.start("PMC1")
    with jobs.home.bench() as bench:
        cancel(bench.ledger, early)
    assert jobs.tick() == []
    assert jobs.shown(early)["status"] == "cancelled"
    assert jobs.shown(early)["cancelled_at"] == jobs.shown(early)["completed_at"] is not None
    late = jobs.start("PMC2")
    [request] = jobs.tick()
    with jobs.home.bench() as bench:
        run = jobs.instance.create_run_for_job(
            build_defs(jobs.home.overrides).resolve_job_def(request.job_name or "index_paper"),
            tags=dict(request.tags),
        )
        mark_running(bench.ledger, late, run.run_id)
        cancel(bench.ledger, late)
        assert status_of(bench.ledger, late)["cancel_requested"]
    jobs.instance.report_run_failed(run)
    assert jobs.tick() == []
    assert jobs.shown(late)["status"] == "cancelled"
    assert jobs.server.paths == []


def test_a_paper_that_waits_is_not_queued_twice(jobs: PaperJobs) -> None:
    assert jobs.start("PMC1") == jobs.start("pmc1") != jobs.start("PMC2")


@pytest.mark.thorough
def test_nothing_of_what_was_fetched_is_left_behind(jobs: PaperJobs) -> None:
    jobs.done("PMC1")
    jobs.papers["9"] = "broken"
    jobs.done("PMC9")
    temporary = jobs.home.path / "ingest" / "tmp"
    assert not [path for path in temporary.rglob("*") if path.name.startswith("paper-")]
