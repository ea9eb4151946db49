"""`ingest embed` and its Dagster job: shards, a model that is to come, wrong input."""

from __future__ import annotations

import json

import pytest

from ingest_assets.definitions import build_defs
from ingest_assets.embedding.bundled import BundledModel
from ingest_assets.orchestration.embedding import EMBED
from ingest_assets_tests.embedding.endpoint_server import DIMENSION, Reply, serving
from ingest_assets_tests.support.built_index import Home
from ingest_assets_tests.support.fixtures import IngestHere


def test_shards_of_a_model_that_is_to_come_leave_nothing_to_the_refresh(
    built: Home, ingest_here: IngestHere
) -> None:
    with serving() as endpoint:
        coming = built.with_settings(spark_control_url=endpoint.url, ingest_dense_dimension=DIMENSION)
        before = json.loads(ingest_here(coming, "embed", "status", "--json").out)
        lacking = before["missing"]["crm"]
        assert lacking > 0
        made = [
            json.loads(ingest_here(coming, "embed", "--shard", f"{n}/3", "--json").out) for n in range(1, 3)
        ]
        definitions = build_defs(coming.overrides | {"ingest_embed_shards": 3})
        with coming.instance() as instance:
            run = definitions.resolve_job_def(EMBED).execute_in_process(
                instance=instance, partition_key="3-of-3"
            )
        assert run.success
        rest = lacking - sum(each["embedded"] for each in made)
        assert 0 < rest < lacking
        texts = [text for request in endpoint.requests for text in request["input"]]
        assert len(texts) == len(set(texts)) == lacking
        said = ingest_here(coming, "embed", "status").out
        assert "made ahead" in said
        assert made[0]["ahead"] is True

        endpoint.requests.clear()
        report = json.loads(ingest_here(coming, "refresh", "--json").out)
        assert endpoint.requests == []
        assert report["assets"]["crm/dense_vectors"]["added"] == 0
        after = json.loads(ingest_here(coming, "embed", "status", "--json").out)
        assert after["missing"] == {"crm": 0}
        assert {each["ahead"] for each in after["models"]} == {False}


def test_a_refused_text_is_said_and_a_model_is_given_up(built: Home, ingest_here: IngestHere) -> None:
    with serving() as endpoint:
        endpoint.usual = Reply(400, body=lambda _: {"error": {"message": "no"}})
        endpoint.then(Reply())
        coming = built.with_settings(
            spark_control_url=endpoint.url, ingest_dense_dimension=DIMENSION, ingest_embed_concurrency=1
        )
        said = ingest_here(coming, "embed", "--shard", "1/40")
        assert said.status == 0, said.everything
        assert "until `ingest embed give-up endpoint:default:8:utf8-l2-1`" in said.out
    said = ingest_here(built, "embed", "give-up", "endpoint:default:8:utf8-l2-1")
    assert (said.status, said.err) == (0, "")
    assert "vectors of endpoint:default:8:utf8-l2-1 were deleted." in said.out
    used = ingest_here(built, "embed", "give-up", BundledModel().identity)
    assert (used.status, used.out) == (2, "")
    assert "its vectors are needed" in used.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--shard", "5/4"), "'5/4' names no shard: write I/N, such as 1/4 for the first of four."),
        (("--source", "crmm"), "crmm"),
        (("give-up", "no such model"), "`ingest embed status` lists the models"),
    ],
)
def test_wrong_input(built: Home, ingest_here: IngestHere, arguments: tuple[str, ...], sentence: str) -> None:
    said = ingest_here(built, "embed", *arguments)
    assert said.status == 2
    assert sentence in " ".join(said.err.split())
    assert "Traceback" not in said.everything
