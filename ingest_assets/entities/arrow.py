"""Builds Arrow arrays from Python lists, directly from buffers.

What belongs here: three kinds of arrays. Arrow's own `array` imports pandas to check whether it was given a
series, which takes longer than comparing the records of most refreshes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


def strings(values: Sequence[str | None]) -> pa.Array:
    """An array of UTF-8 strings; None becomes null."""
    import pyarrow as pa

    encoded = [value.encode("utf-8", "replace") if value else b"" for value in values]
    buffers = [_validity(values), _offsets([len(part) for part in encoded]), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.large_string(), len(values), buffers)


def lists(values: Sequence[Sequence[str]]) -> pa.Array:
    """An array of lists of strings; an empty list becomes null."""
    import pyarrow as pa

    buffers = [_validity([value or None for value in values]), _offsets([len(value) for value in values])]
    inner = strings(list(chain.from_iterable(values)))
    return pa.Array.from_buffers(pa.large_list(pa.large_string()), len(values), buffers, children=[inner])


def numbers(values: Sequence[float | None], kind: type[np.generic]) -> pa.Array:
    """An array of a numpy type; None becomes null."""
    import pyarrow as pa

    filled = np.array([0 if value is None else value for value in values], kind)
    return pa.Array.from_buffers(
        pa.from_numpy_dtype(filled.dtype), len(values), [_validity(values), pa.py_buffer(filled)]
    )


def _offsets(lengths: Sequence[int]) -> Any:
    import pyarrow as pa

    return pa.py_buffer(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64))


def _validity(values: Sequence[object]) -> Any:
    import pyarrow as pa

    known = np.array([value is not None for value in values], np.bool_)
    return pa.py_buffer(np.packbits(known, bitorder="little"))
