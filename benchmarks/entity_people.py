"""The time for many people: in memory, and through the ledger, each run in a process of its own.

python -m benchmarks entities --people 50000
"""

from __future__ import annotations

import json
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.entity_sets import load
from benchmarks.processes import run
from ingest_assets.entities import block_keys, features_of, score, train
from ingest_assets.entities.clusters import cluster
from ingest_assets.model import Identity
from ingest_assets.reconcile import reconcile
from ingest_assets.settings import load_settings
from ingest_assets.sources.crm.settings import SAMPLE
from ingest_assets.workbench import Workbench

T = TypeVar("T")
TOUCHED = 100
COLUMNS = "id INTEGER PRIMARY KEY, given TEXT, family TEXT, born TEXT, city TEXT, email TEXT"
MAPPING = """
[[documents]]
name = "people"
table = "people"
key = "id"
kind = "person"
title = "{given} {family}"
body = "{city}"

[documents.identity]
kind = "person"
name = "{given} {family}"
given_name = "{given}"
family_name = "{family}"
birth_date = "{born}"
place = "{city}"
emails = ["email"]
"""


def many(people: int) -> dict[str, Any]:
    """Seconds for training, for matching all, and for matching 100 changed ones with their neighbours."""
    crowd = [(f"{number:07d}", one) for number, one in enumerate(_crowd(people))]
    records, features_s = timed(lambda: [features_of(key, one) for key, one in crowd])
    model, train_s = timed(lambda: train("person", records))
    scored, score_s = timed(lambda: score(model, records))
    _, cluster_s = timed(lambda: cluster([f.id for f in records], scored.pairs, join_at=model.join_at))
    touched = {f.id for f in records[:: max(people // TOUCHED, 1)]}
    keys = {key for f in records if f.id in touched for key in block_keys(f)} - set(scored.cut)
    near = [f for f in records if not keys.isdisjoint(block_keys(f))]
    _, changed_s = timed(lambda: score(model, near, touched=touched, cut=set(scored.cut)))
    return {
        "people": people,
        "in_memory": {
            "features_s": features_s,
            "train_s": train_s,
            "score_s": score_s,
            "cluster_s": cluster_s,
            "score_100_changed_s": changed_s,
            "neighbours": len(near),
            "candidate_pairs": sum(scored.candidates.values()),
            "kept_pairs": len(scored.pairs),
            "cut_blocks": len(scored.cut),
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        },
        "through_the_ledger": _through_the_ledger(people),
    }


def _through_the_ledger(people: int) -> dict[str, Any]:
    """Whole processes: all people, nothing changed, and 100 changed."""
    with tempfile.TemporaryDirectory(prefix="ingest-benchmark-") as folder:
        home = Path(folder)
        _write_crm(home, people)
        found: dict[str, Any] = {}
        for name in ("all", "nothing_changed", "100_changed"):
            if name == "100_changed":
                _edit(home, people)
            finished = run(home, ["benchmarks.entity_people"])
            peak = {"peak_private_mib": finished.peak_private_mib, "process_s": finished.seconds}
            found[name] = json.loads(finished.stdout) | peak
        beyond = found["100_changed"]["process_s"] - found["nothing_changed"]["process_s"]
        found["100_changed"]["s_beyond_nothing_changed"] = round(beyond, 3)
    return found


def _write_crm(home: Path, people: int) -> None:
    (home / ".ingest").mkdir()
    (home / "mapping.toml").write_text(MAPPING, encoding="utf-8")
    (home / ".env").write_text("CRM_MAPPING_PATH=mapping.toml\n", encoding="utf-8")
    with sqlite3.connect(home / ".ingest" / SAMPLE) as crm:
        crm.execute(f"CREATE TABLE people ({COLUMNS})")
        rows = (
            (number, p.given_name, p.family_name, p.birth_date, p.place, next(iter(p.emails), None))
            for number, p in enumerate(_crowd(people))
        )
        crm.executemany("INSERT INTO people VALUES (?, ?, ?, ?, ?, ?)", rows)
    crm.close()


def _edit(home: Path, people: int) -> None:
    """Change the names of 100 people, so that everything known about them is looked at again."""
    with sqlite3.connect(home / ".ingest" / SAMPLE) as crm:
        step = max(people // TOUCHED, 1)
        crm.execute(
            "UPDATE people SET given = given || 'a' WHERE id % ? = 0 AND id < ?", (step, step * TOUCHED)
        )
    crm.close()


def _crowd(people: int) -> list[Identity]:
    """The labelled 20,000 over and over, with other names in each round."""
    rows = list(load("fake_20000").identities.values())
    return [_turned(rows[number % len(rows)], number // len(rows)) for number in range(people)]


def _turned(one: Identity, around: int) -> Identity:
    if not around:
        return one
    family = "".join(chr((ord(c) - 97 + around) % 26 + 97) if c.islower() else c for c in one.family_name)
    year = (int(one.birth_date[2:4] or 0) + 7 * around) % 100
    return Identity(
        "person",
        f"{one.given_name} {family}",
        tuple(f"{around}{email}" for email in one.emails),
        given_name=one.given_name,
        family_name=family,
        birth_date=f"{one.birth_date[:2]}{year:02d}{one.birth_date[4:]}",
        place=one.place,
    )


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """The result, and seconds."""
    started = time.perf_counter()
    result = work()
    return result, round(time.perf_counter() - started, 3)


def main() -> None:
    """Run the stages of entity resolution on the configured CRM: seconds and items moved."""
    seconds = {}
    with Workbench(load_settings()) as bench:
        for stage in ("records", "match_models", "entities"):
            outcomes, took = timed(partial(reconcile, bench.stage("crm", stage), bench.ledger))
            seconds[stage] = {"s": took, "moved": outcomes.moved}
    json.dump(seconds, sys.stdout)


if __name__ == "__main__":
    main()
