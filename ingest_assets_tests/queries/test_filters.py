"""Every field that a source declares as filterable, on indexes that the jobs built."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest_assets.fields import BOUNDS, COMMON_FIELDS, SINCE, UNTIL
from ingest_assets.interfaces.cli.runs import run_sources
from ingest_assets.interfaces.mcp.tools import tools_of
from ingest_assets.queries.search import Searcher
from ingest_assets.sources.definition import SourceDefinition
from ingest_assets.sources.papers.definition import SOURCE as PAPERS
from ingest_assets.sources.papers.places import papers_of
from ingest_assets.sources.registry import load_sources
from ingest_assets.sources.repositories.definition import SOURCE as REPOSITORIES
from ingest_assets.sources.repositories.kept import repositories_of
from ingest_assets.sources.spool import write_batch
from ingest_assets.sources.spool.decisions import Decider
from ingest_assets.sources.spool.definition import SOURCE as SPOOL
from ingest_assets.sources.spool.gates import open_gate
from ingest_assets.sources.spool.places import Spool
from ingest_assets.sources.spool.settings import SpoolSettings
from ingest_assets.workbench import Workbench
from ingest_assets_tests.sources.papers.paper_bench import jats
from ingest_assets_tests.sources.repositories.repos import TestRepo
from ingest_assets_tests.support.built_index import Home

# Files have neither: a commit's time would change all of them, and none is about an entity. Of papers only
# the year is known.
NEVER_OF_CODE = {"entity_ids", SINCE, UNTIL}
NO_MATCH = {SINCE: "2999-01-01", UNTIL: "1000-01-01"}  # for other fields any unknown text will do
FILES = {
    "tools/crank.py": b'def crank(turns: int) -> int:\n    """Turns it."""\n    return turns\n',
    "docs/use.md": b"# Using the crank\n\nTurn it.\n",
}


def _declared(spec: SourceDefinition) -> list[str]:
    fields = [each.name for each in (*COMMON_FIELDS, *BOUNDS, *spec.fields)]
    never = {REPOSITORIES.name: NEVER_OF_CODE, PAPERS.name: {SINCE, UNTIL}, SPOOL.name: {"entity_ids"}}
    return [field for field in fields if field not in never.get(spec.name, ())]


@pytest.fixture(scope="module")
def bench(built_once: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A workbench over an index of every source."""
    folder = tmp_path_factory.mktemp("filters")
    TestRepo(folder / "code" / "shop").commit(FILES)
    home = built_once.copy(folder / "home").with_settings(
        ingest_repository_protocols="file",
        ingest_repository_roots=str(folder / "code"),
        spool_dir=str(folder / "spool"),
    )
    with home.bench() as bench:
        repositories_of(bench).add(str(folder / "code" / "shop"))
        list(papers_of(bench).add_files([paper(folder)]))
        spool = Spool.of(home.load().of(SpoolSettings))
        spool.prepare()
        record = {"text": "The crank is late.", "source": "desk", "metadata": {"kind": "mail"}}
        write_batch(spool.root, [record, {"text": "The crank is broken."}], source="mail")
        write_batch(spool.root, [{"text": "Ada wants a crank."}], source="calls", pii=True, batch_tag="ada")
        chosen = ["papers", "repositories", "spool"]
        assert run_sources(home.load(), sources=chosen, overrides=home.overrides).success
        open_gate(bench.ledger, "ada", Decider("ann", "approved", "cli"))
        assert run_sources(home.load(), sources=["spool"], overrides=home.overrides).success
        yield bench


def paper(folder: Path) -> Path:
    """A file of a paper that says whatever a paper can be filtered by."""
    corrected = (
        '<related-article related-article-type="correction-forward" ext-link-type="doi" '
        'xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="10.1000/2"/>'
    )
    text = "The crank treats adrenal insufficiency. Hydrocortisone is used to treat adrenal insufficiency."
    file = folder / "paper.xml"
    file.write_text(jats("A crank", {"Methods": text}, pmcid="PMC7", doi="10.1000/1", related=corrected))
    return file


def _points(bench: Workbench, spec: SourceDefinition) -> dict[str, dict[str, Any]]:
    with bench.store.reader(spec.collection) as reader:
        return reader.payloads([key for key, _ in reader.scan()])


def _holds(payload: dict[str, Any], field: str, value: str) -> bool:
    if field in NO_MATCH:
        time = payload["time"] or ""
        return bool(time) and (time >= value if field == SINCE else time <= value)
    found = payload.get(field)
    return value in found if isinstance(found, list) else str(found) == value


def _value(payloads: dict[str, dict[str, Any]], field: str) -> str:
    """A value that some point has."""
    having = [
        found for one in payloads.values() if (found := one.get("time" if field in NO_MATCH else field))
    ]
    assert having, f"no point carries {field}"
    return having[0][0] if isinstance(having[0], list) else str(having[0])


@pytest.mark.parametrize(
    ("source", "field"), [(name, field) for name, spec in load_sources().items() for field in _declared(spec)]
)
def test_a_declared_field_finds_what_has_the_value_and_nothing_else(
    bench: Workbench, source: str, field: str
) -> None:
    payloads = _points(bench, load_sources()[source])
    value = _value(payloads, field)
    kind = next((each.type for each in load_sources()[source].fields if each.name == field), "keyword")

    def found(value: str) -> set[str]:
        hits = Searcher(bench, source).search("crank", mode="dense", limit=1_000, where={field: [value]}).hits
        return {hit.chunk_id for hit in hits}

    assert found(value) == {key for key, payload in payloads.items() if _holds(payload, field, value)}
    if kind == "flag":
        assert found("false" if value.lower() == "true" else "true") == payloads.keys() - found(value)
        return
    assert found(NO_MATCH.get(field, "of-nothing" if kind == "keyword" else "0")) == set()


def test_agents_can_filter_by_every_field_but_the_source(bench: Workbench) -> None:
    takes = tools_of(bench.sources, bench.settings)["search"].takes
    filters = takes.model_json_schema()["$defs"]["Filters"]["properties"]
    assert set(filters) == {
        field.name for source in bench.sources.values() for field in source.filter_fields(bench.settings)
    } - {"source"}
