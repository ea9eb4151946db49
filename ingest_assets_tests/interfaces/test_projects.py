"""Projects are apart from each other at every door, also for whoever tries to get at another one's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ingest_assets.interfaces.cli.runs import run_sources
from ingest_assets.interfaces.http import Mounted
from ingest_assets.interfaces.http.admission import CALLER
from ingest_assets.interfaces.mcp import MAX_BODY, WorkbenchPool, mcp_app
from ingest_assets.interfaces.queued_jobs import QueuedJobs
from ingest_assets.jobs import queue, workers
from ingest_assets.jobs.event_log import append
from ingest_assets.jobs.events import file_detected
from ingest_assets.queries.search import open_search
from ingest_assets.sources.repositories.kept import repositories_of
from ingest_assets_tests.interfaces.http.served import Served, served
from ingest_assets_tests.sources.repositories.repos import TestRepo
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import IngestHere, built, built_once, ingest_here
from ingest_assets_tests.support.redis_server import redis_server

__all__ = ["built", "built_once", "ingest_here"]

QUERY = "where the secret recipe is brewed"
ALL, WEB, API, BOTH, CRM, PAPERS = (
    f"{name}-{'0123456789' * 3}" for name in ("all", "web", "api", "both", "crm", "papers")
)
# "a+b, c" is a project's name too, and stands percent-encoded in the setting.
TOKENS = (
    f"all:{ALL}:read+ingest+write,web:{WEB}:read+ingest+write:web,api:{API}:read+ingest:api,"
    f"both:{BOTH}:read+ingest:web+a%2Bb%2C%20c,crm:{CRM}:read+write::crm,"
    f"papers:{PAPERS}:read::papers"
)
# Which repository each project has; one is shared.
REPOSITORIES = {"onlyweb": ["web"], "onlyapi": ["api"], "shared": ["web", "api"]}


def source_of(name: str) -> bytes:
    return b'def recipe_of_%s():\n    """Where the secret recipe of %s is brewed."""\n    return 1\n' % (
        name.encode(),
        name.encode(),
    )


@pytest.fixture(scope="module")
def home(built_once: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A CRM and three repositories, of which two projects share one."""
    folder = tmp_path_factory.mktemp("projects")
    roots = folder / "repositories"
    found = built_once.copy(folder / "home").with_settings(
        ingest_repository_protocols="file,https", ingest_repository_roots=str(roots)
    )
    with found.bench() as bench:
        for name, projects in REPOSITORIES.items():
            with TestRepo(roots / name) as repo:
                repo.commit({"src/main.py": source_of(name), "logo.png": b"\x89PNG\0\0"})
            for project in projects:
                repositories_of(bench).add(str(roots / name), project=project)
    report = run_sources(found.load(), sources=["repositories"], overrides=found.overrides)
    assert report.success, report.errors
    return found


@contextmanager
def serving(home: Home, **settings: Any) -> Iterator[Served]:
    """As `ingest serve` does it, with tokens."""
    home = home.with_settings(ingest_api_tokens=TOKENS, **settings)
    pool = WorkbenchPool(home.load())
    agents = mcp_app(pool.borrow, lambda scope: scope.get(CALLER), behind_tokens=True)
    mounted = Mounted("/mcp", agents, None, lifespan=agents.lifespan, max_body=MAX_BODY)
    with home.bench() as bench:

        def jobs_of(caller: Any) -> QueuedJobs:
            return QueuedJobs.of(bench, "http", caller)

        with served(home, jobs_of, mounted=[mounted], ingest_api_tokens=TOKENS, **settings) as server:
            yield server
    pool.close()


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[Served]:
    with serving(home, ingest_agent_local_repositories=True) as running:
        yield running


def id_of(home: Home, name: str) -> str:
    with home.bench() as bench:
        return next(each.id for each in repositories_of(bench).all() if named(each.id) == name)


def named(repository_id: str) -> str:
    """The folder of a local repository, whose id also has a digest of its path."""
    return repository_id.rpartition("/")[2].rpartition("-")[0]


