"""A fastembed model from a local folder: the ONNX path, without a model hub."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ingest_assets.embedding import DenseSpec, dense_model
from ingest_assets.embedding.fastembed_dense import folder_digest
from ingest_assets.model import ConfigurationError, DenseModel
from ingest_assets.stopping import followed_by, stopped_by
from ingest_assets_tests.embedding import texts_for_tests as texts
from ingest_assets_tests.support.data_sets import DataSet

NAME = "sentence-transformers/all-MiniLM-L6-v2"
STATIC = Path(__file__).resolve().parents[2] / "ingest_assets" / "embedding" / "bundled"


@pytest.fixture(scope="module")
def folder(sentence_model: DataSet) -> Path:
    return sentence_model.path


@pytest.fixture(scope="module")
def model(folder: Path) -> DenseModel:
    return dense_model(DenseSpec(kind="fastembed", model=NAME, path=folder))


def test_canonical_vector(minilm: Path) -> None:
    model = dense_model(DenseSpec(kind="fastembed", model=NAME, path=minilm))
    expected = [-0.06735, 0.04606, 0.03586, -0.03108, -0.08096]
    # int8 kernels of different processors round differently.
    np.testing.assert_allclose(model.embed([texts.CANONICAL])[0, :5], expected, atol=1e-2)
    assert model.dimension == 384


def test_identity_names_the_files(model: DenseModel, folder: Path) -> None:
    assert model.identity == f"fastembed-0.9:{NAME}@{folder_digest(folder)}:384:utf8-l2-1"


def test_meaning(model: DenseModel) -> None:
    texts.check_meaning(model)


def test_odd_texts_and_independence_of_the_batch(model: DenseModel) -> None:
    texts.check_odd_texts(model)


def test_a_slow_model_says_how_far_it_is_and_can_be_stopped(model: DenseModel) -> None:
    parts: list[tuple[int, int]] = []

    def stop() -> None:
        if len(parts) == 2:
            raise KeyboardInterrupt

    followed = followed_by(lambda start, end: parts.append((start, end)))
    with followed, stopped_by(stop), pytest.raises(KeyboardInterrupt):
        model.embed(["one", "two", "three", "four"])
    assert parts == [(0, 1), (1, 2)]


def test_no_texts(model: DenseModel) -> None:
    assert model.embed([]).shape == (0, 384)


def test_wrong_dimension(folder: Path) -> None:
    model = dense_model(DenseSpec(kind="fastembed", model=NAME, path=folder, dimension=768))
    with pytest.raises(ConfigurationError, match="384 dimensions, not 768"):
        model.embed(["x"])


def test_static_models_give_their_true_dimension_and_unit_vectors() -> None:
    model = dense_model(DenseSpec(kind="fastembed", model="minishlab/potion-base-8M", path=STATIC))
    assert model.dimension == 384  # fastembed reports 256
    texts.check_odd_texts(model)


def test_unusable_choices(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="needs a name"):
        dense_model(DenseSpec(kind="fastembed"))
    with pytest.raises(ConfigurationError, match="No folder"):
        dense_model(DenseSpec(kind="fastembed", model=NAME, path=tmp_path / "absent"))
    with pytest.raises(ConfigurationError, match="could not be loaded"):
        dense_model(DenseSpec(kind="fastembed", model=NAME, path=tmp_path)).embed(["x"])
    with pytest.raises(ConfigurationError, match="no/such-model could not be loaded"):
        dense_model(DenseSpec(kind="fastembed", model="no/such-model", path=tmp_path)).embed(["x"])


def test_folder_digest_follows_names_and_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    (first / "one").write_bytes(b"1")
    shutil.copytree(first, second)
    assert folder_digest(first) == folder_digest(second)
    (second / "one").write_bytes(b"2")
    assert folder_digest(first) != folder_digest(second)
    (second / "one").write_bytes(b"1")
    (second / "one").rename(second / "two")
    assert folder_digest(first) != folder_digest(second)
