"""Which source is meant when none is named."""

from __future__ import annotations

from dataclasses import replace

from ingest_assets.jobs.definition import JobsDefinition
from ingest_assets.queries.search import open_search
from ingest_assets.queries.status import entities_meant, jobs_meant, source_meant
from ingest_assets.sources.definition import SourceDefinition
from ingest_assets.sources.registry import Sources, load_sources
from ingest_assets.workbench import Workbench
from ingest_assets_tests.support.built_index import Home

CRM, REPOSITORIES = load_sources()["crm"], load_sources()["repositories"]


def earlier(source: SourceDefinition, jobs: JobsDefinition | None = None) -> SourceDefinition:
    """A source like another one, which stands before it and was never indexed."""
    return replace(source, name="aardvark", collection="aardvark_chunks", jobs=jobs)


def test_a_source_that_is_not_indexed_is_not_meant(built_once: Home) -> None:
    sources = Sources([earlier(CRM), CRM, REPOSITORIES])
    with Workbench(built_once.load(), sources) as bench:
        assert source_meant(bench, None) == "crm"
        assert entities_meant(bench) == "crm"
        assert entities_meant(bench, "aardvark") == "aardvark"


def test_a_job_is_of_the_source_whose_jobs_are_the_default(built_once: Home) -> None:
    assert REPOSITORIES.jobs is not None
    other = earlier(REPOSITORIES, replace(REPOSITORIES.jobs, default=False))
    with Workbench(built_once.load(), Sources([other, REPOSITORIES])) as bench:
        assert jobs_meant(bench) == "repositories"
        assert jobs_meant(bench, "aardvark") == "aardvark"
    with Workbench(built_once.load(), Sources([other])) as bench:
        assert jobs_meant(bench) == "aardvark"


def test_a_workbench_keeps_its_search_of_a_source(built_once: Home) -> None:
    with Workbench(built_once.load()) as bench:
        assert open_search(bench, "crm") is open_search(bench, "crm")
        assert open_search(bench, "crm") is not open_search(bench, "repositories")


def test_a_date_includes_its_whole_day(built_once: Home) -> None:
    with Workbench(built_once.load()) as bench:
        search = open_search(bench, "crm")
        [hit, *_] = (
            h for h in search.search("contract", limit=50).hits if h.time and h.time[11:16] > "00:00"
        )
        day = hit.time[:10] if hit.time else ""
        found = search.search("contract", where={"since": [day], "until": [day]}, limit=1_000).hits
        assert hit.chunk_id in {each.chunk_id for each in found}
        assert {each.time[:10] for each in found if each.time} == {day}
