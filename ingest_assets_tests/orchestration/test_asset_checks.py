"""The standing checks find what is wrong in a store that somebody else has changed."""

import dagster as dg

from ingest_assets.definitions import build_defs
from ingest_assets_tests.orchestration.jobs import QUIET, checks_of, counts_of, run
from ingest_assets_tests.support.built_index import Home


def evaluate(home: Home, instance: dg.DagsterInstance) -> dict[str, dg.AssetCheckEvaluation]:
    """The checks alone, without materializing anything."""
    definition = build_defs(home.overrides).resolve_implicit_global_asset_job_def()
    graph = definition.asset_layer.asset_graph
    definition = definition.get_subset(
        asset_selection=frozenset(),
        asset_check_selection=frozenset(k for k in graph.asset_check_keys if k.asset_key.path[0] == "crm"),
    )
    result = definition.execute_in_process(instance=instance, run_config=QUIET, raise_on_error=False)
    assert result.success
    assert not result.get_asset_materialization_events()
    return {e.check_name: e for e in result.get_asset_check_evaluations()}


def tamper(home: Home, *, delete: int = 0, copy: int = 0) -> None:
    """Change the live generation behind the ledger's back."""
    import numpy as np

    from ingest_assets.collection.base import Points
    from ingest_assets.model import SparseVectors

    with home.bench() as bench:
        store = bench.store
        live = store.live("crm_chunks")
        assert live is not None
        with store.reader("crm_chunks") as reader:
            ids = [key for key, _ in reader.scan()]
            payload = reader.payloads(ids[:1])[ids[0]]
        with store.writer("crm_chunks", live) as writer:
            # The last ones: the check that a search answers takes the first point that the ledger has.
            writer.delete(ids[max(0, len(ids) - delete) :])
            strangers = [f"00000000-0000-5000-8000-{n:012d}" for n in range(copy)]
            if strangers:
                dense = np.full((copy, bench.dense_model.dimension), 0.05, np.float32)
                sparse = SparseVectors(
                    np.arange(copy + 1), np.ones(copy, np.uint32), np.ones(copy, np.float32)
                )
                writer.upsert(Points(strangers, dense, sparse, [payload] * copy))
            writer.commit()


def test_missing_points_fail_the_audit_and_a_build_restores_them(built: Home) -> None:
    tamper(built, delete=7, copy=2)
    with built.instance() as instance:
        found = evaluate(built, instance)
        audit = found["agrees_with_ledger"]
        assert not audit.passed
        assert audit.metadata["missing"].value == 7
        assert audit.metadata["orphaned"].value == 2
        assert audit.description == "Repair it with `ingest audit --repair`."
        assert found["search_answers"].passed
        assert not found["complete"].passed
        # A refresh trusts the ledger, and only counts the points; the audit reads them.
        assert not checks_of(run(built, instance, "refresh_search_index"))["complete"]
        assert checks_of(run(built, instance, "audit_search_index")) == {"agrees_with_ledger": False}
        # A build writes them all.
        rebuilt = run(built, instance, "build_search_index")
        assert counts_of(rebuilt)["collection"][0] == audit.metadata["expected"].value
        assert all(checks_of(rebuilt).values())


def test_an_index_that_was_emptied_does_not_answer(built: Home) -> None:
    tamper(built, delete=100_000)
    with built.instance() as instance:
        found = evaluate(built, instance)
        assert not found["search_answers"].passed
        assert not found["agrees_with_ledger"].passed


def test_an_index_whose_folder_is_gone_does_not_answer_and_comes_back(built: Home) -> None:
    import shutil

    shutil.rmtree(built.path / "ingest" / "collections")
    with built.instance() as instance:
        found = evaluate(built, instance)
        assert not found["search_answers"].passed
        assert not found["agrees_with_ledger"].passed
        refreshed = run(built, instance, "refresh_search_index")
        assert all(checks_of(refreshed).values())


def test_an_index_that_was_never_built_does_not_answer(empty: Home) -> None:
    with empty.instance() as instance:
        found = evaluate(empty, instance)
        assert not found["search_answers"].passed
        assert (found["search_answers"].description or "").startswith("Nothing has been published")
        assert found["nothing_parked"].passed


def test_the_search_check_passes_with_titles_that_are_empty_or_all_stopwords(empty: Home) -> None:
    import sqlite3

    with sqlite3.connect(empty.crm) as crm:
        crm.execute("UPDATE interactions SET subject = 'the of and'")
        crm.execute("UPDATE opportunities SET name = ' '")
        crm.execute("UPDATE people SET name = ''")
        crm.execute("UPDATE organisations SET name = '***'")
    with empty.instance() as instance:
        assert all(checks_of(run(empty, instance, "build_search_index")).values())