def path_of(home: Home, name: str) -> str:
    return str(Path(home.settings["ingest_repository_roots"]) / name)


def found_by(client: httpx.Client, **asked: Any) -> set[str]:
    """The names of the repositories that a search finds something of."""
    params: Any = {"query": QUERY, "limit": 100, "source": "repositories"} | asked
    answer = client.get("/search", params=params)
    assert answer.status_code == 200, answer.text
    return {named(hit["attributes"]["repository"]) for hit in answer.json()["hits"]}


def tool(client: httpx.Client, called: str, /, **arguments: Any) -> tuple[bool, Any]:
    """A tool's answer: whether it is an error, and its content or its message."""
    asked = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": called, "arguments": arguments},
    }
    accepted = {"Accept": "application/json, text/event-stream"}
    answer = client.post("/mcp", json=asked, headers=accepted).json()["result"]
    said = answer["content"][0]["text"]
    return answer["isError"], said if answer["isError"] else json.loads(said)


# --- Search -------------------------------------------------------------------------------------------------


def test_a_search_finds_what_is_asked_for_and_within_reach(server: Served) -> None:
    with server.client(ALL) as everyone, server.client(WEB) as web, server.client(API) as api:
        assert found_by(everyone) == {"onlyweb", "onlyapi", "shared"}
        assert found_by(everyone, filter="project_id=web") == {"onlyweb", "shared"}
        assert found_by(everyone, filter="project_id=nobody's") == set()
        assert found_by(everyone, filter=["project_id=web", "project_id=api"]) == set(REPOSITORIES)
        assert found_by(web) == found_by(web, filter="project_id=web") == {"onlyweb", "shared"}
        assert found_by(api) == {"onlyapi", "shared"}
        for mode in ("dense", "sparse", "hybrid"):
            assert found_by(web, mode=mode) == {"onlyweb", "shared"}


def test_a_bound_search_cannot_be_talked_out_of_its_project(home: Home, server: Served) -> None:
    other = id_of(home, "onlyapi")
    with server.client(WEB) as web, server.client(BOTH) as both:
        for asked in (
            {"filter": f"repository={other}"},
            {"filter": f"document_id={other}/src/main.py"},
            {"filter": [f"repository={other}", f"repository={id_of(home, 'onlyweb')}"]},
            {"filter": "symbol_name=recipe_of_onlyapi"},
        ):
            assert "onlyapi" not in found_by(web, **asked)
        for other_too in (["project_id=api"], ["project_id=web", "project_id=api"]):
            answers = [web.get("/search", params={"query": QUERY, "filter": other_too})]
            body = {"query": QUERY, "filters": {"project_id": ["api"]}}
            answers.append(web.post("/search", json=body))
            # A project that there is and one that there is not are told apart by nothing.
            missing = web.get("/search", params={"query": QUERY, "filter": "project_id=nowhere"})
            assert {(each.status_code, each.text) for each in answers} == {(403, missing.text)}
        assert found_by(both) == {"onlyweb", "shared"}
        assert found_by(both, filter="project_id=a+b, c") == set()


