"""What the assets do and report when Dagster runs them: jobs, single assets, failures."""

from pathlib import Path

import dagster as dg
import pytest

from ingest_assets.collection.embedded import EmbeddedStore
from ingest_assets.sources.crm.definition import SOURCE as CRM
from ingest_assets_tests.orchestration.jobs import (
    checks_of,
    counts_of,
    data_versions,
    failures_of,
    materialize,
    metadata_of,
    run,
    table_sizes,
)
from ingest_assets_tests.support.built_index import DOCUMENTS, Home, new_home

BUILD, REFRESH = "build_search_index", "refresh_search_index"
OF_COLLECTION = dict.fromkeys(
    ("agrees_with_ledger", "complete", "no_removal_held", "nothing_parked", "search_answers"), True
)
OF_ENTITIES = dict.fromkeys(
    ("decisions_agree", "every_record_has_an_entity", "labels_agree", "models_fit", "no_giant_entity"), True
)
ALL = OF_COLLECTION | OF_ENTITIES | {"readable": True}


def live_generation(home: Home) -> int | None:
    return EmbeddedStore(home.path / "ingest" / "collections").live("crm_chunks")


def test_a_build_then_a_refresh_say_what_they_did(empty: Home) -> None:
    with empty.instance() as instance:
        built = run(empty, instance, BUILD)
        assert built.success
        assert set(checks_of(built).values()) == {True}
        first = metadata_of(built)
        versions = data_versions(instance)
        assert set(first) == set(CRM.stage_names)
        for asset, metadata in first.items():
            assert metadata["added"] > 0, asset
            assert metadata["dagster/row_count"] == metadata["added"], asset
            assert metadata["changed"] == metadata["unchanged"] == metadata["removed"] == 0, asset
            assert metadata["parked"] == 0
            assert metadata["seconds"] > 0
            assert metadata["items_per_second"] > 0
            assert 1 <= len(metadata["sample"].splitlines()) <= 5
        assert first["records"]["added"] == first["chunks"]["added"] == DOCUMENTS

        idle = run(empty, instance, REFRESH)
        assert idle.success
        for asset, metadata in metadata_of(idle).items():
            assert metadata["unchanged"] == metadata["dagster/row_count"] == first[asset]["added"], asset
            assert metadata["added"] == metadata["changed"] == metadata["removed"] == 0
            assert "sample" not in metadata
            assert "items_per_second" not in metadata
        assert data_versions(instance) == versions

        touched = empty.edit(changes=4, deletes=2, inserts=2)
        after = run(empty, instance, REFRESH)
        assert after.success
        added, changed, unchanged, removed, parked = counts_of(after)["records"]
        assert added + changed + removed == len(touched)
        assert added + changed + unchanged == metadata_of(after)["records"]["dagster/row_count"] == DOCUMENTS
        assert (added, removed, parked) == (2, 2, 0)
        for asset, metadata in metadata_of(after).items():
            before = first[asset]["dagster/row_count"]
            rows = metadata["dagster/row_count"]
            assert rows == metadata["added"] + metadata["changed"] + metadata["unchanged"]
            assert before + metadata["added"] - metadata["removed"] == rows, f"{asset} does not add up"
        sample = metadata_of(after)["records"]["sample"]
        assert any(name in sample for name in touched)


def test_data_versions_tell_equal_content_from_other_content(built: Home, tmp_path: Path) -> None:
    with built.instance() as instance:
        before = data_versions(instance)
        built.edit(changes=3, deletes=1, inserts=2)
        assert run(built, instance, REFRESH).success
        incremental = data_versions(instance)
    # Models stay until they are retrained, and an edit seldom changes an entity.
    assert {name for name in before if incremental[name] == before[name]} - {"entities"} == {"match_models"}

    scratch = new_home(tmp_path / "scratch").with_settings(crm_db_path=str(built.crm))
    with scratch.instance() as instance:
        assert run(scratch, instance, BUILD).success
        assert data_versions(instance) == incremental


def test_each_asset_alone_does_its_own_part_and_the_last_one_completes_the_index(empty: Home) -> None:
    filled = {
        "records": {"document", "read_batch", "installation", "source_origin"},
        "match_models": {"match_model"},
        "entities": {
            *("entity", "entity_event", "entity_member", "document_entities"),
            *("match_block", "match_pair", "match_state"),
        },
        "chunks": {"chunk", "chunked"},
        "dense_vectors": {"dense_vector"},
        "sparse_vectors": {"sparse_vector"},
        "collection": {"point", "generation", "collection"},
    }
    with empty.instance() as instance:
        before = table_sizes(empty)
        for stage, tables in filled.items():
            result = materialize(empty, instance, stage)
            assert result.success
            assert set(counts_of(result)) == {stage}
            after = table_sizes(empty)
            assert {name for name in after if after[name] != before[name]} - {"stage"} == tables
            before = after
        assert checks_of(result) == OF_COLLECTION
    assert live_generation(empty) == 1


def test_an_asset_alone_before_its_upstream_finds_nothing_to_do(empty: Home) -> None:
    with empty.instance() as instance:
        for stage in ("entities", "chunks", "dense_vectors", "sparse_vectors"):
            result = materialize(empty, instance, stage)
            assert result.success
            assert counts_of(result)[stage] == (0, 0, 0, 0, 0)


