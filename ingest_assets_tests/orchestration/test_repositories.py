"""Repositories through Dagster: the lineage, and what notices a push."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingest_assets.definitions import build_defs
from ingest_assets.interfaces.cli.runs import RunReport
from ingest_assets.model import ConfigurationError
from ingest_assets.orchestration import sensors
from ingest_assets.orchestration.orphaned_runs import process_tags
from ingest_assets.orchestration.resources import Ingest
from ingest_assets.orchestration.schedules import refresh_schedule
from ingest_assets.orchestration.sensors import change_sensor
from ingest_assets.queries.search import Searcher
from ingest_assets.reconcile import reconcile
from ingest_assets.sources.repositories import definition
from ingest_assets.sources.repositories.definition import SOURCE as REPOSITORIES
from ingest_assets.sources.repositories.kept import repositories_of
from ingest_assets.stages.audit import audit
from ingest_assets_tests.orchestration.jobs import QUIET
from ingest_assets_tests.orchestration.runs import add_run, ticked
from ingest_assets_tests.orchestration.shop import GO, PYTHON, refresh
from ingest_assets_tests.sources.repositories.repos import TestRepo
from ingest_assets_tests.support.built_index import Home


def add(home: Home, repo: TestRepo) -> str:
    with home.bench() as bench:
        return repositories_of(bench).add(str(repo.path)).id


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
        repositories_of(bench).remove(repository)
    assert moved(refresh(home), "files") == (0, 0, 1)
    assert hits(home, "frobnicate") == []
    with home.bench() as bench, home.instance() as instance:
        assert repositories_of(bench).all() == []
        assert instance.get_dynamic_partitions("repositories") == []


def test_a_change_of_the_table_of_languages_cuts_its_files_again_and_no_others(
    home: Home, repo: TestRepo
) -> None:
    def moves(table: str) -> tuple[str, ...]:
        with home.with_settings(ingest_repository_languages=table).bench() as bench:
            done = [
                reconcile(bench.stage("repositories", "files", part=repository), bench.ledger, bench.run()),
                reconcile(bench.stage("repositories", "chunks"), bench.ledger, bench.run()),
            ]
        return tuple(f"+{each.added} ~{each.changed} -{each.removed}" for each in done)

    repo.commit({"shop/price.py": PYTHON, "crank.acme": GO})
    repository = add(home, repo)
    assert moves("") == ("+1 ~0 -0", "+1 ~0 -0")
    assert moves(".acme=Acme:Go") == ("+1 ~0 -0", "+1 ~0 -0")
    assert moves(".acme=Acme:text,.zzz=text") == ("+0 ~1 -0", "+0 ~1 -0")
    assert moves("") == ("+0 ~0 -1", "+0 ~0 -1")


def test_a_repository_is_known_by_its_url_too(tmp_path: Path) -> None:
    with Home(tmp_path).with_settings(crm_db_path=None).bench() as bench:
        kept = repositories_of(bench)
        added = kept.add("https://github.com/Acme/Shop.git")
        for spoken in ("github.com/acme/shop", "https://github.com/Acme/Shop.git", "GitHub.com/acme/shop/"):
            assert kept.get(spoken).id == added.id
        assert kept.remove("https://github.com/acme/shop").removed
        with pytest.raises(ConfigurationError, match="There is no repository 'acme/shop'"):
            kept.get("acme/shop")


def test_the_sensor_requests_a_run_when_the_head_moved(home: Home, repo: TestRepo) -> None:
    def look() -> dg.SensorResult:
        with (
            home.instance() as instance,
            dg.build_sensor_context(
                instance=instance, resources={"ingest": Ingest(overrides=home.overrides)}
            ) as context,
        ):
            said = change_sensor(REPOSITORIES, home.load())(context)
        assert isinstance(said, dg.SensorResult)
        return said

    assert "no repository is kept in step" in str(look().skip_reason)
    repository = add(home, repo)
    refresh(home)
    assert f"{repository} has not changed" in str(look().skip_reason)
    repo.commit({"crank.go": GO, "more.py": PYTHON})
    [first], [again] = look().run_requests or [], look().run_requests or []
    assert first.partition_key == repository
    assert first.run_key == again.run_key, "a run that fails would be requested forever"
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
        repositories_of(bench).remove(repository)
    [leaving] = look().run_requests or []
    assert leaving.partition_key == repository
    job = build_defs(home.overrides).resolve_job_def("index_repository")
    with home.instance() as instance:
        done = job.execute_in_process(instance=instance, run_config=QUIET, partition_key=repository)
    assert done.success
    assert "no repository is kept in step" in str(look().skip_reason)


def _tick(home: Home, cursor: str | None = None) -> dg.SensorResult:
    with (
        home.instance() as instance,
        dg.build_sensor_context(
            instance=instance, cursor=cursor, resources={"ingest": Ingest(overrides=home.overrides)}
        ) as context,
    ):
        said = change_sensor(REPOSITORIES, home.load())(context)
    assert isinstance(said, dg.SensorResult)
    return said


def test_the_sensor_requests_a_run_when_a_folder_has_changed(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / ".gitignore").write_text("*.log\n")
    known = folder / "crank.go"
    known.write_bytes(GO)
    with home.bench() as bench:
        part = repositories_of(bench).add(str(folder), committed=False, own_folder=True).id
    [first] = _tick(home).run_requests or []
    assert first.partition_key == part
    refresh(home)
    assert f"{part} has not changed" in str(_tick(home).skip_reason)
    (folder / "new.py").write_bytes(PYTHON)  # not committed
    [added] = _tick(home).run_requests or []
    [again] = _tick(home).run_requests or []
    assert added.run_key == again.run_key, "a run that fails would be requested forever"
    (folder / "new.py").unlink()
    (folder / "run.log").write_text("What git ignores is no change.\n")
    assert f"{part} has not changed" in str(_tick(home).skip_reason)
    known.write_bytes(GO + b"\nvar edited = 1\n")
    [edited] = _tick(home).run_requests or []
    assert edited.run_key not in (first.run_key, added.run_key)
    refresh(home)
    assert f"{part} has not changed" in str(_tick(home).skip_reason)
    known.unlink()
    assert _tick(home).run_requests
    # One that takes too long is left to others, who are named, and to nobody's harm.
    monkeypatch.setattr(definition, "LOOK_S", -1.0)
    said = _tick(home)
    assert not said.run_requests
    assert "ingest watch PATH" in str(said.skip_reason)


def test_a_tick_that_runs_out_of_time_is_continued_by_the_next(
    home: Home, repo: TestRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow remotes must not keep the others from their turn."""
    others = [TestRepo(repo.path.with_name(name)) for name in ("other", "third")]
    for other in others:
        other.commit({"x.py": PYTHON})
    ids = sorted(add(home, each) for each in (repo, *others))
    monkeypatch.setattr(sensors, "TICK_BUDGET_S", 0.005)
    looked: list[str] = []

    def look(_bench: object, _source: object, part: str) -> str | None:
        looked.append(part)
        time.sleep(0.01)
        return None

    monkeypatch.setattr(sensors, "_changed", look)
    cursor = None
    for _ in range(3):
        said = _tick(home, cursor)
        assert not said.run_requests
        cursor = said.cursor
        assert cursor is None or f"the time of a tick was up before {cursor}" in str(said.skip_reason)
    assert looked == ids
    assert cursor == ids[0], "the first one has its turn again"
    monkeypatch.setattr(sensors, "TICK_BUDGET_S", 40.0)
    looked.clear()
    assert _tick(home, ids[1]).cursor is None
    assert looked == [ids[1], ids[2], ids[0]]
    looked.clear()
    _tick(home, "a repository that is gone")
    assert looked == ids


