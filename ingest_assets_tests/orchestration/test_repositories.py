"""Repositories through Dagster: the lineage, and what notices a push."""

from __future__ import annotations

from typing import Any

import dagster as dg

from ingest_assets.automation.repositories import heads_sensor
from ingest_assets.cli.runs import RunReport
from ingest_assets.definitions import build_defs
from ingest_assets.resources import Ingest
from ingest_assets.search import Searcher
from ingest_assets.stages.audit import audit
from ingest_assets_tests.built import Home
from ingest_assets_tests.orchestration.jobs import QUIET
from ingest_assets_tests.orchestration.shop import GO, PYTHON, refresh
from ingest_assets_tests.sources.repositories.repos import TestRepo


def add(home: Home, repo: TestRepo) -> str:
    with home.bench() as bench:
        return bench.repositories.add(str(repo.path)).id


def moved(report: RunReport, stage: str) -> tuple[int, int, int]:
    counts = report.assets[f"repositories/{stage}"]
    return counts["added"], counts["changed"], counts["removed"]


def hits(home: Home, query: str, **where: str) -> list[Any]:
    with home.bench() as bench:
        found = Searcher(bench, "repositories").search(query, where={k: [v] for k, v in where.items()})
        published = bench.published("repositories")
        assert audit(published, bench.ledger).agrees
    return found.hits


def test_a_push_moves_what_it_changed_and_a_rename_embeds_nothing(home: Home, repo: TestRepo) -> None:
    repository = add(home, repo)
    assert moved(refresh(home), "files") == (2, 0, 0)
    [best, *_] = hits(home, "the amount less a rate", language="Python")
    assert best.document_id == f"{repository}/shop/price.py"
    assert (best.attributes["symbol_kind"], best.attributes["symbol_name"]) == ("function", "discount")
    lines = PYTHON.decode().splitlines()
    first, last = best.attributes["start_line"], best.attributes["end_line"]
    assert "def discount" in "\n".join(lines[first - 1 : last])

    assert moved(refresh(home), "files") == (0, 0, 0)
    [before, *_] = hits(home, "frobnicate", repository=repository, path="crank.go")
    repo.commit({"shop/price.py": PYTHON, "tools/crank.go": GO})
    renamed = refresh(home)
    assert moved(renamed, "files") == (1, 0, 1)
    assert moved(renamed, "dense_vectors") == moved(renamed, "sparse_vectors") == (0, 0, 0)
    [hit, *_] = hits(home, "frobnicate the quaternion")
    assert hit.title == "tools/crank.go"
    assert hits(home, "frobnicate", path="crank.go") == []
    [moved_to, *_] = hits(home, "frobnicate", repository=repository, path="tools/crank.go")
    assert (moved_to.text, moved_to.document_id) == (before.text, f"{repository}/tools/crank.go")
    assert hits(home, "frobnicate", repository="github.com/acme/other") == []

    repo.commit({"tools/crank.go": GO.replace(b"warm", b"hot")})
    assert moved(refresh(home), "files") == (0, 1, 1)
    assert not hits(home, "discount", language="Python")

    with home.bench() as bench:
        bench.repositories.remove(repository)
    assert moved(refresh(home), "files") == (0, 0, 1)
    assert hits(home, "frobnicate") == []
    with home.bench() as bench, home.instance() as instance:
        assert bench.repositories.all() == []
        assert instance.get_dynamic_partitions("repositories") == []


def test_the_sensor_asks_for_a_run_when_the_head_moved(home: Home, repo: TestRepo) -> None:
    def look() -> dg.SensorResult:
        with (
            home.instance() as instance,
            dg.build_sensor_context(
                instance=instance, resources={"ingest": Ingest(overrides=home.overrides)}
            ) as context,
        ):
            said = heads_sensor(home.load())(context)
        assert isinstance(said, dg.SensorResult)
        return said

    assert "no repository is kept in step" in str(look().skip_reason)
    repository = add(home, repo)
    refresh(home)
    assert f"{repository} has not changed" in str(look().skip_reason)
    repo.commit({"crank.go": GO, "more.py": PYTHON})
    [first], [again] = look().run_requests or [], look().run_requests or []
    assert first.partition_key == repository
    assert first.run_key == again.run_key, "a run failed, and it would be asked for for ever"
    refresh(home)
    assert f"{repository} has not changed" in str(look().skip_reason)
    repo.commit({"crank.go": GO})
    [other] = look().run_requests or []
    assert other.run_key != first.run_key
    repo.path.rename(repo.path.with_name("gone"))
    said = look()
    assert not said.run_requests
    assert repository in str(said.skip_reason)
    with home.bench() as bench:
        bench.repositories.remove(repository)
    [leaving] = look().run_requests or []
    assert leaving.partition_key == repository
    definition = build_defs(home.overrides).resolve_job_def("index_repository")
    with home.instance() as instance:
        done = definition.execute_in_process(instance=instance, run_config=QUIET, partition_key=repository)
    assert done.success
    assert "no repository is kept in step" in str(look().skip_reason)