def test_the_collection_alone_before_its_vectors_says_what_to_run_first(empty: Home) -> None:
    with empty.instance() as instance:
        for stage in ("records", "entities", "chunks"):
            assert materialize(empty, instance, stage).success
        result = materialize(empty, instance, "collection")
        assert not result.success
        sentence = failures_of(result)["crm__collection"]
        assert "knows of no successful run of crm/dense_vectors, crm/sparse_vectors" in sentence
        assert "materialize these first" in sentence
        record = instance.get_run_record_by_id(result.run_id)
        assert record is not None
        assert record.dagster_run.status == dg.DagsterRunStatus.FAILURE
        assert live_generation(empty) is None
        # It continues from there.
        assert materialize(empty, instance, "dense_vectors").success
        assert materialize(empty, instance, "sparse_vectors").success
        assert materialize(empty, instance, "collection").success
    assert live_generation(empty) == 1


def test_collection_alone_after_new_texts_keeps_the_live_index(built: Home) -> None:
    built.edit(changes=4)
    with built.instance() as instance:
        assert materialize(built, instance, "records").success
        assert materialize(built, instance, "chunks").success
        result = materialize(built, instance, "collection")
        assert "no vectors of the current models yet" in failures_of(result)["crm__collection"]
        assert live_generation(built) == 1
        assert run(built, instance, REFRESH).success


@pytest.mark.parametrize("how", ["job", "asset"])
def test_a_rebuild_makes_a_new_generation_of_the_same_content(built: Home, how: str) -> None:
    with built.instance() as instance:
        before = data_versions(instance)
        if how == "job":
            result = run(built, instance, BUILD)
        else:
            result = materialize(built, instance, "collection", rebuild=True)
        assert result.success
        assert counts_of(result)["collection"][0] == metadata_of(result)["collection"]["dagster/row_count"]
        assert all(checks_of(result).values())
        assert data_versions(instance) == before
    assert live_generation(built) == 2
    if how == "job":
        assert counts_of(result)["dense_vectors"][:2] == (0, 0), "known texts were embedded again"


def test_what_is_parked_is_counted_logged_and_fails_its_check(empty: Home) -> None:
    import sqlite3

    with sqlite3.connect(empty.crm) as crm:
        crm.execute("UPDATE interactions SET body = ? WHERE id = 1", ("long " * 1000,))
    tight = empty.with_settings(crm_max_document_chars=4_000)
    with tight.instance() as instance:
        result = run(tight, instance, BUILD)
        assert result.success
        assert counts_of(result)["records"] == (DOCUMENTS - 1, 0, 0, 0, 1)
        assert checks_of(result) == ALL | {"nothing_parked": False}
        evaluation = next(e for e in result.get_asset_check_evaluations() if e.check_name == "nothing_parked")
        assert evaluation.metadata["parked"].value == 1
        assert "interactions/1" in str(evaluation.metadata["items"].value)
        warnings = [
            entry.message
            for entry in instance.all_logs(result.run_id)
            if entry.level == 30 and "parked" in entry.message
        ]
        assert warnings
        assert "`ingest parked` lists them" in warnings[0]

        # Parked items are not tried at every run, only on request or when something changed.
        again = run(tight, instance, REFRESH)
        assert counts_of(again)["records"] == (0, 0, DOCUMENTS - 1, 0, 1)
        retried = run(tight, instance, REFRESH, {"retry_parked": True})
        assert counts_of(retried)["records"] == (0, 0, DOCUMENTS - 1, 0, 1)
        with tight.bench() as bench:
            from ingest_assets.stages.parked import parked_items

            assert [item.attempts for item in parked_items(bench, "crm")] == [2]

        wide = run(empty, instance, REFRESH)
        assert counts_of(wide)["records"] == (1, 0, DOCUMENTS - 1, 0, 0)
        assert all(checks_of(wide).values())


def test_a_source_that_cannot_be_read_fails_the_run_with_its_sentence(built: Home) -> None:
    elsewhere = built.with_settings(crm_db_path=str(built.path / "gone.sqlite"))
    with built.instance() as instance:
        before = data_versions(instance)
        result = run(elsewhere, instance, REFRESH)
        assert not result.success
        assert failures_of(result) == {
            "crm__records": f"CRM_DB_PATH: {built.path / 'gone.sqlite'} does not exist. "
            "Set it to the CRM's SQLite file."
        }
        assert counts_of(result) == {}
        assert instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
        assert data_versions(instance) == before
        idle = run(built, instance, REFRESH)
        assert counts_of(idle)["records"] == (0, 0, DOCUMENTS, 0, 0), "nothing recorded was lost"


def test_the_checks_pass_on_the_index_of_an_empty_crm(tmp_path: Path) -> None:
    import sqlite3

    home = new_home(tmp_path / "home")
    with sqlite3.connect(home.crm) as crm:
        for table in ("opportunities", "interaction_participants", "interactions", "people", "organisations"):
            crm.execute(f"DELETE FROM {table}")
    with home.instance() as instance:
        result = run(home, instance, BUILD)
        assert result.success
        assert counts_of(result) == dict.fromkeys(CRM.stage_names, (0, 0, 0, 0, 0)) | {
            "match_models": (2, 0, 0, 0, 0)
        }
        assert checks_of(result) == ALL
    assert live_generation(home) == 1


def test_a_crm_that_becomes_empty_empties_the_index(built: Home) -> None:
    import sqlite3

    with sqlite3.connect(built.crm) as crm:
        for table in ("opportunities", "interaction_participants", "interactions", "people", "organisations"):
            crm.execute(f"DELETE FROM {table}")
    with built.instance() as instance:
        assert not run(built, instance, REFRESH).success
        result = run(built, instance, REFRESH, {"allow_removals": True})
        assert result.success
        assert counts_of(result)["records"] == (0, 0, 0, DOCUMENTS, 0)
        assert counts_of(result)["collection"][3] >= DOCUMENTS
        assert all(checks_of(result).values())
    assert set(table_sizes(built).items()) >= {
        ("document", 0),
        ("chunk", 0),
        ("point", 0),
        ("dense_vector", 0),
    }
