"""Several processes at once: refreshes, audits and searches."""

from __future__ import annotations

import json
import subprocess
import time

from ingest_assets_tests.embedding.endpoint_server import DIMENSION, Reply, serving
from ingest_assets_tests.support.built_index import DOCUMENTS, Home, command, ingest
from ingest_assets_tests.support.fixtures import IngestHere


def start(home: Home, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments), env=home.env, cwd=home.path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_two_refreshes_and_an_audit_at_the_same_time(built: Home, ingest_here: IngestHere) -> None:
    touched = built.edit(changes=10, deletes=3, inserts=5)
    processes = [start(built, "refresh", "--json"), start(built, "refresh", "--json"), start(built, "audit")]
    said = [(*process.communicate(timeout=120), process.returncode) for process in processes]
    assert [(err, status) for _, err, status in said] == [("", 0)] * 3, said
    moved = 0
    for out, _, _ in said[:2]:
        counts = json.loads(out)["assets"]["crm/records"]
        moved += counts["added"] + counts["changed"] + counts["removed"]
    assert moved == len(touched), "a change was processed twice, or not at all"
    assert ingest_here(built, "audit").status == 0
    with built.instance() as instance:
        assert len([run for run in instance.get_runs() if run.is_success]) == 3


def test_a_lock_held_by_another_process_is_a_clear_failure(built: Home, ingest_here: IngestHere) -> None:
    impatient = built.with_settings(ingest_lock_timeout_s=0)
    with built.bench() as bench, bench.ledger.lock("crm", 5):
        said = ingest(impatient, "refresh")
        assert said.status == 1
        assert "crm__records: Another process is refreshing crm and did not finish within 0 s" in said.out
        # Readers never wait.
        assert ingest_here(impatient, "search", "renewal").status == 0
        assert ingest_here(impatient, "status").status == 0
    assert ingest_here(impatient, "refresh").status == 0


def test_an_audit_does_not_run_between_two_stages(built: Home, ingest_here: IngestHere) -> None:
    impatient = built.with_settings(ingest_lock_timeout_s=0)
    with built.bench() as bench, bench.run_lock("crm"):
        audit = ingest_here(impatient, "audit")
        assert audit.status == 1
        assert "Another process is refreshing run-crm" in audit.err
        said = ingest(impatient, "refresh")
        assert said.status == 1
        assert "Another process is refreshing run-crm" in said.out
    assert ingest_here(impatient, "audit").status == 0


def test_search_answers_from_the_old_generation_until_the_new_one_is_complete(
    built: Home, ingest_here: IngestHere
) -> None:
    """Another model builds the next generation in another process, which is delayed in the middle."""
    search = ("search", "renewal of the contract", "--mode", "sparse", "--limit", "5", "--json")
    with serving() as endpoint:
        settings = {
            "spark_control_url": endpoint.url,
            "ingest_dense_dimension": DIMENSION,
            "ingest_embed_batch_count": 16,
            "ingest_embed_concurrency": 1,
        }
        home = built.with_settings(**settings)
        before = json.loads(ingest_here(home, *search).out)
        assert before["generation"] == 1
        endpoint.then(Reply(), Reply(delay_s=1.5), Reply(delay_s=0.5))
        process = start(home, "build", "--json")
        looks = []
        deadline = time.monotonic() + 100
        while process.poll() is None and time.monotonic() < deadline:
            said = ingest_here(home, *search)
            assert said.status == 0, said.err
            looks.append(json.loads(said.out))
        out, err = process.communicate(timeout=10)
        assert process.returncode == 0, out + err
    assert len(looks) > 3
    generations = [look["generation"] for look in looks]
    assert generations == sorted(generations)
    assert generations[0] == 1
    for look in looks:
        assert look["hits"], "a search saw half of a build"
        if look["generation"] == 1:
            assert look["hits"] == before["hits"]
    after = json.loads(ingest_here(home, *search).out)
    assert after["generation"] == 2
    assert {hit["chunk_id"] for hit in after["hits"]} == {hit["chunk_id"] for hit in before["hits"]}
    # The other model cannot search the index by meaning; the message says what to do. By words it can.
    refused = ingest_here(built, "search", "renewal")
    assert refused.status == 2
    assert "was built by the dense model endpoint:default:8" in refused.err
    assert ingest_here(built, *search).status == 0


def test_the_crm_can_be_written_to_during_a_refresh(built: Home) -> None:
    process = start(built, "refresh", "--json")
    touched: set[str] = set()
    seed = 100
    while process.poll() is None:
        began = time.monotonic()
        touched |= set(built.edit(seed, changes=1))
        assert time.monotonic() - began < 2, "the CRM's writer was locked out"
        time.sleep(0.02)  # about as long as a disk takes to commit; the test may run in memory
        seed += 1
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert touched
    report = built.refresh()
    assert report.success
    assert report.assets["crm/records"]["unchanged"] + report.assets["crm/records"]["changed"] == DOCUMENTS
    idle = built.refresh()
    assert idle.assets["crm/records"]["unchanged"] == DOCUMENTS
    assert idle.checks["crm/collection/complete"]["passed"]
