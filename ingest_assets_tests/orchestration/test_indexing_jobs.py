"""Indexing jobs through Dagster: each has one run, which reports progress, stops on request, and ends it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.tags import GRPC_INFO_TAG

from ingest_assets.definitions import build_defs
from ingest_assets.interfaces.job_service import JobRequest
from ingest_assets.interfaces.queued_jobs import QueuedJobs
from ingest_assets.jobs import event_log
from ingest_assets.jobs.events import Context, JobEvent
from ingest_assets.jobs.queue import JobTarget, cancel, start, status_of
from ingest_assets.jobs.streaming import stream
from ingest_assets.jobs.workers import Wait, end, end_orphans, mark_running
from ingest_assets.ledger import job_tables
from ingest_assets.orchestration.assets import JOB_TAG
from ingest_assets.orchestration.orphaned_runs import process_tags
from ingest_assets.orchestration.resources import Ingest
from ingest_assets.queries.search import Searcher
from ingest_assets.sources.repositories.definition import SOURCE as REPOSITORIES
from ingest_assets.sources.repositories.kept import repositories_of
from ingest_assets.sources.repositories.source import ConfinedRepository
from ingest_assets.sources.repositories.streaming import ingest_events
from ingest_assets_tests.embedding.endpoint_server import DIMENSION, Reply, serving
from ingest_assets_tests.interfaces.mcp.agents import serve
from ingest_assets_tests.orchestration.jobs import QUIET
from ingest_assets_tests.orchestration.shop import GO, PYTHON, refresh
from ingest_assets_tests.sources.repositories.git_server import GitServer
from ingest_assets_tests.sources.repositories.repos import TestRepo
from ingest_assets_tests.support.built_index import Home


class Jobs:
    """Indexing jobs of one repository, launched as the daemon does it."""

    def __init__(self, home: Home, instance: dg.DagsterInstance) -> None:
        self.home, self.instance = home, instance
        defs = build_defs(home.overrides).get_repository_def()
        self.sensor = defs.get_sensor_def("indexing_jobs_sensor")

    def start(self, path: Path, **options: Any) -> str:
        with self.home.bench() as bench:
            from ingest_assets.sources.repositories.kept import bounds_of
            from ingest_assets.sources.repositories.origin import parse_origin

            origin = parse_origin(str(path), bounds_of(self.home.load()).policy)
            repository = JobTarget("repositories", origin.id, str(path), origin.name)
            return start(bench.ledger, repository, **options).job_id

    def status(self, job_id: str) -> dict[str, Any]:
        with self.home.bench() as bench:
            return dict(status_of(bench.ledger, job_id))

    def tick(self) -> list[dg.RunRequest]:
        resources = {"ingest": Ingest(overrides=self.home.overrides)}
        with dg.build_sensor_context(instance=self.instance, resources=resources) as context:
            said = self.sensor(context)
        if isinstance(said, dg.SkipReason):
            return []
        assert isinstance(said, list)
        return said

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        definition = build_defs(self.home.overrides).resolve_job_def("index_repository")
        return definition.execute_in_process(
            instance=self.instance,
            run_config=QUIET | dict(request.run_config),
            partition_key=request.partition_key,
            tags=dict(request.tags),
            raise_on_error=False,
        )


@pytest.fixture
def jobs(home: Home) -> Iterator[Jobs]:
    with home.instance() as instance:
        yield Jobs(home, instance)


def test_a_job_is_one_run_that_reports_and_completes(jobs: Jobs, repo: TestRepo) -> None:
    job_id = jobs.start(repo.path)
    assert jobs.status(job_id)["status"] == "pending"
    [request] = jobs.tick()
    assert (request.run_key, request.tags[JOB_TAG]) == (job_id, job_id)
    assert jobs.run(request).success
    status = jobs.status(job_id)
    assert (status["status"], status["progress_percentage"]) == ("completed", 100)
    assert (status["files_scanned"], status["files_indexed"]) == (2, 2)
    assert status["chunks_created"] >= 2
    with jobs.home.bench() as bench:
        events = event_log.after(bench.ledger, job_id)
    assert [event["sequence"] for event in events] == list(range(len(events)))
    assert [event["event_type"] for event in events].count("ingest.completed.v1") == 1
    last = events[-1]
    assert (last["event_type"], last["status"]) == ("ingest.completed.v1", "success")
    assert last["payload"]["files_skipped"] == 1
    assert last["payload"]["language_breakdown"] == {"Python": 1, "Go": 1}
    assert jobs.tick() == []
    again = jobs.start(repo.path, force_reindex=True)
    [request] = jobs.tick()
    assert jobs.run(request).success
    assert jobs.status(again)["status"] == "completed"


def test_a_job_that_would_remove_too_much_fails_and_one_that_is_allowed_to_goes_on(
    jobs: Jobs, repo: TestRepo
) -> None:
    repo.commit({f"notes/{n}.md": b"# Oats\n\nAbout oats, number %d.\n" % n for n in range(40)})
    jobs.start(repo.path)
    assert jobs.run(jobs.tick()[0]).success
    repo.commit({"README.md": b"# Moved away\n"})
    stopped = jobs.start(repo.path)
    assert not jobs.run(jobs.tick()[0]).success
    with jobs.home.bench() as bench:
        queued = QueuedJobs(bench)
        assert "remove 40 of 40 documents" in (queued.status(stopped).error_message or "")
        waiting = queued.start(JobRequest(str(repo.path)))
        allowed = queued.start(JobRequest(str(repo.path), allow_removals=True))
        assert not allowed.existing
        assert queued.start(JobRequest(str(repo.path), allow_removals=True)).job_id == allowed.job_id
        queued.cancel(waiting.job_id)
    [request] = jobs.tick()
    assert request.tags["ingest/allow_removals"] == "true"
    assert jobs.run(request).success


def comparable(events: Iterable[JobEvent]) -> list[tuple[str, Any]]:
    """The types and payloads of events, without durations and in a fixed order."""
    said = [(event["event_type"], event["payload"] | {"duration_ms": 0}) for event in events]
    return sorted(said, key=repr)


def test_the_events_are_those_of_the_whole_repository_whichever_interface_started_the_job(
    jobs: Jobs, repo: TestRepo
) -> None:
    method = b"".join(b"    " + line + b"\n" if line else b"\n" for line in PYTHON.splitlines()[3:])
    repo.commit(
        {
            "shop/price.py": PYTHON,
            "shop/till.py": b"class Till:\n" + method,
            "crank.go": GO,
            "größe.txt": "größe\n".encode("utf-16"),
            "logo.png": b"\x89PNG\r\n\x1a\n\0\0",
            "node_modules/x.js": b"let x = 1\n",
        }
    )
    path = str(repo.path)
    with (
        jobs.home.bench() as bench,
        serve(jobs.home.with_settings(ingest_agent_local_repositories=True)) as agents,
    ):
        by_agent = agents.call("start_indexing_background", repo_path=path).ok()["job_id"]
        assert all(jobs.run(request).success for request in jobs.tick())
        # The second one finds nothing changed, and reports the same.
        by_program = QueuedJobs(bench).start(JobRequest(path)).job_id
        assert all(jobs.run(request).success for request in jobs.tick())
        one, other = (event_log.after(bench.ledger, job_id) for job_id in (by_agent, by_program))
        [repository] = repositories_of(bench).all()
        source = repositories_of(bench).source(repository)
        assert isinstance(source, ConfinedRepository)
        drafts = ingest_events(source, REPOSITORIES.chunker(bench, "repositories"), repo_url=path)
        context = Context(job_id=by_agent, repo_url=path, git_ref=None)
        assert comparable(one) == comparable(other) == comparable(stream(drafts, context))
    assert (one[0]["event_type"], one[-1]["event_type"]) == ("ingest.started.v1", "ingest.completed.v1")
    counts = {name: one[-1]["payload"][name] for name in ("files_detected", "files_skipped")}
    assert counts == {"files_detected": 6, "files_skipped": 2}
    assert one[-1]["payload"]["language_breakdown"] == {"Go": 1, "Python": 2, "Text": 1}


def test_events_of_a_later_job_are_of_the_files_as_it_read_them(jobs: Jobs, repo: TestRepo) -> None:
    """Also where what has changed is held back until it is known that not too much is gone."""
    files = {f"notes/{n}.md": b"# Oats\n\nAbout oats, number %d.\n" % n for n in range(60)}
    repo.commit(files)
    jobs.start(repo.path)
    assert jobs.run(jobs.tick()[0]).success
    repo.commit(files | {"notes/7.md": b"# Rye\n\nAbout rye, at greater length.\n", "new.py": PYTHON})
    later = jobs.start(repo.path)
    assert jobs.run(jobs.tick()[0]).success
    with jobs.home.bench() as bench:
        events = event_log.after(bench.ledger, later)
        [repository] = repositories_of(bench).all()
        source = repositories_of(bench).source(repository)
        assert isinstance(source, ConfinedRepository)
        drafts = ingest_events(source, REPOSITORIES.chunker(bench, "repositories"), repo_url=str(repo.path))
        context = Context(job_id=later, repo_url=str(repo.path), git_ref=None)
        assert comparable(events) == comparable(stream(drafts, context))


def test_a_failed_job_has_the_events_of_what_it_read(jobs: Jobs, repo: TestRepo) -> None:
    job_id = jobs.start(repo.path)
    [request] = jobs.tick()
    definition = build_defs(jobs.home.overrides).resolve_job_def("index_repository")
    files = dg.AssetKey(["repositories", "files"])
    tags = dict(request.tags)
    done = definition.execute_in_process(
        instance=jobs.instance, run_config=QUIET, partition_key=request.partition_key, tags=tags,
        asset_selection=[files],
    )  # fmt: skip
    assert done.success
    with jobs.home.bench() as bench:
        end(bench.ledger, job_id, "failed", "The rest failed.")
        last = event_log.after(bench.ledger, job_id)[-1]
    assert last["status"] == "failed"
    seen = {name: last["payload"][name] for name in ("files_detected", "files_processed", "files_skipped")}
    assert seen == {"files_detected": 3, "files_processed": 2, "files_skipped": 1}
    assert last["payload"]["language_breakdown"] == {"Go": 1, "Python": 1}


def test_a_cancelled_job_stops_and_says_so(jobs: Jobs, repo: TestRepo) -> None:
    early = jobs.start(repo.path)
    with jobs.home.bench() as bench:
        cancel(bench.ledger, early)
    assert jobs.tick() == []
    assert jobs.status(early)["status"] == "cancelled"
    late = jobs.start(repo.path)
    [request] = jobs.tick()
    with jobs.home.bench() as bench:
        run = jobs.instance.create_run_for_job(
            build_defs(jobs.home.overrides).resolve_job_def("index_repository"), tags=dict(request.tags)
        )
        mark_running(bench.ledger, late, run.run_id)
        cancel(bench.ledger, late)
    # The job's run is gone before it began: the job is found, and ends as cancelled.
    jobs.instance.report_run_failed(run)
    assert jobs.tick() == []
    assert jobs.status(late)["status"] == "cancelled"


def test_a_job_indexes_its_ref_which_is_kept_if_it_exists(jobs: Jobs, repo: TestRepo) -> None:
    repo.commit({"one.py": PYTHON}, "one")
    repo.commit({"two.go": GO}, "two")

    def documents() -> set[str]:
        with jobs.home.bench() as bench:
            return {
                hit.document_id.rpartition("/")[2] for hit in Searcher(bench, "repositories").search("a").hits
            }

    def kept() -> list[str | None]:
        with jobs.home.bench() as bench:
            return [repository.ref for repository in repositories_of(bench).all()]

    first = jobs.start(repo.path, git_ref="one")
    [request] = jobs.tick()
    second = jobs.start(repo.path, git_ref="two")  # while the first is about to run
    assert kept() == []
    assert jobs.run(request).success
    assert (jobs.status(first)["status"], documents(), kept()) == ("completed", {"one.py"}, ["one"])
    [request] = jobs.tick()
    assert jobs.run(request).success
    assert (jobs.status(second)["status"], documents(), kept()) == ("completed", {"two.go"}, ["two"])

    wrong = jobs.start(repo.path, git_ref="nosuch")
    [request] = jobs.tick()
    assert not jobs.run(request).success
    assert "no branch or tag 'nosuch'" in str(jobs.status(wrong)["error_message"])
    assert kept() == ["two"]
    refresh(jobs.home)
    assert documents() == {"two.go"}


@pytest.fixture
def hanging(tmp_path: Path, home: Home) -> Iterator[tuple[GitServer, Home]]:
    """A server that does not answer for a minute, and a home that may fetch from it, and from a folder."""
    asleep = threading.Event()

    def sleep(_environ: object, _start: object) -> list[bytes]:
        asleep.wait(60)
        return []

    with GitServer(tmp_path / "served").running() as server:
        server.misbehave = sleep
        allowed = home.with_settings(
            ingest_repository_protocols="http,file",
            ingest_repository_private_addresses=True,
            progress_update_interval_seconds=2,  # as it is by default
            cancellation_check_interval_seconds=5,
        )
        yield server, allowed
        asleep.set()


def test_a_job_is_cancelled_while_its_remote_hangs_and_keeps_no_other_waiting(
    repo: TestRepo, hanging: tuple[GitServer, Home]
) -> None:
    server, home = hanging
    with home.instance() as instance:
        both = Jobs(home, instance)
        with home.bench() as bench:
            stuck = start(
                bench.ledger, JobTarget("repositories", "http:127.0.0.1/x", server.url(), "x")
            ).job_id
        fine = both.start(repo.path)
        there = {request.run_key: request for request in both.tick()}
        fetching = threading.Thread(target=both.run, args=(there[stuck],))
        fetching.start()
        wait_until(lambda: len(server.requests) > 0)
        assert both.run(there[fine]).success
        assert both.status(fine)["status"] == "completed"
        assert both.status(stuck)["status"] == "running"
        with home.bench() as bench:
            cancel(bench.ledger, stuck)
        asked = time.monotonic()
        fetching.join(30)
        assert time.monotonic() - asked < 5  # the promise
        assert both.status(stuck)["status"] == "cancelled"
        with home.bench() as bench:
            assert [kept.location for kept in repositories_of(bench).all()] == [str(repo.path)]


def test_a_job_is_cancelled_while_its_model_does_not_answer(home: Home, repo: TestRepo) -> None:
    with serving() as endpoint:
        endpoint.usual = Reply(delay_s=40)
        slow = home.with_settings(
            spark_control_url=endpoint.url,
            ingest_dense_dimension=DIMENSION,
            progress_update_interval_seconds=2,  # as it is by default
            cancellation_check_interval_seconds=5,
        )
        with slow.instance() as instance:
            jobs = Jobs(slow, instance)
            job_id = jobs.start(repo.path)
            [request] = jobs.tick()
            embedding = threading.Thread(target=jobs.run, args=(request,))
            embedding.start()
            wait_until(lambda: len(endpoint.requests) > 0)
            # What was made until then is told already.
            with slow.bench() as bench:
                told = [event["event_type"] for event in event_log.after(bench.ledger, job_id)]
                assert "ingest.chunk_created.v1" in told
                cancel(bench.ledger, job_id)
            asked = time.monotonic()
            embedding.join(30)
            assert time.monotonic() - asked < 5  # the promise
            assert jobs.status(job_id)["status"] == "cancelled"


def test_a_job_s_time_does_not_run_while_it_waits(home: Home, repo: TestRepo) -> None:
    hasty = home.with_settings(indexing_job_timeout_seconds=1)
    with hasty.instance() as instance:
        jobs = Jobs(hasty, instance)
        job_id = jobs.start(repo.path)
        with hasty.bench() as bench:
            mark_running(bench.ledger, job_id, "a run")
            wait = Wait(bench.ledger, job_id)
            wait.begin()
            t = job_tables.indexing_jobs
            since = time.time() - 100
            waiting = json.dumps({"waiting_since": since})
            with bench.ledger.transaction() as connection:
                connection.execute(t.update().values(started_at=since, result=waiting))
            assert end_orphans(bench.ledger, lambda _: True, timeout_s=1) == []
            wait.end()
            assert jobs.status(job_id)["result"]["waiting_since"] is None
            # Once it works, it does: its time runs.
            with bench.ledger.transaction() as connection:
                connection.execute(t.update().values(result="{}"))
            [ended] = end_orphans(bench.ledger, lambda _: True, timeout_s=1)
            assert (ended.job_id, ended.outcome) == (job_id, "failed")


def test_a_run_waits_for_another_until_it_is_cancelled(jobs: Jobs, repo: TestRepo) -> None:
    job_id = jobs.start(repo.path)
    [request] = jobs.tick()
    waiting = threading.Thread(target=jobs.run, args=(request,))
    with jobs.home.bench() as bench, bench.run_lock("repositories"):
        waiting.start()
        wait_until(lambda: jobs.status(job_id)["status"] == "running")
        wait_until(lambda: jobs.status(job_id)["progress_message"].startswith("Waiting for another run"))
        assert waiting.is_alive()
        assert jobs.status(job_id)["files_scanned"] == 0
        # The commit is known, and said, before the rest has to wait.
        told = event_log.after(bench.ledger, job_id)
        assert [each["event_type"] for each in told] == ["ingest.started.v1"]
        cancel(bench.ledger, job_id)
        waiting.join(10)
        assert not waiting.is_alive()
    assert jobs.status(job_id)["status"] == "cancelled"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_job_whose_repository_vanishes_says_so_and_what_was_indexed_stays(
    jobs: Jobs, repo: TestRepo
) -> None:
    jobs.start(repo.path)
    assert jobs.run(jobs.tick()[0]).success
    with jobs.home.bench() as bench:
        before = bench.recorded("repositories")
    job_id = jobs.start(repo.path)
    [request] = jobs.tick()
    repo.path.rename(repo.path.with_name("elsewhere"))
    assert not jobs.run(request).success
    status = jobs.status(job_id)
    assert status["status"] == "failed"
    assert "cannot be opened" in str(status["error_message"])
    with jobs.home.bench() as bench:
        assert bench.recorded("repositories") == before > (0, 0)
        assert Searcher(bench, "repositories").search("frobnicate").hits


def test_a_job_whose_time_is_up_fails_though_the_server_that_could_end_its_run_is_gone(
    home: Home, repo: TestRepo
) -> None:
    hasty = home.with_settings(indexing_job_timeout_seconds=0.01)
    with hasty.instance() as instance:
        jobs = Jobs(hasty, instance)
        job_id = jobs.start(repo.path)
        [request] = jobs.tick()
        server = {GRPC_INFO_TAG: json.dumps({"host": "localhost", "socket": str(home.path / "gone.sock")})}
        run = instance.create_run_for_job(
            build_defs(hasty.overrides).resolve_job_def("index_repository"),
            tags={**request.tags, **process_tags(), **server},
            status=dg.DagsterRunStatus.STARTED,
        )
        with hasty.bench() as bench:
            mark_running(bench.ledger, job_id, run.run_id)
        time.sleep(0.02)  # until its time is up
        assert jobs.tick() == []
        status = jobs.status(job_id)
        assert (status["status"], status["error_type"]) == ("failed", "JobTimeoutError")


def test_a_job_reads_the_repository_once(jobs: Jobs, repo: TestRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its events are told from what the stages recorded."""
    reads: list[str] = []
    read = ConfinedRepository.read

    def counted(source: ConfinedRepository) -> Any:
        reads.append(source.prefix)
        return read(source)

    monkeypatch.setattr(ConfinedRepository, "read", counted)
    job_id = jobs.start(repo.path)
    [request] = jobs.tick()
    assert jobs.run(request).success
    assert len(reads) == 1
    with jobs.home.bench() as bench:
        [skipped] = [e for e in event_log.after(bench.ledger, job_id) if "file_skipped" in e["event_type"]]
    assert skipped["payload"]["reason"]
