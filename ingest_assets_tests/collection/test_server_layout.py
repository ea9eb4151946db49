"""How a generation is laid out on a server, and what is changed of one that is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from qdrant_client import models

from ingest_assets.collection.base import DENSE
from ingest_assets.collection.server import Layout
from ingest_assets.collection.server.layout import ITS_OWN_NUMBER, LOADED_SEGMENTS, NEVER_INDEXED_KIB
from ingest_assets.collection.server.limits import Limits, limits_of


def _info(layout: Layout, **strict: Any) -> Any:
    """What a server says of a collection that was created with a layout, loaded and settled."""
    made, settled = layout.created(8), layout.settled()
    optimizer = {
        "deleted_threshold": 0.2,
        "vacuum_min_vector_number": 1_000,
        "default_segment_number": settled["optimizers_config"].default_segment_number,
        "flush_interval_sec": 5,
    }
    config = models.CollectionConfig(
        params=models.CollectionParams(
            vectors=made["vectors_config"],
            shard_number=layout.shards or 1,
            replication_factor=layout.replicas or 1,
            write_consistency_factor=layout.write_consistency or 1,
            on_disk_payload=made["on_disk_payload"],
        ),
        hnsw_config=models.HnswConfig(
            m=made["hnsw_config"].m, ef_construct=made["hnsw_config"].ef_construct, full_scan_threshold=1
        ),
        optimizer_config=models.OptimizersConfig(
            **optimizer, indexing_threshold=settled["optimizers_config"].indexing_threshold
        ),
        strict_mode_config=models.StrictModeConfigOutput(enabled=True, **strict) if strict else None,
    )
    return models.CollectionInfo(
        status=models.CollectionStatus.GREEN,
        optimizer_status=models.OptimizersStatusOneOf.OK,
        segments_count=1,
        config=config,
        payload_schema={},
    )


def test_a_new_generation_is_not_indexed_while_it_is_loaded() -> None:
    made, settled = Layout().created(8), Layout().settled()["optimizers_config"]
    assert made["optimizers_config"].indexing_threshold == NEVER_INDEXED_KIB
    assert made["optimizers_config"].default_segment_number == LOADED_SEGMENTS
    assert settled.default_segment_number == ITS_OWN_NUMBER
    assert made["vectors_config"][DENSE].quantization_config.scalar.type == models.ScalarType.INT8
    assert Layout(quantization="none").created(8)["vectors_config"][DENSE].quantization_config is None


@pytest.mark.parametrize(
    "layout", [Layout(), Layout(quantization="none", on_disk=False, hnsw_m=32), Layout(shards=3, replicas=2)]
)
def test_what_is_as_wanted_is_left_alone(layout: Layout) -> None:
    assert layout.changes(_info(layout), loaded=True) == {}
    assert not layout.needs_another(_info(layout))


@pytest.mark.parametrize(
    ("wanted", "changed"),
    [
        ({"hnsw_m": 32}, {"hnsw_config"}),
        ({"hnsw_ef_construct": 200}, {"hnsw_config"}),
        ({"quantization": "none"}, {"vectors_config"}),
        ({"on_disk": False}, {"vectors_config", "collection_params"}),
        ({"indexing_threshold_kib": 5}, {"optimizers_config"}),
        ({"write_consistency": 2}, {"collection_params"}),
    ],
)
def test_what_differs_is_changed_in_place(wanted: dict[str, Any], changed: set[str]) -> None:
    before = Layout()
    after = replace(before, **wanted)
    assert set(after.changes(_info(before), loaded=True)) == changed
    assert set(before.changes(_info(after), loaded=True)) - {"collection_params"} == changed - {
        "collection_params"
    }
    assert not after.needs_another(_info(before))
    assert repr(after) != repr(before), "a run would not notice"


@pytest.mark.parametrize("wanted", [{"shards": 2}, {"replicas": 2}])
def test_shards_and_replicas_need_another_generation(wanted: dict[str, Any]) -> None:
    assert Layout(**wanted).needs_another(_info(Layout()))
    assert not Layout().needs_another(_info(Layout(**wanted))), "unset: as the server has it"


def test_a_generation_that_is_being_loaded_stays_unindexed() -> None:
    info = _info(Layout())
    info.config.optimizer_config.indexing_threshold = NEVER_INDEXED_KIB
    wanted = Layout(indexing_threshold_kib=7)
    assert wanted.changes(info, loaded=False) == {}
    assert wanted.changes(info, loaded=True) == wanted.settled(), "as from a snapshot of that time"


def test_limits() -> None:
    assert limits_of(_info(Layout())) == Limits()
    limits = limits_of(_info(Layout(), upsert_max_batchsize=100, max_query_limit=50, search_max_hnsw_ef=64))
    assert (limits.upsert(250), limits.upsert(20), limits.page(1_000), limits.hnsw_ef) == (100, 20, 50, 64)
    assert not limits_of(_info(Layout(), search_allow_exact=False)).exact
    rates = limits_of(_info(Layout(), upsert_max_batchsize=100, write_rate_limit=60, read_rate_limit=30))
    assert (rates.upsert(250), rates.retrieval(1_000), rates.page(1_000)) == (60, 30, 1_000)


@pytest.mark.parametrize(
    ("layout", "nodes", "copies"),
    [(Layout(), 1, None), (Layout(), 3, 3), (Layout(replicas=2), 1, 2), (Layout(shards=6, replicas=2), 3, 3)],
)
def test_a_mark_is_read_while_a_node_is_away(layout: Layout, nodes: int, copies: int | None) -> None:
    """A server tells of a collection only while each of its shards answers somewhere."""
    made = layout.of_mark(nodes)
    assert (made["shard_number"], made["replication_factor"]) == (1, copies)