def test_the_schedule_requests_a_run_for_each_repository_that_has_none(home: Home, repo: TestRepo) -> None:
    def tick(at: datetime) -> Any:
        with dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=at,
            resources={"ingest": Ingest(overrides=home.overrides)},
        ) as context:
            return ticked(refresh_schedule(REPOSITORIES, home.load()), context)

    due = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with home.instance() as instance:
        assert "no repository is kept in step" in tick(due).skip_message
        other = TestRepo(repo.path.with_name("other"))
        other.commit({"x.py": PYTHON})
        ids = sorted((add(home, repo), add(home, other)))
        assert "between two refreshes" in tick(due.replace(minute=7)).skip_message
        requests = tick(due)
        assert [request.partition_key for request in requests] == ids
        assert [request.run_key for request in requests] == [None, None]
        assert sorted(instance.get_dynamic_partitions("repositories")) == ids
        tags = {"dagster/partition": ids[0], **process_tags()}
        run = add_run(instance, "index_repository", dg.DagsterRunStatus.STARTED, tags)
        assert tick(due).partition_key == ids[1]
        add_run(
            instance, "index_repository", dg.DagsterRunStatus.STARTED, tags | {"dagster/partition": ids[1]}
        )
        assert tick(due).skip_message == "SKIPPED: every part is being indexed."
        instance.report_run_failed(run)
        assert tick(due).partition_key == ids[0]
