"""Vectors made ahead by many workers: each text once, nothing left for the stage, the same index."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from ingest_assets.ledger import tables
from ingest_assets.model import ConfigurationError, UnavailableError, digest_of
from ingest_assets.sources.definition import SuppliedVectors
from ingest_assets.stages import vectors
from ingest_assets.stages.ahead import MAX_SHARDS, Shard, give_up, make_ahead, missing, models, shard_of
from ingest_assets.stages.vectors import DenseVectors, model_key
from ingest_assets_tests.support.engines import local_store
from ingest_assets_tests.support.small_parts import ToyBench, ToyModel, contents, document

both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
MANY = 60


@pytest.fixture(autouse=True)
def _batches_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "BATCH", 5)


@pytest.fixture
def full(bench: ToyBench) -> ToyBench:
    """Chunks of many documents, of which two have the same text."""
    bench.toy.put(*(document(f"notes/{n}", f"Note {n} of many.", title="Note") for n in range(MANY)))
    bench.toy.put(document("notes/again", "Note 1 of many.", title="Note"))
    bench.do("records")
    bench.do("chunks")
    return bench


@given(st.text("0123456789abcdef", min_size=32, max_size=32), st.integers(1, MAX_SHARDS))
def test_each_text_is_in_one_shard(digest: str, of: int) -> None:
    shards = [Shard(number, of) for number in range(1, of + 1)]
    holding = [shard for shard in shards if shard.bounds[0] <= digest < shard.bounds[1]]
    assert len(holding) == 1
    assert shard_of(str(holding[0])) == holding[0]


@given(st.integers(2, 64))
def test_shards_are_even(of: int) -> None:
    digests = [digest_of(str(n)) for n in range(64 * of)]
    for number in range(1, of + 1):
        low, high = Shard(number, of).bounds
        assert 20 <= sum(low <= digest < high for digest in digests) <= 130


@pytest.mark.parametrize("wrong", ["", "1", "0/4", "5/4", "1/0", "-1/4", "1/4/2", "a/b", "1 / 4", "1/1001"])
def test_what_names_no_shard_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=r"write I/N, such as 1/4"):
        shard_of(wrong)


@both
def test_workers_at_once_embed_each_text_once_and_leave_nothing_to_the_stage(
    full: ToyBench, tmp_path: Path, ledger_url: str
) -> None:
    assert missing(full, "crm") == MANY
    benches = [
        ToyBench(tmp_path, ledger_url=ledger_url, store=local_store(), ledger=full.ledger) for _ in range(4)
    ]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: make_ahead(benches[n], ["crm"], Shard(n + 1, 4)), range(4)))
    assert sum(each.embedded for each in made) == MANY
    assert sum(len(each.model.embedded) for each in benches) == MANY
    assert missing(full, "crm") == 0
    outcomes = full.do("dense_vectors")
    assert (outcomes.added, outcomes.unchanged, full.model.embedded) == (0, MANY, [])
    full.do("sparse_vectors")
    for stage in ("match_models", "entities", "collection"):
        full.do(stage)
    with ToyBench(tmp_path / "clean", source=full.toy, store=local_store()) as clean:
        clean.refresh()
        assert contents(full.store) == contents(clean.store)


@both
def test_a_worker_waits_for_no_run_and_one_that_dies_loses_its_batch_only(full: ToyBench) -> None:
    full.model.before = lambda: _fail_from(full.model, call=4)
    with full.ledger.lock("crm", 1), pytest.raises(UnavailableError, match="toy model is down"):
        make_ahead(full, ["crm"])
    assert missing(full, "crm") == MANY - 3 * 5
    full.model.available, full.model.before = True, lambda: None
    assert make_ahead(full, ["crm"]).embedded == MANY - 3 * 5
    assert len(full.model.embedded) == MANY


def _fail_from(model: ToyModel, call: int) -> None:
    model.available = model.calls < call


@both
def test_a_refused_text_is_left_to_the_stage_which_parks_it(full: ToyBench) -> None:
    full.model.refuses = lambda text: "Note 7 " in text
    assert make_ahead(full, ["crm"]).refused == 1
    outcomes = full.do("dense_vectors")
    assert (outcomes.added, outcomes.parked) == (0, 1)
    calls = full.model.calls
    again = make_ahead(full, ["crm"])  # parked: asked again only when people say so
    assert (again.embedded, again.refused, full.model.calls) == (0, 0, calls)
    assert missing(full, "crm") == 0


@both
def test_vectors_of_a_model_that_is_to_come_are_kept_until_it_comes(full: ToyBench) -> None:
    full.refresh()
    new = ToyModel(revision="2")
    full.__dict__["dense_model"] = new
    assert make_ahead(full, ["crm"]).ahead
    full.__dict__["dense_model"] = full.model
    full.refresh(rebuild=True)  # publishes, and deletes what no generation needs
    assert [(m.identity, m.vectors, m.ahead) for m in models(full.ledger)] == [
        (full.model.identity, MANY, False),
        (new.identity, MANY, True),
    ]
    full.__dict__["dense_model"] = new
    asked = len(new.embedded)
    full.refresh()
    assert len(new.embedded) == asked
    assert (new.identity, MANY, False) in models(full.ledger)
    with full.ledger.reading() as connection:
        assert connection.execute(sa.select(tables.model_ahead)).all() == []
    full.refresh(rebuild=True)  # now the old one is no longer needed
    assert [m.identity for m in models(full.ledger)] == [new.identity]


@both
def test_a_model_that_does_not_come_is_given_up(full: ToyBench) -> None:
    full.refresh()
    new = full.__dict__["dense_model"] = ToyModel(revision="2")
    make_ahead(full, ["crm"], Shard(1, 2))
    made = len(new.embedded)
    full.__dict__["dense_model"] = full.model
    with pytest.raises(ConfigurationError, match="was built with toy:1"):
        give_up(full.ledger, full.model.identity)
    with pytest.raises(ConfigurationError, match="No vectors are made ahead for a model 'toy:3'"):
        give_up(full.ledger, "toy:3")
    assert give_up(full.ledger, new.identity) == made > 0
    assert [m.identity for m in models(full.ledger)] == [full.model.identity]
    assert full.do("dense_vectors").added == 0


@both
def test_a_text_of_two_sources_is_embedded_once(full: ToyBench) -> None:
    with full.ledger.transaction() as connection:
        chunks = connection.execute(sa.select(tables.chunk)).mappings().all()
        connection.execute(tables.chunk.insert(), [{**chunk, "source": "papers"} for chunk in chunks])
    make_ahead(full, ["crm", "papers"])
    assert len(full.model.embedded) == MANY


@both
def test_vectors_that_the_source_supplies_are_used(full: ToyBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the stage would: the index must not depend on who made a vector."""
    own = np.zeros(full.model.dimension, "<f4")
    own[3] = 1

    class Supplied:
        identity = full.model.identity

        def vectors(self, texts: dict[str, str]) -> dict[str, np.ndarray]:
            return {key: own for key, text in texts.items() if "Note 7 " in text}

    supplied: SuppliedVectors = Supplied()  # type: ignore[assignment]
    monkeypatch.setattr(full, "stage", lambda source, _name: DenseVectors(source, full.model, supplied))
    assert make_ahead(full, ["crm"]).embedded == MANY
    assert len(full.model.embedded) == MANY - 1
    with full.ledger.reading() as connection:
        found = connection.scalars(
            sa.select(tables.dense_vector.c.vector).filter_by(model=model_key(full.model.identity))
        )
        assert own.tobytes() in list(found)
