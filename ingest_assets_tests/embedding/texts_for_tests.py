"""Texts that every model is tested with, and checks that hold for all models."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from ingest_assets.model import DenseModel

CANONICAL = "The quarterly invoice was sent to the customer on Monday."
RELATED = "A bill went out to the client this week."
UNRELATED = "Whales breathe air through blowholes."

ODD = [
    "",
    " \n\t ",
    "\x00",
    "\ud800 lone",
    "pair \ud83d\ude00 of surrogates",
    "👩‍👩‍👧‍👦 é e\u0301 ﬁ İI \u0391\u03a3'\u0391",
    "\u202eright to left عربى",
    "漢字かな交じり文",
    "\U0010ffff\ufffe\ufeff",
    "a" * 5000,
    "word " * 2000,
]

any_text = st.text(st.characters(exclude_categories=[]), max_size=200)  # surrogates included


def check_odd_texts(model: DenseModel) -> None:
    """Every odd text gets a unit vector, in order, and the same one alone and in a batch."""
    together = model.embed(ODD)
    assert together.shape == (len(ODD), model.dimension)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for text, vector in zip(ODD, together, strict=True):
        np.testing.assert_array_equal(model.embed([text])[0], vector)


def check_meaning(model: DenseModel) -> None:
    """Related texts are nearer than unrelated ones, and a query finds its text."""
    vectors = model.embed([RELATED, UNRELATED, CANONICAL])
    query = model.embed_query(CANONICAL)
    assert query.shape == (model.dimension,)
    near, far, same = vectors @ query
    assert far < near < same
    assert same > 0.999
