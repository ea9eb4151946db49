"""Who is who: precision, recall and F1 on labelled records, beside plain Splink; and the time of many people.

python -m benchmarks entities
python -m benchmarks entities --only febrl3 --default
python -m benchmarks entities --csv FILE --label COLUMN --map given_name=first_name --map place=city
python -m benchmarks entities --people 50000
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.entity_baseline import documented
from benchmarks.entity_sets import FIELDS, LAYOUTS, LabelledSet, load, load_file
from ingest_assets.entities import Features, block_keys, default_model, features_of, score, train
from ingest_assets.entities.clusters import cluster
from ingest_assets.model import Identity

T = TypeVar("T")
TOUCHED = 100
COLUMNS = ("set", "method", "pairs P", "R", "F1", "clusters P", "R", "F1", "train s", "match s")


def main(arguments: Sequence[str]) -> None:
    """Run it, print a table, or JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks entities",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", choices=LAYOUTS, help="a set in shared; all by default")
    parser.add_argument("--csv", type=Path, help="another labelled file")
    parser.add_argument("--label", help="its column that says who is who")
    parser.add_argument(
        "--map", action="append", default=[], metavar="FIELD=COLUMN", help=f"{', '.join(FIELDS)}"
    )
    parser.add_argument(
        "--kind", choices=("person", "organisation"), default="person", help="what its rows are"
    )
    parser.add_argument("--default", action="store_true", help="also with the model that ships")
    parser.add_argument("--people", type=int, help="only the time of so many people")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    if options.people:
        print(json.dumps(many(options.people), indent=2))
        return
    results = [row for data in _sets(options) for row in measured(data, with_default=options.default)]
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print(("{:15} {:10}" + "{:>11}" * 8).format(*COLUMNS))
    for row in results:
        figures = [*row["pairs"], *row["clusters"], row["train_s"], row["match_s"]]
        print(("{:15} {:10}" + "{:>11.3f}" * 8).format(row["set"], row["method"], *figures))


def _sets(options: argparse.Namespace) -> Iterable[LabelledSet]:
    if options.csv:
        columns: dict[str, tuple[str, ...]] = defaultdict(tuple)
        for pair in options.map:
            field, _, column = pair.partition("=")
            if field not in FIELDS or not column:
                raise SystemExit(f"--map takes FIELD=COLUMN, FIELD one of {', '.join(FIELDS)}; not {pair!r}.")
            columns[field] += (column,)
        if not options.label or not columns:
            raise SystemExit("--csv needs --label, and a --map for each column that counts.")
        return [load_file(options.csv, options.kind, options.label, columns)]
    return (load(name) for name in options.only or LAYOUTS)


def measured(data: LabelledSet, *, with_default: bool) -> list[dict[str, Any]]:
    """Ours, with a model trained on these records; with the one that ships; and plain Splink."""
    records = [features_of(key, identity) for key, identity in data.identities.items()]
    model, train_s = _timed(lambda: train(data.kind, records))
    rows = [_ours(data, records, "trained", model, train_s)]
    if with_default:
        rows.append(_ours(data, records, "as shipped", default_model(data.kind), 0.0))
    baseline, seconds = _timed(lambda: documented(data))
    if baseline is not None:
        # Splink's own way: connected components of the pairs from its threshold on.
        linked = cluster(data.truth, [(a, b, 0.0) for a, b, _ in baseline], join_at=-1e9).clusters
        figures = _figures(data.truth, [(a, b) for a, b, _ in baseline], linked)
        rows.append({"set": data.name, "method": "Splink", **figures, "train_s": seconds, "match_s": 0.0})
    return rows


def _ours(
    data: LabelledSet, records: Sequence[Features], method: str, model: Any, train_s: float
) -> dict[str, Any]:
    scored, score_s = _timed(lambda: score(model, records))
    found, cluster_s = _timed(lambda: cluster(data.truth, scored.pairs, join_at=model.join_at).clusters)
    pairs = [(a, b) for a, b, weight in scored.pairs if weight >= model.join_at]
    return {
        "set": data.name,
        "method": method,
        **_figures(data.truth, pairs, found),
        "train_s": train_s,
        "match_s": score_s + cluster_s,
        "candidates": dict(scored.candidates),
        "cut": dict(scored.cut),
    }


def _figures(
    truth: Mapping[str, str], pairs: Iterable[tuple[str, str]], clusters: Iterable[Sequence[str]]
) -> dict[str, Any]:
    """Precision, recall and F1 of the pairs that are linked, and of all pairs within a cluster."""
    wanted = _pairs_in(Counter(truth.values()).values())
    linked = Counter(truth[a] == truth[b] for a, b in pairs)
    both = Counter((number, truth[member]) for number, found in enumerate(clusters) for member in found)
    sizes: Counter[int] = Counter()
    for (number, _), members in both.items():
        sizes[number] += members
    return {
        "pairs": _prf(linked[True], linked.total(), wanted),
        "clusters": _prf(_pairs_in(both.values()), _pairs_in(sizes.values()), wanted),
    }


def _pairs_in(sizes: Iterable[int]) -> int:
    return sum(size * (size - 1) // 2 for size in sizes)


def _prf(right: int, found: int, wanted: int) -> tuple[float, float, float]:
    precision, recall = right / found if found else 1.0, right / wanted if wanted else 1.0
    both = precision + recall
    return precision, recall, 2 * precision * recall / both if both else 0.0


def many(people: int) -> dict[str, Any]:
    """Seconds of training, of matching all, and of matching 100 that changed with their neighbours."""
    identities = _crowd(people)
    records, features_s = _timed(lambda: [features_of(key, one) for key, one in identities])
    model, train_s = _timed(lambda: train("person", records))
    scored, score_s = _timed(lambda: score(model, records))
    _, cluster_s = _timed(lambda: cluster([f.id for f in records], scored.pairs, join_at=model.join_at))
    touched = {f.id for f in records[:: max(people // TOUCHED, 1)]}
    keys = {key for f in records if f.id in touched for key in block_keys(f)} - set(scored.cut)
    near = [f for f in records if not keys.isdisjoint(block_keys(f))]
    _, refresh_s = _timed(lambda: score(model, near, touched=touched, cut=set(scored.cut)))
    return {
        "people": len(records),
        "features_s": features_s,
        "train_s": train_s,
        "score_s": score_s,
        "cluster_s": cluster_s,
        "score_100_changed_s": refresh_s,
        "neighbours": len(near),
        "candidate_pairs": sum(scored.candidates.values()),
        "kept_pairs": len(scored.pairs),
        "cut_blocks": dict(scored.cut),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _crowd(people: int) -> list[tuple[str, Identity]]:
    """The labelled 20,000 over and over, in each round with names of other people."""
    data = load("fake_20000")
    rows = list(data.identities.values())
    crowd = []
    for number in range(people):
        around, at = divmod(number, len(rows))
        one = rows[at]
        if around:
            turned = "".join(
                chr((ord(c) - 97 + around) % 26 + 97) if c.islower() else c for c in one.family_name
            )
            emails = tuple(f"{around}{email}" for email in one.emails)
            one = Identity(
                "person", f"{one.given_name} {turned}", emails, given_name=one.given_name, family_name=turned,
                birth_date=one.birth_date[:2] + f"{(int(one.birth_date[2:4] or 0) + 7 * around) % 100:02d}"
                + one.birth_date[4:], place=one.place,
            )  # fmt: skip
        crowd.append((f"{number:07d}", one))
    return crowd


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    result = work()
    return result, round(time.perf_counter() - started, 3)