def test_sources_without_projects_are_out_of_reach_unless_the_token_names_them(server: Served) -> None:
    with server.client(WEB) as web, server.client(CRM) as crm, server.client(ALL) as everyone:
        refused = web.get("/search", params={"query": "contract", "source": "crm"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "out_of_reach")
        # Without a source it is not the CRM, which is the default of others.
        assert everyone.get("/search?query=contract").json()["source"] == "crm"
        assert web.get("/search?query=contract").json()["source"] == "repositories"
        assert crm.get("/search?query=contract").json()["source"] == "crm"
        assert crm.get("/search?query=contract").json()["hits"]
        assert crm.get("/search?query=recipe&source=repositories").status_code == 403
        names = {
            who: [each["name"] for each in client.get("/sources").json()["sources"]]
            for who, client in (("web", web), ("crm", crm))
        }
        assert names == {"web": ["repositories"], "crm": ["crm"]}


# --- What else there is to read -----------------------------------------------------------------------------


def test_status_counts_what_is_within_reach(server: Served) -> None:
    with server.client(ALL) as everyone, server.client(WEB) as web, server.client(CRM) as crm:
        whole = everyone.get("/status").json()["sources"]
        mine = web.get("/status").json()["sources"]
        assert set(whole) >= {"crm", "repositories"}
        assert (whole["repositories"]["documents"], mine["repositories"]["documents"]) == (3, 2)
        assert 0 < mine["repositories"]["points"] < whole["repositories"]["points"]
        assert 0 < mine["repositories"]["chunks"] < whole["repositories"]["chunks"]
        assert set(mine) == {"repositories"}
        assert everyone.get("/status?project_id=web").json()["sources"] == mine
        assert everyone.get("/status?project_id=no").json()["sources"]["repositories"]["documents"] == 0
        assert crm.get("/status").json()["sources"] == {"crm": whole["crm"]}
        assert web.get("/status?project_id=web").json()["sources"] == mine
        assert web.get("/status?project_id=api").status_code == 403
        assert tool(web, "index_status")[1]["sources"] == mine
        assert tool(everyone, "index_status", project_id="web")[1]["sources"] == mine
        assert tool(web, "index_status", project_id="api")[0]


def test_documents_of_others_are_as_if_they_were_not_there(home: Home, server: Served) -> None:
    other, own = id_of(home, "onlyapi"), id_of(home, "onlyweb")
    with server.client(WEB) as web:
        assert tool(web, "get_document", document_id=f"{own}/src/main.py")[1]["document_id"]
        failed, message = tool(web, "get_document", document_id=f"{other}/src/main.py")
        assert failed
        failed, of_none = tool(web, "get_document", document_id=f"{other}/src/none.py")
        assert failed
        assert message == of_none.replace("none.py", "main.py")  # not even among ids that are alike
        # Nor what was left out, or refused.
        skipped = tool(web, "get_document", document_id=f"{other}/logo.png")[1]
        assert "binary" not in skipped
        assert "binary" in tool(web, "get_document", document_id=f"{own}/logo.png")[1]
        listed = tool(web, "list_documents")[1]["documents"]
        assert {named(each["document_id"].rpartition("/src")[0]) for each in listed} == {
            "onlyweb",
            "shared",
        }
        assert tool(web, "list_documents", prefix=other)[1]["documents"] == []
        failed, _ = tool(web, "get_document", source="crm", document_id="people/1")
        assert failed
        assert {
            hit["attributes"]["repository"] for hit in tool(web, "search", query=QUERY, limit=50)[1]["hits"]
        } == {
            own,
            id_of(home, "shared"),
        }


def test_every_other_door_is_closed_to_a_bound_token(server: Served) -> None:
    """Whatever does not say that it keeps within a caller's reach: a new one is closed until it does."""
    from ingest_assets.interfaces.http.app import operations_of

    open_to_bound = {
        *("/search", "/sources", "/status", "/ingest", "/jobs", "/jobs/{job_id}"),
        *("/jobs/{job_id}/cancel", "/jobs/{job_id}/events"),
    }
    with server.client(WEB) as web:
        every = [each for each in operations_of(server.service.bench.sources) if each.scope is not None]
        assert {each.path for each in every if each.keeps_within} == open_to_bound
        closed = [each for each in every if not each.keeps_within and each.scope in {"read", "ingest"}]
        assert {each.of_source for each in closed} >= {"papers", "spool"}
        assert "/metrics" in {each.path for each in closed}
        for each in closed:
            path = each.path.replace("{", "").replace("}", "")
            said = web.request(each.method, path, json={} if each.body else None)
            assert (said.status_code, said.json()["error"]["code"]) == (403, "out_of_reach"), each.path


def test_tools_that_could_show_more_are_neither_listed_nor_run(server: Served) -> None:
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    accepted = {"Accept": "application/json, text/event-stream"}
    names = {}
    for who in (WEB, CRM):
        with server.client(who) as client:
            said = client.post("/mcp", json=asked, headers=accepted).json()["result"]["tools"]
            names[who] = {each["name"] for each in said}
    assert names[WEB] == {
        *("search", "get_document", "list_documents", "index_status", "start_indexing_background"),
        *("get_indexing_status", "list_indexing_jobs", "cancel_indexing_background"),
    }
    assert "find_entities" in names[CRM]
    with server.client(WEB) as web, server.client(CRM) as crm:
        for name, arguments in (
            ("find_entities", {"name": "a"}),
            ("get_entity", {"entity_id": "people/1"}),
            ("add_note", {"about": "people/1", "text": "x", "why": "y"}),
            ("flag_record", {"document_id": "people/1", "reason": "y"}),
        ):
            failed, said = tool(web, name, **arguments)
            assert (failed, "outside of its reach" in said) == (True, True), name
        assert tool(crm, "find_entities", name="a")[0] is False
        assert tool(crm, "add_note", about="people/1", text="x", why="y")[0], (
            "notes are of more than one source"
        )


def test_an_operation_of_one_source_shows_nobody_of_another(server: Served) -> None:
    with server.client(ALL) as everyone, server.client(PAPERS) as papers:
        person = tool(everyone, "find_entities", name="Ingrid")[1]["entities"][0]["entity_id"]
        for asked in (person, "people/none"):
            is_there = asked == person
            said = everyone.get("/graph/author-links", params={"id": asked})
            assert (said.status_code == 200) is is_there, said.text
            assert tool(everyone, "find_author_links", id=asked)[0] is not is_there
            hidden = papers.get("/graph/author-links", params={"id": asked})
            assert hidden.status_code >= 400
            assert f"no person or record of one, '{asked}'" in hidden.text
            failed, text = tool(papers, "find_author_links", id=asked)
            assert (failed, "no person or record of one" in text) == (True, True)


def test_metrics_name_no_repository_and_no_project(home: Home, server: Served) -> None:
    with server.client(ALL) as everyone, server.client(WEB) as web:
        tool(everyone, "search", query=QUERY)
        for path in (f"/jobs/{id_of(home, 'onlyapi')}", "/search?query=onlyapi", "/onlyapi"):
            everyone.get(path)
        said = everyone.get("/metrics").text
        assert not [each for each in (*REPOSITORIES, str(home.path)) if each in said]
        assert web.get("/metrics").status_code == 403


# --- Jobs ---------------------------------------------------------------------------------------------------


@pytest.fixture
def jobs(home: Home) -> Iterator[Mapping[str, str]]:
    """A job of each project, ended, with an event. They are cleared away afterwards."""
    with home.bench() as bench:
        started = {}
        for project, name in (("web", "onlyweb"), ("api", "onlyapi"), ("api", "shared")):
            target = queue.JobTarget("repositories", id_of(home, name), path_of(home, name), name)
            job = queue.start(bench.ledger, target, project_id=project).job_id
            workers.mark_running(bench.ledger, job, f"test {job}")
            append(bench.ledger, job, [file_detected(f"{name}.py")])
            started[f"{project}/{name}"] = job
        yield started
        for job in started.values():
            workers.end(bench.ledger, job, "failed", "The test is over.")


def test_jobs_of_others_are_as_if_they_were_not_there(server: Served, jobs: Mapping[str, str]) -> None:
    mine, other = jobs["web/onlyweb"], [jobs["api/onlyapi"], jobs["api/shared"]]
    nothing = "00000000-0000-5000-8000-000000000000"
    with server.client(WEB) as web, server.client(ALL) as everyone, server.client(CRM) as crm:
        listed = {each["job_id"] for each in web.get("/jobs").json()["jobs"]}
        assert mine in listed
        assert not listed & set(other)
        assert {each["project_id"] for each in web.get("/jobs?limit=500").json()["jobs"]} == {"web"}
        assert {each["project_id"] for each in everyone.get("/jobs?project_id=api").json()["jobs"]} == {"api"}
        assert crm.get("/jobs").json()["jobs"] == []
        assert web.get("/jobs?project_id=api").status_code == 403
        assert web.get("/jobs", params={"project_id": "web"}).json()["jobs"]
        for job in other:
            for method, path in (("GET", ""), ("GET", "/events"), ("DELETE", ""), ("POST", "/cancel")):
                said = web.request(method, f"/jobs/{job}{path}")
                absent = web.request(method, f"/jobs/{nothing}{path}")
                assert (said.status_code, said.text.replace(job, nothing)) == (404, absent.text)
            for name in ("get_indexing_status", "cancel_indexing_background"):
                assert tool(web, name, job_id=job) == tool(web, name, job_id=nothing)
        assert everyone.get(f"/jobs/{other[0]}").json()["cancel_requested"] is False
        assert web.get(f"/jobs/{mine}").json()["project_id"] == "web"
        found = tool(web, "list_indexing_jobs")[1]["jobs"]
        assert {each["project_id"] for each in found} == {"web"}
        assert mine in {each["job_id"] for each in found}
        assert tool(web, "list_indexing_jobs", project_id="api")[0]


def test_a_stream_is_resumed_on_the_callers_own_job(
    home: Home, server: Served, jobs: Mapping[str, str]
) -> None:
    """The newest job of the shared repository is another project's."""
    asked = {"repo_url": path_of(home, "shared")}
    with server.client(WEB) as web, server.client(API) as api:
        with api.stream("GET", "/ingest", params=asked, headers={"Last-Event-ID": "0"}) as stream:
            assert stream.headers["ingest-job-id"] == jobs["api/shared"]
        # Nothing runs jobs here: it would have to start one of its own.
        said = web.get("/ingest", params=asked, headers={"Last-Event-ID": "0"})
        assert (said.status_code, said.json()["error"]["code"]) == (503, "nothing_runs_jobs")
        assert web.get("/ingest", params=asked | {"project_id": "api"}).status_code in {403, 503}


def test_a_bound_token_starts_jobs_of_its_projects_alone(home: Home, server: Served) -> None:
    path = path_of(home, "onlyweb")
    with server.client(WEB) as web, server.client(BOTH) as both, server.client(CRM) as crm:
        job = web.post("/jobs", json={"repo_path": path}).json()
        assert job["project_id"] == "web"
        again = web.post("/jobs", json={"repo_path": path, "project_id": "web"}).json()
        assert (again["job_id"], again["existing"]) == (job["job_id"], True)
        for project in ("api", "nowhere", id_of(home, "onlyweb")):
            said = web.post("/jobs", json={"repo_path": path, "project_id": project})
            assert (said.status_code, said.json()["error"]["code"]) == (403, "out_of_reach")
            assert tool(web, "start_indexing_background", repo_path=path, project_id=project)[0]
        assert tool(web, "start_indexing_background", repo_path=path)[1]["job_id"] == job["job_id"]
        said = both.post("/jobs", json={"repo_path": path})
        assert (said.status_code, "several projects" in said.text) == (400, True)
        other = both.post("/jobs", json={"repo_path": path, "project_id": "a+b, c"}).json()
        assert other["project_id"] == "a+b, c"
        assert web.get(f"/jobs/{other['job_id']}").status_code == 404
        assert both.get(f"/jobs/{job['job_id']}").status_code == 200
        assert web.post("/jobs", json={"repo_url": "PMC1", "source": "papers"}).status_code == 403
        assert crm.post("/jobs", json={"repo_path": path}).status_code == 403
        for each in (job, other):
            assert both.delete(f"/jobs/{each['job_id']}").status_code == 202


def test_a_shared_repository_keeps_its_ref(home: Home, server: Served) -> None:
    """What one project asks for must not change what another one finds."""
    with server.client(WEB) as web:
        shared, own = path_of(home, "shared"), path_of(home, "onlyweb")
        said = web.post("/jobs", json={"repo_path": shared, "git_ref": "evil"})
        assert (said.status_code, "another ref" in said.text) == (400, True)
        job = web.post("/jobs", json={"repo_path": own, "git_ref": "main"}).json()
        assert (job["status"], job["git_ref"]) == ("pending", "main")
        assert web.delete(f"/jobs/{job['job_id']}").status_code == 202


# --- Cached answers -----------------------------------------------------------------------------------------


def test_an_answer_from_the_cache_is_for_the_same_reach(home: Home, tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis") as redis, serving(home, **redis.settings) as server:
        with server.client(ALL) as everyone, server.client(WEB) as web, server.client(API) as api:
            for _ in range(2):
                assert found_by(everyone) == {"onlyweb", "onlyapi", "shared"}
                assert found_by(web) == {"onlyweb", "shared"}
                assert found_by(api) == {"onlyapi", "shared"}
                assert found_by(everyone, filter="project_id=api") == {"onlyapi", "shared"}
                assert {each["source"] for each in (web.get("/search?query=x").json(),)} == {"repositories"}
        # What comes to the project meanwhile is found at once.
        with home.bench() as bench, server.client(WEB) as web:
            repositories_of(bench).add(path_of(home, "onlyapi"), project="web")
            try:
                assert found_by(web) == {"onlyweb", "onlyapi", "shared"}
            finally:
                repositories_of(bench).remove(id_of(home, "onlyapi"), "web")
            assert found_by(web) == {"onlyweb", "shared"}


# --- Whose a repository is ----------------------------------------------------------------------------------


def test_the_command_line(home: Home, ingest_here: IngestHere) -> None:
    said = ingest_here(
        home, "search", QUERY, "--source", "repositories", "--filter", "project_id=web", "--json"
    )
    found = {named(hit["attributes"]["repository"]) for hit in json.loads(said.out)["hits"]}
    assert found == {"onlyweb", "shared"}
    status = json.loads(ingest_here(home, "status", "--project", "api", "--json").out)["sources"]
    assert {name: each["documents"] for name, each in status.items()} == {"repositories": 2}
    listed = json.loads(ingest_here(home, "repository", "list", "--json").out)["repositories"]
    assert {named(each["id"]): each["projects"] for each in listed} == {
        "onlyweb": ["web"],
        "onlyapi": ["api"],
        "shared": ["api", "web"],
    }
    jobs = json.loads(ingest_here(home, "job", "list", "--project", "nobody", "--json").out)["jobs"]
    assert jobs == []


def test_a_project_that_leaves_takes_nothing_from_others(
    home: Home, tmp_path: Path, ingest_here: IngestHere
) -> None:
    copy = home.copy(tmp_path / "home")
    shared = id_of(copy, "shared")

    def refresh() -> None:
        assert ingest_here(copy, "refresh", "--source", "repositories", "--allow-removals").status == 0

    def points(project: str) -> int:
        with copy.bench() as bench:
            found = open_search(bench, "repositories").search(
                QUERY, limit=100, where={"project_id": [project], "repository": [shared]}
            )
            return len(found.hits)

    before = points("api")
    assert points("web") == before > 0
    assert ingest_here(copy, "repository", "remove", shared, "--project", "nobody").status == 2
    assert ingest_here(copy, "repository", "remove", shared, "--project", "web").status == 0
    assert (points("web"), points("api")) == (0, before)  # at once, before any run
    refresh()
    assert (points("web"), points("api")) == (0, before)
    assert ingest_here(copy, "repository", "remove", shared, "--project", "api").status == 0
    assert points("api") == 0
    refresh()
    with copy.bench() as bench:
        everything = open_search(bench, "repositories").search(QUERY, limit=100)
    assert shared not in {hit.attributes["repository"] for hit in everything.hits}
    with pytest.raises(StopIteration):
        id_of(copy, "shared")
