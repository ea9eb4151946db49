"""The dense model that ships with the package, so that a new machine can work without a model hub.

What belongs here: loading our own folder through fastembed's static (Model2Vec) path, and checking what
fastembed does not check. How the model was made is in `tools/make_bundled_model.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ingest_assets.embedding.texts import PREPROCESSING, clean_all, unit_rows
from ingest_assets.model import ConfigurationError, Float32Array, digest_of
from ingest_assets.timings import timed

if TYPE_CHECKING:
    from fastembed.text.static_embedding import StaticTextEmbedding

FOLDER = Path(str(files(__package__) / "bundled"))
TOKENIZER = FOLDER / "tokenizer.json"  # defines the tokens when text is measured in tokens

# Texts per call into fastembed: few enough to keep memory small, enough to keep all tokenizer threads busy.
_BATCH = 1024


class BundledModel:
    """A table of token vectors: thousands of texts per second on a CPU, 384 dimensions.

    Text beyond 512 tokens is ignored. A text without any known token gets the first basis vector. Vectors are
    exactly the same in any batch, because the model's numbers are small integers that float32 adds exactly.

    The tokenizer uses every core with threads of its own, which do not survive a fork: workers are spawned,
    never forked.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` contains model.safetensors, tokenizer.json and model.json; by default the package's own.

        Raises ConfigurationError when there is no such model.
        """
        self._folder = folder or FOLDER
        try:
            card = json.loads((self._folder / "model.json").read_text(encoding="utf-8"))
            self._name, self._revision, self._dimension = card["name"], card["revision"], card["dimension"]
        except (OSError, ValueError, KeyError) as error:
            raise ConfigurationError(
                f"No dense model in {self._folder}: reinstall the package, or choose another model."
            ) from error

    @property
    def identity(self) -> str:
        """Name, digest of the files, dimension and preprocessing."""
        return f"bundled:{self._name}@{self._revision}:{self._dimension}:{PREPROCESSING}"

    @property
    def dimension(self) -> int:
        """From the model's card; fastembed would report the dimension of another model."""
        return int(self._dimension)

    @cached_property
    def _model(self) -> StaticTextEmbedding:
        from fastembed.text.static_embedding import StaticTextEmbedding

        raw = [(self._folder / name).read_bytes() for name in ("model.safetensors", "tokenizer.json")]
        if digest_of(*raw) != self._revision:
            raise ConfigurationError(f"The dense model in {self._folder} is damaged: reinstall the package.")
        # The name only selects fastembed's static path; the folder is ours.
        return StaticTextEmbedding("minishlab/potion-base-8M", specific_model_path=str(self._folder))

    def embed(self, texts: Sequence[str]) -> Float32Array:
        """(len(texts), dimension), unit length, in order.

        Raises ConfigurationError when the model's files are damaged.
        """
        cleaned = clean_all(texts)
        out = np.empty((len(cleaned), self.dimension), dtype=np.float32)
        for at in range(0, len(cleaned), _BATCH):
            batch = cleaned[at : at + _BATCH]
            with timed("embed", texts=len(batch)):
                raw = self._model.raw_embed(batch)
            out[at : at + _BATCH] = unit_rows(np.asarray(raw, dtype=np.float32))
        return out

    def embed_query(self, text: str) -> Float32Array:
        """(dimension,), unit length."""
        vector: Float32Array = self.embed([text])[0]
        return vector
