"""The dense model that ships with the package, so that a fresh machine without a model hub can work.

What belongs here: loading our own folder through fastembed's static (Model2Vec) path and guarding what it
leaves open. How the model was made is in `tools/make_bundled_model.py`.
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

if TYPE_CHECKING:
    from fastembed.text.static_embedding import StaticTextEmbedding

FOLDER = Path(str(files(__package__) / "bundled"))
TOKENIZER = FOLDER / "tokenizer.json"  # what a token is where text is measured in tokens

# Texts a call into fastembed: keeps the tokens of a batch in memory small, and feeds every core's tokenizer.
_BATCH = 1024


class BundledModel:
    """A table of token vectors: thousands of texts a second on a processor, 384 dimensions.

    Text beyond 512 tokens does not count. A text without any known token gets the first basis vector. Vectors
    are the same to the last bit whatever batch they are made in, because the model's numbers are small whole
    numbers that float32 adds exactly.

    Tokenising uses every core through threads of the tokenizer, which a process forked from one that has
    already used them would not have: workers are started afresh (spawned), never forked.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` holds model.safetensors, tokenizer.json and model.json; by default the package's own.

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
        """As the model's card has it; fastembed would report another model's."""
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
            raw = self._model.raw_embed(cleaned[at : at + _BATCH])
            out[at : at + _BATCH] = unit_rows(np.asarray(raw, dtype=np.float32))
        return out

    def embed_query(self, text: str) -> Float32Array:
        """(dimension,), unit length."""
        vector: Float32Array = self.embed([text])[0]
        return vector
