"""Any dense model that fastembed knows, by its name or from a local folder.

What belongs here: loading it, checking its output, and its identity. The model that ships with the
package has a module of its own, `bundled.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ingest_assets.embedding.spec import DenseSpec
from ingest_assets.embedding.texts import PREPROCESSING, clean, clean_all, unit_rows
from ingest_assets.model import ConfigurationError, Float32Array, ItemError
from ingest_assets.stopping import part_done
from ingest_assets.timings import timed

if TYPE_CHECKING:
    from fastembed import TextEmbedding


class FastembedModel:
    """A fastembed model by name; downloaded by fastembed on first use unless `path` names a local folder.

    Texts go through the network one at a time: in a batch a text is padded to the longest, and a dynamically
    quantized model takes its scale from the whole batch, so a text's vector would depend on its neighbours.
    On CPUs a batch of one is no slower, because no padding is computed. Static models have neither problem
    and get whole batches.
    """

    def __init__(self, spec: DenseSpec) -> None:
        """Raises ConfigurationError when the model has no name or the folder does not exist."""
        if not spec.model:
            raise ConfigurationError("A fastembed model needs a name: set the dense model's name.")
        if spec.path is not None and not spec.path.is_dir():
            raise ConfigurationError(f"No folder {spec.path} for the dense model {spec.model}.")
        self._name = spec.model
        self._path = spec.path
        self._expected = spec.dimension

    @cached_property
    def identity(self) -> str:
        """Name, digest of the local files, dimension, and fastembed's minor version: it decides the pooling.

        For a downloaded model only the name counts: the hub's files of one name are assumed not to change.
        """
        library = ".".join(version("fastembed").split(".")[:2])
        revision = "hub" if self._path is None else folder_digest(self._path)
        return f"fastembed-{library}:{self._name}@{revision}:{self.dimension}:{PREPROCESSING}"

    @cached_property
    def dimension(self) -> int:
        """Taken from a vector: what fastembed reports may differ from what a local folder contains."""
        if self._expected is not None:
            return self._expected
        return len(self._raw(["dimension"])[0])

    @cached_property
    def _model(self) -> TextEmbedding:
        from fastembed import TextEmbedding

        path = None if self._path is None else str(self._path)
        try:
            return TextEmbedding(self._name, specific_model_path=path)
        # fastembed, onnxruntime and the model hub may raise anything here: an unknown name, a missing or
        # damaged file, no network. Each of these needs a person to fix it.
        except Exception as error:
            where = "from the model hub" if path is None else f"from {path}"
            raise ConfigurationError(
                f"The dense model {self._name} could not be loaded {where}: {type(error).__name__}: {error}"
            ) from error

    @cached_property
    def _batch(self) -> int:
        from fastembed.text.static_embedding import StaticTextEmbedding

        return 256 if isinstance(self._model.model, StaticTextEmbedding) else 1

    def _raw(self, texts: Sequence[str]) -> Float32Array:
        vectors = []
        for place, vector in enumerate(self._model.passage_embed(list(texts), batch_size=self._batch)):
            vectors.append(vector)
            if place % self._batch == 0:  # a network may take a tenth of a second for one text
                part_done(place, place + self._batch)
        return np.asarray(vectors, dtype=np.float32)

    def embed(self, texts: Sequence[str]) -> Float32Array:
        """(len(texts), dimension), unit length, in order.

        Raises ItemError when a vector holds NaN or infinity, ConfigurationError when the model cannot be
        loaded or does not have the dimension that was set.
        """
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        with timed("embed", texts=len(texts)):
            raw = self._raw(clean_all(texts))
        return self._checked(raw)

    def embed_query(self, text: str) -> Float32Array:
        """(dimension,), unit length, in fastembed's way for queries where the model has one."""
        with timed("embed", texts=1):
            raw = np.asarray(list(self._model.query_embed([clean(text)])), dtype=np.float32)
        vector: Float32Array = self._checked(raw)[0]
        return vector

    def _checked(self, vectors: Float32Array) -> Float32Array:
        if vectors.shape[1] != self.dimension:
            raise ConfigurationError(
                f"The dense model {self._name} gives {vectors.shape[1]} dimensions, not {self.dimension}: "
                "set the right dimension or the right model."
            )
        if not np.isfinite(vectors).all():
            raise ItemError(f"The dense model {self._name} gave a vector with NaN or infinity.")
        return unit_rows(vectors)


def folder_digest(folder: Path) -> str:
    """32 hex characters over the names and bytes of every visible file below the folder."""
    total = blake2b(digest_size=16)
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        one = blake2b(digest_size=16)
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                one.update(block)
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + one.digest())
    return total.hexdigest()
