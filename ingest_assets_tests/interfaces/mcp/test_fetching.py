"""An agent cannot send data out through what it has fetched."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.interfaces.job_service import JobRequest
from ingest_assets.interfaces.mcp.fetching import require_allowed
from ingest_assets.interfaces.queued_jobs import QueuedJobs
from ingest_assets.jobs.queue import list_jobs
from ingest_assets.model import ConfigurationError, RequestError
from ingest_assets.settings import Settings, load_settings
from ingest_assets_tests.interfaces.mcp.agents import serve
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import IngestHere

HOSTS = "github.com, Git.Example.com:8443"
SECRET = "c2VjcmV0LW9mLXRoZS1jcm0"
CARRIERS = [
    f"https://github.com/owner/name?q={SECRET}",
    f"https://github.com/owner/name#{SECRET}",
    "https://github.com/owner/name?",
    "https://github.com/owner/name#",
    f"https://{SECRET}@github.com/owner/name",
    f"https://a:{SECRET}@github.com/owner/name",
    f"https://github.com/owner/{SECRET}/name",
    f"https://github.com/owner/name/tree/{SECRET}",
    f"https://github.com//{SECRET}/owner/name",
    f"https://{SECRET}.github.com/owner/name",
    "https://github.com:444/owner/name",
    "https://github.com./owner/name",
    "https://git.example.com/owner/name",
    f"https://evil.example/{SECRET}/x",
    f"https://github.com/{'a' * 40}/name",
    f"https://github.com/owner/{'a' * 101}",
    "https://github.com/owner/%73ecret",
    "https://github.com/owner/sécret",
    "https://github.com/owner/a b",
    "https://github.com/owner/name\n",
    "https://github.com/owner\\name/x",
    "https://github.com/owner/..",
    "https://github.com/owner",
    "http://github.com/owner/name",
    "ssh://git@github.com/owner/name",
    f"{SECRET}@github.com:owner/name",
    "git@github.com:owner/name",
    "//github.com/owner/name",
    "file:///srv/git/name",
    "\u202ehttps://github.com/owner/name",
    "",
]


def settings(**given: object) -> Settings:
    return load_settings(_env_file=None, **given)


@pytest.mark.parametrize("location", CARRIERS)
def test_an_address_carries_no_more_than_owner_and_name(location: str) -> None:
    with pytest.raises(RequestError) as refused:
        require_allowed(location, settings(ingest_agent_repository_hosts=HOSTS))
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "location",
    [
        "https://github.com/owner/name",
        "https://GitHub.com/owner/my.name_2.git",
        "https://git.example.com:8443/a-b/name/",
    ],
)
def test_what_is_listed_is_allowed(location: str) -> None:
    require_allowed(location, settings(ingest_agent_repository_hosts=HOSTS))
    with pytest.raises(RequestError, match="listed no hosts"):
        require_allowed(location, settings())


@given(
    st.text("abAB01.-_:/@?#%\\ \u00e9[]", max_size=30).map("https://github.com/".__add__)
    | st.text("abAB01.-_:/@?#%\\ \u00e9[]", max_size=30).map("https://".__add__)
    | st.from_regex(r"https://github\.com/[a-z]{1,3}/[a-z._]{1,3}/?", fullmatch=True)
)
def test_whatever_is_allowed_names_a_listed_host_an_owner_and_a_name(location: str) -> None:
    try:
        require_allowed(location, settings(ingest_agent_repository_hosts=HOSTS))
    except RequestError:
        return
    parts = urlsplit(location)
    assert parts.netloc.lower() in {"github.com", "git.example.com:8443"}
    assert not any((parts.query, parts.fragment, parts.username, parts.password))
    assert len(parts.path.strip("/").split("/")) == 2
    assert len(location) < 200


def test_people_are_not_bound_by_it_and_a_job_names_its_caller(built: Home, ingest_here: IngestHere) -> None:
    with serve(built) as server:
        refused = server.call("start_indexing_background", repo_path="https://github.com/owner/name")
        assert "listed no hosts" in refused.refused()
        with built.bench() as bench:
            QueuedJobs(bench, "command line", "grace").start(JobRequest("https://github.com/owner/name"))
    with serve(built.with_settings(ingest_agent_repository_hosts="github.com")) as server:
        server.call("start_indexing_background", repo_path="https://github.com/owner/other").ok()
    with built.bench() as bench:
        callers = {job["repo_name"]: job["metadata"]["caller"] for job in list_jobs(bench.ledger)}
    assert callers == {"owner/name": "grace", "owner/other": "ada"}
    listed = json.loads(ingest_here(built, "job", "list", "--json").out)["jobs"]
    assert {job["metadata"]["caller"] for job in listed} == {"grace", "ada"}
    shown = ingest_here(built, "job", "show", listed[0]["job_id"])
    assert "ada" in shown.out
    assert ingest_here(built, "job", "show", "nothing").status == 2


@pytest.mark.parametrize(
    "hosts", ["*.example.com", "https://github.com", "github.com/owner", "a@b", "h:port"]
)
def test_hosts_are_whole_names(hosts: str) -> None:
    with pytest.raises(ConfigurationError, match="INGEST_AGENT_REPOSITORY_HOSTS"):
        settings(ingest_agent_repository_hosts=hosts)
