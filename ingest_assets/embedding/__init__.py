"""Turns chunk text into dense and sparse vectors.

What belongs here: the models behind the two protocols of `ingest_assets.model`, and the table of the kinds of
dense models. What does not: which texts are embedded, and what happens to vectors. Importing this package is
cheap; a model's library is loaded when its first vector is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ingest_assets.embedding.preload import PreloadedDenseModel, Preloader
from ingest_assets.embedding.spec import DenseSpec
from ingest_assets.model import ConfigurationError, DenseModel, SparseModel
from ingest_assets.settings import Settings

__all__ = ["KINDS", "DenseKind", "DenseSpec", "configured_model", "dense_model", "sparse_model", "spec_of"]

# onnxruntime, which fastembed imports for any model, sends telemetry from the moment it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


@dataclass(frozen=True, slots=True)
class DenseKind:
    """A kind of dense model: what stands before the colon in INGEST_DENSE_MODEL."""

    make: Callable[[DenseSpec], DenseModel]  # loads nothing and connects to nothing yet
    named: bool  # whether a model's name follows
    # Whether the process that preloads models (`preload`) has this one.
    preloaded: bool = False


def _bundled(spec: DenseSpec) -> DenseModel:
    from ingest_assets.embedding.bundled import BundledModel

    model = BundledModel()
    if spec.dimension not in (None, model.dimension):
        raise ConfigurationError(
            f"The bundled dense model has {model.dimension} dimensions, not {spec.dimension}: "
            "leave the dimension unset, or choose another model."
        )
    return model


def _fastembed(spec: DenseSpec) -> DenseModel:
    from ingest_assets.embedding.fastembed_dense import FastembedModel

    return FastembedModel(spec)


def _endpoint(spec: DenseSpec) -> DenseModel:
    from ingest_assets.embedding.endpoint import EndpointModel

    if spec.url is None:
        raise ConfigurationError(f"INGEST_DENSE_MODEL=endpoint:{spec.model} needs SPARK_CONTROL_URL.")
    return EndpointModel(spec)


# To add a kind, add a module beside these and a row here.
KINDS: Mapping[str, DenseKind] = {
    "bundled": DenseKind(_bundled, named=False, preloaded=True),
    "fastembed": DenseKind(_fastembed, named=True),
    "endpoint": DenseKind(_endpoint, named=True),
}


def spec_of(settings: Settings) -> DenseSpec:
    """The choice that the settings make. Raises ConfigurationError for an unknown kind."""
    s = settings
    kind, _, name = s.dense_model_name.partition(":")
    known = KINDS.get(kind)
    if known is None or known.named != bool(name):
        forms = [f"{each}:MODEL" if found.named else each for each, found in KINDS.items()]
        raise ConfigurationError(
            f"INGEST_DENSE_MODEL={s.ingest_dense_model!r}: must be {', '.join(forms[:-1])} or {forms[-1]}."
        )
    return DenseSpec(
        kind=kind,
        model=name or None,
        path=s.ingest_dense_model_path,
        url=s.embed_url,
        api_key=s.spark_control_api_key,
        verify_tls=s.spark_control_verify_tls,
        ca_file=s.spark_control_ca_file,
        timeout_s=s.ingest_embed_timeout_s,
        batch_count=s.ingest_embed_batch_count,
        batch_chars=s.ingest_embed_batch_chars,
        max_attempts=s.ingest_embed_max_attempts,
        concurrency=s.ingest_embed_concurrency,
        dimension=s.ingest_dense_dimension,
    )


def dense_model(spec: DenseSpec) -> DenseModel:
    """The dense model of a choice. Loads nothing and connects to nothing yet.

    Raises ConfigurationError when the choice is incomplete or contradicts itself.
    """
    return KINDS[spec.kind].make(spec)


def configured_model(settings: Settings, preloader: Preloader) -> DenseModel:
    """The dense model that the settings name. It asks the preloader first if that has the model."""
    spec = spec_of(settings)
    model = dense_model(spec)
    return PreloadedDenseModel(model, preloader) if KINDS[spec.kind].preloaded else model


def sparse_model() -> SparseModel:
    """BM25 with English stopwords and stemmer. Loads nothing yet."""
    from ingest_assets.embedding.bm25 import Bm25Model

    return Bm25Model()
