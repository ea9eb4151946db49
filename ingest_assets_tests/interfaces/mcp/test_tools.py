"""The tools' answers, over HTTP, through the SDK's client."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from mcp import Client

from ingest_assets.interfaces.mcp.tools import tools_of
from ingest_assets.ledger import tables
from ingest_assets.settings import load_settings
from ingest_assets.sources.registry import load_sources
from ingest_assets_tests.interfaces.mcp.agents import Served, plain, said
from ingest_assets_tests.support.built_index import DOCUMENTS

TOOLS = tools_of(load_sources(), load_settings(_env_file=None))
READS = {name for name, tool in TOOLS.items() if tool.reads_only}


def pages(served: Served, tool: str, field: str, **arguments: Any) -> list[Any]:
    """The items of all pages."""
    items: list[Any] = []
    cursor = None
    while True:
        more: dict[str, Any] = {"cursor": cursor} if cursor else {}
        page = served.call(tool, **arguments, **more).ok()
        assert len(json.dumps(page, ensure_ascii=False)) <= 20_000
        items += page[field]
        cursor = page["next_cursor"]
        if cursor is None:
            return items


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/St_Johns"])
def test_days_begin_in_the_zone_that_is_asked_for(served_once: Served, zone: str) -> None:
    listed = pages(served_once, "list_documents", "documents", kind="email", limit=100)
    times = {each["document_id"]: datetime.fromisoformat(each["time"]) for each in listed}
    day = sorted(times.values())[len(times) // 2].astimezone(ZoneInfo(zone)).date()
    since = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    found = pages(
        served_once, "list_documents", "documents", kind="email", since=f"{day}", time_zone=zone, limit=100
    )
    assert {each["document_id"] for each in found} == {key for key, time in times.items() if time >= since}
    filters = {"kind": ["email"], "since": f"{day}", "until": f"{day}"}
    hits = served_once.call("search", query="contract", filters=filters, time_zone=zone, limit=10).ok()
    assert hits["hits"]
    for hit in hits["hits"]:
        assert datetime.fromisoformat(hit["time"]).astimezone(ZoneInfo(zone)).date() == day


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_tools_say_what_they_are_for(served_once: Served, mode: str) -> None:
    async def listed(client: Client) -> Any:
        return (await client.list_tools()).tools, client.instructions

    tools, instructions = served_once.talk(listed, mode=mode)
    assert {tool.name for tool in tools} == set(TOOLS)
    outside = [name for name, tool in TOOLS.items() if tool.reaches_outside]
    said = re.search(r"The only tools? that reach(?:es)? outside (?:is|are) (.*?),? which ", instructions)
    assert said is not None
    assert re.findall(r"\w+_\w+", said[1]) == outside
    for tool in tools:
        assert len(tool.description) > 80
        assert "Example: {" in tool.description
        assert tool.annotations.read_only_hint == (tool.name in READS)
        hints = tool.annotations
        assert hints.open_world_hint == TOOLS[tool.name].reaches_outside
        assert hints.destructive_hint == TOOLS[tool.name].destructive
        assert hints.idempotent_hint == (tool.name in READS or TOOLS[tool.name].idempotent)
        assert tool.output_schema["type"] == "object"
        assert tool.input_schema["additionalProperties"] is False
    schema = {tool.name: tool.input_schema for tool in tools}["search"]["properties"]
    assert (schema["query"]["maxLength"], schema["limit"]["minimum"], schema["limit"]["maximum"]) == (
        2_000,
        1,
        50,
    )


def test_search_in_each_mode_and_over_pages(served_once: Served) -> None:
    served = served_once
    for how in ("dense", "sparse", "hybrid"):
        found = served.call("search", query="renewal of the contract", mode=how, limit=3).ok()
        assert found["mode"] == how
        assert 1 <= len(found["hits"]) <= 3
    whole = pages(served, "search", "hits", query="contract", limit=50)
    small = pages(served, "search", "hits", query="contract", limit=7)
    assert [hit["chunk_id"] for hit in small] == [hit["chunk_id"] for hit in whole]
    assert len({hit["chunk_id"] for hit in whole}) == len(whole) > 7


def test_search_with_filters(served_once: Served) -> None:
    mail = pages(served_once, "search", "hits", query="contract", limit=50, filters={"kind": ["email"]})
    assert {hit["kind"] for hit in mail} == {"email"}
    day = sorted(hit["time"] for hit in mail)[len(mail) // 2][:10]
    late = pages(
        served_once, "search", "hits", query="contract", limit=50, filters={"kind": ["email"], "since": day}
    )
    assert {h["chunk_id"] for h in late} == {h["chunk_id"] for h in mail if h["time"] >= day}
    entity = served_once.call("get_entity", entity_id="people/1").ok()
    about = pages(
        served_once,
        "search",
        "hits",
        query="contract",
        limit=50,
        filters={"entity_ids": [entity["entity_id"]]},
    )
    assert about
    assert all(entity["entity_id"] in hit["entity_ids"] for hit in about)


def test_a_retired_id_leads_to_its_successor(served: Served) -> None:
    home = served.home
    ids = [served.call("get_entity", entity_id=key).ok()["entity_id"] for key in ("people/1", "people/2")]
    decisions = home.path / "decisions.csv"
    decisions.write_text("left,right,verdict,who,why\npeople/1,people/2,same,Ada,a test\n")
    assert home.with_settings(ingest_entity_decisions=str(decisions)).refresh().success
    now = served.call("get_entity", entity_id="people/1").ok()
    (retired,) = set(ids) - {now["entity_id"]}
    assert retired in now["earlier_ids"]
    assert served.call("get_entity", entity_id=retired).ok()["entity_id"] == now["entity_id"]
    by_old = served.call("search", query="Ingrid", limit=50, filters={"entity_ids": [retired]}).ok()["hits"]
    by_new = served.call("search", query="Ingrid", limit=50, filters={"entity_ids": [now["entity_id"]]}).ok()[
        "hits"
    ]
    assert by_old == by_new
    assert {"people/1", "people/2"} <= {hit["document_id"] for hit in by_old}
    history = served.call("entity_history", entity_id=retired).ok()
    assert history["entity_id"] == now["entity_id"]
    assert "merge" in {event["event"]["kind"] for event in history["events"]}
    one_by_one = pages(served, "entity_history", "events", entity_id=retired, limit=1)
    assert one_by_one == history["events"]


def test_documents_one_by_one_and_as_a_list(served_once: Served) -> None:
    listed = pages(served_once, "list_documents", "documents", limit=7)
    ids = [row["document_id"] for row in listed]
    assert len(ids) == DOCUMENTS
    assert ids == sorted(set(ids))
    people = pages(served_once, "list_documents", "documents", prefix="people/")
    assert [row["document_id"] for row in people] == [key for key in ids if key.startswith("people/")]
    mail = pages(served_once, "list_documents", "documents", kind="email")
    assert {row["kind"] for row in mail} == {"email"}
    day = sorted(row["time"] for row in mail)[len(mail) // 2][:10]
    late = pages(served_once, "list_documents", "documents", kind="email", since=day)
    assert late == [row for row in mail if row["time"] >= day]
    document = served_once.call("get_document", document_id=mail[0]["document_id"]).ok()
    assert document["title"] == mail[0]["title"]
    assert (document["text_start"], document["text_length"]) == (0, len(plain(document["text"])))
    assert document["refs"]
    assert document["entity_ids"]


def test_a_long_document_comes_in_pages(served: Served) -> None:
    text = "".join(f'line {n} "quoted" \\ é\n' for n in range(3_000)).strip()
    with served.home.bench() as bench, bench.ledger.transaction() as connection:
        here = tables.document.c.document_id == "interactions/2"
        connection.execute(tables.document.update().where(here).values(body=text))
    got, cursor, count = "", None, 0
    while count == 0 or cursor:
        more: dict[str, Any] = {"cursor": cursor} if cursor else {}
        page = served.call("get_document", document_id="interactions/2", **more).ok()
        assert len(json.dumps(page, ensure_ascii=False)) <= 20_000
        assert page["text_start"] == len(got)
        got, cursor, count = got + plain(page["text"]), page["next_cursor"], count + 1
    assert got == text
    assert page["text_length"] == len(text)
    assert count == pytest.approx(len(text) / 15_000, abs=3)


def test_entities_by_name(served_once: Served) -> None:
    everybody = pages(served_once, "find_entities", "entities", name="a", limit=2)
    assert len({row["entity_id"] for row in everybody}) == len(everybody) > 2
    found = served_once.call("find_entities", name="Ingrid").ok()["entities"]
    entity = served_once.call("get_entity", entity_id=found[0]["entity_id"]).ok()
    assert entity["name"] == found[0]["name"]
    assert entity["records_count"] == len(entity["records"]) == found[0]["records"]


def test_the_status_of_the_index(served_once: Served) -> None:
    crm = served_once.call("index_status").ok()["sources"]["crm"]
    assert (crm["documents"], crm["generation"], crm["parked"]) == (DOCUMENTS, 1, 0)
    assert crm["points"] == crm["chunks"]


def test_many_calls_at_once(served: Served) -> None:
    async def talk(client: Client) -> Any:
        names = ["search", "find_entities", "list_documents", "index_status"] * 5
        given = {"search": {"query": "contract"}, "find_entities": {"name": "a"}}
        return await asyncio.gather(*(client.call_tool(name, given.get(name, {})) for name in names))

    answers = [said(result).ok() for result in served.talk(talk)]
    assert len(answers) == len(served.log()) == 20
    for answer in answers[4:]:
        answer.pop("took_ms", None)
        assert answer in [{k: v for k, v in first.items() if k != "took_ms"} for first in answers[:4]]
