"""Passes 2 and 3 over a workspace of made-up bundles: 172 papers with 18,000 entities, as `measure` has it.

Half of the bundles say where entities are mentioned, as ours do; the other half have only sentences, as those
of others do.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from ingest_assets.sources.papers.bundles import (
    Bundle,
    BundleEntity,
    BundleEvidence,
    BundlePaper,
    BundleRelationship,
    Mention,
)
from ingest_assets.sources.papers.merging.bundle_files import write_bundle
from ingest_assets.sources.papers.merging.passes import Built, run_all
from ingest_assets.sources.papers.workspace import Workspace

ENTITIES = 105  # of a paper
NAMES = 9_000  # of all papers, few of them often
MENTIONS = 8  # of an entity
SENTENCES, RELATIONSHIPS = 40, 60  # of a paper
# Prints KiB. What getrusage says of a process includes its parent's.
_PEAK = r"""
import re, sys
from pathlib import Path
from ingest_assets.sources.papers.merging.passes import run_all
from ingest_assets.sources.papers.workspace import Workspace
peak = lambda: int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
run_all(Workspace(Path(sys.argv[1], "none")))
before = peak()
run_all(Workspace(Path(sys.argv[1])))
print(peak() - before)
"""
_KINDS = (("Gene", "hgnc_id", "HGNC:{}"), ("Drug", "rxnorm_id", "{}"), ("Disease", "umls_id", "C{:07}"))


def measure(papers: int = 172, seed: int = 1, repeat: int = 5) -> dict[str, Any]:
    """Seconds of a processor for both passes: at first, with one more paper, with nothing new (median).

    `peak_mib` is what memory grows by at most, for these papers and for twice as many.
    """
    with tempfile.TemporaryDirectory(prefix="ingest-benchmark-") as folder:
        workspace = Workspace(Path(folder))
        workspace.create()
        rng = Random(seed)  # noqa: S311 - for papers, not for secrets
        fill(workspace, range(papers), rng)
        wall = time.perf_counter()
        first, built = _timed(workspace)
        wall = time.perf_counter() - wall
        fill(workspace, [papers], rng)
        one_more, _ = _timed(workspace)
        nothing_new = [_timed(workspace)[0] for _ in range(repeat)]
        peak = _peak(workspace)
        fill(workspace, range(papers + 1, 2 * papers), rng)
        return {
            "papers": papers,
            "entities_in_bundles": papers * ENTITIES,
            "counts": built.counts,
            "merged_entities": len(built.merged.entities),
            "seconds": {
                "first": round(first, 3),
                "first_by_the_clock": round(wall, 3),
                "one_more_paper": round(one_more, 3),
                "nothing_new": round(statistics.median(nothing_new), 3),
            },
            "peak_mib": {"these": peak, "twice_as_many": _peak(workspace)},
        }


def fill(workspace: Workspace, numbers: range | list[int], rng: Random) -> None:
    """Put made-up bundles into a workspace."""
    for number in numbers:
        write_bundle(workspace, f"PMC{1_000_000 + number}", _bundle(rng, placed=number % 2 == 0))


def _bundle(rng: Random, *, placed: bool) -> Bundle:
    entities = [_entity(rng, local, placed=placed) for local in range(ENTITIES)]
    sentences = [
        BundleEvidence(
            id=f"paper_1:results:{number}",
            paper_id="paper_1",
            text=f"We found that {rng.choice(entities).name} had an effect on {rng.choice(entities).name}.",
            confidence=rng.choice([0.5, 0.8, 0.9]),
            extraction_method="rules",
            section="results" if placed else None,
            start_offset=number * 100 if placed else None,
            end_offset=number * 100 + 90 if placed else None,
        )
        for number in range(SENTENCES)
    ]
    said = [
        BundleRelationship(
            subject=rng.choice(entities).id,
            predicate=rng.choice(["TREATS", "CAUSES", "ASSOCIATED_WITH"]),
            object=rng.choice(entities).id,
            evidence_ids=(rng.choice(sentences).id,),
            confidence=rng.choice([0.5, 0.9]),
            asserted_by="rules",
        )
        for _ in range(RELATIONSHIPS)
    ]
    return Bundle(
        paper=BundlePaper(title="A paper", year=rng.randint(1990, 2025)),
        entities=tuple(entities),
        evidence_entities=tuple(sentences),
        relationships=tuple(said),
    )


def _entity(rng: Random, local: int, *, placed: bool) -> BundleEntity:
    number = min(int(rng.paretovariate(0.6)), NAMES) if local % 2 else rng.randint(1, NAMES)
    entity_class, field, form = _KINDS[number % 3]
    name = f"{entity_class} name number {number}"
    identified = {field: form.format(number)} if rng.random() < 0.6 else {}  # noqa: PLR2004 - as in the old bundles
    mentions = [
        Mention(section="results", start_offset=at, end_offset=at + len(name), text=name)
        for at in rng.sample(range(20_000), MENTIONS if placed else 0)
    ]
    return BundleEntity.model_validate(
        {
            "id": f"E{local}",
            "class": entity_class,
            "name": name,
            "synonyms": [f"{entity_class[0]}{number}"],
            "mentions": mentions,
            **identified,
        }
    )


def _timed(workspace: Workspace) -> tuple[float, Built]:
    started = time.process_time()
    built = run_all(workspace)
    return time.process_time() - started, built


def _peak(workspace: Workspace) -> float:
    """What a process of its own takes, in MiB, beyond what it has after its imports."""
    command = [sys.executable, "-c", _PEAK, str(workspace.root)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    return round(int(done.stdout) / 1024, 1)


if __name__ == "__main__":
    print(measure(*map(int, sys.argv[1:])))
