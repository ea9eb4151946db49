"""Chunk text to dense and sparse vectors.

What belongs here: the models behind the two protocols of `ingest_assets.model`, and the two functions that
choose among them. What does not: where settings come from, which texts are embedded, and what becomes of
vectors. Importing this package is cheap; a model's library is loaded when its first vector is asked for.
"""

from __future__ import annotations

import os

from ingest_assets.embedding.spec import DenseKind, DenseSpec
from ingest_assets.model import ConfigurationError, DenseModel, SparseModel

__all__ = ["DenseKind", "DenseSpec", "dense_model", "sparse_model"]

# onnxruntime, which fastembed imports whatever the model, would report to its maker from its import on.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def dense_model(spec: DenseSpec) -> DenseModel:
    """The dense model that the choice names. Loads nothing and connects to nothing yet.

    Raises ConfigurationError when the choice is incomplete or contradicts itself.
    """
    model: DenseModel
    if spec.kind == "bundled":
        from ingest_assets.embedding.bundled import BundledModel

        model = BundledModel()
        if spec.dimension not in (None, model.dimension):
            raise ConfigurationError(
                f"The bundled dense model has {model.dimension} dimensions, not {spec.dimension}: "
                "leave the dimension unset, or choose another model."
            )
    elif spec.kind == "fastembed":
        from ingest_assets.embedding.fastembed_dense import FastembedModel

        model = FastembedModel(spec)
    else:
        from ingest_assets.embedding.endpoint import EndpointModel

        model = EndpointModel(spec)
    return model


def sparse_model() -> SparseModel:
    """BM25 with English stopwords and stemmer. Loads nothing yet."""
    from ingest_assets.embedding.bm25 import Bm25Model

    return Bm25Model()
