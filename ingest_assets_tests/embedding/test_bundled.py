"""The model that ships with the package."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_assets.embedding import DenseSpec, dense_model
from ingest_assets.embedding.bundled import BundledModel
from ingest_assets.model import ConfigurationError, DenseModel
from ingest_assets_tests.embedding import texts_for_tests as texts

FOLDER = Path(__file__).resolve().parents[2] / "ingest_assets" / "embedding" / "bundled"


@pytest.fixture(scope="module")
def model() -> DenseModel:
    return dense_model(DenseSpec())


def test_canonical_vector(model: DenseModel) -> None:
    assert model.identity == "bundled:static-all-minilm-l6-v2@3d6096b90217fbef32710ac88a47de36:384:utf8-l2-1"
    expected = [0.00000, 0.00000, 0.00000, 0.06669, 0.03063]
    np.testing.assert_allclose(model.embed([texts.CANONICAL])[0, :5], expected, atol=1e-4)


def test_meaning(model: DenseModel) -> None:
    texts.check_meaning(model)


def test_odd_texts(model: DenseModel) -> None:
    texts.check_odd_texts(model)


def test_text_without_a_known_token_gets_the_first_basis_vector(model: DenseModel) -> None:
    basis = np.eye(1, model.dimension, dtype=np.float32)[0]
    for vector in model.embed(["", "\U000f0000"]):
        np.testing.assert_array_equal(vector, basis)
    np.testing.assert_array_equal(model.embed_query(""), basis)


def test_no_texts(model: DenseModel) -> None:
    assert model.embed([]).shape == (0, model.dimension)


@settings(max_examples=50, deadline=None)
@given(st.lists(texts.any_text, max_size=6), st.data())
def test_a_vector_does_not_depend_on_its_batch(
    model: DenseModel, batch: Sequence[str], data: st.DataObject
) -> None:
    vectors = model.embed(batch)
    order = data.draw(st.permutations(range(len(batch))))
    np.testing.assert_array_equal(model.embed([batch[i] for i in order]), vectors[order])
    for text, vector in zip(batch, vectors, strict=True):
        np.testing.assert_array_equal(model.embed_query(text), vector)


def test_more_texts_than_one_call_takes(model: DenseModel) -> None:
    many = [f"{texts.CANONICAL} Number {i}." for i in range(2500)]
    vectors = model.embed(many)
    for i in (0, 1023, 1024, 2047, 2048, 2499):
        np.testing.assert_array_equal(vectors[i], model.embed([many[i]])[0])


def test_size_and_notices() -> None:
    assert sum(p.stat().st_size for p in FOLDER.iterdir()) <= 16_000_000
    assert "all-MiniLM-L6-v2" in (FOLDER / "NOTICE").read_text(encoding="utf-8")
    assert "Apache License" in (FOLDER / "LICENSE").read_text(encoding="utf-8")


def test_sums_are_exact_in_float32() -> None:
    """Why vectors are exactly equal: 512 tokens times weight times row stay below 2^24."""
    from fastembed.common.safetensors_utils import load_safetensors

    tensors = load_safetensors(FOLDER / "model.safetensors")
    weights, rows = tensors["weights"], tensors["embeddings"]
    assert rows.dtype == np.int8
    assert (weights == np.rint(weights)).all()
    assert 512 * (weights * np.abs(rows.astype(np.int64)).max(axis=1)).max() < 1 << 24
    assert len(weights) == len(rows)


def test_dimension_must_agree() -> None:
    assert dense_model(DenseSpec(dimension=384)).dimension == 384
    with pytest.raises(ConfigurationError, match="384 dimensions, not 256"):
        dense_model(DenseSpec(dimension=256))


def test_missing_and_damaged_models_are_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No dense model"):
        BundledModel(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(FOLDER, copy)
    tokenizer = json.loads((copy / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["model"]["vocab"]["invoice"] = 0
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="damaged"):
        BundledModel(copy).embed(["x"])
