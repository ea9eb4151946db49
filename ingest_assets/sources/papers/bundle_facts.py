"""What a bundle says of its paper, where that was corrected after the bundle was made here.

What belongs here: year, journal, authors and type of study in a bundle's JSON. What does not: what is
extracted from the paper's text.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import from_json, to_json

from ingest_assets.sources.papers.bundles import BundlePaper

# Characters at the start of a bundle's JSON that have all about nearly every paper.
HEAD = 20_000
_START = '{\n  "paper": '
_DECODER = json.JSONDecoder()
_OTHERS = frozenset(("eco_type",))  # what articles do not say


def is_about(content: str, paper: BundlePaper) -> bool | None:
    """Whether a bundle says this of its paper; None if `content` ends before that is known.

    `content` is the start of JSON as `bundle_bytes` writes it.
    """
    try:
        said, _ = _DECODER.raw_decode(content, len(_START))  # without reading the rest, which is long
    except ValueError:
        return None
    return all(said.get(name) == value for name, value in _facts(paper).items())


def corrected(content: bytes, paper: BundlePaper) -> bytes:
    """The JSON of a bundle that was made here, as it would be if this had been known of its paper."""
    bundle: dict[str, Any] = from_json(content, allow_inf_nan=False)
    before = bundle["paper"].get("study_type")
    bundle["paper"] |= _facts(paper)
    for evidence in bundle.get("evidence_entities") or ():
        if evidence.get("study_type") == before:
            evidence["study_type"] = paper.study_type
    return to_json(bundle, indent=2) + b"\n"


def _facts(paper: BundlePaper) -> dict[str, Any]:
    return paper.model_dump(mode="json", exclude=set(_OTHERS))
