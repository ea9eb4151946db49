"""Traces by OpenTelemetry: sent to a collector where one is named, without what anybody wrote; else none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from ingest_assets import tracing
from ingest_assets.model import UnavailableError
from ingest_assets.queries.search import open_search
from ingest_assets.settings import load_settings
from ingest_assets.sources.crm.definition import SOURCE as CRM
from ingest_assets.timings import TIMINGS, timed
from ingest_assets_tests.interfaces.http.memory_jobs import MemoryJobs
from ingest_assets_tests.interfaces.http.served import served
from ingest_assets_tests.orchestration.jobs import run
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.trace_collector import Collector, collector

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
QUERY = "Ottilie Hartlaub cancels"  # as personal as a search may be
# All that a span may say.
ATTRIBUTES = {
    *("source", "stage", "rebuild", "moved", "parked", "texts", "points", "legs", "mode", "limit", "cached"),
    *("http.request.method", "http.route", "http.response.status_code", "tool", "error.type"),
}


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")  # ms; also of processes that are started
    tracing.end_tracing()
    with collector() as one:
        yield one
        tracing.end_tracing()


def test_the_stages_of_a_run_and_what_they_ask(built: Home, collected: Collector) -> None:
    home = built.with_settings(otel_exporter_otlp_endpoint=collected.url)
    home.edit(3, changes=4, inserts=4)
    with home.instance() as instance:
        assert run(home, instance, "refresh_search_index").success
    stages = {span.attributes["stage"]: span for span in collected.named("stage")}
    assert set(stages) == set(CRM.stage_names)  # nothing is left to be sent once the run has ended
    assert {span.attributes["source"] for span in stages.values()} == {"crm"}
    writes = collected.named("engine write")
    # The others that moved are removed points.
    assert 0 < sum(span.attributes["points"] for span in writes) <= stages["collection"].attributes["moved"]
    assert {span.parent for span in writes} == {stages["collection"].id}
    assert {span.parent for span in collected.named("embed")} == {stages["dense_vectors"].id}
    assert {span.service for span in collected.spans} == {tracing.SERVICE}
    assert {name for span in collected.spans for name in span.attributes} <= ATTRIBUTES


def test_a_search_over_http_is_a_part_of_the_callers_trace(built_once: Home, collected: Collector) -> None:
    home = built_once.with_settings(otel_exporter_otlp_traces_endpoint=f"{collected.url}/v1/traces")
    with served(home, MemoryJobs(), ingest_http_search_workers=1) as server:  # noqa: SIM117
        with server.client() as client:
            client.get(
                "/search", params={"query": QUERY}, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"}
            ).raise_for_status()
            assert client.get(f"/jobs/{QUERY}").status_code == 404
            counts, _ = TIMINGS.counts()["engine search"]
            assert sum(counts) > 0  # those of the search process came along
            collected.wait(
                lambda: (
                    {"GET /search", "search", "embed", "engine search", "GET /jobs/{job_id}"}
                    <= {span.name for span in collected.spans}
                )
            )
    mine = {span.name: span for span in collected.spans if span.trace == TRACE}
    assert mine["GET /search"].parent == PARENT
    assert mine["GET /search"].attributes["http.response.status_code"] == 200
    assert mine["answer search"].parent == mine["GET /search"].id  # across processes
    assert mine["search"].parent == mine["answer search"].id
    assert mine["embed"].parent == mine["engine search"].parent == mine["search"].id
    for span in collected.spans:
        assert set(span.attributes) <= ATTRIBUTES
        assert not [word for word in QUERY.split() if word in span.texts], span


def test_a_search_in_this_process_has_a_trace_of_its_own(built_once: Home, collected: Collector) -> None:
    with built_once.with_settings(otel_exporter_otlp_endpoint=collected.url).bench() as bench:
        open_search(bench, "crm").search(QUERY, limit=3)
    tracing.flush()
    (search,) = collected.named("search")
    assert (search.parent, search.attributes) == ("", {"source": "crm", "mode": "hybrid", "limit": 3})


def test_an_error_is_named_by_its_type_alone(collected: Collector) -> None:
    tracing.begin_tracing(load_settings(otel_exporter_otlp_endpoint=f"{collected.url}/"), "1")
    with pytest.raises(UnavailableError), timed("embed", texts=1):
        raise UnavailableError(QUERY)
    tracing.flush()
    (span,) = collected.named("embed")
    assert span.failed
    assert span.attributes == {"texts": 1, "error.type": "UnavailableError"}
    assert QUERY not in span.texts


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"otel_sdk_disabled": True, "otel_exporter_otlp_endpoint": "http://127.0.0.1:9"},
        {"otel_traces_exporter": "none", "otel_exporter_otlp_endpoint": "http://127.0.0.1:9"},
    ],
)
def test_without_a_collector_there_are_no_spans(settings: dict[str, object], collected: Collector) -> None:
    tracing.begin_tracing(load_settings(**settings), "1")
    with tracing.span("search", source="crm") as span:
        assert span is None
        assert tracing.context_to_send() == {}
        assert tracing.context_of({"traceparent": f"00-{TRACE}-{PARENT}-01"}) is None
        assert tracing.carried(len) is len
    assert collected.spans == []


def test_without_a_collector_nothing_of_opentelemetry_is_loaded() -> None:
    code = (
        "import sys; from ingest_assets import tracing, settings;"
        "tracing.begin_tracing(settings.load_settings(), '1');"
        "assert tracing.span('search').__enter__() is None;"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
