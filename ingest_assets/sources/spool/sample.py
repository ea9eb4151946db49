"""Batches to try the spool with: ordinary and personal ones, one with textless records, and a broken one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from ingest_assets.sources.spool.places import Spool
from ingest_assets.sources.spool.producer import write_batch

_PRODUCTS = ("the espresso machine", "the desk lamp", "the standing desk", "the headset", "the travel bag")
_PROBLEMS = (
    "arrived two weeks after the promised delivery time",
    "stopped working after a few days",
    "came in another colour than the one ordered",
    "is missing a part that the manual mentions",
    "works well, but its manual is hard to understand",
)
_ENDS = (
    "The customer asks for a replacement.",
    "The customer asks for a refund.",
    "The customer wants to know when somebody will call back.",
    "No answer is needed.",
)
_PEOPLE = ("Ada Byron", "Grace Murray", "Katherine Coleman", "Alan Mathison")


class SampleBatch(NamedTuple):
    """A batch that was written."""

    path: Path
    about: str  # what is special about it


def write_samples(spool_dir: Path, records: int = 20, seed: int = 1) -> list[SampleBatch]:
    """Write batches of that many records into `spool_dir`/incoming, and return them.

    The same seed writes the same records, under other tags each time. Raises ConfigurationError for a folder
    that cannot be a spool, OSError.
    """
    Spool(spool_dir.absolute()).prepare()
    rng = Random(seed)  # noqa: S311 - texts to try things with
    written = [
        SampleBatch(write_batch(spool_dir, _records(rng, source, records), source=source), f"from {source}")
        for source in ("helpdesk", "reviews")
    ]
    personal = write_batch(spool_dir, _personal(rng, records), source="callcentre", pii=True)
    written.append(SampleBatch(personal, "personal: it waits until its gate is opened"))
    textless = write_batch(spool_dir, _some_textless(rng, records), source="survey")
    written.append(SampleBatch(textless, "every third record has no text, and is skipped"))
    return [*written, SampleBatch(_broken(spool_dir, rng, records), "ends too early: it fails")]


def _records(rng: Random, source: str, count: int) -> Iterator[Mapping[str, Any]]:
    for number in range(count):
        text = f"{rng.choice(_PRODUCTS).capitalize()} {rng.choice(_PROBLEMS)}. {rng.choice(_ENDS)}"
        metadata = {"topic": rng.choice(("delivery", "quality", "manual")), "score": rng.randint(1, 5)}
        yield {"source": source, "text": f"Message {number + 1}: {text}", "metadata": metadata}


def _personal(rng: Random, count: int) -> Iterator[Mapping[str, Any]]:
    for record in _records(rng, "callcentre", count):
        yield {**record, "text": f"{rng.choice(_PEOPLE)} called. {record['text']}"}


def _some_textless(rng: Random, count: int) -> Iterator[Mapping[str, Any]]:
    for number, record in enumerate(_records(rng, "survey", count)):
        yield {**record, "text": None if number % 3 == 2 else record["text"]}  # noqa: PLR2004 - every third


def _broken(spool_dir: Path, rng: Random, count: int) -> Path:
    """A batch whose end is missing, put in its place as a whole one is."""
    path = write_batch(spool_dir, _records(rng, "broken", count), source="broken")
    draft = path.with_name(f".{path.name}.tmp")
    data = path.read_bytes()
    path.rename(draft)
    draft.write_bytes(data[: len(data) * 2 // 3])
    # An hour ago: what was just written and ends too early may still grow, and is not given up yet.
    os.utime(draft, (time.time() - 3_600,) * 2)
    return draft.rename(path)
