"""What is done to every text before a model sees it, and to every vector after the model has made it.

What belongs here: the cleaning and normalisation that all kinds of models share, so that they agree on them
and their identities can name them. What does not: anything specific to one model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ingest_assets.model import Float32Array

# Part of every dense model's identity: raise the number when the cleaning changes.
PREPROCESSING = "utf8-l2-1"


def clean(text: str) -> str:
    """The text with surrogate pairs joined and lone surrogates replaced by U+FFFD.

    Surrogates come from JSON escapes and file names; UTF-8 and the Rust tokenizers cannot represent them.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def clean_all(texts: Sequence[str]) -> list[str]:
    """`clean` of each, in order."""
    return [clean(text) for text in texts]


def unit_rows(vectors: Float32Array) -> Float32Array:
    """(n, d) float32, each row of unit length; a row of zeros becomes the first basis vector.

    A text without any known token has no direction. Cosine similarity needs one, and NaN would corrupt the
    index, so all such texts share a fixed direction.
    """
    wide = vectors.astype(np.float64)  # the squares of large float32 values overflow float32
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    empty = norms[:, 0] == 0
    wide[empty, :1] = 1.0
    norms[empty] = 1.0
    unit: Float32Array = (wide / norms).astype(np.float32)
    return unit
