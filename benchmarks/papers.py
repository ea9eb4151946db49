"""Papers from XML to searchable, one more paper, and how well statements are found again.

The papers are the PMC files of `INGEST_BENCHMARK_PAPERS`, or of `../shared/data/papers/xml`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import sqlalchemy as sa

from benchmarks.processes import Finished, run
from ingest_assets.ledger import tables
from ingest_assets.queries.search import open_search
from ingest_assets.settings import load_settings
from ingest_assets.workbench import Workbench

EMPTY = ["benchmarks.empty_job", "--tuned", "papers"]
REFRESH = ["ingest_assets", "refresh", "--source", "papers", "--json"]
PAPERS = Path(__file__).parents[2] / "shared" / "data" / "papers" / "xml"
QUERIES = 300
SHORTEST, LONGEST = 60, 250  # characters of a statement that is looked for
LEFT_OUT = 0.35  # of the words of a statement that is looked for


def measure(_documents: int, seed: int, repeat: int) -> dict[str, Any]:
    """Seconds for all papers but `repeat`, then for each of these alone; peak memory; what is found again."""
    files = sorted(Path(os.environ.get("INGEST_BENCHMARK_PAPERS", PAPERS)).glob("*.xml"))
    with tempfile.TemporaryDirectory(prefix="ingest-benchmark-") as name:
        folder = Path(name)
        first, rest = files[:-repeat], files[-repeat:]
        adding = run(folder, ["ingest_assets", "paper", "add", *map(str, first)])
        building = run(folder, REFRESH)
        run(folder, EMPTY)
        rounds = [(run(folder, EMPTY), run(folder, REFRESH), _one_more(folder, file)) for file in rest]
        empty, unchanged, one_more = map(list, zip(*rounds, strict=True))
        found = _found(folder, seed)
    seconds = {
        "add_all": adding.seconds,
        "refresh_all": building.seconds,
        "unchanged": _median(unchanged),
        "one_more_paper": _median(one_more),
        "empty_job_tuned": _median(empty),
    }
    return {
        "papers": len(first),
        "seconds": seconds,
        "one_more_beyond_empty_job": round(
            statistics.median(more.seconds - nothing.seconds for nothing, _, more in rounds), 3
        ),
        "peak_private_mib": max(adding.peak_private_mib, building.peak_private_mib),
        **found,
    }


def _one_more(folder: Path, file: Path) -> Finished:
    """From the inbox, so that the run parses it too, as that of a background job does."""
    inbox = folder / "inbox"
    inbox.mkdir(exist_ok=True)
    shutil.copy2(file, inbox)  # with its time: what was just written is left alone for two seconds
    finished = run(folder, REFRESH, {"INGEST_PAPERS_INBOX": str(inbox)})
    assert json.loads(finished.stdout)["assets"]["papers/bundles"]["added"] == 1
    return finished


def _median(runs: list[Finished]) -> float:
    return statistics.median(each.seconds for each in runs)


def _found(folder: Path, seed: int) -> dict[str, float]:
    """Sentences without a third of their words: how often their section and paper are among ten hits."""
    rng = Random(seed)  # noqa: S311 - for queries, not for secrets
    settings = load_settings(ingest_home=folder / ".ingest")
    t = tables.document
    with Workbench(settings) as bench:
        query = sa.select(t.c.document_id, t.c.body).where(t.c.source == "papers", t.c.kind == "body")
        with bench.ledger.reading() as connection:
            rows = connection.execute(query.order_by(t.c.document_id)).all()
        said = [
            (row.document_id, sentence)
            for row in rows
            for sentence in re.split(r"(?<=[.])\s+", row.body)
            if SHORTEST < len(sentence) < LONGEST
        ]
        search = open_search(bench, "papers")
        sections = papers = 0
        asked = rng.sample(said, min(QUERIES, len(said)))
        for document_id, sentence in asked:
            words = [word for word in sentence.split() if rng.random() > LEFT_OUT]
            ids = [hit.document_id for hit in search.search(" ".join(words), limit=10).hits]
            sections += document_id in ids
            papers += document_id.partition("/")[0] in {each.partition("/")[0] for each in ids}
    share = max(1, len(asked))
    return {
        "section_in_first_ten": round(sections / share, 3),
        "paper_in_first_ten": round(papers / share, 3),
    }
